"""Coefficients of small basis functions instead of weights."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import prod

import numpy as np

from core.encoding.base import Array, Emitter, Encoding, Shape, count, emit_reshape
from core.encoding.sparse import Sparse
from core.errors import InternalError


@dataclass(frozen=True, eq=False)
class Transformed(Encoding):
    """value = coefficients times a basis (MatMul) along one or several axes, reshaped to `shape`.

    child   coefficients, or anything that decodes to them: of the grid's rank, with blocks x functions on each axis
            that has a basis
    bases   one for each axis of the grid: (functions, length) float32, or None where the axis is stored as it is
    grid    the weight's shape as the bases see it, e.g. (kernels, weights of a kernel); as many elements as `shape`
    shape   of the weight
    name    of the basis, for tables ("DCT")

    An axis is cut into blocks of the basis' length; what the last block has too much is cut off. Axes are rebuilt from
    the last to the first. The bases are constants of the nodes, which all layers with the same one share; they count in
    `shared_bytes`, not in `nbytes`. A runtime may sum the products in another order than numpy, so values agree to
    rounding (about 1e-6 relative), not to the bit.
    """

    child: Encoding
    bases: tuple[Array | None, ...] = field(repr=False)
    grid: Shape
    shape: Shape
    name: str

    def __post_init__(self) -> None:
        wanted = tuple(
            size if basis is None else -(-size // basis.shape[1]) * basis.shape[0]
            for size, basis in zip(self.grid, self.bases, strict=True)
        )
        if self.child.shape != wanted or count(self.grid) != count(self.shape):
            raise InternalError(
                f"coefficients of shape {self.child.shape} do not give {self.grid} for a weight of shape {self.shape}"
            )

    @property
    def kept(self) -> float:
        """Coefficients stored, as a share of the weights."""
        return _stored(self.child) / max(1, self.n_weights)

    def decode(self) -> Array:
        value = self.child.decode()
        for step in self.products():
            value = value.reshape(step.entry)
            value = np.matmul(value, step.matrix) if step.right else np.matmul(step.matrix, value)
        return np.ascontiguousarray(value.reshape(self.padded)[self._crop()]).reshape(self.shape)

    @property
    def nbytes(self) -> int:
        return self.child.nbytes

    @property
    def shared_bytes(self) -> int:
        own = {(step.matrix.shape, step.matrix.tobytes()): step.matrix.nbytes for step in self.products()}
        return self.child.shared_bytes + sum(own.values())

    def emit_as(self, out: Emitter, shape: Shape) -> str:
        steps = self.products()
        current = steps[0].entry if steps else self.padded
        value = self.child.emit_as(out, current)
        for step in steps:
            if current != step.entry:
                value = emit_reshape(out, value, step.entry)
            matrix = out.constant(step.matrix)
            value = out.node("MatMul", [value, matrix] if step.right else [matrix, value])
            current = step.result
        if self.padded != self.grid:
            if current != self.padded:
                value = emit_reshape(out, value, self.padded)
            value, current = self._emit_crop(out, value), self.grid
        return value if current == shape else emit_reshape(out, value, shape)

    def _emit_crop(self, out: Emitter, value: str) -> str:
        axes = [axis for axis, size in enumerate(self.grid) if self.padded[axis] != size]
        ends = [self.grid[axis] for axis in axes]
        return out.node("Slice", [value, *(out.constant(np.array(n, np.int64)) for n in ([0] * len(axes), ends, axes))])

    @property
    def padded(self) -> Shape:
        """The grid with whole blocks."""
        return tuple(
            size if basis is None else -(-size // basis.shape[1]) * basis.shape[1]
            for size, basis in zip(self.grid, self.bases, strict=True)
        )

    def _crop(self) -> tuple[slice, ...]:
        return tuple(slice(size) for size in self.grid)

    def products(self) -> list[Product]:
        """How `decode` rebuilds the weight, from the last axis with a basis to the first; `padded` is then cut to the
        grid."""
        sizes, steps = list(self.child.shape), []
        for axis in reversed(range(len(sizes))):
            basis = self.bases[axis]
            if basis is None:
                continue
            functions, length = basis.shape
            blocks = sizes[axis] // functions
            before, after = prod(sizes[:axis]) * blocks, prod(sizes[axis + 1 :])
            if after == 1:
                step = Product((before, functions), np.ascontiguousarray(basis), True, (before, length))
            else:
                lead = (before,) if before > 1 else ()
                matrix = np.ascontiguousarray(basis.T)
                step = Product((*lead, functions, after), matrix, False, (*lead, length, after))
            steps.append(step)
            sizes[axis] = blocks * length
        return steps

    @property
    def min_opset(self) -> int:
        return max(10 if self.padded != self.grid else 7, self.child.min_opset)  # Slice with inputs

    @property
    def exact(self) -> bool:
        return False

    @property
    def children(self) -> tuple[Encoding, ...]:
        return (self.child,)

    def with_coefficients(self, child: Encoding) -> Transformed:
        """The same basis with coefficients stored in another way."""
        return replace(self, child=child)

    @property
    def function_axis(self) -> int:
        """The last axis of the coefficients along which the basis functions lie."""
        return max((axis for axis, basis in enumerate(self.bases) if basis is not None), default=0)

    def describe(self) -> str:
        inner = self.child.values.describe() if isinstance(self.child, Sparse) else self.child.describe()
        text = f"{100 * self.kept:.3g} % of {self.name}"
        return text if inner == "float32" else f"{text} · {inner}"


@dataclass(frozen=True, eq=False)
class Product:
    """One product: what it takes, the constant, on which side of the value that is, and what it gives."""

    entry: Shape
    matrix: Array
    right: bool
    result: Shape


def _stored(encoding: Encoding) -> int:
    """Numbers that are stored of the coefficients: all, or those that a sparse part keeps."""
    if isinstance(encoding, Sparse):
        return encoding.kept
    return min((_stored(child) for child in encoding.children), default=encoding.n_weights)
