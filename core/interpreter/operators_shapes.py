"""Operators on shapes: views, copies, joins, tensors made from shapes. Shapes are int64 tensors, exact throughout."""

from __future__ import annotations

import math

import onnx_ir as ir
import torch
from torch.nn import functional

from core.interpreter.attributes import Attributes, Inputs, Operator, given, listed, optional, unsupported
from core.interpreter.tensors import from_stored, torch_type


def sizes(tensor: torch.Tensor) -> list[int]:
    """A tensor of whole numbers as a list."""
    return [int(value) for value in tensor.reshape(-1).tolist()]


def _constant(attributes: Attributes, inputs: Inputs) -> torch.Tensor:
    """A Constant of a function whose value the call gives; all others are stored tensors."""
    for name, attribute in attributes.given.items():
        if name == "value":
            return from_stored(attribute.as_tensor())
        kind = torch.float32 if name.startswith("value_float") else torch.int64
        return torch.tensor(attribute.value, dtype=kind)
    raise unsupported("a Constant without a value")


def _reshape(attributes: Attributes, inputs: Inputs) -> torch.Tensor:
    x, shape = given(inputs, 0), sizes(given(inputs, 1))
    if not attributes.integer("allowzero", 0):
        shape = [x.shape[axis] if size == 0 else size for axis, size in enumerate(shape)]
    return x.reshape(shape)


def _flatten(attributes: Attributes, inputs: Inputs) -> torch.Tensor:
    x = given(inputs, 0)
    axis = attributes.integer("axis", 1)
    axis += x.dim() if axis < 0 else 0
    return x.reshape(math.prod(x.shape[:axis]), math.prod(x.shape[axis:]))


def _transpose(attributes: Attributes, inputs: Inputs) -> torch.Tensor:
    x = given(inputs, 0)
    return x.permute(attributes.integers("perm") or tuple(reversed(range(x.dim()))))


def _squeeze(attributes: Attributes, inputs: Inputs) -> torch.Tensor:
    x, axes = given(inputs, 0), listed(attributes, inputs, "axes", 1)
    return x.squeeze() if axes is None else x.squeeze(axes)


def _unsqueeze(attributes: Attributes, inputs: Inputs) -> torch.Tensor:
    x, axes = given(inputs, 0), listed(attributes, inputs, "axes", 1) or ()
    rank = x.dim() + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        x = x.unsqueeze(axis)
    return x


def _shape(attributes: Attributes, inputs: Inputs) -> torch.Tensor:
    shape = list(given(inputs, 0).shape)
    return torch.tensor(shape[slice(attributes.value("start"), attributes.value("end"))], dtype=torch.int64)


def _size(attributes: Attributes, inputs: Inputs) -> torch.Tensor:
    return torch.tensor(given(inputs, 0).numel(), dtype=torch.int64)


def _constant_of_shape(attributes: Attributes, inputs: Inputs) -> torch.Tensor:
    value = from_stored(attributes.value("value")) if "value" in attributes else torch.zeros(1)
    return value.reshape(()).expand(sizes(given(inputs, 0))).clone()


def _expand(attributes: Attributes, inputs: Inputs) -> torch.Tensor:
    x = given(inputs, 0)
    return x.expand(torch.broadcast_shapes(x.shape, sizes(given(inputs, 1))))


def _tile(attributes: Attributes, inputs: Inputs) -> torch.Tensor:
    return given(inputs, 0).repeat(sizes(given(inputs, 1)))


def _concat(attributes: Attributes, inputs: Inputs) -> torch.Tensor:
    return torch.cat([given(inputs, i) for i in range(len(inputs))], attributes.integer("axis", 0))


def _split(attributes: Attributes, inputs: Inputs) -> tuple[torch.Tensor, ...]:
    x, axis = given(inputs, 0), attributes.integer("axis", 0)
    parts = listed(attributes, inputs, "split", 1)
    if parts is not None:
        return x.split(list(parts), axis)
    count = attributes.integer("num_outputs", len(attributes.node.outputs))
    return x.split(max(1, -(-x.shape[axis] // count)), axis)


def _slice(attributes: Attributes, inputs: Inputs) -> torch.Tensor:
    x = given(inputs, 0)
    starts, ends = listed(attributes, inputs, "starts", 1) or (), listed(attributes, inputs, "ends", 2) or ()
    axes = listed(attributes, inputs, "axes", 3) or tuple(range(len(starts)))
    steps = listed(attributes, inputs, "steps", 4) or (1,) * len(starts)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        picked = range(*slice(start, end, step).indices(x.shape[axis]))
        if step < 0:
            x = x.index_select(axis, torch.tensor(list(picked), dtype=torch.int64))
        else:
            x = x[(slice(None),) * (axis % x.dim()) + (slice(picked.start, max(picked.start, picked.stop), step),)]
    return x


def _pad(attributes: Attributes, inputs: Inputs) -> torch.Tensor:
    x, mode = given(inputs, 0), attributes.text("mode", "constant")
    pads, fill = listed(attributes, inputs, "pads", 1) or (), optional(inputs, 2)
    given_axes = optional(inputs, 3)
    axes = range(x.dim()) if given_axes is None else sizes(given_axes)
    begins, ends = [0] * x.dim(), [0] * x.dim()
    for place, axis in enumerate(axes):
        begins[axis], ends[axis] = pads[place], pads[place + len(pads) // 2]
    if mode == "constant":
        value = attributes.number("value", 0.0) if fill is None else fill.item()
        both = [size for axis in reversed(range(x.dim())) for size in (begins[axis], ends[axis])]
        return functional.pad(x, both, value=value)
    for axis in range(x.dim()):
        if begins[axis] or ends[axis]:
            x = x.index_select(axis, _padded_index(x.shape[axis], begins[axis], ends[axis], mode))
    return x


def _padded_index(size: int, begin: int, end: int, mode: str) -> torch.Tensor:
    """Which element of an axis stands at each place of the padded axis."""
    index = torch.arange(-begin, size + end)
    if mode == "edge":
        return index.clamp(0, size - 1)
    if mode == "wrap":
        return index % size
    if mode != "reflect":
        raise unsupported(f"Pad in mode {mode!r}")
    period = max(1, 2 * (size - 1))
    index = index % period
    return torch.minimum(index, period - index) if size > 1 else torch.zeros_like(index)


def _depth_to_space(attributes: Attributes, inputs: Inputs) -> torch.Tensor:
    x, block = given(inputs, 0), attributes.integer("blocksize", 1)
    n, channels, height, width = x.shape
    if attributes.text("mode", "DCR") == "DCR":
        parts = x.reshape(n, block, block, channels // block**2, height, width).permute(0, 3, 4, 1, 5, 2)
    else:
        parts = x.reshape(n, channels // block**2, block, block, height, width).permute(0, 1, 4, 2, 5, 3)
    return parts.reshape(n, channels // block**2, height * block, width * block)


def _space_to_depth(attributes: Attributes, inputs: Inputs) -> torch.Tensor:
    x, block = given(inputs, 0), attributes.integer("blocksize", 1)
    n, channels, height, width = x.shape
    parts = x.reshape(n, channels, height // block, block, width // block, block)
    order = (0, 3, 5, 1, 2, 4) if attributes.text("mode", "DCR") == "DCR" else (0, 1, 3, 5, 2, 4)
    return parts.permute(order).reshape(n, channels * block**2, height // block, width // block)


def _range(attributes: Attributes, inputs: Inputs) -> torch.Tensor:
    start, limit, step = (given(inputs, i) for i in range(3))
    count = max(0, math.ceil((limit.item() - start.item()) / step.item()))
    return (torch.arange(count) * step + start).to(start.dtype)


def _trilu(attributes: Attributes, inputs: Inputs) -> torch.Tensor:
    diagonal = optional(inputs, 1)
    k = 0 if diagonal is None else int(diagonal)
    return (torch.triu if attributes.integer("upper", 1) else torch.tril)(given(inputs, 0), k)


def _eye_like(attributes: Attributes, inputs: Inputs) -> torch.Tensor:
    x, k = given(inputs, 0), attributes.integer("k", 0)
    kind = x.dtype if "dtype" not in attributes else torch_type(ir.DataType(attributes.integer("dtype", 1)))
    ones = torch.ones(x.shape, dtype=torch.float32)
    return torch.triu(torch.tril(ones, k), k).to(kind)


OPERATORS: dict[str, Operator] = {
    "Constant": _constant, "Reshape": _reshape, "Flatten": _flatten, "Transpose": _transpose, "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Shape": _shape, "Size": _size, "ConstantOfShape": _constant_of_shape, "Expand": _expand, "Tile": _tile,
    "Concat": _concat, "Split": _split, "Slice": _slice, "Pad": _pad, "DepthToSpace": _depth_to_space,
    "SpaceToDepth": _space_to_depth, "Range": _range, "Trilu": _trilu, "EyeLike": _eye_like,
}  # fmt: skip
