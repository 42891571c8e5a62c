"""Floating point weights: float32 as they are, or rounded to float16 or bfloat16."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import InitVar, dataclass, field
from typing import Literal

import numpy as np

from core.encoding.base import FLOAT, Array, Emitter, Encoding, Shape
from core.errors import InternalError, LayerSkipped

FloatType = Literal["float32", "float16", "bfloat16"]
_CHUNK = 1 << 20  # elements that are rounded at a time: bounds the temporaries
_LARGEST = {"float16": 65504.0, "bfloat16": 3.3895314e38}


@dataclass(frozen=True, eq=False)
class Float(Encoding):
    """A leaf of floating point numbers.

    values  float32 of any shape (given to the constructor, not kept)
    dtype   "float32", "float16" or "bfloat16" (needs opset 13)
    stored  the values for "float32", else rounded to nearest even: float16, or bfloat16 as uint16 bit patterns

    Raises LayerSkipped when a finite value is too large for the type: it would silently become infinite.
    """

    values: InitVar[Array]
    dtype: FloatType = "float32"
    shape: Shape = field(init=False)
    stored: Array = field(init=False, repr=False)

    def __post_init__(self, values: Array) -> None:
        if values.dtype != np.float32:
            raise InternalError(f"Float takes float32 values, not {values.dtype}")
        if self.dtype != "float32" and self.dtype not in _ROUND:
            raise InternalError(f"there is no Float type {self.dtype!r}")
        object.__setattr__(self, "shape", values.shape)
        object.__setattr__(self, "stored", values if self.dtype == "float32" else _ROUND[self.dtype](values))

    def decode(self) -> Array:
        if self.dtype == "float16":
            return self.stored.astype(np.float32)
        if self.dtype == "bfloat16":
            wide = self.stored.astype(np.uint32)
            wide <<= 16
            return wide.view(np.float32)
        view = self.stored.view()
        view.flags.writeable = False
        return view

    @property
    def nbytes(self) -> int:
        return self.n_weights * (4 if self.dtype == "float32" else 2)

    def emit_as(self, out: Emitter, shape: Shape) -> str:
        name = out.tensor(self.stored.reshape(shape), self.dtype)
        return name if self.dtype == "float32" else out.node("Cast", [name], to=FLOAT)

    @property
    def min_opset(self) -> int:
        return 13 if self.dtype == "bfloat16" else 7

    def describe(self) -> str:
        return self.dtype


def to_float16(values: Array) -> Array:
    """Rounded to the nearest float16 (ties to even). LayerSkipped when a finite value overflows."""
    with np.errstate(over="ignore"):
        stored = values.astype(np.float16)
    _refuse_overflow(values, np.isinf(stored), "float16")
    return stored


def to_bfloat16(values: Array) -> Array:
    """uint16 bit patterns of the nearest bfloat16 (ties to even). LayerSkipped when a finite value overflows."""
    flat = np.ascontiguousarray(values).reshape(-1)
    stored = np.empty(flat.size, np.uint16)
    for start in range(0, flat.size, _CHUNK):
        bits = flat[start : start + _CHUNK].view(np.uint32)
        part = bits >> 16
        part &= 1
        part += 0x7FFF
        part += bits  # a carry out of a NaN's mantissa is mended below
        part >>= 16
        nan = np.isnan(flat[start : start + _CHUNK])
        if nan.any():
            part[nan] = (bits[nan] >> 16) | 0x40
        stored[start : start + _CHUNK] = part
    stored = stored.reshape(values.shape)
    _refuse_overflow(values, (stored & 0x7FFF) == 0x7F80, "bfloat16")
    return stored


def _refuse_overflow(values: Array, infinite: Array, dtype: str) -> None:
    if not infinite.any():
        return
    too_large = int(np.isfinite(values[infinite]).sum())
    if too_large:
        raise LayerSkipped(
            f"{too_large:,} of {values.size:,} weights are too large for {dtype} (at most {_LARGEST[dtype]:g})"
        )


_ROUND: dict[str, Callable[[Array], Array]] = {"float16": to_float16, "bfloat16": to_bfloat16}
