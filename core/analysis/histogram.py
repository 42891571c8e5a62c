"""Histograms with honest edges, which before and after share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

BINS = 65
"""Bins of a layer's histogram; odd, so that a symmetric weight gets a symmetric picture around its zero bin."""

_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True, eq=False)
class Histogram:
    """Counts in equal bins over the range that most weights lie in.

    low, high      outer edges; float32 numbers
    counts         int64 (bins,); a bin holds its lower edge, the last one also `high`
    below, above   weights outside the range, folded so that one outlier does not flatten the picture
    """

    low: float
    high: float
    counts: np.ndarray[Any, np.dtype[np.int64]]
    below: int
    above: int

    @property
    def bins(self) -> int:
        return int(self.counts.size)

    @property
    def edges(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Edges of the bins, float64 (bins + 1,); exact to float32 rounding of the range."""
        return np.linspace(self.low, self.high, self.counts.size + 1)

    @property
    def total(self) -> int:
        """All finite weights, those outside included."""
        return int(self.counts.sum()) + self.below + self.above


def histogram(
    values: np.ndarray[Any, Any], low: float, high: float, bins: int = BINS, *, parallel: bool = True
) -> Histogram:
    """Histogram of any array over given outer edges (rounded to float32); NaN and Inf are left out.

    Take `low`, `high` and `bins` from another histogram to share its edges. parallel: False inside the kernels' pool.
    ValueError for low >= high or bins outside 1..253.
    """
    from core.kernels import flat_float32
    from core.kernels.histogram import count

    low, high = float(np.float32(low)), float(np.float32(high))
    counts = count(flat_float32(values), low, high, bins, parallel=parallel)
    return Histogram(low, high, counts[1:-2].copy(), int(counts[0]), int(counts[-2]))


def bin_range(low: float, high: float, bins: int) -> tuple[float, float]:
    """Outer float32 edges of `bins` equal bins that cover low..high.

    1. low < 0 < high: the edges are moved so that zero is the centre of a bin; zeros then stand in one bin with equal
       neighbours, and a symmetric weight looks symmetric.
    2. low = high: a range around the value, half of its magnitude to each side.
    3. else: low and high themselves.
    """
    if low == high:
        half = abs(low) / 2 or 0.5
        start, stop = low - half, high + half
    elif low < 0 < high and bins > 1:
        width = (high - low) / (bins - 1)
        start = -(np.ceil(-low / width - 0.5) + 0.5) * width
        stop = start + bins * width
    else:
        start, stop = low, high
    return _outward(start, low, -_LARGEST), _outward(stop, high, _LARGEST)


def _outward(edge: float, inner: float, limit: float) -> float:
    """`edge` as a float32 that does not leave `inner` outside."""
    rounded = np.float32(min(max(edge, -_LARGEST), _LARGEST))
    if (limit < 0 and rounded > inner) or (limit > 0 and rounded < inner):
        rounded = np.nextafter(rounded, np.float32(limit))
    return float(rounded)
