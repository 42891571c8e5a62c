"""Which samples are trained on and which are only looked at; one sample is never both."""

from __future__ import annotations

import hashlib
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from core.data.samples import Samples
from core.errors import DataError

Array = np.ndarray[Any, np.dtype[Any]]

FEWEST = 8
"""Samples below which nothing is trained: one held out of fewer says next to nothing."""


def hold_out(samples: Samples, share: float, seed: int = 0) -> tuple[Samples, Samples]:
    """Samples to train on, and the share that is held out; the same seed gives the same split.

    Classes keep their shares where the samples have class labels (a class of one sample stays in training).
    Raises DataError when there are too few.
    """
    check_enough(samples)
    rng = np.random.default_rng([seed, 0x5B117])
    held = np.zeros(samples.n, bool)
    labels = samples.class_labels
    groups = [np.arange(samples.n)] if labels is None else [np.flatnonzero(labels == c) for c in np.unique(labels)]
    for group, count in zip(groups, _counts([len(group) for group in groups], share), strict=True):
        held[rng.permutation(group)[:count]] = True
    if not held.any():
        held[int(rng.integers(samples.n))] = True
    return samples.picked(np.flatnonzero(~held).tolist()), samples.picked(np.flatnonzero(held).tolist())


def _counts(sizes: list[int], share: float) -> list[int]:
    """How many of each group are held out: the largest remainders get the samples that rounding down leaves over."""
    exact = np.array(sizes, np.float64) * share
    counts = np.floor(exact).astype(int)
    for place in np.argsort(counts - exact, kind="stable")[: max(0, round(float(exact.sum())) - int(counts.sum()))]:
        counts[place] += 1
    return [min(int(count), size - 1) for count, size in zip(counts, sizes, strict=True)]


def check_enough(samples: Samples) -> None:
    """Raise DataError when there are too few samples to train on."""
    if samples.n < FEWEST:
        raise DataError(
            f"there {'is 1 sample' if samples.n == 1 else f'are {samples.n} samples'}, and training needs at least "
            f"{FEWEST}",
            where=samples.source, do="give more samples",
        )  # fmt: skip


def overlap(samples: Samples, others: Samples) -> int:
    """How many of the others have exactly the inputs of one of the samples."""
    known = {_digest(feed) for feed in samples.feeds()}
    return sum(_digest(feed) in known for feed in others.feeds())


def _digest(feed: dict[str, Array]) -> bytes:
    found = hashlib.blake2b(digest_size=16)
    for name in sorted(feed):
        found.update(np.ascontiguousarray(feed[name]).tobytes())
    return found.digest()


def check_apart(data: str | None, valid: str | None, test: str | None) -> None:
    """Raise DataError where one file would be used for two things."""
    named = {"trained on": data, "validated on": valid, "tested on": test}
    there = [(what, Path(path)) for what, path in named.items() if path is not None and Path(path).exists()]
    for (first, one), (second, other) in combinations(there, 2):
        if one.samefile(other):
            raise DataError(
                f"the same samples would be {first} and {second}", where=str(one),
                do="give other samples, or leave one out: some are held out then",
            )  # fmt: skip
