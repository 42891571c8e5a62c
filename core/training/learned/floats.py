"""Floating point values in training."""

from __future__ import annotations

import torch
from torch import Tensor

from core.encoding import Encoding, Float
from core.encoding.floats import FloatType
from core.interpreter.tensors import straight
from core.training.learned.base import Grid, to_numpy

_TYPES: dict[FloatType, torch.dtype] = {"float16": torch.float16, "bfloat16": torch.bfloat16}


def rounded(values: Tensor, dtype: FloatType) -> Tensor:
    """The values as a float of `dtype` holds them (ties to even, too large ones the largest), gradients unchanged."""
    kind = _TYPES.get(dtype)
    if kind is None:
        return values
    limits = torch.finfo(kind)
    return straight(values, values.detach().clamp(limits.min, limits.max).to(kind).float())


class FloatGrid(Grid):
    """float32 as it is; float16 and bfloat16 are rounded to in each step."""

    def __init__(self, encoding: Float) -> None:
        super().__init__()
        self.dtype = encoding.dtype

    def forward(self, wanted: Tensor) -> Tensor:
        return rounded(wanted, self.dtype)

    def encoding(self, wanted: Tensor) -> Encoding:
        return Float(to_numpy(self(wanted)), self.dtype)
