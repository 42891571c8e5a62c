"""Everything that is decided before the first step: what is learned from, what is measured, in which parts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from core.errors import DataError, ParameterError
from core.progress import Reporter
from core.training.augment import augmenter
from core.training.feeding import batch
from core.training.metric import Evaluator, Measure, measure_of
from core.training.objective import Objective, Probe
from core.training.passes import Passes
from core.training.settings import TrainingSettings
from core.training.teacher import Answers, Teacher
from core.training.trainable import Trainable
from core.training.watching import cancellable, forward_operations, part_size

if TYPE_CHECKING:
    from core.data.samples import Samples

Array = np.ndarray[Any, np.dtype[Any]]
PROBED = 4
"""Samples that the model is run on to see what it gives."""


@dataclass(frozen=True)
class Ready:
    """What the loop works with. again: measures some of the training samples by the same measure as `valid`."""

    passes: Passes
    valid: Evaluator | None
    again: Evaluator | None
    measure: Measure | None
    notes: tuple[str, ...]


def set_up(
    student: Trainable, samples: Samples, held_out: Samples | None, settings: TrainingSettings,
    teacher: Teacher | None, sample_weights: Array | None, metadata: Mapping[str, str], folder: Path | None,
    reporter: Reporter,
) -> Ready:  # fmt: skip
    """Decide, and refuse what cannot be trained: DataError and ParameterError with the reason."""
    if samples.n == 0:
        raise DataError("there are no samples to train on", where=samples.source, do="give some")
    reporter.report(0.0, "Looking at the data")
    feeds = batch(samples, np.arange(min(PROBED, samples.n)))
    changes = augmenter(settings.augmentation, samples, feeds)
    with cancellable(reporter, math.inf):
        probe = _probe(student, feeds, settings, teacher)
    objective = Objective(settings, samples, probe, metadata)
    reporter.check()
    operations = forward_operations(student, batch(samples, np.arange(1)))
    size = part_size(operations, settings.batch)
    # The original's answers judge likeness also where only labels are learned from.
    measured = held_out if held_out is not None and held_out.n else None
    measure = measure_of(probe, samples if measured is None else measured, metadata)
    taught = teacher is not None and (objective.uses_teacher or (measure is not None and not _labels_only(measure)))

    def answers(n: int) -> Answers | None:
        return Answers(teacher, n, objective.features) if teacher is not None and taught else None

    passes = Passes(
        student, samples, objective, answers(samples.n) if objective.uses_teacher else None, changes, settings,
        _weights(sample_weights, samples), operations, folder,
    )  # fmt: skip
    if measured is None:
        return Ready(passes, None, None, measure, tuple(objective.notes))
    some = samples.subset(measured.n, settings.seed)
    valid, again = (Evaluator(s, objective, answers(s.n), measure, size, operations) for s in (measured, some))
    return Ready(passes, valid, again, measure, tuple(objective.notes))


def _labels_only(measure: Measure) -> bool:
    return measure.choice.own is None and measure.choice.kind.needs_labels


def _probe(
    student: Trainable, feeds: Mapping[str, torch.Tensor], settings: TrainingSettings, teacher: Teacher | None
) -> Probe:
    """What the model and its teacher give for some samples."""
    student.eval()
    with torch.no_grad():
        outputs = student(feeds)
        wanted = settings.features > 0 and teacher is not None
        names = [name for name in student.feature_names() if name not in outputs] if wanted else []
        features = {name: value for name, value in student(feeds, features=names).items() if name in names}
        answers = None if teacher is None else teacher(feeds, features=names)
    return Probe(outputs, answers, features)


def _weights(weights: Array | None, samples: Samples) -> torch.Tensor | None:
    """Weights of samples, scaled to a mean of 1. Raises ParameterError for others than one a sample, not negative."""
    if weights is None:
        return None
    found = np.asarray(weights, np.float64)
    if found.shape != (samples.n,) or not np.isfinite(found).all() or found.min() < 0.0 or not found.sum() > 0.0:
        raise ParameterError(
            f"there are {found.size} weights for {samples.n} samples", do="give each sample one, 0 or more"
        )
    return torch.from_numpy((found / found.mean()).astype(np.float32))
