"""Scales of uniform quantization: which range of a group of weights the codes cover."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from core.encoding.base import Array

# How far the range may be narrowed, by bits: fewer bits gain from cutting outliers off, more bits hardly do.
_NARROWEST = {1: 0.02, 2: 0.04, 3: 0.07, 4: 0.1, 5: 0.15, 6: 0.2, 7: 0.25, 8: 0.3}
_COARSE, _FINE = 16, 6
_SMALLEST = np.float32(np.finfo(np.float32).tiny)


@dataclass(frozen=True)
class Scales:
    """What turns weights into codes, one of each for each group: code = clip(round(w / scale), low, high) + offset."""

    scale: Array
    low: Array
    high: Array
    offset: Array

    def with_scale(self, scale: Array) -> Scales:
        return Scales(scale, self.low, self.high, self.offset)


def choose(
    pieces: list[Array], bits: int, symmetric: bool, search: bool, check: Callable[[], None], sparse: bool = False
) -> Scales:
    """Scales for groups of weights.

    pieces     float32 (n_groups, n): a group's weights are its rows in all pieces
    symmetric  levels -(2^(b-1) - 1) .. 2^(b-1) - 1 times the scale; else the range from the smallest to the largest
               weight, zero included, in 2^b levels
    search     narrow the range where that lowers the squared error; the full range is always among the candidates, so
               the result is never worse than it
    check      called between the loops; may raise Cancelled
    sparse     zeros are not stored, so they do not count

    One bit has no zero: the levels are minus and plus the mean magnitude, which is the best for two such levels
    (Rastegari et al., "XNOR-Net", ECCV 2016), and the other arguments mean nothing.
    """
    if bits == 1:
        return _signs(pieces, sparse)
    full = _full_range(pieces, bits, symmetric)
    return _Search(pieces, full, check).best(bits, symmetric) if search else full


def _signs(pieces: list[Array], sparse: bool) -> Scales:
    n = pieces[0].shape[0]
    total, counted = np.zeros(n), np.zeros(n)
    for piece in pieces:
        total += np.abs(piece).sum(axis=1, dtype=np.float64)
        counted += np.count_nonzero(piece, axis=1) if sparse else piece.shape[1]
    half = np.full(n, 0.5, np.float32)
    return Scales((2 * total / np.maximum(counted, 1)).astype(np.float32), -half, half, half)


def _full_range(pieces: list[Array], bits: int, symmetric: bool) -> Scales:
    from core.kernels.uniform import row_range

    n = pieces[0].shape[0]
    smallest, largest = np.zeros(n, np.float32), np.zeros(n, np.float32)
    low, high = np.empty(n, np.float32), np.empty(n, np.float32)
    for piece in pieces:
        row_range(piece, low, high)
        np.minimum(smallest, low, out=smallest)
        np.maximum(largest, high, out=largest)
    if symmetric:
        top = np.float32((1 << bits - 1) - 1)
        scale = _usable(np.maximum(-smallest, largest) / top)
        offset = np.full(n, 0 if bits == 8 else top, np.float32)  # codes of 8 bits are signed, others are not
        return Scales(scale, np.full(n, -top, np.float32), np.full(n, top, np.float32), offset)
    top = np.float32((1 << bits) - 1)
    scale = _usable(largest / top - smallest / top)
    zero = np.clip(np.rint(-smallest / scale), 0, top).astype(np.float32)
    return Scales(scale, -zero, top - zero, zero)


def _usable(scale: Array) -> Array:
    """Scales that can be divided by: groups of zeros (or of denormals) get 1, and all their codes are zero."""
    return np.where(scale < _SMALLEST, np.float32(1), scale).astype(np.float32)


class _Search:
    """The scale of least squared error per group: a coarse then a fine grid, then least-squares fits of the scale."""

    def __init__(self, pieces: list[Array], full: Scales, check: Callable[[], None]) -> None:
        self.pieces, self.full, self.check = pieces, full, check
        self.scale = full.scale
        self.error = np.full(full.scale.shape, np.inf)

    def best(self, bits: int, symmetric: bool) -> Scales:
        step = _NARROWEST[bits] ** (1 / (_COARSE - 1))
        self._try(self.full.scale[:, np.newaxis] * (step ** np.arange(_COARSE)).astype(np.float32))
        fine = step ** (np.arange(1, _FINE + 1) / (_FINE / 2 + 0.5) - 1)  # from one coarse step wider to one narrower
        self._try(self.scale[:, np.newaxis] * fine.astype(np.float32))
        for _ in range(2 if symmetric else 0):
            self._try(self._fit()[:, np.newaxis])
        return self.full.with_scale(self.scale)

    def _try(self, scales: Array) -> None:
        """Take each group's best of scales (n_groups, n_candidates) where it beats what there is."""
        from core.kernels.uniform import candidate_errors

        scales = np.ascontiguousarray(np.where(scales < _SMALLEST, self.full.scale[:, np.newaxis], scales))
        lows, highs = (np.ascontiguousarray(np.broadcast_to(x[:, np.newaxis], scales.shape))
                       for x in (self.full.low, self.full.high))
        total = np.zeros(scales.shape)
        errors = np.empty(scales.shape)
        for piece in self.pieces:
            self.check()
            candidate_errors(piece, scales, lows, highs, errors)
            total += errors
        best = total.argmin(axis=1)
        rows = np.arange(len(best))
        better = total[rows, best] < self.error
        self.error = np.where(better, total[rows, best], self.error)
        self.scale = np.where(better, scales[rows, best], self.scale)

    def _fit(self) -> Array:
        """The scales that are best for the codes of now."""
        from core.kernels.uniform import fit_sums

        n = len(self.scale)
        cross, square, xq, qq = (np.zeros(n) for _ in range(4))
        for piece in self.pieces:
            self.check()
            fit_sums(piece, self.scale, self.full.low, self.full.high, xq, qq)
            cross += xq
            square += qq
        return np.where(square > 0, cross / np.maximum(square, 1), self.scale).astype(np.float32)


def encode(rows: Array, scales: Scales, bits: int, signed: bool) -> Array:
    """Codes of rows (n_groups, n), int8 when signed, else uint8."""
    from core.kernels.uniform import encode_rows

    if bits == 1:
        return (rows > 0).view(np.uint8)
    codes = np.empty(rows.shape, np.int8 if signed else np.uint8)
    encode_rows(rows, scales.scale, scales.low, scales.high, scales.offset, codes)
    return codes
