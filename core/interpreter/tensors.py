"""Arrays and stored tensors as torch tensors. Types of fewer than 8 bits live in the next wider integer."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import torch

from core.errors import ModelFileError

TYPES: dict[ir.DataType, torch.dtype] = {
    ir.DataType.FLOAT: torch.float32,
    ir.DataType.DOUBLE: torch.float64,
    ir.DataType.FLOAT16: torch.float16,
    ir.DataType.BFLOAT16: torch.bfloat16,
    ir.DataType.FLOAT8E4M3FN: torch.float8_e4m3fn,
    ir.DataType.FLOAT8E4M3FNUZ: torch.float8_e4m3fnuz,
    ir.DataType.FLOAT8E5M2: torch.float8_e5m2,
    ir.DataType.FLOAT8E5M2FNUZ: torch.float8_e5m2fnuz,
    ir.DataType.BOOL: torch.bool,
    ir.DataType.INT8: torch.int8,
    ir.DataType.INT16: torch.int16,
    ir.DataType.INT32: torch.int32,
    ir.DataType.INT64: torch.int64,
    ir.DataType.UINT8: torch.uint8,
    ir.DataType.UINT16: torch.uint16,
    ir.DataType.UINT32: torch.uint32,
    ir.DataType.UINT64: torch.uint64,
    ir.DataType.INT4: torch.int8,
    ir.DataType.UINT4: torch.uint8,
    ir.DataType.INT2: torch.int8,
    ir.DataType.UINT2: torch.uint8,
}
"""The torch type that holds each ONNX type."""

NARROW: dict[ir.DataType, tuple[int, int]] = {
    ir.DataType.INT4: (-8, 7), ir.DataType.UINT4: (0, 15), ir.DataType.INT2: (-2, 1), ir.DataType.UINT2: (0, 3),
}  # fmt: skip
"""Smallest and largest value of the types that torch lacks."""

_FLOATS_AS_BITS = (torch.bfloat16, torch.float8_e4m3fn, torch.float8_e4m3fnuz, torch.float8_e5m2, torch.float8_e5m2fnuz)


def torch_type(kind: ir.DataType) -> torch.dtype:
    """The torch type for an ONNX type; ModelFileError for texts, complex numbers and other types without one."""
    found = TYPES.get(kind)
    if found is None:
        raise ModelFileError(
            f"numbers of type {kind.name.lower()} cannot be computed with", do="choose a method that needs no gradients"
        )
    return found


def from_array(array: np.ndarray[Any, np.dtype[Any]]) -> torch.Tensor:
    """A copy of a numpy array: the array may be a read-only or unaligned view of a mapped file."""
    return torch.from_numpy(np.array(array, order="C"))


def from_stored(tensor: ir.TensorProtocol) -> torch.Tensor:
    """A copy of a stored tensor."""
    kind = torch_type(tensor.dtype)
    array = tensor.numpy()
    if kind in _FLOATS_AS_BITS:
        bits = np.array(array, order="C").view(np.uint16 if kind == torch.bfloat16 else np.uint8)
        return torch.from_numpy(bits.view(np.int16) if kind == torch.bfloat16 else bits).view(kind)
    if tensor.dtype in NARROW:
        return torch.from_numpy(np.asarray(array).astype(np.int8 if kind == torch.int8 else np.uint8))
    return from_array(array)


class _Straight(torch.autograd.Function):
    """`stored` forwards; backwards the gradient of both."""

    @staticmethod
    def forward(ctx: Any, wanted: torch.Tensor, stored: torch.Tensor) -> torch.Tensor:
        return stored.view_as(stored)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        return gradients[0], gradients[0] if ctx.needs_input_grad[1] else None


def straight(wanted: torch.Tensor, stored: torch.Tensor) -> torch.Tensor:
    """`stored`, with the gradient going to `wanted` as if it were that (and to `stored`, where it needs one).

    Source: Bengio, Leonard, Courville, Estimating or propagating gradients through stochastic neurons, 2013.
    """
    result: torch.Tensor = _Straight.apply(wanted, stored)
    return result
