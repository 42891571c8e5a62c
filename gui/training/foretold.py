"""What the training form foretells: what is trained, from what it learns, how long it takes, the file's size. No Qt."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.training.settings import AUTO, BOTH, DISTILL, LABELS
from gui.units import count, file_size

if TYPE_CHECKING:
    from core.data.samples import Samples
    from core.probe_job import Probe
    from core.training.settings import TrainingSettings
    from gui.session import Session

_MOST_NAMES = 3


def source_words(settings: TrainingSettings, samples: Samples | None) -> str:
    """What the model learns from, plainly."""
    if samples is None:
        return ""
    classes = samples.class_labels is not None
    loss = (BOTH if classes else DISTILL) if settings.loss == AUTO else settings.loss
    if loss == LABELS:
        return "Learns from the labels alone."
    if loss == DISTILL:
        note = "" if samples.labels is None else "; the labels are only used to judge it"
        return f"Learns from the original model's answers{note}."
    return f"Learns from the labels and, to {100 * settings.distill_share:.0f} %, from the original model's answers."


def why_not(settings: TrainingSettings, train: Samples | None) -> str:
    """Why a training cannot begin with these, or ""."""
    if train is None:
        return "Choose samples to train on"
    if settings.loss in (LABELS, BOTH) and train.labels is None:
        return "There are no labels to learn from: learn from the original, or choose data with labels"
    if train.n < 2:
        return "One sample is too few: some must be held out"
    return ""


def plan_words(session: Session) -> str:
    """What the plan stores, in a sentence."""
    model, recipe = session.model, session.recipe
    if model is None or recipe is None:
        return ""
    if recipe.does_nothing:
        return "The plan has no steps: all weights are trained as they are."
    planned = [layer.name for layer in model.layers if recipe.steps_for(layer.name)]
    skipped = [name for name in planned if (one := session.previews.get(name)) is not None and one.skipped]
    number = len(planned) - len(skipped)
    words = (f"{number:,} layer{' is' if number == 1 else 's are'} compressed by the plan, then trained as stored: "
             "codes, tables, scales and what was not pruned.")
    if recipe.graph:
        words += " The plan's changes of the graph are made first."
    rest = len(model.layers) - number
    return f"{words} The other {rest:,} {'is' if rest == 1 else 'are'} trained as float weights." if rest else words


def probe_words(probe: Probe) -> str:
    """What a few steps showed: how much is trained, and what stays, with the reason."""
    words = f"{count(probe.trained)} values are trained."
    if probe.frozen:
        names = "; ".join(f"{name}: {why}" for name, why in probe.frozen[:_MOST_NAMES])
        more = f"; and {len(probe.frozen) - _MOST_NAMES:,} more" if len(probe.frozen) > _MOST_NAMES else ""
        words += f" These keep their stored values: {names}{more}."
    return " ".join([words, *probe.notes])


def time_words(seconds_an_epoch: float | None, epochs: int, *, measuring: bool) -> str:
    """How long it will take."""
    if seconds_an_epoch is None:
        return "Being measured\N{HORIZONTAL ELLIPSIS}" if measuring else "Known after the first epoch."
    return (f"About {duration(seconds_an_epoch)} an epoch, {duration(seconds_an_epoch * epochs)} in all if it does not "
            "stop early; measured on a few steps.")


def duration(seconds: float) -> str:
    """"0.4 s", "12 s", "3 min", "1.5 h"."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def size_words(session: Session) -> str:
    """What training does to the file: values change, their number and form do not."""
    model = session.model
    if model is None:
        return ""
    if not session.has_steps:
        return f"Training changes values, not how they are stored: the file stays at {file_size(model.file_bytes)}."
    predicted = session.predicted_bytes
    size = f"about {file_size(predicted)}, as the plan predicts" if predicted is not None else "what the plan predicts"
    return f"Training changes values, not how they are stored: the file will have {size}."
