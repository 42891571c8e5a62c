"""Codes of three values, five to a byte: 1.6 bits each."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from core.encoding.base import FLOAT, INT32, Array, Emitter, Encoding, Shape, count, emit_reshape
from core.encoding.codes import Codes
from core.encoding.counting import smallest
from core.errors import InternalError

_DIGITS = 5  # 3^5 = 243 values of 256
_PLACES = np.array([[1], [3], [9], [27], [81]], np.int32)


@dataclass(frozen=True, eq=False)
class Trits(Encoding):
    """A leaf of integers 0, 1 and 2, which decode to the same numbers as float32.

    values  uint8 below 3, of any shape

    The flattened codes are cut into five segments of equal length (the last padded with zeros); byte i holds element i
    of every segment as a number of base 3, the first segment in its lowest place. Emitted as Cast, Div, Mod, Reshape,
    (Slice, Reshape), Cast. Needs opset 10 (Mod, Slice with inputs).
    """

    values: Array = field(repr=False)
    shape: Shape = field(init=False)

    def __post_init__(self) -> None:
        if self.values.dtype != np.uint8 or (self.values.size and self.values.max() > 2):
            raise InternalError("trits are uint8 of 0, 1 and 2")
        object.__setattr__(self, "shape", self.values.shape)

    @classmethod
    def encode(cls, values: Array) -> Encoding:
        """Trits, or codes of 2 bits where those take fewer bytes with the nodes that unpack them (few weights)."""
        return smallest(cls(values), Codes(values, 2))

    def decode(self) -> Array:
        return self.values.astype(np.float32)

    @property
    def nbytes(self) -> int:
        return -(-self.values.size // _DIGITS)

    def packed(self) -> Array:
        """(nbytes,) uint8"""
        digits = np.zeros((_DIGITS, self.nbytes), np.uint8)
        digits.reshape(-1)[: self.values.size] = self.values.reshape(-1)
        packed = digits[-1]
        for place in digits[-2::-1]:
            packed = packed * np.uint8(3) + place
        return packed

    def emit_as(self, out: Emitter, shape: Shape) -> str:
        number = out.node("Cast", [out.tensor(self.packed())], to=INT32)
        digits = out.node("Div", [number, out.constant(_PLACES)])
        digits = out.node("Mod", [digits, out.constant(np.array(3, np.int32))])
        if self.values.size % _DIGITS:
            flat, end = emit_reshape(out, digits, (-1,)), np.array([self.values.size], np.int64)
            digits = out.node("Slice", [flat, out.constant(np.zeros(1, np.int64)), out.constant(end)])
        if self.values.size % _DIGITS == 0 or shape != (count(shape),):
            digits = emit_reshape(out, digits, shape)
        return out.node("Cast", [digits], to=FLOAT)

    @property
    def min_opset(self) -> int:
        return 10

    def levels(self) -> Array | None:
        return np.unique(self.values).astype(np.float32)

    def describe(self) -> str:
        return "ternary"
