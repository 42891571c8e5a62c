"""The levels that weights are quantized to, up to a scale for each group of weights: even ones, or those of a table.

A grid knows how to round; which scales are best is found in `_scales`, and the way through a weight in `_quantizing`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from core.encoding import Codebook, Codes, Trits
from core.encoding.base import Array, Encoding

SMALLEST = np.float32(np.finfo(np.float32).tiny)


@dataclass(frozen=True)
class Piece:
    """Weights of groups: rows float32 (n_groups, n); importance of the same shape, or None: all count alike."""

    rows: Array
    importance: Array | None = None


class Grid(ABC):
    """Levels of `bits` bits; a weight decodes to (code - offset) * scale, or levels[code] * scale.

    In its methods `rows` is float32 (n_groups, n): a group's weights; scale and offset are (n_groups,); `importance`
    is of the shape of rows, or None when all weights count alike; NaN must not occur.
    """

    bits: int
    signed: bool = False
    top: float
    """The largest level that both signs reach: a scale of max / top reaches all weights."""
    low_high: tuple[int, int] | None = None
    """Lowest and highest code where neighbouring codes are one step apart and a third rounding may move them."""

    def closed_form(self, pieces: Sequence[Piece], sparse: bool) -> tuple[Array, Array] | None:
        """The best scale and offset of each group where they can be computed, else None; see `_scales.choose`."""
        return None

    @abstractmethod
    def errors(self, rows: Array, importance: Array | None, scales: Array, offset: Array) -> Array:
        """float64: squared error of each group under each candidate; scales and result are (n_groups, n_candidates)."""

    @abstractmethod
    def sums(self, rows: Array, importance: Array | None, scale: Array, offset: Array) -> tuple[Array, Array]:
        """Sums of weight * level and of level^2, (n_groups,) float64: their quotient is the best scale."""

    @abstractmethod
    def encode(self, rows: Array, scale: Array, offset: Array, noise: Array | None = None) -> Array:
        """Codes of the nearest levels, of the shape of rows; with `noise` (uniform in 0..1) rounded by chance."""

    @abstractmethod
    def codes_of(self, values: Array, scale: Array, offset: Array) -> Array:
        """Codes of the nearest levels of any array; scale and offset broadcast with it."""

    @abstractmethod
    def decode(self, codes: Array, scale: Array, offset: Array) -> Array:
        """float32 weights of codes; scale and offset broadcast with them."""

    @abstractmethod
    def leaf(self, codes: Array) -> Encoding:
        """How codes are stored, before offset and scale."""


@dataclass(frozen=True)
class Uniform(Grid):
    """Even levels.

    Case 1  one bit: minus and plus half the scale; there is no zero
    Case 2  symmetric: -(2^(b-1) - 1) .. 2^(b-1) - 1 times the scale; codes of 8 bits are signed, others have an offset
    Case 3  2^b levels between any ends that have zero between them (or are zero)
    """

    bits: int
    symmetric: bool = True

    @property
    def signed(self) -> bool:  # type: ignore[override]
        return self.bits == 8 and self.symmetric

    @property
    def top(self) -> float:  # type: ignore[override]
        return 0.5 if self.bits == 1 else float((1 << self.bits - 1) - 1)

    @property
    def steps(self) -> int:
        """Steps from the lowest to the highest level."""
        return 2 * int(self.top) if self.symmetric and self.bits > 1 else (1 << self.bits) - 1

    @property
    def low_high(self) -> tuple[int, int] | None:  # type: ignore[override]
        if self.bits == 1:
            return None
        return (-self.steps // 2, self.steps // 2) if self.signed else (0, self.steps)

    def _ends(self, offset: Array) -> tuple[Array, Array]:
        """Lowest and highest level of each group, in steps."""
        if self.symmetric:
            high = np.full(offset.shape, self.top, np.float32)
            return -high, high
        return -offset, np.float32(self.steps) - offset

    def closed_form(self, pieces: Sequence[Piece], sparse: bool) -> tuple[Array, Array] | None:
        return _signs(pieces, sparse) if self.bits == 1 else None

    def errors(self, rows: Array, importance: Array | None, scales: Array, offset: Array) -> Array:
        from core.kernels.uniform import candidate_errors, weighted_errors

        found = np.empty(scales.shape)
        ends = [np.ascontiguousarray(np.broadcast_to(x[:, np.newaxis], scales.shape)) for x in self._ends(offset)]
        if importance is None:
            candidate_errors(rows, scales, *ends, found)
        else:
            weighted_errors(rows, importance, scales, *ends, found)
        return found

    def sums(self, rows: Array, importance: Array | None, scale: Array, offset: Array) -> tuple[Array, Array]:
        from core.kernels.uniform import fit_sums, weighted_sums

        cross, square = np.empty(scale.shape), np.empty(scale.shape)
        if importance is None:
            fit_sums(rows, scale, *self._ends(offset), cross, square)
        else:
            weighted_sums(rows, importance, scale, *self._ends(offset), cross, square)
        return cross, square

    def encode(self, rows: Array, scale: Array, offset: Array, noise: Array | None = None) -> Array:
        from core.kernels.uniform import encode_dithered, encode_rows

        if self.bits == 1:
            return (rows > 0).view(np.uint8)
        codes = np.empty(rows.shape, np.int8 if self.signed else np.uint8)
        if noise is None:
            encode_rows(rows, scale, *self._ends(offset), offset, codes)
        else:
            encode_dithered(rows, noise, scale, *self._ends(offset), offset, codes)
        return codes

    def codes_of(self, values: Array, scale: Array, offset: Array) -> Array:
        if self.low_high is None:
            return (values > 0).view(np.uint8)
        level = np.rint(values / scale) + offset
        return np.clip(level, *self.low_high).astype(np.int8 if self.signed else np.uint8)

    def decode(self, codes: Array, scale: Array, offset: Array) -> Array:
        return (codes.astype(np.float32) - offset) * scale

    def leaf(self, codes: Array) -> Encoding:
        return Codes(codes, self.bits, self.signed)


def _signs(pieces: Sequence[Piece], sparse: bool) -> tuple[Array, Array]:
    """Minus and plus the mean magnitude: the best two such levels (Rastegari et al., "XNOR-Net", ECCV 2016)."""
    n = pieces[0].rows.shape[0]
    total, counted = np.zeros(n), np.zeros(n)
    for piece in pieces:
        rows, importance = piece.rows, piece.importance
        if importance is None:
            total += np.abs(rows).sum(axis=1, dtype=np.float64)
            counted += np.count_nonzero(rows, axis=1) if sparse else rows.shape[1]
        else:
            total += (np.abs(rows) * importance).sum(axis=1, dtype=np.float64)
            counted += (importance * (rows != 0) if sparse else importance).sum(axis=1, dtype=np.float64)
    scale = 2 * total / np.where(counted > 0, counted, 1)
    return scale.astype(np.float32), np.full(n, 0.5, np.float32)


class Ternary(Uniform):
    """Minus, zero and plus: symmetric levels of 2 bits, stored in 1.6."""

    def closed_form(self, pieces: Sequence[Piece], sparse: bool) -> tuple[Array, Array] | None:
        from core.kernels.tables import ternary_fit

        if any(piece.importance is not None for piece in pieces):
            return None  # the weights that matter are not the largest ones then: searched
        falling = np.sort(np.concatenate([np.abs(piece.rows) for piece in pieces], axis=1), axis=1)[:, ::-1]
        scale = np.empty(len(falling))
        ternary_fit(np.ascontiguousarray(falling), scale)
        return usable(scale), np.ones(len(falling), np.float32)

    def leaf(self, codes: Array) -> Encoding:
        return Trits.encode(codes)


def usable(scale: Array) -> Array:
    """Scales that can be divided by: groups of zeros (or of denormals) get 1, and all their codes are zero."""
    return np.where(scale < SMALLEST, np.float32(1), scale).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Table(Grid):
    """The levels of a table, the same for all groups.

    bits    of a code
    levels  (2 .. 2^bits,) float32, rising, zero or both signs among them
    shared  all layers have the same table, so a file holds it once
    exact16 the levels are float16 numbers, and the table is stored as such
    """

    bits: int
    levels: Array = field(repr=False)
    shared: bool = True
    exact16: bool = False
    _bounds: Array = field(init=False, repr=False)
    _spread: np.float32 = field(init=False, repr=False)
    _first: Array = field(init=False, repr=False)

    def __post_init__(self) -> None:
        from core.kernels.tables import BINS, first_levels

        middle = (self.levels[1:].astype(np.float64) + self.levels[:-1]) / 2
        bounds = np.append(middle, np.inf).astype(np.float32)
        spread = np.float32(max(float(np.abs(self.levels).mean()), float(SMALLEST)))
        first = np.empty(BINS + 1, np.uint8)
        first_levels(bounds, spread, first)
        for name, value in (("_bounds", bounds), ("_spread", spread), ("_first", first)):
            object.__setattr__(self, name, value)

    @property
    def top(self) -> float:  # type: ignore[override]
        return float(min(-self.levels[0], self.levels[-1]))

    def errors(self, rows: Array, importance: Array | None, scales: Array, offset: Array) -> Array:
        from core.kernels.tables import table_errors

        found = np.empty(scales.shape)
        table_errors(rows, _or_none(importance), scales, self.levels, self._bounds, self._spread, self._first, found)
        return found

    def sums(self, rows: Array, importance: Array | None, scale: Array, offset: Array) -> tuple[Array, Array]:
        from core.kernels.tables import table_sums

        cross, square = np.empty(scale.shape), np.empty(scale.shape)
        table_sums(
            rows, _or_none(importance), scale, self.levels, self._bounds, self._spread, self._first, cross, square
        )
        return cross, square

    def encode(self, rows: Array, scale: Array, offset: Array, noise: Array | None = None) -> Array:
        from core.kernels.tables import table_codes, table_dithered

        codes = np.empty(rows.shape, np.uint8)
        if noise is None:
            table_codes(rows, scale, self._bounds, self._spread, self._first, codes)
        else:
            table_dithered(rows, noise, scale, self.levels, self._bounds, self._spread, self._first, codes)
        return codes

    def codes_of(self, values: Array, scale: Array, offset: Array) -> Array:
        return np.searchsorted(self._bounds, values / scale).astype(np.uint8)

    def decode(self, codes: Array, scale: Array, offset: Array) -> Array:
        return self.levels[codes] * scale

    def leaf(self, codes: Array) -> Encoding:
        used = max(1, (self.levels.size - 1).bit_length())
        return Codebook(Codes(codes, used), self.levels, "float16" if self.exact16 else "float32", self.shared)


def _or_none(importance: Array | None) -> Array:
    """A kernel's argument: no elements stand for None."""
    return np.empty((0, 0), np.float32) if importance is None else importance
