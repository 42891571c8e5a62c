"""A weight in two parts that are added: most of it in few bits, and what those miss of a few weights."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from core.encoding.base import Array, Emitter, Encoding, Shape
from core.encoding.sparse import Sparse
from core.errors import InternalError


@dataclass(frozen=True, eq=False)
class Sum(Encoding):
    """value = dense + outliers (Add).

    dense     all weights, in few bits
    outliers  for a few weights, what `dense` lacks of them

    Source: Dettmers et al., "SpQR", ICLR 2024; Kim et al., "SqueezeLLM", ICML 2024.
    """

    dense: Encoding
    outliers: Sparse
    shape: Shape = field(init=False)

    def __post_init__(self) -> None:
        if self.dense.shape != self.outliers.shape or self.outliers.fill:
            raise InternalError(f"a sum of parts of shapes {self.dense.shape} and {self.outliers.shape}")
        object.__setattr__(self, "shape", self.dense.shape)

    def decode(self) -> Array:
        value = self.dense.decode()
        return np.add(value, self.outliers.decode(), out=value if value.flags.writeable else None)

    @property
    def nbytes(self) -> int:
        return self.dense.nbytes + self.outliers.nbytes

    def emit_as(self, out: Emitter, shape: Shape) -> str:
        dense = self.dense.emit_as(out, shape)
        return out.node("Add", [dense, self.outliers.emit_as(out, shape)])

    @property
    def children(self) -> tuple[Encoding, ...]:
        return (self.dense, self.outliers)

    def describe(self) -> str:
        return f"{self.dense.describe()} + {100 * self.outliers.kept / max(1, self.n_weights):.2g} % apart"
