"""Metrics of class scores against class labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from core.analysis.metrics import Task, top_k
from core.analysis.task_metrics.base import Facts, Metric, why_no_labels

Array = np.ndarray[Any, np.dtype[Any]]

TOP = 5


class _Classes(Metric):
    """Base of metrics that need one vector of class scores and one class a sample."""

    needs_labels = True

    def __init__(self, facts: Facts) -> None:
        super().__init__(facts)
        self._truth: list[int] = []
        self._found: tuple[list[tuple[int, ...]], list[tuple[int, ...]]] = ([], [])

    @classmethod
    def why_not(cls, facts: Facts) -> str:
        missing = why_no_labels(facts, "classes")
        return missing or ("" if facts.task is Task.CLASSES else facts.no_accuracy)

    def add(self, index: int, before: Sequence[Array], after: Sequence[Array]) -> None:
        labels = self.facts.labels
        if labels is None:
            return
        self._truth.append(int(labels[index]))
        for found, scores in zip(self._found, self._answers(before, after), strict=True):
            whole = scores.size > 0 and scores.size == scores.shape[-1]
            found.append(self._best(scores) if whole else ())

    def _best(self, scores: Array) -> tuple[int, ...]:
        return (int(np.nan_to_num(scores.reshape(-1), nan=-np.inf).argmax()),)

    def values(self) -> tuple[float, float]:
        if not self._truth:
            return np.nan, np.nan
        return self._of(self._found[0]), self._of(self._found[1])

    def _of(self, found: list[tuple[int, ...]]) -> float:
        return float(np.mean([label in best for label, best in zip(self._truth, found, strict=True)]))


class Top1(_Classes):
    """Accuracy."""

    name, words = "accuracy", "accuracy (top-1)"
    what = "The share of samples whose highest class score is that of the right class."


class Top5(_Classes):
    """Accuracy of the best five."""

    name, words = "top5", "accuracy (top-5)"
    what = "The share of samples whose right class is among the five highest scores."

    @classmethod
    def why_not(cls, facts: Facts) -> str:
        if missing := super().why_not(facts):
            return missing
        return "" if facts.classes > TOP else f"the model tells {facts.classes} classes apart, so five are no choice"

    def _best(self, scores: Array) -> tuple[int, ...]:
        return top_k(scores, TOP)[0]


class F1(_Classes):
    """Macro-averaged F1: van Rijsbergen, Information Retrieval, 1979; every class counts alike."""

    name, words = "f1", "F1 (mean over the classes)"
    what = "The harmonic mean of precision and recall, averaged over the classes, so that rare ones count as much."

    def _of(self, found: list[tuple[int, ...]]) -> float:
        truth = np.array(self._truth)
        guess = np.array([best[0] if best else -1 for best in found])
        scores = []
        for label in np.union1d(truth, guess[guess >= 0]):
            hits = np.count_nonzero((truth == label) & (guess == label))
            all_of = np.count_nonzero(truth == label) + np.count_nonzero(guess == label)
            scores.append(2.0 * hits / all_of)
        return float(np.mean(scores))
