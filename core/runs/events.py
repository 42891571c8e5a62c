"""Learning curves on disk: one line of JSON an event, so that a crash costs the last line at most."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from core.training.events import EpochDone

FILE = "curves.jsonl"


def append(path: Path, point: EpochDone, series: str = "") -> None:
    """Add one point of a curve. Raises OSError.

    A line that was cut off by a crash is ended first, so that it spoils nothing but itself.
    """
    content = {"series": series} | {f.name: _plain(getattr(point, f.name)) for f in fields(point)}
    line = json.dumps(content, allow_nan=False).encode() + b"\n"
    with open(path, "a+b") as file:
        if file.tell() and not _ends_whole(file):
            line = b"\n" + line
        file.write(line)


def _ends_whole(file: Any) -> bool:
    file.seek(-1, os.SEEK_END)
    return bool(file.read(1) == b"\n")


def read(path: Path) -> Mapping[str, tuple[EpochDone, ...]]:
    """The curves by series; lines that cannot be read are left out.

    A training that goes on from its checkpoint repeats the epochs behind it: an epoch that comes again replaces the
    older one and all that followed it.
    """
    series: dict[str, list[EpochDone]] = {}
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            for line in file:
                found = _point(line)
                if found is None:
                    continue
                name, point = found
                kept = series.setdefault(name, [])
                while kept and kept[-1].epoch >= point.epoch:
                    kept.pop()
                kept.append(point)
    except OSError:
        return {}
    return {name: tuple(points) for name, points in series.items()}


def _point(line: str) -> tuple[str, EpochDone] | None:
    try:
        data = json.loads(line)
        values = {f.name: data[f.name] for f in fields(EpochDone)}
        for name in ("train_loss", "learning_rate", "seconds"):
            values[name] = math.nan if values[name] is None else float(values[name])
        for name in ("valid_loss", "train_metric", "valid_metric"):
            values[name] = None if values[name] is None else float(values[name])
        values |= {"epoch": int(values["epoch"]), "stage": str(values["stage"])}
        return str(data["series"]), EpochDone(**values)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
