"""Looks, in a thread, whether a training of a model was cut off when the program ended."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import FeatherweightError
from core.progress import Reporter
from core.training.events import EpochDone

if TYPE_CHECKING:
    from core.runs.run import Run

KEY = "interrupted training"
"""Of the task."""
_MOST = 100
"""Runs that are looked at, the newest ones."""


def find(folder: Path, model: Path, reporter: Reporter) -> tuple[Run, Mapping[str, tuple[EpochDone, ...]]] | None:
    """The newest fine-tuning of a model, with its curves, if that was interrupted after an epoch; else None.

    A fine-tuning that came later and ended in another way shows that the person has gone on since.
    """
    from core.runs.run import RunKind, RunState
    from core.runs.store import RunStore

    store = RunStore(folder)
    for run_id in store.ids()[:_MOST]:
        reporter.check()
        try:
            run = store.get(run_id)
        except FeatherweightError:
            continue  # the Runs lens tells what is damaged
        if run.kind is RunKind.FINETUNE and run.model_path == str(model.absolute()):
            curves = store.curves(run_id) if run.state is RunState.INTERRUPTED else {}
            return (run, curves) if any(curves.values()) else None
    return None
