"""Metrics of numbers against numbers: labels that are floats."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from core.analysis.task_metrics.base import Facts, Metric, Unit, why_no_labels

Array = np.ndarray[Any, np.dtype[Any]]


class _Values(Metric):
    """Base of metrics that compare the main output with a label of as many numbers."""

    needs_labels = True
    unit = Unit.ERROR
    higher_is_better = False

    def __init__(self, facts: Facts) -> None:
        super().__init__(facts)
        self._sums, self._count = [0.0, 0.0], 0

    @classmethod
    def why_not(cls, facts: Facts) -> str:
        if missing := why_no_labels(facts, "values"):
            return missing
        if facts.main is None:
            return "the model has no float output"
        wanted = int(np.prod(facts.labels.shape[1:])) if facts.labels is not None else 0
        if wanted != facts.answer.size:
            name = facts.names[facts.main]
            return f"a label holds {wanted:,} numbers and output {name!r} gives {facts.answer.size:,} a sample"
        return ""

    def add(self, index: int, before: Sequence[Array], after: Sequence[Array]) -> None:
        labels = self.facts.labels
        if labels is None:
            return
        truth = np.asarray(labels[index], np.float64).reshape(-1)
        self._count += truth.size
        for i, values in enumerate(self._answers(before, after)):
            if values.size != truth.size:
                self._sums[i] = np.nan
                continue
            with np.errstate(invalid="ignore", over="ignore"):
                self._sums[i] += self._loss(values.reshape(-1).astype(np.float64), truth)

    def _loss(self, values: Array, truth: Array) -> float:
        raise NotImplementedError

    def values(self) -> tuple[float, float]:
        found = [total / self._count if self._count and np.isfinite(total) else np.nan for total in self._sums]
        return found[0], found[1]


class SquaredError(_Values):
    """MSE."""

    name, words = "mse", "mean squared error"
    what = "The mean of the squared differences between outputs and labels; large misses count most."

    def _loss(self, values: Array, truth: Array) -> float:
        return float(np.square(values - truth).sum())


class AbsoluteError(_Values):
    """MAE."""

    name, words = "mae", "mean absolute error"
    what = "The mean distance of outputs from labels, in the labels' own unit."

    def _loss(self, values: Array, truth: Array) -> float:
        return float(np.abs(values - truth).sum())


class LabelCorrelation(_Values):
    """Pearson's r with the labels."""

    name, words, unit = "label_correlation", "correlation with the labels", Unit.SHARE
    higher_is_better = True
    what = "Pearson's correlation of outputs and labels: whether they rise and fall together, whatever the scale."

    def __init__(self, facts: Facts) -> None:
        super().__init__(facts)
        self._pairs: tuple[list[Array], list[Array]] = ([], [])
        self._truth: list[Array] = []

    def add(self, index: int, before: Sequence[Array], after: Sequence[Array]) -> None:
        labels = self.facts.labels
        if labels is None:
            return
        self._truth.append(np.asarray(labels[index], np.float64).reshape(-1))
        for kept, values in zip(self._pairs, self._answers(before, after), strict=True):
            kept.append(values.reshape(-1).astype(np.float64))

    def values(self) -> tuple[float, float]:
        truth = np.concatenate(self._truth) if self._truth else np.empty(0)
        found = [pearson(np.concatenate(kept), truth) if kept else np.nan for kept in self._pairs]
        return found[0], found[1]


def pearson(x: Array, y: Array) -> float:
    """Pearson's r; nan when the lengths differ, when either is constant or when either has NaN or infinity."""
    if x.size != y.size or x.size < 2:
        return np.nan
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        x, y = x - x.mean(), y - y.mean()
        r = float((x * y).sum() / np.sqrt((x * x).sum() * (y * y).sum()))
    return r if np.isfinite(r) else np.nan
