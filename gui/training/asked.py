"""A training that the person asked for, and what becomes of it. Frozen; no Qt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gui.result import Result


@dataclass(frozen=True)
class ResultView:
    """What the result card shows.

    headline  what came of it, in one sentence
    columns   heads of the table's columns, the first of which names the rows
    rows      as many texts each as there are columns; "" where nothing is known
    chosen    index of the row that `file` is, or None
    notes     sentences that a person should know: on what it was measured, what stays as it was and why
    advice    what to do next, a sentence, or ""
    file      the model that was written, or None
    """

    headline: str
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    chosen: int | None = None
    notes: tuple[str, ...] = ()
    advice: str = ""
    file: Path | None = None


@dataclass(frozen=True)
class Asked:
    """A job for the training process, and how its outcome is shown.

    kind    "finetune", "merge", "transfer", "crossval": as `core.runs.run.RunKind`
    title   what is done, for a person ("Fine-tuning lenet5.onnx")
    job     the picklable job, called as job(spec, reporter=...)
    spec    what it works on: a frozen dataclass with a field `resume` (id of a run to go on with, or None), if it can
            be resumed
    view    from the job's outcome to what the result card shows
    result  from the outcome to what the Compare lens, totals and export work with; None: it is no result of the plan
    model   path of the model it is made of; None: of several
    """

    kind: str
    title: str
    job: Callable[..., Any]
    spec: Any
    view: Callable[[Any], ResultView]
    result: Callable[[Any], Result] | None = None
    model: Path | None = None
