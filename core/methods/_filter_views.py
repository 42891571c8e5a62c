"""How a filter sees a weight: along which axes it is a signal, and the products that take it to coefficients."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from math import prod

import numpy as np

from core.encoding.base import Array, Shape
from core.errors import LayerSkipped
from core.methods._structure import CHUNK
from core.methods.base import Context
from core.model.layer import Kind, Layer

JOINT = 64
"""Weights of a kernel up to which its axes share one basis: chosen functions need not form a box then."""

KERNELS = frozenset({Kind.CONV, Kind.DEPTHWISE, Kind.CONV_TRANSPOSE})


@dataclass(frozen=True)
class Axis:
    """An axis of the grid that is cut into blocks of `length` weights, each a signal.

    at      position in the grid
    parts   the shape that a block has in the weight: (3, 3) for a kernel whose axes are seen together
    """

    at: int
    parts: Shape

    @property
    def length(self) -> int:
        return prod(self.parts)


@dataclass(frozen=True)
class View:
    """A weight reshaped to `grid`, with the axes along which it is filtered, in rising order."""

    grid: Shape
    axes: tuple[Axis, ...]

    def blocks(self, axis: Axis) -> int:
        """Blocks along an axis; the last one may be longer than what is left of the weight."""
        return -(-self.grid[axis.at] // axis.length)

    @property
    def padded(self) -> Shape:
        """The grid with whole blocks."""
        sizes = list(self.grid)
        for axis in self.axes:
            sizes[axis.at] = self.blocks(axis) * axis.length
        return tuple(sizes)


def view_of(layer: Layer, along: str, block: int) -> View:
    """How the weight of a layer is filtered. Raises LayerSkipped where there is no signal.

    Case 1  kernels of up to JOINT weights: one line a kernel, all its axes at once
    Case 2  longer kernels: each of their axes, in blocks
    Case 3  other weights: rows (the last axis), columns (the one before) or both, in blocks; axes of one element do
            not count
    """
    if layer.kind in KERNELS:
        return _kernel_view(layer, block)
    sizes = tuple(size for size in layer.shape if size != 1)
    if not sizes:
        raise LayerSkipped("a single weight is no signal")
    if along != "rows" and len(sizes) < 2:
        raise LayerSkipped("the weight is a single line", do="filter along rows")
    if along == "rows":
        grid = (prod(sizes[:-1]), sizes[-1]) if len(sizes) > 1 else sizes
        return View(grid, (_axis(grid, len(grid) - 1, block),))
    grid = (prod(sizes[:-2]), *sizes[-2:]) if len(sizes) > 2 else sizes
    rows, columns = _axis(grid, len(grid) - 2, block), _axis(grid, len(grid) - 1, block)
    return View(grid, (rows,) if along == "columns" else (rows, columns))


def _kernel_view(layer: Layer, block: int) -> View:
    kernel = tuple(size for size in layer.shape[2:] if size > 1)
    if not kernel:
        shown = " x ".join(map(str, layer.shape[2:])) or "1"
        raise LayerSkipped(f"its kernels are {shown}: one weight is no signal")
    count = prod(layer.shape[:2])
    if prod(kernel) <= JOINT:
        return View((count, prod(kernel)), (Axis(1, kernel),))
    grid = (count, *kernel)
    return View(grid, tuple(_axis(grid, at, block) for at in range(1, len(grid))))


def _axis(grid: Shape, at: int, block: int) -> Axis:
    """Blocks of about equal length, at most `block`, so that little is added at the end."""
    blocks = max(1, -(-grid[at] // block))
    return Axis(at, (max(1, -(-grid[at] // blocks)),))


def joint(matrices: Sequence[Array]) -> Array:
    """The matrix of an axis from those of its parts (Kronecker product)."""
    return reduce(np.kron, matrices)


def pieces(values: Array, view: View, context: Context, span: tuple[float, float] = (0.0, 1.0)) -> Iterator[Array]:
    """Parts of the weight along the grid's first axis, whole blocks each, padded at the ends by repeating the last
    weight; reports progress and looks at the cancel flag at each."""
    grid = values.reshape(view.grid)
    reporter = context.reporter.part(*span)
    unit = view.axes[0].length if view.axes[0].at == 0 else 1
    step = unit * max(1, CHUNK * view.grid[0] // (max(1, values.size) * unit))
    for start in range(0, view.grid[0], step):
        reporter.report(start / view.grid[0])
        piece = grid[start : start + step]
        missing = [(0, whole - size) for size, whole in zip(view.grid, view.padded, strict=True)]
        missing[0] = (0, -piece.shape[0] % unit)
        yield np.pad(piece, missing, mode="edge") if any(after for _, after in missing) else piece


def multiply(piece: Array, view: View, matrices: Sequence[Array]) -> Array:
    """A piece times a matrix (taken, given) on each axis of the view, from the last to the first."""
    for axis, matrix in zip(reversed(view.axes), reversed(matrices), strict=True):
        taken, given = matrix.shape
        sizes = piece.shape
        blocks = sizes[axis.at] // taken
        after = prod(sizes[axis.at + 1 :])
        if after == 1:
            product = piece.reshape(-1, taken) @ matrix
        else:
            product = np.matmul(matrix.T, piece.reshape(-1, taken, after))
        piece = product.reshape(*sizes[: axis.at], blocks * given, *sizes[axis.at + 1 :])
    return piece


def transform(
    values: Array,
    view: View,
    matrices: Sequence[Array],
    context: Context,
    look: Callable[[Array], None] = lambda piece: None,
    span: tuple[float, float] = (0.0, 1.0),
) -> Array:
    """Coefficients of the whole weight, float32: the grid with blocks x given on each axis of the view.

    look  is shown each piece of them while it is fresh
    """
    narrow = [matrix.astype(np.float32) for matrix in matrices]
    shape = list(view.padded)
    for axis, matrix in zip(view.axes, matrices, strict=True):
        shape[axis.at] = view.blocks(axis) * matrix.shape[1]
    out, done = np.empty(shape, np.float32), 0
    for piece in pieces(values, view, context, span):
        made = multiply(piece, view, narrow)
        look(made)
        out[done : done + made.shape[0]] = made
        done += made.shape[0]
    return out


def energy_table(piece: Array, view: View) -> Array:
    """Sum of squares of each combination of basis functions, float64, one axis for each axis of the view.

    piece  of full coefficients, as `transform` shows them
    """
    split: list[int] = []
    functions = []
    lengths = {axis.at: axis.length for axis in view.axes}
    for at, size in enumerate(piece.shape):
        if at in lengths:
            split.append(size // lengths[at])
            functions.append(len(split))
            split.append(lengths[at])
        else:
            split.append(size)
    others = tuple(axis for axis in range(len(split)) if axis not in functions)
    squares = np.square(piece.reshape(split), dtype=np.float64)
    return np.asarray(squares.sum(axis=others))
