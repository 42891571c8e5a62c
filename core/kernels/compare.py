"""Sums of squares of a weight and of what compressing changed, in one pass."""

from __future__ import annotations

import numpy as np
from numba import njit

from core.kernels import CHUNK, threads
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


def squares(original: np.ndarray, changed: np.ndarray) -> tuple[float, float]:
    """Sums of squares of the original and of the difference, in float64, of two arrays of one shape (else ValueError).

    Both are taken as float32. Not to be called in the kernels' thread pool.
    """
    if original.shape != changed.shape:
        raise ValueError(f"weights of shape {original.shape} against {changed.shape}")
    first, second = (np.ascontiguousarray(array, np.float32).reshape(-1) for array in (original, changed))
    starts = range(0, first.size, CHUNK)
    if len(starts) <= 1:
        return _squares(first, second)

    def chunk(start: int) -> tuple[float, float]:
        return _squares(first[start : start + CHUNK], second[start : start + CHUNK])

    parts = list(threads().map(chunk, starts))
    return sum(signal for signal, _ in parts), sum(noise for _, noise in parts)
