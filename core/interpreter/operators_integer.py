"""Changes of type, and the operators of quantized graphs: what our own exports rebuild their weights with."""

from __future__ import annotations

import onnx_ir as ir
import torch

from core.interpreter.attributes import Attributes, Inputs, Operator, given, optional
from core.interpreter.tensors import NARROW, straight, torch_type

_FLOAT8 = (torch.float8_e4m3fn, torch.float8_e4m3fnuz, torch.float8_e5m2, torch.float8_e5m2fnuz)


def _cast(attributes: Attributes, inputs: Inputs) -> torch.Tensor:
    return _converted(attributes, given(inputs, 0), ir.DataType(attributes.integer("to", 1)))


def _cast_like(attributes: Attributes, inputs: Inputs) -> torch.Tensor:
    x, like = given(inputs, 0), given(inputs, 1)
    kind = attributes.input_type(1)
    return x.to(like.dtype) if kind is None else _converted(attributes, x, kind)


def _converted(attributes: Attributes, x: torch.Tensor, kind: ir.DataType) -> torch.Tensor:
    target = torch_type(kind)
    if kind in NARROW:
        low, high = NARROW[kind]
        return ((x.to(torch.int64) - low) % (high - low + 1) + low).to(target)
    if target in _FLOAT8 and attributes.integer("saturate", 1):
        limits = torch.finfo(target)
        x = x.float().clamp(limits.min, limits.max)
    return x.to(target)


def _along(value: torch.Tensor, attributes: Attributes, x: torch.Tensor) -> torch.Tensor:
    """A scale or zero point spread over x: per tensor, per index of `axis`, or per block along `axis`."""
    if value.numel() == 1 and value.dim() <= 1:
        return value.reshape(())
    axis, block = attributes.integer("axis", 1) % x.dim(), attributes.integer("block_size", 0)
    if block:
        return value.repeat_interleave(block, axis).narrow(axis, 0, x.shape[axis])
    return value.reshape([-1 if i == axis else 1 for i in range(x.dim())])


def _dequantize(attributes: Attributes, inputs: Inputs) -> torch.Tensor:
    x, scale, zero = given(inputs, 0), given(inputs, 1), optional(inputs, 2)
    values = x.float()
    if zero is not None:
        values = values - _along(zero, attributes, x).float()
    return (values * _along(scale, attributes, x).float()).to(scale.dtype)


def _quantize(attributes: Attributes, inputs: Inputs) -> torch.Tensor:
    x, scale, zero = given(inputs, 0), given(inputs, 1), optional(inputs, 2)
    kind = ir.DataType(attributes.integer("output_dtype", 0) or ir.DataType.UINT8)
    if zero is not None:
        kind = attributes.input_type(2) or _CODES.get(zero.dtype, kind)
    target = torch_type(kind)
    codes = x / _along(scale, attributes, x)
    if target in _FLOAT8:
        limits = torch.finfo(target)
        return codes.float().clamp(limits.min, limits.max).to(target)
    low, high = NARROW.get(kind) or (torch.iinfo(target).min, torch.iinfo(target).max)
    shift = 0 if zero is None else _along(zero, attributes, x).float()
    if codes.requires_grad:
        return _rounded(codes, shift, low, high)
    return (torch.round(codes) + shift).clamp(low, high).to(target)


def _rounded(codes: torch.Tensor, shift: torch.Tensor | float, low: int, high: int) -> torch.Tensor:
    """Codes as floats, whole numbers, with the gradient of the values that were rounded; none where they are cut off.

    Integers have no gradients, and whatever takes codes takes them as floats as well.
    """
    inside = (codes + shift).clamp(low, high)
    return straight(inside, (torch.round(codes.detach()) + shift).clamp(low, high))


_CODES = {
    torch.int8: ir.DataType.INT8, torch.uint8: ir.DataType.UINT8, torch.int16: ir.DataType.INT16,
    torch.uint16: ir.DataType.UINT16, torch.int32: ir.DataType.INT32,
}  # fmt: skip


def _dynamic_quantize(attributes: Attributes, inputs: Inputs) -> tuple[torch.Tensor, ...]:
    x = given(inputs, 0)
    low, high = torch.clamp(x.min(), max=0), torch.clamp(x.max(), min=0)
    scale = (high - low) / 255
    safe = torch.where(scale > 0, scale, 1)
    zero = torch.round((-low / safe).clamp(0, 255))
    if x.requires_grad:  # the range counts as given: only the values have a gradient
        scale, zero = scale.detach(), zero.detach()
        return _rounded(x / safe.detach(), zero, 0, 255), scale, zero
    return (torch.round(x / safe) + zero).clamp(0, 255).to(torch.uint8), scale, zero.to(torch.uint8)


def _matmul_integer(attributes: Attributes, inputs: Inputs) -> torch.Tensor:
    """In float64, which is exact for sums of 8-bit products."""
    a, b = given(inputs, 0).double(), given(inputs, 1).double()
    a_zero, b_zero = optional(inputs, 2), optional(inputs, 3)
    if a_zero is not None:
        a = a - (a_zero.double().unsqueeze(-1) if a_zero.dim() == 1 and a_zero.numel() > 1 else a_zero.double())
    if b_zero is not None:
        b = b - b_zero.double()
    return (a @ b).to(torch.int32)


OPERATORS: dict[str, Operator] = {
    "Cast": _cast, "CastLike": _cast_like, "DequantizeLinear": _dequantize, "QuantizeLinear": _quantize,
    "DynamicQuantizeLinear": _dynamic_quantize, "MatMulInteger": _matmul_integer,
}  # fmt: skip
