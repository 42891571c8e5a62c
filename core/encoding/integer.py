"""Weights that a layer multiplies as integers: 8-bit codes, and how the layer's inputs become integers as it runs.

Where the layer's uses can be rewritten (`exporting.uses`), the runtime multiplies codes; anywhere else the weight is
rebuilt as float from the same codes. `decode` is the weight that both mean.
Source: Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference",
CVPR 2018.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np

from core.encoding.affine import Affine
from core.encoding.base import Array
from core.encoding.codes import Codes
from core.encoding.run_time import RunTimeForm
from core.errors import InternalError

HIGHEST = 255
"""Largest code of a rounded value; the smallest is 0. ONNX Runtime's fast kernels multiply uint8 values by int8 weights
(int8 by int8 takes ten times as long on x86), and it turns int8 values into uint8 itself where it can."""
UNSIGNED_ZERO = 128
"""The zero point of weights whose codes are stored as uint8."""


@dataclass(frozen=True)
class Levels:
    """How a value of the graph is rounded to uint8: code = clip(round(value / scale) + zero, 0, 255).

    scale  a positive float32 number
    """

    scale: float
    zero: int

    @classmethod
    def of_range(cls, low: float, high: float) -> Levels:
        """The levels that cover low..high, widened to hold zero, which is a level itself; of an empty range: step 1."""
        low, high = min(low, 0.0), max(high, 0.0)
        scale = float(np.float32((high - low) / HIGHEST))
        if not np.isfinite(scale):
            raise InternalError(f"a range from {low:g} to {high:g} has no levels")
        if scale < np.finfo(np.float32).tiny:
            return cls(1.0, 0)
        return cls(scale, int(np.clip(np.rint(-low / scale), 0, HIGHEST)))

    @property
    def low(self) -> float:
        """The smallest value that is not cut off."""
        return -self.zero * self.scale

    @property
    def high(self) -> float:
        """The largest value that is not cut off."""
        return (HIGHEST - self.zero) * self.scale


@dataclass(frozen=True, eq=False)
class Integer(RunTimeForm):
    """A weight as int8 codes with a scale for the whole weight or for each channel, multiplied as integers.

    weight    Affine over signed 8-bit codes, without zero points and blocks, with float32 scales
    unsigned  the rewritten uses store the codes as uint8, 128 higher. Without VNNI instructions a processor adds pairs
              of products uint8 x int8 in 16 bits, which full int8 codes overflow; uint8 x uint8 is summed in 32
    """

    unsigned: bool = field(default=False, kw_only=True)

    def check(self) -> None:
        weight = self.weight
        signed = isinstance(weight.child, Codes) and weight.child.signed
        if not signed or weight.block or weight.zero_point is not None or weight.scale_dtype != "float32":
            raise InternalError(f"{weight.describe()} cannot be multiplied as integers")

    @property
    def codes(self) -> Array:
        """int8, of the weight's shape."""
        child = self.weight.child
        if not isinstance(child, Codes):
            raise InternalError("the codes are missing")
        return child.values

    @property
    def channel_axis(self) -> int | None:
        """The axis along which the scale changes; None when there is one scale."""
        axes = [axis for axis, size in enumerate(self.weight.stored_scale.shape) if size > 1]
        return axes[0] if axes else None

    def scales(self, axis: int) -> Array:
        """(channels,) float32: one scale for each place on `axis`, the only one along which it may change."""
        if self.channel_axis not in (None, axis):
            raise InternalError(f"the scale changes along axis {self.channel_axis}, not {axis}")
        return np.broadcast_to(self.weight.stored_scale.decode().reshape(-1), (self.shape[axis],)).astype(np.float32)

    def stored_codes(self, negated: Array | None = None) -> tuple[Array, Array]:
        """Codes as the rewritten uses store them, int8 or uint8 of the weight's shape, and their zero point, rank 0.

        negated  codes that are multiplied by -1 (True), of a shape that broadcasts
        """
        codes = self.codes if negated is None else np.where(negated, -self.codes, self.codes)
        if self.unsigned:
            return (codes.astype(np.int16) + UNSIGNED_ZERO).astype(np.uint8), np.array(UNSIGNED_ZERO, np.uint8)
        return codes, np.array(0, np.int8)

    def with_weight(self, weight: Affine) -> Self:
        """The same with another weight."""
        return replace(self, weight=weight)

    @property
    def rounds_inputs(self) -> bool:
        return True

    def levels(self) -> Array | None:
        return self.weight.levels()


@dataclass(frozen=True, eq=False)
class Dynamic(Integer):
    """The layer's inputs are rounded to 8 bits by the range that they have in each run."""

    @property
    def min_opset(self) -> int:
        return 11  # DynamicQuantizeLinear

    def describe(self) -> str:
        return "dynamic int8"


@dataclass(frozen=True, eq=False)
class Static(Integer):
    """The layer's inputs, and what a convolution gives, are rounded to 8 bits by ranges that were measured before.

    input, output  levels of the first node that uses the weight; the output behind a folded batch norm
    """

    input: Levels = Levels(1.0, 0)
    output: Levels = Levels(1.0, 0)

    @property
    def min_opset(self) -> int:
        return 13  # DequantizeLinear by channel

    def describe(self) -> str:
        return "static int8"
