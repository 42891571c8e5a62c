"""Loops that choose which weights stay."""

from __future__ import annotations

import numba

from core.kernels._types import F2, OUT_B2, i8, void


@numba.njit(void(F2, i8, OUT_B2), nogil=True, cache=True)
def largest_of_each(groups, keep, mask):
    """Mark the `keep` largest magnitudes of each row of groups (n, m) in mask (n, m) bool; of equals the first."""
    m = groups.shape[1]
    for g in range(groups.shape[0]):
        for i in range(m):
            mine = abs(groups[g, i])
            larger = 0
            for j in range(m):
                other = abs(groups[g, j])
                larger += int(other > mine) + int(other == mine and j < i)
            mask[g, i] = larger < keep
