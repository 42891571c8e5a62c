"""Loops that put kept weights in their places."""

from __future__ import annotations

import numba

from core.kernels._types import F1, OUT_F1, U1, i8, void


@numba.njit(void(U1, F1, OUT_F1), nogil=True, cache=True)
def scatter_mask(flags, kept, out):
    """out[i] = the next kept weight wherever flags[i] is not zero; the rest stays."""
    done = 0
    for i in range(flags.shape[0]):
        if flags[i] != 0:
            out[i] = kept[done]
            done += 1


@numba.njit(void(U1, i8, F1, OUT_F1), nogil=True, cache=True)
def scatter_gaps(codes, top, kept, out):
    """Codes c > 0: a kept weight c places after the last one; 0: no weight, but `top` places on."""
    place = -1
    done = 0
    for i in range(codes.shape[0]):
        if codes[i] == 0:
            place += top
        else:
            place += codes[i]
            out[place] = kept[done]
            done += 1
