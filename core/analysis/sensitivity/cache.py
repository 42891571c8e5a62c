"""Sensitivity tables that are kept: found again by the content of the model, the data and the settings.

JSON in the person's cache folder. A file that is damaged or of another version is as good as none, and a disk that is
full or read-only costs nothing but the time to compute again: both are told in a note at most.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.analysis.sensitivity.cells import Cell, Measure, Sensitivity, Setting, Skip, Tier, steps_data
from core.errors import FeatherweightError, TargetError
from core.kernels import user_cache

if TYPE_CHECKING:
    from core.data.options import DataOptions
    from core.data.samples import Samples
    from core.model.model import Model

VERSION = 2
"""To be raised when cells come out otherwise for the same question: methods, emitters or measures changed."""
MAX_FILES = 400
"""Tables that are kept; the oldest go first."""
DIGITS = 24
"""Hexadecimal digits of each digest: 96 bits, short enough for a file's name."""
NO_DATA = "none"
_writing = threading.Lock()
"""Threads that write one file at once take each other's unfinished one; processes do not."""


def cache_folder() -> Path:
    """Where tables are kept; XDG_CACHE_HOME moves it on Linux."""
    return user_cache() / "featherweight" / "sensitivity"


@dataclass(frozen=True)
class Question:
    """What a table answers, as digests: the parts of its file's name, so that looking for one opens no other.

    model    of the model, its external data files and `VERSION`
    columns  of the settings
    rank     twice the tier, and one more where every cell is measured: the higher, the nearer to the truth
    data     of where the samples came from (`data_mark`); `NO_DATA` without samples
    exact    of all that the answer depends on, the samples' content included
    """

    model: str
    columns: str
    rank: int
    data: str
    exact: str

    @property
    def key(self) -> str:
        """The file's name without its ending."""
        return f"{self.model}-{self.columns}-{self.rank}-{self.data}-{self.exact}"


def ask(
    model: Model, samples: Samples | None, settings: Sequence[Setting], *, tier: int, everything: bool, told: Any
) -> Question:
    """The question.

    samples  those that the answer depends on; None at tier 0
    told     other plain values that the answer depends on

    External data files count by name, size and time of change, everything else by content.
    """
    rank = 2 * tier + everything
    whole = hashlib.sha256(json.dumps([VERSION, rank, told, samples is not None]).encode())
    model_part, columns = _model_part(model), _columns(settings)
    whole.update(f"{model_part}{columns}".encode())
    if samples is None:
        return Question(model_part, columns, rank, NO_DATA, whole.hexdigest()[:DIGITS])
    for feed in samples.feeds():
        for name, array in feed.items():
            whole.update(f"{name} {array.dtype} {array.shape}".encode())
            whole.update(np.ascontiguousarray(array).data)
    whole.update(repr(samples.labels is not None).encode())
    return Question(model_part, columns, rank, data_mark(samples.source, samples.options), whole.hexdigest()[:DIGITS])


def data_mark(source: str, options: DataOptions) -> str:
    """A name for the samples at a path, as they are read with these options, without reading any.

    Path, size and time of change of the file, or of every file in the folder, count. A source that is no path has a
    mark too, of its name alone.
    """
    digest = hashlib.sha256(repr((options.preprocessing, str(Path(source).absolute()))).encode())
    place = Path(source)
    try:
        files = sorted(path for path in place.rglob("*") if path.is_file()) if place.is_dir() else [place]
        for path in files:
            stat = path.stat()
            digest.update(f"{path} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    except (OSError, ValueError):
        digest.update(b"cannot be read")
    return digest.hexdigest()[:DIGITS]


def find(
    model: Model, settings: Sequence[Setting], *, lowest: int = 0, data: str = "", folder: Path | None = None
) -> Sensitivity | None:
    """The best table that is kept of a model with these settings: of the highest rank, of these the newest.

    lowest  tier that will do
    data    `data_mark` of the samples; "" takes tables of any. Tables without samples always count
    """
    found = []
    with contextlib.suppress(OSError):  # a folder that cannot be read is as good as none
        for path in (folder or cache_folder()).glob(f"{_model_part(model)}-{_columns(settings)}-*.json"):
            with contextlib.suppress(OSError, ValueError):  # another process took it away; another's file
                _, _, rank, mark, _ = path.stem.split("-")
                if int(rank) >= 2 * lowest and (not data or mark in (data, NO_DATA)):
                    found.append((int(rank), path.stat().st_mtime_ns, path))
    tables = (load(path.stem, settings, folder) for _, _, path in sorted(found, reverse=True))
    return next((table for table in tables if table is not None), None)


def _model_part(model: Model) -> str:
    files = []
    for path in model.data_files:
        stat = path.stat()
        files.append((path.name, stat.st_size, stat.st_mtime_ns))
    return _digest([VERSION, model.sha256, files])


def _columns(settings: Sequence[Setting]) -> str:
    return _digest([steps_data(steps) for steps in settings])


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:DIGITS]


def load(key: str, settings: Sequence[Setting], folder: Path | None = None) -> Sensitivity | None:
    """The table kept under this key, or None when there is none or the file is damaged."""
    path = (folder or cache_folder()) / f"{key}.json"
    try:
        return _decode(json.loads(path.read_text(encoding="utf-8")), key, settings)
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError, FeatherweightError):
        return None  # as good as none: it is computed again, and written over


def store(key: str, found: Sensitivity, settings: Sequence[Setting], folder: Path | None = None) -> str:
    """Keep a table; returns "" or a sentence that says why it could not be kept."""
    from core.exporting.staging import write_atomic

    place = folder or cache_folder()
    try:
        place.mkdir(parents=True, exist_ok=True)
        _make_room(place)
        with _writing:
            write_atomic(place / f"{key}.json", json.dumps(_encode(found, key, settings)).encode())
    except (OSError, TargetError) as error:
        reason = error.what if isinstance(error, TargetError) else error.strerror or str(error)
        return f"The result could not be kept for the next time ({reason}, {place})."
    return ""


def _make_room(place: Path) -> None:
    """Remove the oldest tables; another process may do the same at the same time."""
    ages = []
    for path in place.glob("*.json"):
        with contextlib.suppress(FileNotFoundError):
            ages.append((path.stat().st_mtime_ns, path))
    for _, path in sorted(ages)[: max(0, len(ages) - MAX_FILES + 1)]:
        path.unlink(missing_ok=True)


def _encode(found: Sensitivity, key: str, settings: Sequence[Setting]) -> dict[str, Any]:
    """Cells and skips by the number of their setting; -1 stands for no steps."""
    number = {steps: index for index, steps in enumerate(settings)} | {(): -1}
    return {
        "version": VERSION, "key": key, "model": found.model_sha256, "samples": found.samples, "measure": found.measure,
        "cells": [
            [c.layer, number[c.steps], c.bytes, c.error, c.tier, c.multiply_adds, c.milliseconds] for c in found.cells
        ],
        "skipped": [[skip.layer, number[skip.steps], skip.reason] for skip in found.skipped],
        "layer_bytes": [list(item) for item in found.layer_bytes], "notes": list(found.notes), "seconds": found.seconds,
    }  # fmt: skip


def _decode(data: dict[str, Any], key: str, settings: Sequence[Setting]) -> Sensitivity:
    """The table; ValueError and others when the file does not hold one of this version."""
    if data["version"] != VERSION or data["key"] != key:
        raise ValueError("another version, or a renamed file")
    steps = dict(enumerate(settings)) | {-1: ()}
    found = Sensitivity(
        str(data["model"]), int(data["samples"]), str(data["measure"]),
        tuple(
            Cell(str(layer), steps[number], int(nbytes), float(error), int(tier), count, milliseconds)
            for layer, number, nbytes, error, tier, count, milliseconds in data["cells"]
        ),
        tuple(Skip(str(layer), steps[number], str(reason)) for layer, number, reason in data["skipped"]),
        tuple((str(name), int(nbytes)) for name, nbytes in data["layer_bytes"]),
        tuple(str(note) for note in data["notes"]),
        float(data["seconds"]),
    )  # fmt: skip
    if found.samples < 0 or found.measure not in set(Measure) or not all(map(_possible, found.cells)):
        raise ValueError("figures that no table has")
    return found


def _possible(cell: Cell) -> bool:
    """Whether a cell's figures can have been found: an error may be infinite, never NaN or below 0."""
    figures = [cell.bytes, cell.multiply_adds or 0, cell.milliseconds or 0.0]
    return cell.error >= 0.0 and cell.tier in set(Tier) and all(0 <= figure < float("inf") for figure in figures)
