"""A weight times a factor for each channel: what a folded batch norm leaves of itself."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from core.encoding.affine import Affine
from core.encoding.base import Array, Emitter, Encoding, Shape
from core.encoding.conv_chain import ConvChain
from core.encoding.floats import Float
from core.encoding.integer import Integer
from core.errors import InternalError


@dataclass(frozen=True, eq=False)
class Scaled(Encoding):
    """value = child * factor (Mul), the factor broadcast along `axis`.

    factor  (channels,) float32
    """

    child: Encoding
    factor: Array = field(repr=False)
    axis: int
    shape: Shape = field(init=False)

    def __post_init__(self) -> None:
        shape = self.child.shape
        if not 0 <= self.axis < len(shape) or self.factor.shape != (shape[self.axis],):
            raise InternalError(f"a factor of shape {self.factor.shape} does not fit axis {self.axis} of {shape}")
        object.__setattr__(self, "shape", shape)

    def _spread(self) -> Array:
        return Affine.channels(np.asarray(self.factor, np.float32), len(self.shape), self.axis)

    def decode(self) -> Array:
        return self.child.decode() * self._spread()

    @property
    def nbytes(self) -> int:
        return self.child.nbytes + 4 * self.factor.size

    def emit_as(self, out: Emitter, shape: Shape) -> str:
        if shape != self.shape:
            raise InternalError(f"a scaled weight of shape {self.shape} is not emitted as {shape}")
        return out.node("Mul", [self.child.emit(out), out.tensor(self._spread())])

    @property
    def children(self) -> tuple[Encoding, ...]:
        return (self.child,)

    def describe(self) -> str:
        return self.child.describe()


def scale_channels(encoding: Encoding, factor: Array, axis: int) -> Encoding:
    """`encoding` times `factor`, (channels,), along `axis`; free where its own numbers can take the factor in.

    Case 1  float32: the numbers themselves
    Case 2  one scale for each channel of the same axis, in float32: the scales, also of weights multiplied as integers
    Case 3  a chain of convolutions along its outputs: the last one
    Case 4  everything else: a multiplication behind it
    """
    factor = np.asarray(factor, np.float32)
    if isinstance(encoding, Float) and encoding.dtype == "float32":
        return Float(encoding.decode() * Affine.channels(factor, len(encoding.shape), axis))
    if absorbs_factor(encoding, axis) and isinstance(encoding, Affine):
        scale = encoding.stored_scale.decode() * Affine.channels(factor, len(encoding.shape), axis)
        return replace(encoding, scale=scale)
    if isinstance(encoding, Integer) and absorbs_factor(encoding, axis):
        scale = encoding.weight.stored_scale.decode() * Affine.channels(factor, len(encoding.shape), axis)
        return encoding.with_weight(replace(encoding.weight, scale=scale))
    if isinstance(encoding, ConvChain) and axis == 0:
        return encoding.with_children((*encoding.factors[:-1], scale_channels(encoding.factors[-1], factor, 0)))
    return Scaled(encoding, factor, axis)


def absorbs_factor(encoding: Encoding, axis: int) -> bool:
    """Whether `scale_channels` along `axis` costs no bytes."""
    if isinstance(encoding, Float):
        return encoding.dtype == "float32"
    if isinstance(encoding, Integer):
        return absorbs_factor(encoding.weight, axis) or (encoding.channel_axis is None and encoding.shape[axis] == 1)
    if isinstance(encoding, ConvChain):
        return axis == 0 and absorbs_factor(encoding.factors[-1], 0)
    if not isinstance(encoding, Affine) or encoding.block or encoding.scale_dtype != "float32":
        return False
    shape = encoding.stored_scale.shape
    per_channel = tuple(size if i == axis else 1 for i, size in enumerate(encoding.shape))
    return shape == per_channel
