"""Sum, sum of squares, extremes, zeros and non-finite values of float32 weights in one pass over memory.

The loops work on blocks that stay in the first-level cache, so that two simple loops, each of which LLVM turns into
vector code, cost one trip to memory. Sums are kept in float64: squares of any float32 fit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit, types

from core.kernels import Values, map_chunks

FLOATS = types.Array(types.float32, 1, "C", readonly=True, aligned=False)
_BITS = types.Array(types.int32, 1, "C", readonly=True, aligned=False)
_BLOCK = 8192
_ONE, _ZERO = np.int32(1), np.int32(0)
_SIGN_SHIFT = np.int32(31)
_MAGNITUDE = np.int32(0x7FFFFFFF)
_INFINITY_KEY = np.int32(0x7F800000)
_MINUS_INFINITY_KEY = np.int32(-0x7F800001)
_GOLDEN = 0.6180339887498949


@njit(inline="always")
def _key(bits):
    """The float's bits as an int32 that sorts as the float does; min and max of integers vectorise."""
    return np.int32(bits ^ np.int32(np.int32(bits >> _SIGN_SHIFT) & _MAGNITUDE))


@njit((_BITS,), nogil=True, cache=True, error_model="numpy")
def _extremes(bits):
    lowest, highest, zeros = _MAGNITUDE, np.int32(-0x80000000), _ZERO
    for i in range(bits.size):
        key = _key(bits[i])
        lowest, highest = min(lowest, key), max(highest, key)
        zeros += np.int32(np.int32(bits[i] & _MAGNITUDE) == _ZERO)
    return lowest, highest, zeros


@njit((FLOATS, types.float64), nogil=True, cache=True, error_model="numpy", fastmath={"reassoc", "nsz", "contract"})
def _sums(values, shift):
    total, squares = 0.0, 0.0
    for i in range(values.size):
        distance = np.float64(values[i]) - shift
        total += distance
        squares += distance * distance
    return total, squares


@njit((FLOATS, _BITS, types.float64), nogil=True, cache=True, error_model="numpy")
def _careful(values, bits, shift):
    """A block that holds NaN or Inf, one value at a time."""
    lowest, highest, zeros, nonfinite = _MAGNITUDE, np.int32(-0x80000000), 0, 0
    total, squares = 0.0, 0.0
    for i in range(values.size):
        if np.int32(bits[i] & _MAGNITUDE) >= _INFINITY_KEY:
            nonfinite += 1
            continue
        key = _key(bits[i])
        lowest, highest = min(lowest, key), max(highest, key)
        if values[i] == 0:
            zeros += 1
        distance = np.float64(values[i]) - shift
        total += distance
        squares += distance * distance
    return lowest, highest, zeros, nonfinite, total, squares


@njit((FLOATS, _BITS, types.float64), nogil=True, cache=True, error_model="numpy")
def _moments(values, bits, shift):
    lowest, highest, zeros, nonfinite = _MAGNITUDE, np.int32(-0x80000000), 0, 0
    total, squares = 0.0, 0.0
    for start in range(0, values.size, _BLOCK):
        floats, ints = values[start : start + _BLOCK], bits[start : start + _BLOCK]
        low, high, zero = _extremes(ints)
        if high >= _INFINITY_KEY or low <= _MINUS_INFINITY_KEY:
            low, high, zero, bad, part, square = _careful(floats, ints, shift)
            nonfinite += bad
        else:
            part, square = _sums(floats, shift)
        lowest, highest = min(lowest, low), max(highest, high)
        zeros += zero
        total += part
        squares += square
    return lowest, highest, zeros, nonfinite, total, squares


@njit((FLOATS, types.int64), nogil=True, cache=True, error_model="numpy")
def sample(values, count):
    """`count` weights spread evenly by the golden ratio, in step with no row length; all if there are fewer."""
    out = np.empty(min(count, values.size), np.float32)
    for i in range(out.size):
        position = i * _GOLDEN
        index = np.int64((position - np.floor(position)) * values.size)
        out[i] = values[index if values.size > count else i]
    return out


@dataclass(frozen=True)
class Moments:
    """Of n values, `nonfinite` are NaN or Inf and left out of the rest; the figures are NaN when none is left.

    std is that of the population (divided by the number of finite values).
    """

    n: int
    minimum: float
    maximum: float
    mean: float
    std: float
    zeros: int
    nonfinite: int


def moments(values: Values, *, shift: float = 0.0, parallel: bool = True) -> Moments:
    """Moments of flat float32 values.

    shift     a finite value near the mean, which std is computed around so that a large mean costs no digits
    parallel  False inside the kernels' thread pool
    """

    def chunk(part: Values) -> tuple[int, int, int, int, float, float]:
        return _moments(part, part.view(np.int32), shift)

    parts = map_chunks(chunk, values) if parallel else [chunk(values)]
    lows, highs, zeros, bad, totals, squares = zip(*parts, strict=True)
    finite = values.size - sum(bad)
    if not finite:
        return Moments(values.size, np.nan, np.nan, np.nan, np.nan, 0, sum(bad))
    offset = sum(totals) / finite
    variance = max(sum(squares) / finite - offset * offset, 0.0)
    return Moments(
        values.size, _value(min(lows)), _value(max(highs)), shift + offset, variance**0.5, sum(zeros), sum(bad)
    )


def _value(key: int) -> float:
    """The float of a sorting key (0.0 for minus zero)."""
    bits = np.int32(key if key >= 0 else key ^ 0x7FFFFFFF)
    return float(bits.view(np.float32)) + 0.0
