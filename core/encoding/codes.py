"""Small integers, packed to the bit."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from core.encoding.base import FLOAT, Array, Emitter, Encoding, Shape, emit_reshape
from core.encoding.packing import PLANES, pack, packed_bytes
from core.errors import InternalError


@dataclass(frozen=True, eq=False)
class Codes(Encoding):
    """A leaf of integers of 1 to 8 bits, which decode to the same numbers as float32.

    values  uint8 below 2**bits, of any shape; int8 when `signed`, which needs 8 bits
    bits    1 to 8: the file holds size * bits / 8 bytes, rounded up

    8 bits are emitted as they are and a Cast; fewer as BitShift, BitShift, (Cast, ReduceSum), Reshape, (Slice), Cast.
    Operators that unpack: opset 11 (BitShift).
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
        return packed_bytes(self.values.size, self.bits)

    def emit_as(self, out: Emitter, shape: Shape) -> str:
        return self.emit_cast(out, shape, FLOAT)

    def emit_cast(self, out: Emitter, shape: Shape, to: int) -> str:
        """Emit the codes as values of the ONNX element type `to` (FLOAT or INT32)."""
        if self.bits == 8:
            return out.node("Cast", [out.tensor(self.values.reshape(shape))], to=to)
        name, is_bytes = self._emit_unpack(out, to)
        name = self._emit_trim(out, name, shape)
        return out.node("Cast", [name], to=to) if is_bytes else name

    def emit_bytes(self, out: Emitter) -> str:
        """Emit codes of 1, 2, 4 or 8 bits as uint8 of shape (size + padding,); the padding is zero."""
        if self.bits == 8:
            return out.tensor(self.values.reshape(-1))
        name, is_bytes = self._emit_unpack(out, FLOAT)
        if not is_bytes:
            raise InternalError(f"codes of {self.bits} bits do not unpack to bytes")
        return emit_reshape(out, name, (-1,))

    def _emit_unpack(self, out: Emitter, to: int) -> tuple[str, bool]:
        """Segments of codes, (8 / plane bits, bytes of a plane), as uint8 (True) or, summed from planes, as `to` (False)."""
        width, planes = PLANES[self.bits]
        packed = pack(self.values, self.bits)
        left = out.tensor(np.arange(0, 8, width, dtype=np.uint8).reshape(-1, 1))
        stored = out.tensor(packed[0] if planes == 1 else packed[:, np.newaxis])
        lifted = out.node("BitShift", [stored, left], direction="LEFT")
        places = 8 - width * np.arange(1, planes + 1, dtype=np.uint8)
        right = out.tensor(places if planes == 1 else places.reshape(-1, 1, 1))
        codes = out.node("BitShift", [lifted, right], direction="RIGHT")
        if planes == 1:
            return codes, True
        wide = out.node("Cast", [codes], to=to)
        if out.opset < 13:
            return out.node("ReduceSum", [wide], axes=(0,), keepdims=0), False
        return out.node("ReduceSum", [wide, out.tensor(np.zeros(1, np.int64))], keepdims=0), False

    def _emit_trim(self, out: Emitter, name: str, shape: Shape) -> str:
        """Reshape to `shape`, cutting the padding off."""
        size = self.values.size
        if size * PLANES[self.bits][0] % 8 == 0:
            return emit_reshape(out, name, shape)
        flat = emit_reshape(out, name, (-1,))
        cut = out.node("Slice", [flat, out.tensor(np.zeros(1, np.int64)), out.tensor(np.array([size], np.int64))])
        return cut if shape == (size,) else emit_reshape(out, cut, shape)

    @property
    def min_opset(self) -> int:
        return 7 if self.bits == 8 else 11

    def levels(self) -> Array | None:
        return np.unique(self.values).astype(np.float32)

    def describe(self) -> str:
        return f"{'int' if self.signed else 'uint'}{self.bits}"
