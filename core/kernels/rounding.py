"""Loops that round so that errors cancel: a row's sum is kept, or its errors are pushed to high frequencies.

`rows` is float32 (n_rows, row_length): one output channel a row. A row's weights share scales in blocks of `block`
neighbours: scales and offsets are (n_rows, n_blocks). Codes lie in lowest..highest, a weight's level is
(code - offset) * scale.
"""

from __future__ import annotations

import numba
import numpy as np

from core.kernels._types import F2, OUT_I8, OUT_U8, f4, i8, void

_BUCKETS = 64
_LANES = 8  # tables in turn: adding to the same place twice running would wait for the first sum to be stored
_HALF = np.float32(0.5001)  # of a level: farther off is what the range cut off


@numba.njit(
    [void(F2, F2, F2, i8, i8, i8, numba.boolean, OUT_I8), void(F2, F2, F2, i8, i8, i8, numba.boolean, OUT_U8)],
    nogil=True,
    cache=True,
    error_model="numpy",
)
def balance_rows(rows, scales, offsets, block, lowest, highest, skip_zeros, codes):
    """Move the codes that were nearest to the other neighbour by one, until each row's errors sum to nearly zero.

    Greedy by how near a weight lies to that neighbour: buckets of residuals, so three passes a row and no sorting.
    """
    length = rows.shape[1]
    errors = np.empty(length, np.float32)
    buckets = np.empty(length, np.int8)
    sums = np.empty((_LANES, _BUCKETS + 1), np.float64)
    for r in range(rows.shape[0]):
        total = 0.0
        for b in range(scales.shape[1]):
            scale, offset, start, stop = scales[r, b], offsets[r, b], b * block, min((b + 1) * block, length)
            for i in range(start, stop):  # in levels, so that the next pass need not divide again
                errors[i] = rows[r, i] / scale - (np.float32(codes[r, i]) - offset)
            if skip_zeros:
                for i in range(start, stop):
                    errors[i] = errors[i] if rows[r, i] != 0 else np.float32(0.0)
            part = 0.0
            for i in range(start, stop):
                part += errors[i]
            total += part * scale
        sign = np.float32(1.0) if total > 0 else np.float32(-1.0)
        step = np.int32(sign)
        left = abs(total)
        for i in range(length):
            error = sign * errors[i]
            moved = np.int32(codes[r, i]) + step
            # Bucket 0 is for those that stay: of the other side, cut off by the range, or at its end.
            may = (error > 0) & (error <= _HALF) & (moved >= lowest) & (moved <= highest)
            buckets[i] = np.int8(np.minimum(np.int32(error * np.float32(2 * _BUCKETS)), _BUCKETS - 1) + 1 if may else 0)
        sums[:] = 0.0
        for b in range(scales.shape[1]):
            scale = np.float64(scales[r, b])
            for i in range(b * block, min((b + 1) * block, length)):
                sums[i % _LANES, buckets[i]] += scale
        edge = _BUCKETS
        while edge > 1 and sums[:, edge].sum() <= left:
            left -= sums[:, edge].sum()
            edge -= 1
        for b in range(scales.shape[1]):
            scale = np.float64(scales[r, b])
            for i in range(b * block, min((b + 1) * block, length)):
                if buckets[i] < edge:
                    continue
                if buckets[i] == edge:
                    if left < scale / 2:
                        continue
                    left -= scale
                codes[r, i] = np.int32(codes[r, i]) + step


@numba.njit(
    [void(F2, F2, F2, i8, i8, OUT_I8), void(F2, F2, F2, i8, i8, OUT_U8)], nogil=True, cache=True, error_model="numpy"
)
def diffuse_rows(rows, scales, offsets, lowest, highest, codes):
    """Round along each row, carrying every weight's error to the next; one scale a row.

    First-order noise shaping: the errors' spectrum is that of white noise times 4 sin^2(w/2), so they are small where a
    signal that changes slowly along the row has its energy.
    """
    for r in range(rows.shape[0]):
        carry = np.float32(0.0)
        offset = offsets[r, 0]
        for i in range(rows.shape[1]):
            wanted = rows[r, i] / scales[r, 0] + carry
            code = min(max(np.rint(wanted + offset), np.float32(lowest)), np.float32(highest))
            carry = min(max(wanted - (code - offset), f4(-1.0)), f4(1.0))
            codes[r, i] = np.int32(code)
