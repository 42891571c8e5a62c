"""A run: what was done to a model, with what, and what came of it. Frozen, and plain enough for a JSON file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any

from core.errors import DataError

POINTS = "points"
"""Unit of a difference of shares: hundredths. The value itself is a share."""
VERSION = 1
"""Of the run file. A file of a later version is left alone and told."""


class RunKind(StrEnum):
    """What was done."""

    COMPRESS = "compress"
    FINETUNE = "finetune"
    MERGE = "merge"
    TRANSFER = "transfer"
    CROSSVAL = "crossval"

    @property
    def words(self) -> str:
        return _KIND_WORDS[self]


_KIND_WORDS = {
    RunKind.COMPRESS: "Compression", RunKind.FINETUNE: "Fine-tuning", RunKind.MERGE: "Merge",
    RunKind.TRANSFER: "Transfer", RunKind.CROSSVAL: "Cross-validation",
}  # fmt: skip


class RunState(StrEnum):
    """Where it stands. A run that says it is at work while its process is gone was interrupted."""

    RUNNING = "running"
    PAUSED = "paused"
    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"
    INTERRUPTED = "interrupted"

    @property
    def at_work(self) -> bool:
        return self in (RunState.RUNNING, RunState.PAUSED)

    @property
    def resumable(self) -> bool:
        """Whether it stopped on the way, so that its checkpoint is worth going on from."""
        return self in (RunState.CANCELLED, RunState.INTERRUPTED, RunState.FAILED)


@dataclass(frozen=True)
class Figure:
    """A number that a run gave.

    name      one word for programs; the same quantity has the same name in every kind of run (`core.runs.figures`)
    unit      "B", "ms", "s", a metric's unit (`task_metrics.base.Unit`): "share", "error", "nats", "dB", "score", or
              `POINTS` for the difference or spread of shares; "" for counts
    words     what it is, for a person: "accuracy (top-1)"
    measured  False: predicted
    on        what it was measured on, in words: "512 samples of test.npz", or ""
    """

    name: str
    value: float
    unit: str = ""
    words: str = ""
    measured: bool = True
    on: str = ""


@dataclass(frozen=True)
class Run:
    """One entry of the run store.

    id           of its folder; begins with the time, so that ids sort by age
    parent       id of the run that it branches from, "" for none; that run may have been deleted since
    title        what it is, for a person ("lenet5: prune 90 %, 16 levels")
    model_path   absolute path of the model that was worked on, with the SHA-256 of that file ("" when not known)
    recipe_text  the recipe as YAML, "" for none
    settings     plain values by name (`TrainingSettings`, or what else the kind of run is set by)
    data         absolute paths of data by what it is for: "train", "valid", "test", "calib"
    options      how data was read, and the metric: plain values (`core.data.keeping`)
    figures      in the order to show
    why          a sentence: why it failed or stopped early, "" otherwise
    target       absolute path of the file that was written for the person, "" for none; it may have moved since
    kept         the copy of the result in the run's folder, as a relative path, "" for none (`RunStore.result_file`)
    details      what else its kind of run gave: plain values, for the views that know it
    started, ended  seconds since 1970 (UTC); ended is None while it is at work or when nobody wrote it
    seconds      of work, pauses of an interruption left out
    versions     of the program and of the libraries that decide the result, by name
    """

    id: str
    kind: RunKind
    title: str
    model_path: str
    state: RunState
    started: float
    model_sha256: str = ""
    parent: str = ""
    recipe_text: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    figures: tuple[Figure, ...] = ()
    why: str = ""
    target: str = ""
    kept: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)
    ended: float | None = None
    seconds: float = 0.0
    versions: Mapping[str, str] = field(default_factory=dict)

    def figure(self, name: str) -> Figure | None:
        """The figure of this name, None when the run has none."""
        return next((figure for figure in self.figures if figure.name == name), None)

    def value(self, name: str) -> float | None:
        """The value of a figure, None when the run has none."""
        found = self.figure(name)
        return None if found is None else found.value


def run_data(run: Run) -> dict[str, Any]:
    """The run as the content of its file. Infinite and undefined figures are written as words: JSON has none."""
    data = {f.name: getattr(run, f.name) for f in fields(run)}
    data["figures"] = [
        {f.name: getattr(figure, f.name) for f in fields(figure)} | {"value": _number(figure.value)}
        for figure in run.figures
    ]
    return {"version": VERSION, **data, "kind": str(run.kind), "state": str(run.state)}


def run_from(data: Any) -> Run:
    """The run of a file's content; DataError says what is wrong with it."""
    if not isinstance(data, dict):
        raise DataError("it holds no run")
    if data.get("version") != VERSION:
        raise DataError(f"it was written by another version (format {data.get('version')!r})")
    given: dict[str, Any] = {}
    for name, kinds in _TYPES.items():
        if name in data:
            given[name] = _checked(name, data[name], kinds)
        elif name in _NEEDED:
            raise DataError(f"it has no {name}")
    try:
        given["kind"], given["state"] = RunKind(given["kind"]), RunState(given["state"])
    except ValueError as error:
        raise DataError(str(error)) from error
    for name in ("data", "versions"):
        if not all(isinstance(value, str) for value in given.get(name, {}).values()):
            raise DataError(f"{name} holds something else than text")
    given["figures"] = tuple(_figure_from(each) for each in given.get("figures", ()))
    given["started"] = float(given["started"])
    return Run(**given)


_NUMBER = (int, float)
_TYPES: dict[str, tuple[type, ...]] = {
    "id": (str,), "kind": (str,), "title": (str,), "model_path": (str,), "state": (str,), "started": _NUMBER,
    "model_sha256": (str,), "parent": (str,), "recipe_text": (str,), "settings": (dict,), "data": (dict,),
    "options": (dict,), "seed": (int,), "figures": (list,), "why": (str,), "target": (str,), "kept": (str,),
    "details": (dict,), "ended": (*_NUMBER, type(None)), "seconds": _NUMBER, "versions": (dict,),
}  # fmt: skip
_NEEDED = frozenset({"id", "kind", "title", "model_path", "state", "started"})


def _checked(name: str, value: Any, kinds: tuple[type, ...]) -> Any:
    wrong_number = isinstance(value, float) and not math.isfinite(value)
    if not isinstance(value, kinds) or isinstance(value, bool) or wrong_number:
        raise DataError(f"{name} is {str(value)[:60]!r}")
    return value


def _figure_from(data: Any) -> Figure:
    try:
        name, value, unit, words, measured, on = (
            data[key] for key in ("name", "value", "unit", "words", "measured", "on")
        )
        texts = all(isinstance(text, str) for text in (name, unit, words, on))
        if not texts or not isinstance(measured, bool) or isinstance(value, bool):
            raise DataError(f"a figure is {str(data)[:60]!r}")
        return Figure(name, float(value), unit, words, measured, on)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"a figure is {str(data)[:60]!r}") from error


def _number(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)  # float() reads "inf", "-inf" and "nan" again
