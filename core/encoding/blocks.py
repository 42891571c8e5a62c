"""Weights of which whole blocks, rows or columns are stored."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import prod

import numpy as np

from core.encoding.base import INT32, Array, Emitter, Encoding, Shape, count, emit_reshape
from core.encoding.codes import Codes
from core.encoding.kept import Kept, emit_full, emit_ranks
from core.errors import InternalError


@dataclass(frozen=True)
class Tiling:
    """A weight cut into blocks of equal shape.

    view  the weight's shape, or another one of as many elements (axes joined or split)
    tile  shape of a block: as many axes, each of which divides the view's
    """

    view: Shape
    tile: Shape

    def __post_init__(self) -> None:
        even = len(self.view) == len(self.tile) and all(
            n > 0 and size % n == 0 for size, n in zip(self.view, self.tile, strict=True)
        )
        if not even:
            raise InternalError(f"blocks of {self.tile} do not divide {self.view}")

    @property
    def grid(self) -> Shape:
        """Blocks along each axis."""
        return tuple(size // n for size, n in zip(self.view, self.tile, strict=True))

    @property
    def blocks(self) -> int:
        return prod(self.grid)

    @property
    def block_size(self) -> int:
        """Weights of a block."""
        return prod(self.tile)

    def split(self, array: Array) -> Array:
        """The blocks of an array, (blocks, block_size); a copy where they do not lie together."""
        pairs = [n for pair in zip(self.grid, self.tile, strict=True) for n in pair]
        axes = (*range(0, len(pairs), 2), *range(1, len(pairs), 2))
        return array.reshape(pairs).transpose(axes).reshape(self.blocks, self.block_size)

    def join(self, blocks: Array, shape: Shape) -> Array:
        """The inverse of `split`, C-contiguous."""
        sizes, axes = self._joining()
        return np.ascontiguousarray(blocks.reshape(sizes).transpose(axes)).reshape(shape)

    def emit_join(self, out: Emitter, blocks: str, shape: Shape) -> str:
        """Nodes that do what `join` does: a Reshape, and where needed a Transpose and a Reshape."""
        sizes, axes = self._joining()
        if axes != tuple(range(len(axes))):
            blocks = out.node("Transpose", [emit_reshape(out, blocks, sizes)], perm=axes)
        return emit_reshape(out, blocks, shape)

    def _joining(self) -> tuple[Shape, tuple[int, ...]]:
        """Shape of the blocks with all axes apart, those of the grid first, and the order that joins them.

        Axes of size 1 are left out: then no Transpose is needed where blocks follow each other in memory.
        """
        rank = len(self.view)
        sizes = (*self.grid, *self.tile)
        order = [axis for pair in zip(range(rank), range(rank, 2 * rank), strict=True) for axis in pair]
        real = [axis for axis in range(2 * rank) if sizes[axis] > 1]
        places = {axis: place for place, axis in enumerate(real)}
        return tuple(sizes[axis] for axis in real), tuple(places[axis] for axis in order if axis in places)


@dataclass(frozen=True, eq=False)
class Blocks(Kept):
    """value = the kept blocks in their places, `fill` everywhere else.

    values   (kept blocks, block_size), in the order of the tiling's grid
    places   1-bit codes, (blocks,): which are kept
    tiling   how the weight is cut; rows and columns are blocks as well
    shape    of the weight

    Emitted as Gather([fill, *values], CumSum(places) * places) of whole blocks, then the Reshape or Transpose that puts
    blocks side by side. Needs opset 11 (CumSum, BitShift). A bit for each block is so little that gaps do not pay.
    """

    values: Encoding
    places: Codes = field(repr=False)
    tiling: Tiling
    shape: Shape
    fill: float = 0.0

    def __post_init__(self) -> None:
        kept = int(np.count_nonzero(self.places.values))
        if self.values.shape != (kept, self.tiling.block_size):
            raise InternalError(f"values of shape {self.values.shape} for {kept} blocks of {self.tiling.tile}")
        if count(self.shape) != prod(self.tiling.view) or self.places.shape != (self.tiling.blocks,):
            raise InternalError(f"{self.tiling} does not fit a weight of shape {self.shape}")

    @classmethod
    def encode(cls, values: Encoding, kept: Array, tiling: Tiling, shape: Shape, fill: float = 0.0) -> Blocks:
        """Stores `values` where `kept` (bool, one for each block) is true."""
        return cls(values, Codes(np.ascontiguousarray(kept, bool).view(np.uint8), 1), tiling, shape, fill)

    def with_values(self, values: Encoding, fill: float = 0.0) -> Blocks:
        return replace(self, values=values, fill=fill)

    def pick(self, array: Array) -> Array:
        return np.ascontiguousarray(self.tiling.split(array)[self._flags])

    def mask(self) -> Array:
        spread = np.broadcast_to(self._flags[:, np.newaxis], (self.tiling.blocks, self.tiling.block_size))
        return self.tiling.join(spread, self.shape)

    @property
    def _flags(self) -> Array:
        return self.places.values.view(bool)

    def decode(self) -> Array:
        blocks = np.full((self.tiling.blocks, self.tiling.block_size), self.fill, np.float32)
        if self.kept:
            blocks[self._flags] = self.values.decode()
        return self.tiling.join(blocks, self.shape)

    @property
    def nbytes(self) -> int:
        return self.values.nbytes + self.places.nbytes if self.kept else 0

    def emit_as(self, out: Emitter, shape: Shape) -> str:
        if not self.kept:
            return emit_full(out, shape, self.fill)
        ranks = emit_ranks(out, self.places.emit_cast(out, self.places.shape, INT32))
        blank = emit_full(out, (1, self.tiling.block_size), self.fill)
        values = out.node("Concat", [blank, self.values.emit(out)], axis=0)
        return self.tiling.emit_join(out, out.node("Gather", [values, ranks], axis=0), shape)

    @property
    def min_opset(self) -> int:
        return max(11, self.values.min_opset)
