"""Weights of 2, 4 or 8 bits with a scale for each block, which ONNX Runtime reads as they are while the model runs.

Where the uses can be rewritten (`exporting.uses.packed`) they become MatMulNBits or GatherBlockQuantized; anywhere else
the weight is rebuilt as float from the same codes. `decode` is the weight that both mean.
Source: operator definitions of ONNX Runtime's com.microsoft domain, which every stock build has.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from core.encoding.base import Array
from core.encoding.codes import Codes
from core.encoding.run_time import RunTimeForm
from core.errors import InternalError


@dataclass(frozen=True, eq=False)
class Packed(RunTimeForm):
    """A matrix in blocks along its rows: for a Linear layer a row holds the weights of one output, else a token's.

    weight  Affine over unsigned codes with blocks along `weight.axis` and float32 scales; zero points are whole numbers
    """

    def check(self) -> None:
        weight = self.weight
        plain = isinstance(weight.child, Codes) and not weight.child.signed and weight.zero_point is not None
        if not plain or len(weight.shape) != 2 or not weight.block or weight.scale_dtype != "float32":
            raise InternalError(f"{weight.describe()} is no matrix in blocks")

    @property
    def bits(self) -> int:
        return self._codes.bits

    @property
    def block(self) -> int:
        return self.weight.block

    @property
    def _codes(self) -> Codes:
        if not isinstance(self.weight.child, Codes):
            raise InternalError("the codes are missing")
        return self.weight.child

    @property
    def across(self) -> bool:
        """Whether rows run along axis 0 of the stored weight: (inputs, outputs)."""
        return self.weight.axis == 0

    def parts(self) -> tuple[Array, Array, Array | None]:
        """(packed, scales, zero points) as the operators take them, the first code of a byte in its lowest bits.

        packed       (rows, blocks, block * bits / 8) uint8; codes beyond a row's end are 0
        scales       (rows, blocks) float32
        zero points  (rows, bytes of a row's) uint8; None where all are 2 ** (bits - 1), which is what is meant then
        """
        codes = self._rows(self._codes.values)
        rows, length = codes.shape
        blocks = -(-length // self.block)
        full = np.zeros((rows, blocks * self.block), np.uint8)
        full[:, :length] = codes
        scales = np.broadcast_to(self._rows(self.weight.scale), (rows, blocks))
        packed = pack_low_first(full, self.bits).reshape(rows, blocks, -1)
        return packed, np.ascontiguousarray(scales, np.float32), self._packed_zeros(rows, blocks)

    def _rows(self, array: Array) -> Array:
        array = np.asarray(array)
        return np.ascontiguousarray(array.T if self.across else array) if array.ndim else array

    def _packed_zeros(self, rows: int, blocks: int) -> Array | None:
        zeros = self._rows(np.asarray(self.weight.zero_point))
        if (zeros == 1 << (self.bits - 1)).all():
            return None
        return pack_low_first(np.broadcast_to(zeros, (rows, blocks)).astype(np.uint8), self.bits)

    def describe(self) -> str:
        return f"{self.bits} bits in blocks of {self.block}, read as they are"


@dataclass(frozen=True, eq=False)
class PackedLinear(Packed):
    """For MatMulNBits.

    accuracy  "float32", or "int8": the layer's inputs are rounded to 8 bits in blocks of the same size as they come
    """

    accuracy: Literal["float32", "int8"] = "float32"

    @property
    def rounds_inputs(self) -> bool:
        return self.accuracy == "int8"


@dataclass(frozen=True, eq=False)
class PackedEmbedding(Packed):
    """For GatherBlockQuantized: rows are tokens."""


def pack_low_first(codes: Array, bits: int) -> Array:
    """(rows, bytes) uint8 of (rows, n) codes below 2**bits: the first in a byte's lowest bits, zeros at the end."""
    each = 8 // bits
    rows, length = codes.shape
    full = np.zeros((rows, -(-length // each) * each), np.uint8)
    full[:, :length] = codes
    packed = np.zeros((rows, full.shape[1] // each), np.uint8)
    for place in range(each):
        packed |= full[:, place::each] << (bits * place)
    return packed
