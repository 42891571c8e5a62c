"""How good a student is on samples that it is not trained on: the loss, and the metric that the comparison uses too."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from core.analysis.task_metrics.base import Unit, facts_of
from core.analysis.task_metrics.registry import Choice, choose
from core.errors import DataError
from core.progress import Reporter
from core.training.feeding import batch
from core.training.objective import Objective, Probe
from core.training.teacher import Answers
from core.training.trainable import Trainable
from core.training.watching import cancellable

if TYPE_CHECKING:
    from core.data.samples import Samples

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Figures:
    """Of one state on one set of samples. metric: None where there is none, nan where it is undefined."""

    loss: float
    metric: float | None


@dataclass(frozen=True)
class Measure:
    """The metric that states are judged by.

    share  whether it is shown in percent
    """

    choice: Choice
    words: str
    higher_is_better: bool
    share: bool

    def on(self, samples: Samples) -> Measure:
        """The same for another set."""
        facts = self.choice.facts
        labels = None if samples.labels is None else samples.labels[: samples.n]
        return replace(
            self, choice=replace(self.choice, facts=replace(facts, labels=labels, samples=samples, count=samples.n))
        )


def measure_of(probe: Probe, samples: Samples, metadata: Mapping[str, str]) -> Measure | None:
    """The metric that the samples' options name, or that fits; None when nothing can be measured.

    Without a teacher there is no original to be alike, so only metrics of labels count. Raises DataError.
    """
    facts = probe.facts(samples, metadata)
    choice = choose(facts_of(facts.names, facts.first, samples, samples.n, metadata), samples.options,
                    where=samples.source)  # fmt: skip
    if choice is None or (probe.answers is None and choice.own is None and not choice.kind.needs_labels):
        return None
    score = choice.start()
    return Measure(choice, score.words, score.higher_is_better, score.unit is Unit.SHARE)


class Evaluator:
    """Measures a student on one set of samples, as often as there are states.

    measure  None: the loss alone
    size     samples in a batch; `operations` of one sample's forward run, roughly: where a batch takes long, a cancel
             takes effect inside it
    """

    def __init__(
        self, samples: Samples, objective: Objective, answers: Answers | None, measure: Measure | None, size: int,
        operations: float = 0.0,
    ) -> None:  # fmt: skip
        self._operations = operations
        self.samples, self._objective, self._answers, self._size = samples, objective, answers, size
        self._measure = None if measure is None else measure.on(samples)
        self._label_loss = objective.label_loss(samples)

    def __call__(self, student: Trainable, reporter: Reporter) -> Figures:
        """The student's figures now. Raises Cancelled, and DataError where the samples themselves are not finite."""
        metric = None if self._measure is None else self._measure.choice.start()
        names = () if self._measure is None else self._measure.choice.facts.names
        total = 0.0
        student.eval()
        with torch.no_grad():
            for start in range(0, self.samples.n, self._size):
                reporter.check()
                places = np.arange(start, min(start + self._size, self.samples.n))
                feeds = batch(self.samples, places)
                reporter.check()
                with cancellable(reporter, self._operations * len(places)):
                    answers = None if self._answers is None else self._answers.of(feeds, places)
                    outputs = student(feeds, features=self._objective.features)
                loss = float(self._objective(outputs, self._label_loss, places, answers).double().sum())
                if not math.isfinite(loss):
                    self._check_finite(places)
                total += loss
                if metric is None:
                    continue
                after = [outputs[name].numpy() for name in names]
                before = after if answers is None else [answers[name].numpy() for name in names]
                for row, place in enumerate(places):
                    one = slice(row, row + 1)
                    metric.add(int(place), [value[one] for value in before], [value[one] for value in after])
        return Figures(total / self.samples.n, None if metric is None else metric.score().value)

    def _check_finite(self, places: Array) -> None:
        """No state could be the best by samples whose values are NaN: refuse them instead of blaming the training."""
        for place in places:
            values = batch(self.samples, np.array([place])).values()
            if not all(bool(torch.isfinite(value).all()) for value in values if value.is_floating_point()):
                raise DataError(
                    f"{self.samples.name(int(place))} has NaN or infinite values, and the best state is chosen by it",
                    where=self.samples.source, do="leave such samples out",
                )  # fmt: skip


def better(new: Figures, old: Figures | None, measure: Measure | None) -> bool:
    """Whether a state is better than the best so far: by the metric, ties by the loss; undefined never is."""
    if not math.isfinite(new.loss):
        return False
    if old is None:
        return True
    if measure is not None and new.metric is not None and old.metric is not None:
        sign = 1.0 if measure.higher_is_better else -1.0
        ours, theirs = (-math.inf if math.isnan(value) else sign * value for value in (new.metric, old.metric))
        if ours != theirs:
            return ours > theirs
    return new.loss < old.loss
