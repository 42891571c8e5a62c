"""Loops of one-dimensional clustering: a histogram fine near zero, the best partition of it, nearest levels.

Source of the partition: Gronlund et al., "Fast Exact k-Means, k-Medians and Bregman Divergence Clustering in 1D", 2017.
"""

from __future__ import annotations

import numba
import numpy as np

from core.kernels._types import F1, OUT_N2, OUT_U8_1, OUT_W1, W1, f4, f8, i8, void


@numba.njit(void(F1, f4, OUT_W1, OUT_W1), nogil=True, cache=True, error_model="numpy")
def companded_histogram(values, scale, counts, sums):
    """Add `values` (n,) float32 to counts and sums (n_bins,) of float64.

    Bins are equally wide in x / (|x| + scale), so they resolve the bulk finely and still reach any outlier.
    """
    half = np.float32(0.5 * counts.size)
    last = counts.size - 1
    for x in values:
        place = x / (abs(x) + scale)
        index = min(max(np.int64((place + np.float32(1.0)) * half), 0), last)
        counts[index] += 1.0
        sums[index] += x


@numba.njit(void(F1, F1, f4, OUT_W1, OUT_W1), nogil=True, cache=True, error_model="numpy")
def weighted_histogram(values, importance, scale, counts, sums):
    """As `companded_histogram`, with every value counted as often as its importance (n,) says."""
    half = np.float32(0.5 * counts.size)
    last = counts.size - 1
    for i in range(values.size):
        place = values[i] / (abs(values[i]) + scale)
        index = min(max(np.int64((place + np.float32(1.0)) * half), 0), last)
        counts[index] += importance[i]
        sums[index] += importance[i] * values[i]


@numba.njit(f8(W1, W1, i8, i8), nogil=True, cache=True)
def _gain(counts, sums, first, last):
    """What a cluster of atoms first..last-1 contributes to sum(S^2 / N); counts and sums are prefix sums."""
    n = counts[last] - counts[first]
    if n <= 0.0:
        return 0.0
    s = sums[last] - sums[first]
    return s * s / n


@numba.njit(void(OUT_N2, i8, i8, i8, i8, i8), nogil=True, cache=True)
def _push(stack, top, first, last, cut_first, cut_last):
    stack[top, 0] = first
    stack[top, 1] = last
    stack[top, 2] = cut_first
    stack[top, 3] = cut_last


@numba.njit(i8[::1](W1, W1, i8), nogil=True, cache=True)
def best_partition(counts, sums, n_levels):
    """Start index of each of `n_levels` clusters that together have the least squared error.

    counts, sums: prefix sums over sorted atoms, (n_atoms + 1,), float64. The squared error is a constant minus
    sum(S^2 / N), so that sum is maximised, one cluster more at a time. The best last cut never moves left when the end
    moves right (the cost is concave Monge), so each row is filled by halving: O(n_atoms log n_atoms) per cluster.
    """
    n = counts.size - 1
    cuts = np.zeros((n_levels, n + 1), np.int32)
    before = np.empty(n + 1)
    now = np.empty(n + 1)
    for j in range(n + 1):
        before[j] = _gain(counts, sums, 0, j)
    stack = np.empty((128, 4), np.int32)  # ranges still to fill: first and last end, first and last possible cut
    for level in range(1, n_levels):
        _push(stack, 0, 0, n, 0, n)
        top = 1
        while top > 0:
            top -= 1
            first, last, cut_first, cut_last = stack[top, 0], stack[top, 1], stack[top, 2], stack[top, 3]
            middle = (first + last) // 2
            best = -1.0
            where = cut_first
            for i in range(cut_first, min(middle, cut_last) + 1):
                value = before[i] + _gain(counts, sums, i, middle)
                if value > best:
                    best = value
                    where = i
            now[middle] = best
            cuts[level, middle] = where
            if first < middle:
                _push(stack, top, first, middle - 1, cut_first, where)
                top += 1
            if middle < last:
                _push(stack, top, middle + 1, last, where, cut_last)
                top += 1
        before, now = now, before
    starts = np.zeros(n_levels, np.int64)
    end = n
    for level in range(n_levels - 1, 0, -1):
        end = cuts[level, end]
        starts[level] = end
    return starts


@numba.njit(void(F1, F1, f4, OUT_U8_1), nogil=True, cache=True, error_model="numpy")
def nearest_level(values, boundaries, scale, out):
    """Index of the nearest level of each value, into `out` (n,) uint8.

    boundaries: midpoints between neighbouring levels and a final +inf, float32 (n_levels,), ascending. A small table
    over companded bins (-1..1 in n_bins parts, and 1 itself) gives the first level that is possible; one or two
    comparisons find the right one.
    """
    n_bins = 4096
    half = np.float32(0.5 * n_bins)
    table = np.zeros(n_bins + 1, np.int64)
    level = 0
    for index in range(n_bins + 1):
        while level < boundaries.size - 1:
            edge = boundaries[level]
            place = np.int64((edge / (abs(edge) + scale) + np.float32(1.0)) * half)
            if place >= index - 1:  # one bin of slack: rounding may put a value beside its bin
                break
            level += 1
        table[index] = level
    for i in range(values.size):
        x = values[i]
        place = x / (abs(x) + scale)
        code = table[np.int64((place + np.float32(1.0)) * half)]
        while x > boundaries[code]:
            code += 1
        out[i] = code
