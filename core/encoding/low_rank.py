"""Two thin factors instead of one matrix."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.encoding.base import Array, Emitter, Encoding, Shape, count, emit_reshape
from core.errors import InternalError


@dataclass(frozen=True, eq=False)
class LowRank(Encoding):
    """value = left @ right (MatMul), reshaped to `shape`.

    left   (m, r)
    right  (r, n)
    shape  the weight's shape, m * n elements

    A runtime may sum the products in another order than numpy, so values agree to rounding (about 1e-6 relative), not
    to the bit. The exporter writes Linear uses as two layers and needs no product at all.
    """

    left: Encoding
    right: Encoding
    shape: Shape

    def __post_init__(self) -> None:
        left, right = self.left.shape, self.right.shape
        fits = len(left) == 2 and len(right) == 2 and left[1] == right[0]
        if not fits or left[0] * right[1] != count(self.shape):
            raise InternalError(f"factors of shapes {left} and {right} do not give a weight of shape {self.shape}")

    @property
    def rank(self) -> int:
        return self.left.shape[1]

    def decode(self) -> Array:
        return np.matmul(self.left.decode(), self.right.decode()).reshape(self.shape)

    @property
    def nbytes(self) -> int:
        return self.left.nbytes + self.right.nbytes

    def emit_as(self, out: Emitter, shape: Shape) -> str:
        product = out.node("MatMul", [self.left.emit(out), self.right.emit(out)])
        return product if shape == (self.left.shape[0], self.right.shape[1]) else emit_reshape(out, product, shape)

    @property
    def children(self) -> tuple[Encoding, ...]:
        return (self.left, self.right)

    def describe(self) -> str:
        inner = dict.fromkeys(child.describe() for child in self.children)
        stored = "" if tuple(inner) == ("float32",) else " · " + " and ".join(inner)
        return f"rank {self.rank}{stored}"
