"""Products, normalizations and softmax."""

from __future__ import annotations

import math

import torch
from torch.nn import functional

from core.interpreter.attributes import Attributes, Inputs, Operator, given, optional, unsupported


def _matmul(attributes: Attributes, inputs: Inputs) -> torch.Tensor:
    return torch.matmul(given(inputs, 0), given(inputs, 1))


def _gemm(attributes: Attributes, inputs: Inputs) -> torch.Tensor:
    a, b, c = given(inputs, 0), given(inputs, 1), optional(inputs, 2)
    alpha, beta = attributes.number("alpha", 1.0), attributes.number("beta", 1.0)
    product = (a.T if attributes.integer("transA", 0) else a) @ (b.T if attributes.integer("transB", 0) else b)
    if alpha != 1:
        product = product * alpha
    if c is None or beta == 0:
        return product
    return product + (c if beta == 1 else c * beta)


def _einsum(attributes: Attributes, inputs: Inputs) -> torch.Tensor:
    return torch.einsum(attributes.text("equation", ""), *(given(inputs, i) for i in range(len(inputs))))


def _batch_normalization(attributes: Attributes, inputs: Inputs) -> torch.Tensor:
    if attributes.integer("training_mode", 0):
        raise unsupported("BatchNormalization in training mode")
    x, scale, shift, mean, variance = (given(inputs, i) for i in range(5))
    epsilon = attributes.number("epsilon", 1e-5)
    if not mean.requires_grad and not variance.requires_grad:
        return functional.batch_norm(x, mean, variance, scale, shift, False, 0.0, epsilon)
    wide = (-1, *[1] * (x.dim() - 2))  # torch's own knows no gradient of the mean and variance
    factor = scale * torch.rsqrt(variance + epsilon)
    return (x - mean.reshape(wide)) * factor.reshape(wide) + shift.reshape(wide)


def _layer_normalization(attributes: Attributes, inputs: Inputs) -> tuple[torch.Tensor | None, ...]:
    x, scale, shift = given(inputs, 0), given(inputs, 1), optional(inputs, 2)
    axis, epsilon = attributes.integer("axis", -1) % x.dim(), attributes.number("epsilon", 1e-5)
    result = functional.layer_norm(x, x.shape[axis:], eps=epsilon) * scale
    if shift is not None:
        result = result + shift
    if attributes.outputs < 2:
        return (result,)
    axes = tuple(range(axis, x.dim()))
    deviation = torch.sqrt(x.var(axes, correction=0, keepdim=True) + epsilon)
    return result, x.mean(axes, keepdim=True), 1 / deviation


def _rms_normalization(attributes: Attributes, inputs: Inputs) -> torch.Tensor:
    x, scale = given(inputs, 0), given(inputs, 1)
    axes = tuple(range(attributes.integer("axis", -1) % x.dim(), x.dim()))
    wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
    size = torch.rsqrt(wide.square().mean(axes, keepdim=True) + attributes.number("epsilon", 1e-5))
    return (wide * size).to(x.dtype) * scale


def _instance_normalization(attributes: Attributes, inputs: Inputs) -> torch.Tensor:
    """A group norm with one channel a group: torch's instance norm refuses a single place."""
    x, scale, shift = (given(inputs, i) for i in range(3))
    return torch.group_norm(x, x.shape[1], scale, shift, attributes.number("epsilon", 1e-5))


def _group_normalization(attributes: Attributes, inputs: Inputs) -> torch.Tensor:
    x, scale, shift = (given(inputs, i) for i in range(3))
    groups, channels = attributes.integer("num_groups", 1), x.shape[1]
    if attributes.opset < 21:  # one factor a group until then
        scale, shift = (value.repeat_interleave(channels // groups) for value in (scale, shift))
    return torch.group_norm(x, groups, scale, shift, attributes.number("epsilon", 1e-5))


def _lp_normalization(attributes: Attributes, inputs: Inputs) -> torch.Tensor:
    x, p, axis = given(inputs, 0), attributes.integer("p", 2), attributes.integer("axis", -1)
    norm = torch.linalg.vector_norm(x, p, axis, keepdim=True)
    return torch.where(norm == 0, 0, x / torch.where(norm == 0, 1, norm))


def _local_response(attributes: Attributes, inputs: Inputs) -> torch.Tensor:
    x, size = given(inputs, 0), attributes.integer("size", 1)
    alpha, beta, bias = (attributes.number(k, d) for k, d in (("alpha", 1e-4), ("beta", 0.75), ("bias", 1.0)))
    squares = x.square().reshape(x.shape[0], 1, x.shape[1], -1)
    padded = functional.pad(squares, [0, 0, (size - 1) // 2, size // 2])
    sums = functional.avg_pool2d(padded, (size, 1), 1).reshape(x.shape)  # the mean: alpha / size times the sum
    return x / (bias + alpha * sums) ** beta


def _softmax(attributes: Attributes, inputs: Inputs) -> torch.Tensor:
    return _along(attributes, given(inputs, 0), logarithm=False)


def _log_softmax(attributes: Attributes, inputs: Inputs) -> torch.Tensor:
    return _along(attributes, given(inputs, 0), logarithm=True)


def _along(attributes: Attributes, x: torch.Tensor, *, logarithm: bool) -> torch.Tensor:
    function = torch.log_softmax if logarithm else torch.softmax
    if attributes.opset >= 13:
        return function(x, attributes.integer("axis", -1))
    axis = attributes.integer("axis", 1)  # before opset 13 all axes from this one on are one
    axis += x.dim() if axis < 0 else 0
    return function(x.reshape(math.prod(x.shape[:axis]), math.prod(x.shape[axis:])), 1).reshape(x.shape)


def _hardmax(attributes: Attributes, inputs: Inputs) -> torch.Tensor:
    x = given(inputs, 0)
    axis = attributes.integer("axis", -1 if attributes.opset >= 13 else 1)
    if attributes.opset < 13 and axis % x.dim() != x.dim() - 1:
        raise unsupported("Hardmax over several axes")
    return torch.zeros_like(x).scatter(axis, x.argmax(axis, keepdim=True), 1)


OPERATORS: dict[str, Operator] = {
    "MatMul": _matmul, "Gemm": _gemm, "Einsum": _einsum, "BatchNormalization": _batch_normalization,
    "LayerNormalization": _layer_normalization, "RMSNormalization": _rms_normalization,
    "InstanceNormalization": _instance_normalization, "GroupNormalization": _group_normalization,
    "LpNormalization": _lp_normalization, "LRN": _local_response, "Softmax": _softmax, "LogSoftmax": _log_softmax,
    "Hardmax": _hardmax,
}  # fmt: skip
