"""Signatures of kernels, spelt out: one compiled version of each, however the input lies in memory.

F: float32, W: float64, B: bool, N: int32, U8/I8: bytes; the digit is the rank. Inputs are read-only, and float32 ones
may be unaligned (weights of a mapped file); OUT_ ones are filled.
"""

from __future__ import annotations

from numba import types

void, f4, f8, i8 = types.void, types.float32, types.float64, types.int64


def _array(element: types.Type, rank: int, readonly: bool, aligned: bool = True) -> types.Array:
    return types.Array(element, rank, "C", readonly=readonly, aligned=aligned)


F1, F2 = _array(f4, 1, True, aligned=False), _array(f4, 2, True, aligned=False)
W1 = _array(f8, 1, True)
U1 = _array(types.uint8, 1, True)
OUT_F1 = _array(f4, 1, False)
OUT_W1, OUT_W2 = _array(f8, 1, False), _array(f8, 2, False)
OUT_B2 = _array(types.boolean, 2, False)
OUT_U8_1, OUT_U8 = _array(types.uint8, 1, False), _array(types.uint8, 2, False)
OUT_I8 = _array(types.int8, 2, False)
OUT_N2 = _array(types.int32, 2, False)
