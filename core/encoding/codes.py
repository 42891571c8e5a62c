"""Small integers, packed to the bit."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from core.encoding.base import FLOAT, INT32, UINT8, Array, Emitter, Encoding, Shape, emit_reshape
from core.encoding.packing import PLANES, pack, packed_bytes, stored_bits
from core.errors import InternalError


@dataclass(frozen=True, eq=False)
class Codes(Encoding):
    """A leaf of integers of 1 to 8 bits, which decode to the same numbers as float32.

    values  uint8 below 2**bits, of any shape; int8 when `signed`, which needs 8 bits
    bits    1 to 8: the file holds size * bits / 8 bytes, rounded up; one byte each where packing does not pay

    8 bits, and few codes of any bits, are emitted as they are and a Cast. Others need opset 11: BitShift, Mod, Reshape,
    (Slice, Reshape), Cast; codes of several planes BitShift, BitShift, MatMulInteger and the same from there.
    """

    values: Array = field(repr=False)
    bits: int
    signed: bool = False
    shape: Shape = field(init=False)

    def __post_init__(self) -> None:
        values = self.values
        if not 1 <= self.bits <= 8 or (self.signed and self.bits != 8):
            raise InternalError(f"there are no {'signed ' if self.signed else ''}codes of {self.bits} bits")
        if values.dtype != (np.int8 if self.signed else np.uint8):
            raise InternalError(f"codes are {values.dtype}, expected {'int8' if self.signed else 'uint8'}")
        if self.bits < 8 and values.size and values.max() >> self.bits:
            raise InternalError(f"code {values.max()} does not fit in {self.bits} bits")
        object.__setattr__(self, "shape", values.shape)

    def decode(self) -> Array:
        return self.values.astype(np.float32)

    @property
    def nbytes(self) -> int:
        return packed_bytes(self.values.size, self.stored_bits)

    @property
    def stored_bits(self) -> int:
        """Bits that each code takes in the file."""
        return stored_bits(self.values.size, self.bits)

    def emit_as(self, out: Emitter, shape: Shape) -> str:
        return self.emit_cast(out, shape, FLOAT)

    def emit_cast(self, out: Emitter, shape: Shape, to: int) -> str:
        """Emit the codes as values of the ONNX element type `to` (FLOAT or INT32)."""
        if self.stored_bits == 8:
            return out.node("Cast", [out.tensor(self.values.reshape(shape))], to=to)
        name, dtype = self._emit_unpack(out)
        name = self._emit_trim(out, name, shape)
        return name if dtype == to else out.node("Cast", [name], to=to)

    def _emit_unpack(self, out: Emitter) -> tuple[str, int]:
        """The segments of codes with their padding, and their element type: UINT8, or INT32 when summed from planes."""
        width, planes = PLANES[self.bits]
        packed = pack(self.values, self.bits)
        shifts = np.arange(0, 8, width, dtype=np.uint8)
        if planes == 1:
            stored, right = out.tensor(packed[0]), out.constant(shifts[::-1].reshape(-1, 1))
            digits = out.node("BitShift", [stored, right], direction="RIGHT")
            return out.node("Mod", [digits, out.constant(np.array(1 << width, np.uint8))]), UINT8
        # Mod is 25 bytes shorter in the file than a second shift, but slower: too slow for several planes.
        lifted = out.node("BitShift", [out.tensor(packed), out.constant(shifts.reshape(-1, 1, 1))], direction="LEFT")
        digits = out.node("BitShift", [lifted, out.constant(np.array(8 - width, np.uint8))], direction="RIGHT")
        places = out.constant(np.array([[1 << (width * plane) for plane in range(planes)]], np.uint8))
        return out.node("MatMulInteger", [places, digits]), INT32

    def _emit_trim(self, out: Emitter, name: str, shape: Shape) -> str:
        """Reshape to `shape`, cutting the padding off."""
        size = self.values.size
        if size * PLANES[self.bits][0] % 8 == 0:
            return emit_reshape(out, name, shape)
        flat = emit_reshape(out, name, (-1,))
        cut = out.node("Slice", [flat, out.constant(np.zeros(1, np.int64)), out.constant(np.array([size], np.int64))])
        return cut if shape == (size,) else emit_reshape(out, cut, shape)

    @property
    def min_opset(self) -> int:
        return 7 if self.stored_bits == 8 else 11

    def levels(self) -> Array | None:
        used = np.zeros(256, bool)
        used[self.values.view(np.uint8)] = True
        return np.sort(np.flatnonzero(used).astype(np.uint8).view(self.values.dtype)).astype(np.float32)

    def describe(self) -> str:
        return f"int{self.bits}"
