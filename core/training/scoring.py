"""Judging a trained model against the original on samples, in memory: the metric that `compare` measures on files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from core.analysis.task_metrics.base import Score, Unit, facts_of
from core.analysis.task_metrics.registry import choose
from core.errors import DataError
from core.progress import SILENT, Reporter
from core.training.feeding import batch
from core.training.teacher import ModelTeacher
from core.training.trainable import Trainable

if TYPE_CHECKING:
    from core.data.samples import Samples
    from core.model.model import Model

SIZE = 64
"""Samples in a batch."""


class Judge:
    """Measures trained models, each on samples of its own, by the metric that fits or that the options name.

    samples  all there are: they decide the metric. Raises DataError when nothing can be measured
    """

    def __init__(self, model: Model, samples: Samples) -> None:
        self._original, self._metadata = ModelTeacher(model), model.metadata
        self._names = [port.name for port in model.outputs]
        metric = self._start(samples)
        score_words = metric.words
        self.words, self.unit, self.higher_is_better = score_words, Unit(metric.unit), metric.higher_is_better

    def _start(self, samples: Samples):  # type: ignore[no-untyped-def]  # a Metric
        with torch.no_grad():
            outputs = self._original(batch(samples, np.arange(1)))
        self._names = [name for name in self._names if name in outputs]
        first = [outputs[name].numpy() for name in self._names]
        facts = facts_of(self._names, first, samples, samples.n, self._metadata)
        choice = choose(facts, samples.options, where=samples.source)
        if choice is None:
            raise DataError("the model has no float output that could be judged", where=samples.source)
        return choice.start()

    def __call__(self, student: Trainable, samples: Samples, reporter: Reporter = SILENT) -> Score:
        """The original's and the student's score on these samples. Raises Cancelled."""
        metric = self._start(samples)
        student.eval()
        with torch.no_grad():
            for start in range(0, samples.n, SIZE):
                reporter.check()
                places = np.arange(start, min(start + SIZE, samples.n))
                feeds = batch(samples, places)
                before, after = self._original(feeds), student(feeds)
                for row, place in enumerate(places):
                    metric.add(int(place), self._row(before, row), self._row(after, row))
        return metric.score()

    def _row(self, outputs: dict[str, torch.Tensor], row: int) -> list[np.ndarray]:
        return [outputs[name][row : row + 1].numpy() for name in self._names]
