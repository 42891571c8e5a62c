"""Weights that share a few values: a code for each weight and a table of levels."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from core.encoding.base import FLOAT, INT32, Array, Emitter, Encoding, Shape
from core.encoding.codes import Codes
from core.encoding.floats import Float
from core.errors import InternalError


@dataclass(frozen=True, eq=False)
class Codebook(Encoding):
    """value = table[code] (Gather).

    codes        unsigned codes below the number of levels, of the weight's shape
    table        1 to 256 levels, float32
    table_dtype  how the levels are stored: "float32" or "float16" (then the levels are the rounded ones)
    shared       the table is a given one, which a graph holds once for all weights that use it; it then counts in
                 `shared_bytes`, not in `nbytes`

    Source: Han, Mao, Dally, "Deep Compression", ICLR 2016.
    """

    codes: Codes
    table: Array = field(repr=False)
    table_dtype: Literal["float32", "float16"] = "float32"
    shared: bool = False
    shape: Shape = field(init=False)
    stored_table: Float = field(init=False, repr=False)

    def __post_init__(self) -> None:
        table = self.table
        if table.ndim != 1 or not 1 <= table.size <= 256:
            raise InternalError(f"a codebook has 1 to 256 levels, not an array of shape {table.shape}")
        if self.codes.signed or (self.codes.n_weights and int(self.codes.values.max()) >= table.size):
            raise InternalError(f"codes point outside the table of {table.size} levels")
        object.__setattr__(self, "shape", self.codes.shape)
        object.__setattr__(self, "stored_table", Float(np.asarray(table, np.float32), self.table_dtype))

    def decode(self) -> Array:
        return self.stored_table.decode()[self.codes.values]

    @property
    def nbytes(self) -> int:
        return self.codes.nbytes + (0 if self.shared else self.stored_table.nbytes)

    @property
    def shared_bytes(self) -> int:
        return self.stored_table.nbytes if self.shared else 0

    def emit_as(self, out: Emitter, shape: Shape) -> str:
        return out.node("Gather", [self._emit_table(out), self.codes.emit_cast(out, shape, INT32)])

    def _emit_table(self, out: Emitter) -> str:
        if not self.shared:
            return self.stored_table.emit(out)
        table = out.constant(self.stored_table.stored)
        return table if self.table_dtype == "float32" else out.node("Cast", [table], to=FLOAT)

    @property
    def children(self) -> tuple[Encoding, ...]:
        return (self.codes,)

    def levels(self) -> Array | None:
        return np.unique(self.stored_table.decode())

    def describe(self) -> str:
        return f"{self.table.size} levels"
