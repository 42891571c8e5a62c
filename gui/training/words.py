"""What the Training lens says. No Qt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gui.training.curves import Series
from gui.training.finetune import FINETUNE
from gui.training.pictures import metric_text
from gui.training.state import Phase
from gui.units import time_left

if TYPE_CHECKING:
    from gui.session import Session
    from gui.training.state import TrainingState

DOT = " \N{MIDDLE DOT} "
_NEW = ("Fine-tuning trains what is stored: a model that was compressed too far wins accuracy back, and its file stays "
        "as small.")
_NO_DATA = "Load data: labels help, and without them the model learns from the original's answers."
_NO_STEPS = "The plan has no steps yet: give it some first, or fine-tune the model as it is."


def empty_words(session: Session) -> tuple[str, str]:
    """Why there are no curves, and what to do."""
    if session.model is None:
        return "No model is open.", "Open a model and samples of its task to train it."
    if session.samples is None:
        return "Training needs samples.", f"{_NEW} {_NO_DATA}"
    return "No training yet.", _NEW if session.has_steps else f"{_NEW} {_NO_STEPS}"


def status_words(state: TrainingState) -> str:
    """Where it stands, in one line."""
    series = state.series
    where = epoch_words(series[-1]) if series else ""
    if len(series) > 1 and state.phase.at_work:
        where = f"{series[-1].title}: {where}"
    if state.phase is Phase.PREPARING:
        return state.text or "Starting the training process"
    if state.phase is Phase.RUNNING:
        left = time_left(state.seconds_left())
        if left and state.asked is not None and state.asked.kind != FINETUNE:  # of several trainings, one after another
            left = f"{left} in this training"
        at_epochs = not state.text or state.text.lower().startswith(("epoch", "training"))
        parts = [where, _stage(series[-1]) if series else "", left] if at_epochs else [where, state.text]
        if state.pausing:
            parts.insert(0, "Pauses after this batch")
        return DOT.join(filter(None, parts))
    ended = {
        Phase.PAUSED: "Goes on in a moment" if state.pausing else "Paused", Phase.DONE: "Done",
        Phase.CANCELLED: "Cancelled", Phase.FAILED: "Stopped", Phase.INTERRUPTED: "Interrupted",
    }.get(state.phase, "")  # fmt: skip
    parts = [ended, where]
    if state.phase in (Phase.CANCELLED, Phase.FAILED, Phase.INTERRUPTED):
        parts.append("can be resumed" if state.can_resume else "no epoch was done, so nothing is kept")
    return DOT.join(filter(None, parts))


def epoch_words(series: Series) -> str:
    """How many epochs are done."""
    done, of = series.epochs_done, series.started.epochs
    return f"{done:,} of {of:,} epoch{'' if of == 1 else 's'}"


def _stage(series: Series) -> str:
    return series.points[-1].stage if series.points else ""


def best_words(series: Series) -> str:
    """The best epoch with its figures, for a caption; "" while there is none."""
    best = series.best
    if best is None:
        return ""
    value = metric_text(best.valid_metric, series.started)
    return f"best: epoch {best.epoch:,}{f', {value}' if value else ''}"


def advice(series: Series, settings: Any) -> str:
    """What to do about training and validation that have parted; "" while they have not.

    settings  the job's `TrainingSettings`, or None where it has none
    """
    parted, best = series.parted, series.best
    if parted is None:
        return ""
    ways = [words for name, unused, words in _WAYS if settings is None or getattr(settings, name, None) == unused]
    ways.append("more data")
    kept = f" The state of epoch {best.epoch:,} is kept." if best is not None else ""
    return (f"Validation no longer follows training since epoch {parted.epoch:,}: it learns these samples by heart. "
            f"Try {', '.join(ways[:-1])}{' or ' if len(ways) > 1 else ''}{ways[-1]}.{kept}")


_WAYS = (("dropout", 0.0, "dropout"), ("weight_decay", 0.0, "weight decay"), ("augmentation", "none", "augmentation"))
