"""Two thin factors instead of one matrix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from core.encoding.base import Array, Emitter, Encoding, Shape, count, emit_reshape
from core.encoding.factored import FactorAxes, Factored
from core.errors import InternalError


@dataclass(frozen=True, eq=False)
class LowRank(Factored):
    """value = left @ right (MatMul), reshaped to `shape`.

    left   (..., m, r); axes before the last two count matrices that are factorised one by one
    right  (..., r, n), the same axes before
    shape  the weight's shape, ... * m * n elements
    by     what the error was weighted by ("inputs", "input squares"), or ""; for `describe`

    A runtime may sum the products in another order than numpy, so values agree to rounding (about 1e-6 relative), not
    to the bit. The exporter writes Linear and Embedding uses as two layers and needs no product at all.
    """

    left: Encoding
    right: Encoding
    shape: Shape
    by: str = ""

    def __post_init__(self) -> None:
        left, right = self.left.shape, self.right.shape
        fits = len(left) == len(right) >= 2 and left[-1] == right[-2] and left[:-2] == right[:-2]
        if not fits or count(self.product_shape) != count(self.shape):
            raise InternalError(f"factors of shapes {left} and {right} do not give a weight of shape {self.shape}")

    @property
    def product_shape(self) -> Shape:
        """Shape of left @ right."""
        return (*self.left.shape[:-1], self.right.shape[-1])

    @property
    def rank(self) -> int:
        return self.left.shape[-1]

    def decode(self) -> Array:
        return np.matmul(self.left.decode(), self.right.decode()).reshape(self.shape)

    @property
    def nbytes(self) -> int:
        return self.left.nbytes + self.right.nbytes

    def emit_as(self, out: Emitter, shape: Shape) -> str:
        product = out.node("MatMul", [self.left.emit(out), self.right.emit(out)])
        return product if shape == self.product_shape else emit_reshape(out, product, shape)

    @property
    def children(self) -> tuple[Encoding, ...]:
        return (self.left, self.right)

    def with_children(self, children: Sequence[Encoding]) -> Self:
        left, right = children
        return replace(self, left=left, right=right)

    @property
    def factor_axes(self) -> tuple[FactorAxes, ...]:
        last = len(self.left.shape) - 1
        before = tuple(range(last - 1))
        return ((*before, last - 1), last), ((*before, last), last - 1)

    def describe(self) -> str:
        return f"rank {self.rank}{f' by {self.by}' if self.by else ''}{self.stored_as()}"
