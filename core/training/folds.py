"""Folds of samples for cross-validation: every sample is in the test part of exactly one of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.data.samples import Samples
from core.errors import DataError, ParameterError
from core.training.splits import FEWEST

Array = np.ndarray[Any, np.dtype[Any]]

MOST_FOLDS = 50
NAMED = 5
"""Rare classes that a sentence names; the others are counted."""


@dataclass(frozen=True)
class Fold:
    """Places of one fold's samples, each in ascending order.

    learn  those that its training sees, to learn from and to choose the best state by
    test   those that it never sees
    """

    learn: Array
    test: Array


def make_folds(samples: Samples, count: int, seed: int = 0) -> tuple[Fold, ...]:
    """`count` folds of nearly equal size; the same seed gives the same folds.

    Samples of each class are dealt out evenly where there are class labels (stratified; Kohavi, 1995), others at
    random.
    Raises ParameterError for a count that makes no sense, DataError for samples that cannot be divided so: fewer than
    folds, too few to train on, one class only.
    """
    if not 2 <= count <= MOST_FOLDS:
        raise ParameterError(f"folds is {count}", do=f"give a whole number from 2 to {MOST_FOLDS}")
    words = f"{samples.n} sample{'' if samples.n == 1 else 's'}"
    if samples.n < count:
        raise DataError(
            f"there {'is' if samples.n == 1 else 'are'} {words} for {count} folds, and each needs at least one",
            where=samples.source, do=f"give more samples, or at most {samples.n} folds" if samples.n > 1 else
            "give more samples",
        )  # fmt: skip
    largest = -(-samples.n // count)
    if samples.n - largest < FEWEST:
        raise DataError(
            f"{words} in {count} folds leave {samples.n - largest} to train on, and training needs at least {FEWEST}",
            where=samples.source, do="give more samples",
        )  # fmt: skip
    labels = samples.class_labels
    if labels is not None and len(np.unique(labels)) == 1:
        raise DataError(
            f"all samples are of class {int(labels[0])}: with one class only nothing can be told apart",
            where=samples.source, do="give samples of at least two classes",
        )  # fmt: skip
    dealt = _deal(samples.n, labels, count, np.random.default_rng([seed, 0xF01D]))
    return tuple(Fold(np.flatnonzero(dealt != fold), np.flatnonzero(dealt == fold)) for fold in range(count))


def _deal(n: int, labels: Array | None, count: int, rng: np.random.Generator) -> Array:
    """The fold of each sample, (n,) int64: shuffled within its class, then one class after the other dealt around."""
    order = rng.permutation(n)
    if labels is not None:
        order = order[np.argsort(labels[order], kind="stable")]
    dealt = np.empty(n, np.int64)
    dealt[order] = np.arange(n) % count
    return dealt


def rare_classes(labels: Array | None, count: int) -> str:
    """A sentence about classes with fewer samples than folds, or ""."""
    if labels is None:
        return ""
    classes, sizes = np.unique(labels, return_counts=True)
    rare = [(int(c), int(size)) for c, size in zip(classes, sizes, strict=True) if size < count]
    if not rare:
        return ""
    named = ", ".join(f"{c} ({size})" for c, size in rare[:NAMED])
    more = f" and {len(rare) - NAMED} more" if len(rare) > NAMED else ""
    which, them = (f"Class {named} has", "it") if len(rare) == 1 else (f"Classes {named}{more} have", "them")
    return f"{which} fewer samples than there are folds: some folds are tested without {them}."


def sizes_text(folds: Sequence[Fold]) -> str:
    """How many samples are learned from and tested on in each fold: "400 to learn from, 100 to test on"."""
    learn, test = _span([len(fold.learn) for fold in folds]), _span([len(fold.test) for fold in folds])
    return f"{learn} to learn from, {test} to test on"


def _span(counts: Sequence[int]) -> str:
    low, high = min(counts), max(counts)
    return f"{low:,}" if low == high else f"{low:,} or {high:,}"
