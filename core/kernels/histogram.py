"""Counts of float32 weights in equal bins, as fast as memory allows.

A histogram is slow because each count waits for the one before it when both go to the same bin. Here two weights are
counted with one increment, in a table of pairs of bins, and the tables are folded at the end: half the increments, and
a pair of bins is seldom the same twice running. The bins are computed by a loop that LLVM turns into vector code.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit, types

from core.kernels import Values, map_chunks
from core.kernels.moments import FLOATS

MAX_BINS = 253
"""With the slots for below, above and not finite, a pair of slots must fit 16 bits."""

_BLOCK = 4096
_HALF = _BLOCK // 2
_F0, _INF = np.float32(0), np.float32(np.inf)
_I0, _I1, _I2 = np.int32(0), np.int32(1), np.int32(2)


@njit(inline="always")
def _slot(value, low, high, unit, origin, scale, bins):
    """0 below, 1..bins inside, bins + 1 above, bins + 2 NaN or Inf. Selections only, no branch."""
    place = (value * unit - origin) * scale
    place = place if place > _F0 else _F0  # NaN becomes 0, too
    last = np.float32(bins - _I1)
    place = place if place < last else last
    slot = np.int32(place) + _I1
    slot = _I0 if value < low else slot
    slot = bins + _I1 if value > high else slot
    return slot if abs(value) < _INF else bins + _I2


@njit(
    (FLOATS, types.float32, types.float32, types.float32, types.float32, types.float32, types.int32),
    nogil=True, cache=True, error_model="numpy",
)  # fmt: skip
def _count(values, low, high, unit, origin, scale, bins):
    width = np.int64(bins) + 3
    narrow = np.uint16(width)
    first = np.zeros(width * width, np.int32)
    second = np.zeros(width * width, np.int32)
    slots = np.empty(_BLOCK, np.uint16)
    pairs = np.empty(_HALF, np.uint16)
    counts = np.zeros(width, np.int64)
    whole = values.size - values.size % _BLOCK
    for start in range(0, whole, _BLOCK):
        block = values[start : start + _BLOCK]
        for i in range(_BLOCK):
            slots[i] = np.uint16(_slot(block[i], low, high, unit, origin, scale, bins))
        for i in range(_HALF):
            pairs[i] = np.uint16(np.uint16(slots[i] * narrow) + slots[_HALF + i])
        for i in range(0, _HALF, 4):
            first[pairs[i]] += _I1
            second[pairs[i + 1]] += _I1
            first[pairs[i + 2]] += _I1
            second[pairs[i + 3]] += _I1
    for value in values[whole:]:
        counts[_slot(value, low, high, unit, origin, scale, bins)] += 1
    for i in range(width):
        for j in range(width):
            both = np.int64(first[i * width + j]) + np.int64(second[i * width + j])
            counts[i] += both
            counts[j] += both
    return counts


def count(values: Values, low: float, high: float, bins: int, *, parallel: bool = True) -> np.ndarray:
    """Counts of flat float32 values in `bins` equal bins from `low` to `high` (both float32 numbers, low < high).

    Returns int64 (bins + 3,): below low, the bins, above high, NaN or Inf. A bin holds its lower edge, the last one
    also `high`. Below and above are exact; an edge between two bins is exact to float32 rounding of the range.
    parallel: False inside the kernels' thread pool. ValueError for an empty range or a number of bins out of 1..253.
    """
    if not 1 <= bins <= MAX_BINS:
        raise ValueError(f"bins is {bins}; give 1 to {MAX_BINS}")
    if not low < high:
        raise ValueError(f"the range {low} to {high} is empty")
    # A power of two brings the range near 1 without rounding: neither 1e38 nor a denormal range overflows the scale.
    exponent = min(max(-math.frexp(max(abs(low), abs(high)))[1], -126), 126)
    unit = 2.0**exponent
    scale = bins / ((high - low) * unit)
    numbers = tuple(np.float32(x) for x in (low, high, unit, low * unit, scale))

    def chunk(part: Values) -> np.ndarray:
        return _count(part, *numbers, np.int32(bins))

    parts = map_chunks(chunk, values) if parallel else [chunk(values)]
    return np.asarray(np.sum(parts, axis=0, dtype=np.int64))
