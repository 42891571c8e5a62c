"""The training loop: batches, losses, validation, best state, checkpoints; it knows nothing of files and recipes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.encoding.base import Encoding
from core.progress import SILENT, Reporter
from core.training.events import EpochDone
from core.training.schedule import Restage
from core.training.settings import TrainingSettings
from core.training.teacher import Teacher
from core.training.trainable import Trainable

if TYPE_CHECKING:
    from core.data.samples import Samples

Array = np.ndarray[Any, np.dtype[Any]]
PAUSE_FILE = "pause"
"""While a file of this name lies in the training's folder, it waits (between two batches)."""


@dataclass(frozen=True)
class TrainingResult:
    """What a training gave; the student is left in its best state.

    curves       one point an epoch, also of epochs before an interruption
    best_epoch   as in `EpochDone.epoch`; 0 when the state before the first epoch was the best
    stopped      why it ended before the last epoch: "" (it did not), "early", "nan at step 31 (epoch 2)", ...
    do           what the person can do about it, a clause, or ""
    metric       of the held-out samples, in words; valid_metric its value in the best state, None without labels
    seconds      of training, those before an interruption included
    replaced     encodings that the schedule gave layers, as they are now (structure; values are the student's)
    notes        sentences a person should know ("the last checkpoint could not be written: the disk is full")
    """

    curves: tuple[EpochDone, ...]
    best_epoch: int
    stopped: str = ""
    do: str = ""
    metric: str = ""
    valid_metric: float | None = None
    valid_loss: float | None = None
    seconds: float = 0.0
    replaced: Mapping[str, Encoding] = field(default_factory=dict, repr=False)
    notes: tuple[str, ...] = ()


def train(
    student: Trainable,
    samples: Samples,
    held_out: Samples | None,
    settings: TrainingSettings,
    *,
    teacher: Teacher | None = None,
    sample_weights: Array | None = None,
    restage: Restage | None = None,
    metadata: Mapping[str, str] | None = None,
    folder: Path | None = None,
    resume: bool = False,
    title: str = "",
    run: str = "",
    reporter: Reporter = SILENT,
) -> TrainingResult:
    """Train a student and leave it in its best state by the held-out samples (ties: by the loss).

    samples         trained on; `held_out` never is. Without held-out samples the last state is the best
    teacher         needed by every loss but that of labels
    sample_weights  (n,) weights of the training samples, for boosting; None: all alike
    restage         changes of encodings while training; None: one phase of all epochs
    metadata        of the model file, for metrics and losses that read it (an alphabet)
    folder          where checkpoints go after each epoch, and where `PAUSE_FILE` is looked for; None: neither
    resume          go on from the folder's checkpoint; the result equals that of an uninterrupted training
    title, run      for the `Started` event

    Tells `Started`, `StepDone`, `EpochDone` and `Paused` (core/training/events.py) as parts of its progress.

    Raises DataError for data that cannot be learned from (labels out of range, one class only, too few samples),
    ParameterError for settings that do not fit it, and Cancelled within a second; then the student has its best state
    so far and the folder the checkpoint of the last whole epoch. A loss that is not finite ends the training instead
    (`TrainingResult.stopped`).
    """
    raise NotImplementedError
