"""Scales of quantization: which range of a group of weights the levels of a grid cover."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from core.encoding.base import Array
from core.methods._grids import SMALLEST, Grid, Piece, Uniform, usable

# How far the range may be narrowed, by bits: fewer bits gain from cutting outliers off, more bits hardly do.
_NARROWEST = {1: 0.02, 2: 0.04, 3: 0.07, 4: 0.1, 5: 0.15, 6: 0.2, 7: 0.25, 8: 0.3}
_COARSE, _FINE = 16, 6


@dataclass(frozen=True)
class Rule:
    """How the range of a group is chosen.

    search      from the full range on, narrowed where that lowers the squared error; the full range is always among the
                candidates, so the result is never worse than it
    percentile  per cent of the magnitudes that the range holds; 100 is the full range
    """

    search: bool = True
    percentile: float = 100.0


def choose(
    grid: Grid, pieces: Sequence[Piece], rule: Rule, check: Callable[[], None], sparse: bool = False
) -> tuple[Array, Array]:
    """Scales and offsets, (n_groups,) float32, of groups of weights: a group's weights are its rows in all pieces.

    check   called between the loops; may raise Cancelled
    sparse  zeros are not stored, so they do not count

    Where the best scale has a closed form (two or three levels) the rule means nothing.
    """
    known = grid.closed_form(pieces, sparse)
    if known is not None:
        return known
    scale, offset = _range(grid, pieces, rule.percentile, sparse)
    if not rule.search:
        return scale, offset
    return _Search(grid, pieces, scale, offset, check).best(), offset


def _range(grid: Grid, pieces: Sequence[Piece], percentile: float, sparse: bool) -> tuple[Array, Array]:
    """Scales and offsets that reach from the smallest to the largest weight, or to a percentile of them."""
    if percentile < 100:
        smallest, largest = _percentiles(pieces, percentile, isinstance(grid, Uniform) and not grid.symmetric, sparse)
    else:
        smallest, largest = _extremes(pieces)
    n = smallest.size
    if isinstance(grid, Uniform) and not grid.symmetric:
        steps = np.float32(grid.steps)
        scale = usable(largest / steps - smallest / steps)
        return scale, np.clip(np.rint(-smallest / scale), 0, steps).astype(np.float32)
    scale = usable(np.maximum(-smallest, largest) / np.float32(grid.top))
    shifted = isinstance(grid, Uniform) and not grid.signed
    return scale, np.full(n, grid.top if shifted else 0, np.float32)


def _extremes(pieces: Sequence[Piece]) -> tuple[Array, Array]:
    """Smallest and largest weight of each group, zero included."""
    from core.kernels.uniform import row_range

    n = pieces[0].rows.shape[0]
    smallest, largest = np.zeros(n, np.float32), np.zeros(n, np.float32)
    low, high = np.empty(n, np.float32), np.empty(n, np.float32)
    for piece in pieces:
        row_range(piece.rows, low, high)
        np.minimum(smallest, low, out=smallest)
        np.maximum(largest, high, out=largest)
    return smallest, largest


def _percentiles(pieces: Sequence[Piece], percentile: float, both: bool, sparse: bool) -> tuple[Array, Array]:
    """Ends of the range that holds `percentile` per cent of the weights; of the magnitudes unless `both` ends differ.

    Between two weights as far as the percentile says (linear), as numpy does it.
    """
    rows = np.concatenate([piece.rows for piece in pieces], axis=1) if len(pieces) > 1 else pieces[0].rows
    ordered = np.sort(rows if both else np.abs(rows), axis=1)
    n = ordered.shape[1]
    if both:
        out = (100 - percentile) / 200
        low, high = (_at(ordered, np.full(len(ordered), share * (n - 1))) for share in (out, 1 - out))
        return np.minimum(low, 0), np.maximum(high, 0)
    counted = np.count_nonzero(ordered, axis=1) if sparse else np.full(len(ordered), n)
    high = _at(ordered, n - counted + percentile / 100 * np.maximum(counted - 1, 0))
    return -high, high


def _at(ordered: Array, places: Array) -> Array:
    """Values of rising rows (n_groups, n) at fractional places (n_groups,), between neighbours linear."""
    places = np.minimum(places, ordered.shape[1] - 1)
    below = np.floor(places).astype(np.int64)
    rows = np.arange(len(ordered))
    low, high = ordered[rows, below], ordered[rows, np.minimum(below + 1, ordered.shape[1] - 1)]
    return (low + (high - low) * (places - below)).astype(np.float32)


class _Search:
    """The scale of least squared error per group: a coarse then a fine grid, then least-squares fits of the scale."""

    def __init__(
        self, grid: Grid, pieces: Sequence[Piece], scale: Array, offset: Array, check: Callable[[], None]
    ) -> None:
        self.grid, self.pieces, self.full, self.offset, self.check = grid, pieces, scale, offset, check
        self.scale = scale
        self.error = np.full(scale.shape, np.inf)

    def best(self) -> Array:
        step = _NARROWEST[self.grid.bits] ** (1 / (_COARSE - 1))
        self._try(self.full[:, np.newaxis] * (step ** np.arange(_COARSE)).astype(np.float32))
        fine = step ** (np.arange(1, _FINE + 1) / (_FINE / 2 + 0.5) - 1)  # from one coarse step wider to one narrower
        self._try(self.scale[:, np.newaxis] * fine.astype(np.float32))
        lopsided = isinstance(self.grid, Uniform) and not self.grid.symmetric
        for _ in range(0 if lopsided else 2):
            self._try(self._fit()[:, np.newaxis])
        return self.scale

    def _try(self, scales: Array) -> None:
        """Take each group's best of scales (n_groups, n_candidates) where it beats what there is."""
        scales = np.ascontiguousarray(np.where(scales < SMALLEST, self.full[:, np.newaxis], scales))
        total = np.zeros(scales.shape)
        for piece in self.pieces:
            self.check()
            total += self.grid.errors(piece.rows, piece.importance, scales, self.offset)
        best = total.argmin(axis=1)
        rows = np.arange(len(best))
        better = total[rows, best] < self.error
        self.error = np.where(better, total[rows, best], self.error)
        self.scale = np.where(better, scales[rows, best], self.scale)

    def _fit(self) -> Array:
        """The scales that are best for the codes of now."""
        cross, square = np.zeros(len(self.scale)), np.zeros(len(self.scale))
        for piece in self.pieces:
            self.check()
            xq, qq = self.grid.sums(piece.rows, piece.importance, self.scale, self.offset)
            cross += xq
            square += qq
        # codes are whole numbers, so a sum of their squares below 1 is 0; a table's levels are not
        return np.where(square > 0, cross / np.where(square > 0, square, 1), self.scale).astype(np.float32)
