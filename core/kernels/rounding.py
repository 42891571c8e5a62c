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


@numba.njit(
    [
        i8(F2, F2, F2, i8, i8, i8, numba.boolean, OUT_I8, i8, i8, numba.float64),
        i8(F2, F2, F2, i8, i8, i8, numba.boolean, OUT_U8, i8, i8, numba.float64),
    ],
    nogil=True,
    cache=True,
    error_model="numpy",
)
def _bucket(rows, scales, offsets, block, lowest, highest, skip_zeros, codes, r, i, sign):
    """How near a weight lies to the next level on the side of `sign`, 0.._BUCKETS-1; -1 when it must not move there."""
    b = i // block
    code = np.int64(codes[r, i])
    moved = code + np.int64(sign)
    if moved < lowest or moved > highest or (skip_zeros and rows[r, i] == 0):
        return -1
    residual = sign * (rows[r, i] / scales[r, b] - (np.float32(code) - offsets[r, b]))
    if residual <= 0 or residual > 0.5001:  # of the other side, or cut off by the range
        return -1
    return min(np.int64(residual * (2 * _BUCKETS)), _BUCKETS - 1)


@numba.njit(
    [void(F2, F2, F2, i8, i8, i8, numba.boolean, OUT_I8), void(F2, F2, F2, i8, i8, i8, numba.boolean, OUT_U8)],
    nogil=True,
    cache=True,
    error_model="numpy",
)
def balance_rows(rows, scales, offsets, block, lowest, highest, skip_zeros, codes):
    """Move the codes that were nearest to the other neighbour by one, until each row's errors sum to nearly zero.

    Greedy by how far a weight lies from its level: 64 buckets of residuals, so two passes a row and no sorting.
    """
    sums = np.empty(_BUCKETS, np.float64)
    for r in range(rows.shape[0]):
        total = 0.0
        for i in range(rows.shape[1]):
            b = i // block
            if not (skip_zeros and rows[r, i] == 0):
                total += rows[r, i] - (np.float32(codes[r, i]) - offsets[r, b]) * scales[r, b]
        sign = 1.0 if total > 0 else -1.0
        rest = abs(total)
        sums[:] = 0.0
        for i in range(rows.shape[1]):
            k = _bucket(rows, scales, offsets, block, lowest, highest, skip_zeros, codes, r, i, sign)
            if k >= 0:
                sums[k] += scales[r, i // block]
        edge = _BUCKETS - 1
        left = rest
        while edge > 0 and sums[edge] <= left:
            left -= sums[edge]
            edge -= 1
        for i in range(rows.shape[1]):
            k = _bucket(rows, scales, offsets, block, lowest, highest, skip_zeros, codes, r, i, sign)
            if k < edge:
                continue
            scale = scales[r, i // block]
            if k == edge:
                if left < scale / 2:
                    continue
                left -= scale
            codes[r, i] = codes[r, i] + np.int32(sign)


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
