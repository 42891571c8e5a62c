"""Uniform quantization: codes, a scale and an offset, for the whole weight, for each channel or for each block."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from core.encoding.base import Array, Emitter, Encoding, Shape, emit_reshape
from core.encoding.codes import Codes
from core.encoding.floats import Float
from core.errors import InternalError

_NODE = 40  # bytes that one more node costs, roughly: what a smaller zero point must save


@dataclass(frozen=True, eq=False)
class Affine(Encoding):
    """value = (child - zero_point) * scale.

    child        codes, or anything that decodes to them
    scale        float32; size 1 (whole weight), or of the child's rank with the child's size or 1 on every axis
                 (`channels` makes that shape); with blocks, ceil(size / block) on `axis`
    zero_point   like scale, or None for zero. Whole numbers 0..255 are stored in as few bits as
                 pay; one number for all is a constant of the Sub node
    axis, block  the scale changes every `block` elements along `axis`, the last block may be shorter; 0: no blocks
    scale_dtype  how the scales are stored: "float32" or "float16" (then the scales are the rounded ones)

    Emitted as (Sub,) Mul on what the child gives; blocks that divide the axis add two Reshapes, others repeat the
    scales (Expand, Reshape, Slice).
    """

    child: Encoding
    scale: Array = field(repr=False)
    zero_point: Array | None = field(default=None, repr=False)
    axis: int | None = None
    block: int = 0
    scale_dtype: Literal["float32", "float16"] = "float32"
    shape: Shape = field(init=False)
    stored_scale: Float = field(init=False, repr=False)
    stored_zero_point: Encoding | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        shape = self.child.shape
        if self.block and (self.axis is None or not 0 <= self.axis < len(shape)):
            raise InternalError(f"blocks of {self.block} need an axis of the shape {shape}, not {self.axis}")
        scale = self._check_shape("scale", self.scale)
        zero_point = None if self.zero_point is None else self._check_shape("zero point", self.zero_point)
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "stored_scale", Float(scale, self.scale_dtype))
        object.__setattr__(self, "stored_zero_point", None if zero_point is None else _compact(zero_point))

    def _check_shape(self, what: str, values: Array) -> Array:
        """The array as float32 of rank 0 (one value for all) or of the child's rank."""
        values = np.asarray(values, np.float32)
        if values.size == 1:
            return values.reshape(())
        allowed = [{1, size} for size in self.child.shape]
        if self.block and self.axis is not None:
            allowed[self.axis] = {1, -(-self.child.shape[self.axis] // self.block)}
        if values.ndim != len(allowed) or any(n not in ok for n, ok in zip(values.shape, allowed, strict=True)):
            blocks = f" in blocks of {self.block} along axis {self.axis}" if self.block else ""
            raise InternalError(f"{what} of shape {values.shape} does not fit codes of {self.child.shape}{blocks}")
        return values

    @property
    def _in_blocks(self) -> bool:
        """Whether the scale or the zero point really changes along the blocked axis."""
        return self.block > 0 and any(_size_along(part, self.axis) > 1 for part in self._parts)

    @property
    def _parts(self) -> tuple[Encoding, ...]:
        return (self.stored_scale,) if self.stored_zero_point is None else (self.stored_scale, self.stored_zero_point)

    @property
    def _even(self) -> bool:
        return self.axis is None or self.shape[self.axis] % self.block == 0

    def _blocked_shape(self) -> Shape:
        """The weight's shape with the blocked axis split in two."""
        axis = self.axis or 0
        return (*self.shape[:axis], self.shape[axis] // self.block, self.block, *self.shape[axis + 1 :])

    def decode(self) -> Array:
        value = self.child.decode()
        if self._in_blocks and self._even:
            value = value.reshape(self._blocked_shape())
        if self.stored_zero_point is not None:
            zero_point = self._spread(self.stored_zero_point)
            value = np.subtract(value, zero_point, out=value if value.flags.writeable else None)
        value = np.multiply(value, self._spread(self.stored_scale), out=value if value.flags.writeable else None)
        return np.asarray(value).reshape(self.shape)

    def _spread(self, part: Encoding) -> Array:
        """Scales or zero points in a shape that broadcasts with the child (where blocks are even: in blocked shape)."""
        values = part.decode()
        if self.axis is None or not self._in_blocks or values.ndim == 0:
            return values
        if self._even:
            return np.expand_dims(values, self.axis + 1)
        if values.shape[self.axis] == 1:
            return values
        whole = np.repeat(values, self.block, self.axis)
        return whole[(slice(None),) * self.axis + (slice(self.shape[self.axis]),)]

    @property
    def nbytes(self) -> int:
        one_offset = self.stored_zero_point is not None and self.stored_zero_point.shape == ()
        return self.child.nbytes + sum(part.nbytes for part in (self._parts[:1] if one_offset else self._parts))

    def emit_as(self, out: Emitter, shape: Shape) -> str:
        if self._in_blocks and self._even:
            inner = self._blocked_shape()
        elif all(part.shape == () for part in self._parts):
            inner = shape  # one value for all broadcasts with any shape
        else:
            inner = self.shape
        value = self.child.emit_as(out, inner)
        if self.stored_zero_point is not None:
            value = out.node("Sub", [value, self._emit_spread(out, self.stored_zero_point)])
        value = out.node("Mul", [value, self._emit_spread(out, self.stored_scale)])
        return value if inner == shape else emit_reshape(out, value, shape)

    def _emit_spread(self, out: Emitter, part: Encoding) -> str:
        """The same as `_spread`, in nodes."""
        if part is self.stored_zero_point and part.shape == ():
            return out.constant(part.decode())
        axis = self.axis
        if axis is None or not self._in_blocks or part.shape == ():
            return part.emit(out)
        split = (*part.shape[: axis + 1], 1, *part.shape[axis + 1 :])
        if self._even:
            return part.emit_as(out, split)
        if part.shape[axis] == 1:
            return part.emit(out)
        repeated = (*part.shape[: axis + 1], self.block, *part.shape[axis + 1 :])
        joined = (*part.shape[:axis], part.shape[axis] * self.block, *part.shape[axis + 1 :])
        value = out.node("Expand", [part.emit_as(out, split), out.constant(np.array(repeated, np.int64))])
        value = emit_reshape(out, value, joined)
        start, stop, along = (out.constant(np.array([n], np.int64)) for n in (0, self.shape[axis], axis))
        return out.node("Slice", [value, start, stop, along])

    @property
    def min_opset(self) -> int:
        repeats = self._in_blocks and not self._even  # Slice with inputs
        return max(10 if repeats else 7, *(part.min_opset for part in (self.child, *self._parts)))

    @property
    def children(self) -> tuple[Encoding, ...]:
        return (self.child,)

    def levels(self) -> Array | None:
        codes = self.child.levels()
        if codes is None or any(part.shape != () for part in self._parts):
            return None
        zero_point = 0 if self.stored_zero_point is None else self.stored_zero_point.decode()
        return np.unique((codes - np.float32(zero_point)) * self.stored_scale.decode())

    def describe(self) -> str:
        if self._in_blocks:
            where = f"in blocks of {self.block}"
        else:
            where = "per tensor" if self.stored_scale.shape == () else "per channel"
        return f"{self.child.describe()} {where}"

    @staticmethod
    def channels(values: Array, rank: int, axis: int) -> Array:
        """One value per channel, (n,), in the shape that broadcasts along `axis` of a weight of this rank."""
        return values.reshape((1,) * axis + (-1,) + (1,) * (rank - axis - 1))


def _size_along(part: Encoding, axis: int | None) -> int:
    return part.shape[axis] if axis is not None and part.shape else 1


def _compact(zero_point: Array) -> Encoding:
    """The encoding of a float32 zero point with the fewest bytes, nodes included."""
    if zero_point.size and (zero_point == zero_point.flat[0]).all():
        return Float(zero_point.flat[:1].reshape(()))
    plain = Float(zero_point)
    if not zero_point.size or zero_point.min() < 0 or zero_point.max() > 255:
        return plain
    whole = zero_point.astype(np.uint8)
    if (whole != zero_point).any():
        return plain
    bits = max(1, int(whole.max()).bit_length())
    choices = [(plain, 0), (Codes(whole, 8), _NODE), (Codes(whole, bits), 5 * _NODE)]
    return min(choices, key=lambda choice: choice[0].nbytes + choice[1])[0]
