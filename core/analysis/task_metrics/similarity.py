"""Whether samples stay as alike to each other as the original finds them: what embeddings are used for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from core.analysis.metrics import holds_scores
from core.analysis.task_metrics.base import Facts, Metric
from core.analysis.task_metrics.regression import pearson
from core.blas import one_thread
from core.errors import DataError

Array = np.ndarray[Any, np.dtype[Any]]

FEWEST = 8
"""Samples, of which there are 28 pairs; an order of fewer says little."""
MOST = 1000
"""Samples whose vectors are kept, of which there are 499,500 pairs."""
MOST_VALUES = 2**24
"""Numbers that are kept of each model: 64 MiB."""
DECIMALS = 10
"""Of cosines: what float32 cannot tell apart is a tie, not an order."""


class Similarity(Metric):
    """Spearman's rank correlation of all pairwise cosine similarities with the original's.

    Of more than MOST samples a fixed random part is compared. Spearman, The proof and measurement of association
    between two things, 1904; for representations: Kriegeskorte, Mur, Bandettini, Representational similarity analysis,
    2008.
    """

    name, words = "similarity", "order of similarities"
    what = ("Whether the same samples stay alike: Spearman's rank correlation, with the original's, of the cosine "
            "similarities of all pairs of samples.")  # fmt: skip

    def __init__(self, facts: Facts) -> None:
        super().__init__(facts)
        self._limit = max(FEWEST, min(MOST, MOST_VALUES // max(facts.answer.size, 1)))
        self._drawn: frozenset[int] | None = None
        if facts.count is not None and facts.count > self._limit:
            self._drawn = frozenset(np.random.default_rng(0).choice(facts.count, self._limit, replace=False).tolist())
        self._kept: tuple[list[Array], list[Array]] = ([], [])
        self._uneven = self._broken = False
        self._orders: tuple[Array, Array] | None = None

    @classmethod
    def why_not(cls, facts: Facts) -> str:
        if facts.main is None:
            return "the model has no float output"
        answer, name = facts.answer, facts.names[facts.main]
        if facts.classes < 2 or answer.size != answer.shape[-1]:
            return f"output {name!r} is no vector of several numbers for each sample"
        if holds_scores(answer, name):
            return f"output {name!r} holds class scores"
        if facts.count is not None and facts.count < FEWEST:
            return f"there are fewer than {FEWEST} samples to be alike"
        return ""

    def add(self, index: int, before: Sequence[Array], after: Sequence[Array]) -> None:
        first, second = self._answers(before, after)
        self._uneven |= first.shape != self.facts.answer.shape
        self._broken |= first.shape != second.shape
        wanted = len(self._kept[0]) < self._limit if self._drawn is None else index in self._drawn
        if self._uneven or not wanted:
            return
        self._orders = None
        for kept, values in zip(self._kept, (first, first if self._broken else second), strict=True):
            kept.append(np.array(values, np.float32).reshape(-1))

    def why_undefined(self) -> str:
        """Why the original's outputs have no order, a clause; "" when they have, or when too few were added to tell."""
        if self._uneven:
            return "the original's vectors are not equally long for all samples"
        if len(self._kept[0]) < 3:
            return ""
        order = self._ordered()[0]
        if np.isnan(order).any():
            return "the original gives NaN or infinity"
        return "" if order.min() < order.max() else "the original finds all samples equally alike"

    def values(self) -> tuple[float, float]:
        """1 and the correlation, at least 0; raises DataError when the original's outputs have no order."""
        if reason := self.why_undefined():
            where = "" if self.facts.samples is None else self.facts.samples.source
            raise DataError(f"the metric {self.name!r} cannot be measured: {reason}", where=where, do="choose auto")
        if len(self._kept[0]) < 3:
            return 1.0, np.nan
        if self._broken:
            return 1.0, 0.0
        before, after = self._ordered()
        r = 1.0 if np.array_equal(before, after) else pearson(before, after)
        return 1.0, min(1.0, max(0.0, r)) if np.isfinite(r) else 0.0

    @property
    def assumed(self) -> str:
        return f"Compared are the pairs of {self._limit:,} samples, drawn at random." if self._drawn is not None else ""

    def _ordered(self) -> tuple[Array, Array]:
        """Ranks of all pairs by both models."""
        if self._orders is None:
            before, after = (ranks(similarities(np.stack(kept))) for kept in self._kept)
            self._orders = before, after
        return self._orders


def similarities(vectors: Array) -> Array:
    """Cosines of all pairs of rows i < j in row order, (n (n - 1) / 2,) float64; 0 with a row of zeros, nan with NaN.

    vectors  (n, d)
    """
    rows = vectors.astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        length = np.sqrt(np.einsum("ij,ij->i", rows, rows))[:, None]
        rows = np.divide(rows, length, out=rows, where=length != 0.0)
        with one_thread():
            table = rows @ rows.T
    return np.round(table[np.triu_indices(len(rows), 1)], DECIMALS)


def ranks(values: Array) -> Array:
    """Ranks from 0, equal values sharing the mean of theirs, (n,) float64; all nan when a value is NaN."""
    if not np.isfinite(values).all():
        return np.full(values.size, np.nan)
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    sizes = np.diff(np.append(starts, values.size))
    found = np.empty(values.size)
    found[order] = np.repeat(starts + (sizes - 1) / 2.0, sizes)
    return found
