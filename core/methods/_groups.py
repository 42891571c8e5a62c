"""A weight cut into groups that share a scale, walked in pieces of bounded size whatever the axes are."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

import numpy as np

from core.encoding.base import Array, Shape

PIECE = 1 << 18
"""Weights of a piece: small enough that a layer of a million has one for each core."""


class Groups:
    """Groups of a weight: all weights with the same place on the group axes are one group.

    shape  of the weight (an axis may have been split in two for blocks; splitting an axis copies nothing)
    axes   the group axes, e.g. the output axis
    """

    def __init__(self, shape: Shape, axes: tuple[int, ...]) -> None:
        self.shape = shape
        self.axes = tuple(sorted(axes, key=lambda axis: -shape[axis]))  # the longest first: it is cut into pieces
        self.order = (*self.axes, *(axis for axis in range(len(shape)) if axis not in axes))
        self.length = prod(shape[axis] for axis in range(len(shape)) if axis not in axes)
        self.count = prod(shape[axis] for axis in axes)

    @property
    def scale_shape(self) -> Shape:
        """Shape of one number for each group that broadcasts with the weight."""
        return tuple(size if axis in self.axes else 1 for axis, size in enumerate(self.shape))

    def pieces(self) -> Iterator[slice]:
        """Slices of the first group axis, each of about PIECE weights."""
        first = self.shape[self.axes[0]]
        step = max(1, PIECE * first // max(1, prod(self.shape)))
        for start in range(0, first, step):
            yield slice(start, min(start + step, first))

    def rows(self, array: Array, piece: slice) -> Array:
        """The groups of a piece as rows (n_groups, length), C-contiguous; a copy unless the layout is that already."""
        return np.ascontiguousarray(array.transpose(self.order)[piece]).reshape(-1, self.length)

    def put(self, rows: Array, array: Array, piece: slice) -> None:
        """Write rows (n_groups, length) of a piece to their places in `array`."""
        target = array.transpose(self.order)[piece]
        target[...] = rows.reshape(target.shape)

    def put_numbers(self, numbers: Array, array: Array, piece: slice) -> None:
        """Write one number for each group of a piece, (n_groups,), into `array` of `scale_shape`."""
        target = array.transpose(self.order)[piece]
        target[...] = numbers.reshape(target.shape)
