"""Metrics without labels: how far the changed model answers as the original does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from core.analysis.metrics import SqnrSum, kl_divergence
from core.analysis.task_metrics.base import Facts, Metric, Score, Unit
from core.analysis.task_metrics.similarity import Similarity

Array = np.ndarray[Any, np.dtype[Any]]

EMBEDDING = 16
"""Numbers from which a vector is taken for an embedding, whose direction tells; fewer are rather quantities, such as
the corners of a box, whose size counts as well."""


class _Rows(Metric):
    """Base of metrics that read the last axis of the main output as the scores of classes."""

    def __init__(self, facts: Facts) -> None:
        super().__init__(facts)
        self._found: list[float] = []

    @classmethod
    def why_not(cls, facts: Facts) -> str:
        if facts.main is None:
            return "the model has no float output"
        return "" if facts.classes >= 2 else "the output holds no scores of several classes"

    def add(self, index: int, before: Sequence[Array], after: Sequence[Array]) -> None:
        self._found.append(self._of(*self._answers(before, after)))

    def _of(self, before: Array, after: Array) -> float:
        raise NotImplementedError


class Agreement(_Rows):
    """Top-1 agreement."""

    name, words = "agreement", "same answer as the original"
    what = "The share of answers in which both models give the highest score to the same class."

    def _of(self, before: Array, after: Array) -> float:
        alike = before.shape == after.shape and before.size > 0
        return float(np.mean(before.argmax(-1) == after.argmax(-1))) if alike else 0.0

    def values(self) -> tuple[float, float]:
        return 1.0, float(np.mean(self._found)) if self._found else np.nan


class Divergence(_Rows):
    """Kullback-Leibler divergence: On information and sufficiency, 1951."""

    name, words, unit = "kl", "KL divergence from the original", Unit.NATS
    higher_is_better = False
    what = "How far the changed model's class probabilities lie from the original's, in nats; 0 is no difference."

    def _of(self, before: Array, after: Array) -> float:
        fine = before.shape == after.shape and np.isfinite(before).all() and np.isfinite(after).all()
        return kl_divergence(before, after) if fine else np.nan

    def values(self) -> tuple[float, float]:
        return 0.0, float(np.mean(self._found)) if self._found else np.nan


class OutputSqnr(Metric):
    """Signal to quantization noise."""

    name, words, unit = "sqnr", "output SQNR (worst output)", Unit.DECIBEL
    what = "The power of each output over the power of its error, in dB; of several outputs the worst counts."

    def __init__(self, facts: Facts) -> None:
        super().__init__(facts)
        self._sums = {i: SqnrSum() for i, value in enumerate(facts.first) if value.dtype.kind == "f"}
        self._broken = False

    @classmethod
    def why_not(cls, facts: Facts) -> str:
        return "" if facts.main is not None else "the model has no float output"

    def add(self, index: int, before: Sequence[Array], after: Sequence[Array]) -> None:
        for i, sums in self._sums.items():
            if before[i].shape == after[i].shape:
                sums.add(before[i], after[i])
            else:
                self._broken = True

    def values(self) -> tuple[float, float]:
        return np.inf, -np.inf if self._broken else min((sums.db for sums in self._sums.values()), default=np.nan)


class _Sums(Metric):
    """Base of metrics that count over all values of the main output; what another shape holds is not counted."""

    def __init__(self, facts: Facts) -> None:
        super().__init__(facts)
        self._within_one = True
        self._same = self._both = self._either = self._count = self._samples = 0
        self._sums = np.zeros(5)

    @classmethod
    def why_not(cls, facts: Facts) -> str:
        return "" if facts.main is not None else "the model has no float output"

    def add(self, index: int, before: Sequence[Array], after: Sequence[Array]) -> None:
        first, second = self._answers(before, after)
        if first.shape != second.shape:
            return
        x, y = (values.reshape(-1).astype(np.float64) for values in (first, second))
        self._within_one &= bool(x.size) and bool(x.min() >= 0.0 and x.max() <= 1.0)
        above, also = x > 0.5, y > 0.5
        self._same += int(np.count_nonzero(above == also))
        self._both += int(np.count_nonzero(above & also))
        self._either += int(np.count_nonzero(above | also))
        self._count += x.size
        self._samples += 1
        with np.errstate(invalid="ignore", over="ignore"):
            self._sums += (x.sum(), y.sum(), (x * x).sum(), (y * y).sum(), (x * y).sum())

    def values(self) -> tuple[float, float]:
        return 1.0, self._from(self)

    @staticmethod
    def _from(sums: _Sums) -> float:
        raise NotImplementedError


class Decisions(_Sums):
    """Yes or no, told at one half."""

    name, words = "decisions", "same decisions as the original"
    what = "The share of values that lie on the same side of 0.5 in both models."

    @classmethod
    def why_not(cls, facts: Facts) -> str:
        return super().why_not(facts) or _why_not_within_one(facts)

    @staticmethod
    def _from(sums: _Sums) -> float:
        return sums._same / sums._count if sums._count else np.nan


class Overlap(_Sums):
    """Intersection over union: Jaccard, 1901."""

    name, words = "overlap", "overlap with what the original marks"
    what = "What lies above 0.5 in both models over what lies above it in either (intersection over union)."

    @classmethod
    def why_not(cls, facts: Facts) -> str:
        return super().why_not(facts) or _why_not_within_one(facts)

    @staticmethod
    def _from(sums: _Sums) -> float:
        return sums._both / sums._either if sums._either else 1.0 if sums._count else np.nan


class Correlation(_Sums):
    """Pearson's r with the original."""

    name, words = "correlation", "correlation with the original's outputs"
    what = "Pearson's correlation of both models' outputs, over all values of all samples."

    @staticmethod
    def _from(sums: _Sums) -> float:
        if not sums._count:
            return 0.0
        x, y, xx, yy, xy = sums._sums / sums._count
        with np.errstate(invalid="ignore", divide="ignore"):
            r = (xy - x * y) / np.sqrt((xx - x * x) * (yy - y * y))
        return max(0.0, float(r)) if np.isfinite(r) else 0.0


class Alike(_Sums):
    """What outputs that are no class scores have in common; its kind is chosen from the values themselves.

    Only the original's values decide, so that all plans of one model are judged by the same kind.
    """

    name, words = "alike", "likeness to the original"
    what = "Decisions, overlap, order of similarities or correlation, whichever fits the outputs."

    def __init__(self, facts: Facts) -> None:
        super().__init__(facts)
        embeds = facts.classes >= EMBEDDING and not Similarity.why_not(facts)
        self._similarity = Similarity(facts) if embeds else None

    def add(self, index: int, before: Sequence[Array], after: Sequence[Array]) -> None:
        super().add(index, before, after)
        if self._similarity is not None:
            self._similarity.add(index, before, after)

    def values(self) -> tuple[float, float]:
        score = self.score()
        return score.reference, score.value

    def score(self) -> Score:
        kind = self._kind()
        if kind is Correlation and self._similarity is not None and not self._similarity.why_undefined():
            return self._similarity.score()
        return Score(kind.name, kind.words, kind.unit, 1.0, kind._from(self))

    def _kind(self) -> type[_Sums]:
        if self._count and self._within_one and self._count == self._samples:
            return Decisions
        return Overlap if self._within_one and self._either else Correlation


def _why_not_within_one(facts: Facts) -> str:
    values = facts.answer
    fine = values.size > 0 and float(values.min()) >= 0.0 and float(values.max()) <= 1.0
    return "" if fine else "the output's values do not lie between 0 and 1"
