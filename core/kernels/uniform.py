"""Loops of uniform quantization over rows: ranges, errors of candidate scales, codes.

A row is a group of weights that shares a scale (a channel, a block, a piece of the tensor). `rows` is float32
(n_rows, row_length), C-contiguous. Codes relative to the zero point lie in low..high; a weight's level is
scale * clip(round(weight / scale), low, high).
"""

from __future__ import annotations

import numba
import numpy as np

from core.kernels._types import F1, F2, OUT_F1, OUT_I8, OUT_U8, OUT_W1, OUT_W2, f4, void

_FAST = {"reassoc", "nsz", "nnan", "ninf", "contract"}  # sums may be reordered: that is what lets them vectorise


@numba.njit(void(F2, OUT_F1, OUT_F1), nogil=True, cache=True, fastmath=_FAST)
def row_range(rows, low, high):
    """Smallest and largest weight of each row, into low and high (n_rows,). Weights must be finite."""
    for r in range(rows.shape[0]):
        row = rows[r]
        lo = row[0]
        hi = row[0]
        for i in range(1, row.shape[0]):
            lo = row[i] if row[i] < lo else lo
            hi = row[i] if row[i] > hi else hi
        low[r] = lo
        high[r] = hi


@numba.njit(f4(F1, f4, f4, f4), nogil=True, cache=True, fastmath=_FAST, error_model="numpy")
def _squared_error(row, scale, low, high):
    inverse = np.float32(1.0) / scale
    total = np.float32(0.0)
    for i in range(row.shape[0]):
        code = min(max(np.rint(row[i] * inverse), low), high)
        miss = row[i] - code * scale
        total += miss * miss
    return total


@numba.njit(void(F2, F2, F2, F2, OUT_W2), nogil=True, cache=True)
def candidate_errors(rows, scales, lows, highs, out):
    """Squared error of each row under each candidate: scales, lows, highs, out are (n_rows, n_candidates)."""
    for r in range(rows.shape[0]):
        for k in range(scales.shape[1]):
            total = 0.0
            for start in range(0, rows.shape[1], 4096):  # short float32 sums, joined in float64
                total += _squared_error(rows[r, start : start + 4096], scales[r, k], lows[r, k], highs[r, k])
            out[r, k] = total


@numba.njit(void(F2, F1, F1, F1, OUT_W1, OUT_W1), nogil=True, cache=True, fastmath=_FAST, error_model="numpy")
def fit_sums(rows, scales, lows, highs, cross, square):
    """Sums of weight * code and of code * code per row: their quotient is the least-squares scale for these codes."""
    for r in range(rows.shape[0]):
        inverse = np.float32(1.0) / scales[r]
        xq = 0.0
        qq = 0.0
        low = lows[r]
        high = highs[r]
        for i in range(rows.shape[1]):
            code = min(max(np.rint(rows[r, i] * inverse), low), high)
            xq += rows[r, i] * code
            qq += code * code
        cross[r] = xq
        square[r] = qq


@numba.njit(
    [void(F2, F1, F1, F1, F1, OUT_I8), void(F2, F1, F1, F1, F1, OUT_U8)], nogil=True, cache=True, error_model="numpy"
)
def encode_rows(rows, scales, lows, highs, offsets, out):
    """Codes of every weight plus the row's offset, into `out` (int8 or uint8, of the shape of rows)."""
    for r in range(rows.shape[0]):
        inverse = np.float32(1.0) / scales[r]
        low = lows[r]
        high = highs[r]
        offset = offsets[r]
        for i in range(rows.shape[1]):
            code = min(max(np.rint(rows[r, i] * inverse), low), high)
            out[r, i] = np.int32(code + offset)


@numba.njit(void(F2, F2, F2, F2, F2, OUT_W2), nogil=True, cache=True, fastmath=_FAST, error_model="numpy")
def weighted_errors(rows, importance, scales, lows, highs, out):
    """As `candidate_errors`, with every weight's squared error times its importance (of the shape of rows)."""
    for r in range(rows.shape[0]):
        for k in range(scales.shape[1]):
            scale, low, high = scales[r, k], lows[r, k], highs[r, k]
            inverse = np.float32(1.0) / scale
            total = 0.0
            for i in range(rows.shape[1]):
                code = min(max(np.rint(rows[r, i] * inverse), low), high)
                miss = rows[r, i] - code * scale
                total += miss * miss * importance[r, i]
            out[r, k] = total


@numba.njit(void(F2, F2, F1, F1, F1, OUT_W1, OUT_W1), nogil=True, cache=True, fastmath=_FAST, error_model="numpy")
def weighted_sums(rows, importance, scales, lows, highs, cross, square):
    """As `fit_sums`, with every weight counted as often as its importance says."""
    for r in range(rows.shape[0]):
        inverse = np.float32(1.0) / scales[r]
        low, high = lows[r], highs[r]
        xq = 0.0
        qq = 0.0
        for i in range(rows.shape[1]):
            code = min(max(np.rint(rows[r, i] * inverse), low), high)
            xq += importance[r, i] * rows[r, i] * code
            qq += importance[r, i] * code * code
        cross[r] = xq
        square[r] = qq


@numba.njit(
    [void(F2, F2, F1, F1, F1, F1, OUT_I8), void(F2, F2, F1, F1, F1, F1, OUT_U8)],
    nogil=True,
    cache=True,
    error_model="numpy",
)
def encode_dithered(rows, noise, scales, lows, highs, offsets, out):
    """As `encode_rows`, rounded up or down by chance, the nearer level the likelier, so that the mean is the weight.

    noise  uniform in 0..1 without 1, of the shape of rows
    """
    for r in range(rows.shape[0]):
        inverse = np.float32(1.0) / scales[r]
        low = lows[r]
        high = highs[r]
        offset = offsets[r]
        for i in range(rows.shape[1]):
            code = min(max(np.floor(rows[r, i] * inverse + noise[r, i]), low), high)
            out[r, i] = np.int32(code + offset)
