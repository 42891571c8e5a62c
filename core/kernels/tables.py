"""Loops of quantization to a table of levels that groups of weights share up to a scale.

`rows` is float32 (n_rows, row_length): a row is a group of weights with one scale. A weight's level is
scale * levels[k], of the k that lies nearest to weight / scale. `levels` rise; `bounds` are the midpoints between
neighbours and a final +inf, float32, of as many elements. `first` (n_bins + 1,) uint8 gives, for a place among equal
bins of x / (|x| + spread), the first level that is possible there (`first_levels`), so that one or two comparisons
find it.
"""

from __future__ import annotations

import numba
import numpy as np

from core.kernels._types import F1, F2, OUT_U8, OUT_U8_1, OUT_W1, OUT_W2, U1, f4, i8, void

BINS = 4096


@numba.njit(void(F1, f4, OUT_U8_1), nogil=True, cache=True, error_model="numpy")
def first_levels(bounds, spread, first):
    """Fill `first` (n_bins + 1,): see the module's text."""
    half = np.float32(0.5 * (first.size - 1))
    level = 0
    for index in range(first.size):
        while level < bounds.size - 1:
            edge = bounds[level]
            place = np.int64((edge / (abs(edge) + spread) + np.float32(1.0)) * half)
            if place >= index - 1:  # one bin of slack: rounding may put a value beside its bin
                break
            level += 1
        first[index] = level


@numba.njit(i8(f4, F1, f4, U1), nogil=True, cache=True, error_model="numpy", inline="always")
def _nearest(x, bounds, spread, first):
    half = np.float32(0.5 * (first.size - 1))
    code = np.int64(first[np.int64((x / (abs(x) + spread) + np.float32(1.0)) * half)])
    while x > bounds[code]:
        code += 1
    return code


@numba.njit(void(F2, F2, F2, F1, F1, f4, U1, OUT_W2), nogil=True, cache=True, error_model="numpy")
def table_errors(rows, importance, scales, levels, bounds, spread, first, out):
    """Squared error of each row under each candidate scale: scales and out are (n_rows, n_candidates).

    importance  of the shape of rows, or of no elements: all weights count alike
    """
    weighted = importance.size > 0
    for r in range(rows.shape[0]):
        for k in range(scales.shape[1]):
            scale = scales[r, k]
            inverse = np.float32(1.0) / scale
            total = 0.0
            for i in range(rows.shape[1]):
                x = rows[r, i]
                miss = x - scale * levels[_nearest(x * inverse, bounds, spread, first)]
                total += miss * miss * importance[r, i] if weighted else miss * miss
            out[r, k] = total


@numba.njit(void(F2, F2, F1, F1, F1, f4, U1, OUT_W1, OUT_W1), nogil=True, cache=True, error_model="numpy")
def table_sums(rows, importance, scales, levels, bounds, spread, first, cross, square):
    """Sums of weight * level and of level^2 for each row: their quotient is the least-squares scale for these codes."""
    weighted = importance.size > 0
    for r in range(rows.shape[0]):
        inverse = np.float32(1.0) / scales[r]
        xq = 0.0
        qq = 0.0
        for i in range(rows.shape[1]):
            x = rows[r, i]
            level = levels[_nearest(x * inverse, bounds, spread, first)]
            count = importance[r, i] if weighted else np.float32(1.0)
            xq += count * x * level
            qq += count * level * level
        cross[r] = xq
        square[r] = qq


@numba.njit(void(F2, F1, F1, f4, U1, OUT_U8), nogil=True, cache=True, error_model="numpy")
def table_codes(rows, scales, bounds, spread, first, out):
    """Index of every weight's nearest level."""
    for r in range(rows.shape[0]):
        inverse = np.float32(1.0) / scales[r]
        for i in range(rows.shape[1]):
            out[r, i] = _nearest(rows[r, i] * inverse, bounds, spread, first)


@numba.njit(void(F2, F2, F1, F1, F1, f4, U1, OUT_U8), nogil=True, cache=True, error_model="numpy")
def table_dithered(rows, noise, scales, levels, bounds, spread, first, out):
    """One of the two levels around every weight, by chance, the nearer the likelier, so that the mean is the weight.

    noise  uniform in 0..1, of the shape of rows
    """
    last = levels.size - 1
    for r in range(rows.shape[0]):
        inverse = np.float32(1.0) / scales[r]
        for i in range(rows.shape[1]):
            x = rows[r, i] * inverse
            below = _nearest(x, bounds, spread, first)
            if levels[below] > x:
                below -= 1
            if below < 0:
                below = 0
            elif below < last:
                share = (x - levels[below]) / (levels[below + 1] - levels[below])
                below += np.int64(noise[r, i] < share)
            out[r, i] = below


@numba.njit(void(F2, OUT_W1), nogil=True, cache=True)
def ternary_fit(magnitudes, scale):
    """The levels -s, 0, s of least squared error for each row, by trying every threshold.

    magnitudes  (n_rows, n), each row falling. With the k largest at s, the mean of them is best and the error is
                sum x^2 - (sum of the k largest)^2 / k, so the k that makes the last term largest is taken
    scale       (n_rows,): s
    """
    for r in range(magnitudes.shape[0]):
        total = 0.0
        best = -1.0
        scale[r] = 0.0
        for k in range(magnitudes.shape[1]):
            total += magnitudes[r, k]
            gain = total * total / (k + 1)
            if gain > best:
                best = gain
                scale[r] = total / (k + 1)
