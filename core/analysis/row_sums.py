"""Mean, square and products of input vectors, summed over samples: what activation-aware methods work from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

_AT_ONCE = 1024
_AT_ONCE_BYTES = 4 * 2**20
"""Vectors are gathered before they are multiplied: adding (d, d) products for each sample would cost more than making
them."""
LARGEST = 1e18
"""Sums of squares of larger numbers do not fit float32; vectors with such numbers are left out like infinite ones."""


@dataclass(frozen=True, eq=False)
class RowStatistics:
    """Of the vectors that one reading gave; see `LayerInputs` for the arrays.

    rows      vectors in the sums
    left_out  vectors that hold NaN, infinite or enormous numbers (see LARGEST) and are not in the sums
    """

    rows: int
    left_out: int
    mean: Array = field(repr=False)
    square: Array = field(repr=False)
    moments: Array | None = field(default=None, repr=False)


class RowSums:
    """Sums of vectors (groups, rows, d) in float64, added up from those of up to 1,024 vectors in float32."""

    def __init__(self, groups: int, d: int, *, moments: bool) -> None:
        self._shape = (groups, d)
        self._sum, self._square = np.zeros((groups, d)), np.zeros((groups, d))
        self._products = np.zeros((groups, d, d)) if moments else None
        self._rows = self._left_out = 0
        self._waiting: list[Array] = []

    @property
    def d(self) -> int:
        """Numbers in a vector."""
        return self._shape[1]

    def fits(self, rows: Array) -> bool:
        """Whether vectors are of the layer's width."""
        return (rows.shape[0], rows.shape[2]) == self._shape

    def add(self, rows: Array) -> None:
        """Add vectors (groups, rows, d), d and groups as given."""
        if not rows.shape[1]:
            return
        self._waiting.append(np.ascontiguousarray(rows, np.float32))
        waiting = sum(part.shape[1] for part in self._waiting)
        if waiting >= min(_AT_ONCE, self._shape[1]) or waiting * 4 * math.prod(self._shape) >= _AT_ONCE_BYTES:
            self._empty()

    def _empty(self) -> None:
        """Add up what waits."""
        if not self._waiting:
            return
        rows = self._waiting[0] if len(self._waiting) == 1 else np.concatenate(self._waiting, axis=1)
        self._waiting.clear()
        for start in range(0, rows.shape[1], _AT_ONCE):
            part = rows[:, start : start + _AT_ONCE]
            if not self._sum_up(part):
                good = (np.abs(part) <= LARGEST).all(axis=(0, 2))
                self._left_out += int(good.size - np.count_nonzero(good))
                if good.any():
                    self._sum_up(part[:, good])

    def _sum_up(self, rows: Array) -> bool:
        """Add a part; False, and nothing is added, when a number in it is not finite or too large."""
        with np.errstate(all="ignore"):
            if self._products is None:
                square = np.einsum("gnd,gnd->gd", rows, rows)
            else:
                first = rows[0]
                # the product of a matrix with its own transpose takes half the work
                products = (first.T @ first)[np.newaxis] if len(rows) == 1 else np.matmul(rows.swapaxes(1, 2), rows)
                square = np.diagonal(products, axis1=1, axis2=2)
        if not np.isfinite(square).all():
            return False
        self._sum += np.matmul(np.ones((1, rows.shape[1]), np.float32), rows)[:, 0]
        if self._products is not None:
            self._products += products
        self._square += square
        self._rows += rows.shape[1]
        return True

    def result(self) -> RowStatistics | None:
        """What was summed; None when no vector was usable."""
        self._empty()
        if not self._rows:
            return None
        moments = None
        if self._products is not None:
            self._products /= self._rows
            moments = self._products.astype(np.float32)
            self._products = None
        mean, square = self._sum / self._rows, self._square / self._rows
        return RowStatistics(
            self._rows, self._left_out, mean.astype(np.float32), square.astype(np.float32), moments
        )

    @property
    def left_out(self) -> int:
        return self._left_out


def together(parts: Sequence[RowStatistics]) -> RowStatistics:
    """The statistics of all vectors of several readings: of a tied weight."""
    if len(parts) == 1:
        return parts[0]
    rows = sum(part.rows for part in parts)

    def mean(arrays: Sequence[Array]) -> Array:
        total = sum(array.astype(np.float64) * part.rows for array, part in zip(arrays, parts, strict=True))
        return np.asarray(total / rows, np.float32)

    products = [part.moments for part in parts if part.moments is not None]
    return RowStatistics(
        rows,
        sum(part.left_out for part in parts),
        mean([part.mean for part in parts]),
        mean([part.square for part in parts]),
        mean(products) if len(products) == len(parts) else None,
    )
