"""Sensitivity tables that are kept: found again by the content of the model, the data and the settings.

JSON in the person's cache folder. A file that is damaged or of another version is as good as none, and a disk that is
full or read-only costs nothing but the time to compute again: both are told in a note at most.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.analysis.sensitivity.cells import Cell, Sensitivity, Setting, Skip, steps_data
from core.errors import FeatherweightError, TargetError
from core.kernels import user_cache

if TYPE_CHECKING:
    from core.data.samples import Samples
    from core.model.model import Model

VERSION = 1
"""To be raised when cells come out otherwise for the same question: methods, emitters or measures changed."""
MAX_FILES = 400
"""Tables that are kept; the oldest go first."""


def cache_folder() -> Path:
    """Where tables are kept; XDG_CACHE_HOME moves it on Linux."""
    return user_cache() / "featherweight" / "sensitivity"


def cache_key(model: Model, samples: Samples | None, settings: Sequence[Setting], asked: Any) -> str:
    """A name for the question, in hexadecimal: SHA-256 of all that the answer depends on.

    asked  the tier and other plain values

    External data files count by name, size and time of change, everything else by content.
    """
    digest = hashlib.sha256()
    files = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in model.data_files]
    question = [VERSION, model.sha256, files, [steps_data(steps) for steps in settings], asked]
    digest.update(json.dumps(question, sort_keys=True).encode())
    if samples is not None:
        for feed in samples.feeds():
            for name, array in feed.items():
                digest.update(f"{name} {array.dtype} {array.shape}".encode())
                digest.update(np.ascontiguousarray(array).data)
        digest.update(repr(samples.labels is not None).encode())
    return digest.hexdigest()


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
        write_atomic(place / f"{key}.json", json.dumps(_encode(found, key, settings)).encode())
    except (OSError, TargetError) as error:
        reason = error.what if isinstance(error, TargetError) else error.strerror or str(error)
        return f"The result could not be kept for the next time ({reason}, {place})."
    return ""


def _make_room(place: Path) -> None:
    kept = sorted(place.glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
    for path in kept[: max(0, len(kept) - MAX_FILES + 1)]:
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
    return Sensitivity(
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
