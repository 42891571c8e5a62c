"""Figures of how far two results lie apart, and how often an answer is right. Plain numpy, no state.

All sums run in float64 over chunks, so that no full-size float64 copy of a weight or an output is ever made.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.errors import InternalError

Array = np.ndarray[Any, np.dtype[Any]]

CHUNK = 1 << 16
"""Elements that are widened to float64 at a time; fits a second-level cache."""


@dataclass
class SqnrSum:
    """Running sums of the signal-to-quantization-noise ratio over many arrays.

    signal  sum of squares of the original
    noise   sum of squares of (changed - original)
    """

    signal: float = 0.0
    noise: float = 0.0

    def add(self, original: Array, changed: Array) -> None:
        """Add two arrays of equal shape; raises InternalError when the shapes differ."""
        for first, second in _chunk_pairs(original, changed):
            wide = first.astype(np.float64)
            self.signal += float(np.dot(wide, wide))
            wide -= second
            self.noise += float(np.dot(wide, wide))

    @property
    def db(self) -> float:
        """10 log10(signal / noise).

        inf when nothing changed; -inf when the original is all zero and the other is not, or when the change brought
        NaN or infinity; nan when the original has NaN or infinity itself.
        """
        if not math.isfinite(self.signal):
            return math.nan
        if self.noise == 0.0:
            return math.inf
        if self.signal == 0.0 or not math.isfinite(self.noise):
            return -math.inf
        return 10.0 * (math.log10(self.signal) - math.log10(self.noise))


def sqnr_db(original: Array | Sequence[Array], changed: Array | Sequence[Array]) -> float:
    """SQNR in dB = 10 log10(sum of squares of the original / sum of squares of the difference).

    original, changed  one array each, or equally long sequences of arrays (the sums run over all of them)

    See `SqnrSum.db` for equal and non-finite values; raises InternalError when shapes or lengths differ.
    """
    total = SqnrSum()
    if isinstance(original, np.ndarray) and isinstance(changed, np.ndarray):
        total.add(original, changed)
        return total.db
    if len(original) != len(changed):
        raise InternalError(f"SQNR of {len(original)} and {len(changed)} arrays")
    for first, second in zip(original, changed, strict=True):
        total.add(np.asarray(first), np.asarray(second))
    return total.db


def _chunk_pairs(first: Array, second: Array) -> Iterator[tuple[Array, Array]]:
    """Both arrays in equal flat pieces of about CHUNK elements, without copying contiguous ones."""
    if first.shape != second.shape:
        raise InternalError(f"SQNR of arrays of shape {first.shape} and {second.shape}")
    if first.flags.c_contiguous and second.flags.c_contiguous:
        flat_first, flat_second = first.reshape(-1), second.reshape(-1)
        for start in range(0, first.size, CHUNK):
            yield flat_first[start : start + CHUNK], flat_second[start : start + CHUNK]
        return
    rows = max(1, CHUNK * first.shape[0] // max(first.size, 1))
    for start in range(0, first.shape[0], rows):
        yield first[start : start + rows].reshape(-1), second[start : start + rows].reshape(-1)
