"""Sums of squares of a weight and of what compressing changed, in one pass."""

from __future__ import annotations

import numpy as np
from numba import njit

from core.kernels import CHUNK, Values, threads
from core.kernels.moments import FLOATS


@njit((FLOATS, FLOATS), nogil=True, cache=True, error_model="numpy", fastmath={"reassoc", "nsz", "contract"})
def _squares(original, changed):
    signal, noise = 0.0, 0.0
    for i in range(original.size):
        value = np.float64(original[i])
        difference = value - np.float64(changed[i])
        signal += value * value
        noise += difference * difference
    return signal, noise


def squares(original: Values, changed: Values) -> tuple[float, float]:
    """Sum of squares of the original and of the difference, in float64, of two flat float32 arrays of one length."""
    if original.size != changed.size:
        raise ValueError(f"{original.size} weights against {changed.size}")
    starts = range(0, original.size, CHUNK)
    if len(starts) <= 1:
        return _squares(original, changed)

    def chunk(start: int) -> tuple[float, float]:
        return _squares(original[start : start + CHUNK], changed[start : start + CHUNK])

    parts = list(threads().map(chunk, starts))
    return sum(signal for signal, _ in parts), sum(noise for _, noise in parts)
