"""Operators that work element by element, with broadcasting."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch.nn import functional

from core.interpreter.attributes import Attributes, Inputs, Operator, given, optional, unsupported
from core.interpreter.tensors import straight

_WIDE_UNSIGNED = (torch.uint16, torch.uint32, torch.uint64)
"""torch stores these types but computes with few of them: arithmetic goes through int64."""


Binary = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def _unary(function: Callable[[torch.Tensor], torch.Tensor]) -> Operator:
    return lambda attributes, inputs: function(given(inputs, 0))


def _widened(function: Binary) -> Binary:
    """The function, by way of int64 for the types that torch computes little with."""

    def run(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        if first.dtype in _WIDE_UNSIGNED:
            return function(first.long(), second.long()).to(first.dtype)
        return function(first, second)

    return run


def _arithmetic(function: Binary) -> Operator:
    widened = _widened(function)
    return lambda attributes, inputs: widened(given(inputs, 0), given(inputs, 1))


def _comparison(function: Binary) -> Operator:
    def run(attributes: Attributes, inputs: Inputs) -> torch.Tensor:
        first, second = (x.long() if x.dtype in _WIDE_UNSIGNED else x for x in (given(inputs, 0), given(inputs, 1)))
        return function(first, second)

    return run


def _variadic(function: Binary) -> Operator:
    widened = _widened(function)
    return lambda attributes, inputs: functools.reduce(widened, (given(inputs, i) for i in range(len(inputs))))


def divide(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Whole numbers are divided towards zero."""
    if first.is_floating_point():
        return first / second
    return torch.div(first, second, rounding_mode="trunc")


def sqrt(x: torch.Tensor) -> torch.Tensor:
    """The square root, with the derivative 0 at 0: an infinite one turns all gradients before it into NaN."""
    if not x.requires_grad:
        return torch.sqrt(x)
    positive = x > 0
    return torch.where(positive, torch.sqrt(torch.where(positive, x, 1)), torch.sqrt(x.detach()))


def _power(attributes: Attributes, inputs: Inputs) -> torch.Tensor:
    base, exponent = given(inputs, 0), given(inputs, 1)
    if exponent.numel() == 1 and exponent.dim() <= base.dim() and not exponent.requires_grad:
        number = exponent.item()  # torch knows the exact derivative of small whole powers
        result = sqrt(base) if number == 0.5 and base.is_floating_point() else torch.pow(base, number)
        return result.to(base.dtype)
    return torch.pow(base, exponent).to(base.dtype)


def _modulo(attributes: Attributes, inputs: Inputs) -> torch.Tensor:
    function = _widened(torch.fmod if attributes.integer("fmod", 0) else torch.remainder)
    return function(given(inputs, 0), given(inputs, 1))


def _mean(attributes: Attributes, inputs: Inputs) -> torch.Tensor:
    return functools.reduce(torch.add, (given(inputs, i) for i in range(len(inputs)))) / len(inputs)


def _clip(attributes: Attributes, inputs: Inputs) -> torch.Tensor:
    x, low, high = given(inputs, 0), optional(inputs, 1), optional(inputs, 2)
    if low is None and "min" in attributes:
        low = torch.tensor(attributes.number("min", 0.0), dtype=x.dtype)
    if high is None and "max" in attributes:
        high = torch.tensor(attributes.number("max", 0.0), dtype=x.dtype)
    if low is not None:
        x = torch.maximum(x, low.reshape(()))
    return x if high is None else torch.minimum(x, high.reshape(()))


def _gelu(attributes: Attributes, inputs: Inputs) -> torch.Tensor:
    return functional.gelu(given(inputs, 0), approximate=attributes.text("approximate", "none"))


def _hard_sigmoid(attributes: Attributes, inputs: Inputs) -> torch.Tensor:
    alpha, beta = attributes.number("alpha", 0.2), attributes.number("beta", 0.5)
    return torch.clamp(given(inputs, 0) * alpha + beta, 0, 1)


def _hard_swish(x: torch.Tensor) -> torch.Tensor:
    return x * torch.clamp(x / 6 + 0.5, 0, 1)


def _leaky_relu(attributes: Attributes, inputs: Inputs) -> torch.Tensor:
    return functional.leaky_relu(given(inputs, 0), attributes.number("alpha", 0.01))


def _prelu(attributes: Attributes, inputs: Inputs) -> torch.Tensor:
    x, slope = given(inputs, 0), given(inputs, 1)
    return torch.where(x < 0, slope * x, x)


def _elu(attributes: Attributes, inputs: Inputs) -> torch.Tensor:
    return functional.elu(given(inputs, 0), attributes.number("alpha", 1.0))


def _selu(attributes: Attributes, inputs: Inputs) -> torch.Tensor:
    alpha = attributes.number("alpha", 1.67326319217681884765625)
    gamma = attributes.number("gamma", 1.05070102214813232421875)
    return gamma * functional.elu(given(inputs, 0), alpha)


def _celu(attributes: Attributes, inputs: Inputs) -> torch.Tensor:
    return functional.celu(given(inputs, 0), attributes.number("alpha", 1.0))


def _swish(attributes: Attributes, inputs: Inputs) -> torch.Tensor:
    x = given(inputs, 0)
    return x * torch.sigmoid(x * attributes.number("alpha", 1.0))


def _thresholded_relu(attributes: Attributes, inputs: Inputs) -> torch.Tensor:
    x = given(inputs, 0)
    return torch.where(x > attributes.number("alpha", 1.0), x, 0)


def _shrink(attributes: Attributes, inputs: Inputs) -> torch.Tensor:
    x, edge, bias = given(inputs, 0), attributes.number("lambd", 0.5), attributes.number("bias", 0.0)
    return torch.where(x < -edge, x + bias, torch.where(x > edge, x - bias, 0))


def _softplus(x: torch.Tensor) -> torch.Tensor:
    return torch.logaddexp(x, torch.zeros_like(x))


def _is_infinite(attributes: Attributes, inputs: Inputs) -> torch.Tensor:
    x = given(inputs, 0)
    positive = torch.isposinf(x) if attributes.integer("detect_positive", 1) else torch.zeros_like(x, dtype=torch.bool)
    return positive | torch.isneginf(x) if attributes.integer("detect_negative", 1) else positive


def _where(attributes: Attributes, inputs: Inputs) -> torch.Tensor:
    return torch.where(given(inputs, 0), given(inputs, 1), given(inputs, 2))


def _dropout(attributes: Attributes, inputs: Inputs) -> tuple[torch.Tensor, ...]:
    """The identity: models run as they do for prediction, also when their weights are trained."""
    x, training = given(inputs, 0), optional(inputs, 2)
    if training is not None and bool(training):
        raise unsupported("Dropout in training mode")
    return x, torch.ones_like(x, dtype=torch.bool)


def _shift(attributes: Attributes, inputs: Inputs) -> torch.Tensor:
    """Bits shifted out are lost, also those above the type's width: int64 holds them, the cast drops them."""
    x, amount = given(inputs, 0), given(inputs, 1)
    left = attributes.text("direction", "LEFT") == "LEFT"
    if x.dtype == torch.uint64:
        raise unsupported("BitShift of 64-bit numbers")
    wide = x.long() << amount.long() if left else x.long() >> amount.long()
    return wide.to(x.dtype)


def _bitwise_not(x: torch.Tensor) -> torch.Tensor:
    return torch.bitwise_not(x.long()).to(x.dtype) if x.dtype in _WIDE_UNSIGNED else torch.bitwise_not(x)


def _round(x: torch.Tensor) -> torch.Tensor:
    """To the nearest whole number, ties to even. Its gradient is that of its input: the true one, zero everywhere, says
    nothing, and what rounds in a graph (8-bit values, say) stands for what it rounds."""
    return straight(x, torch.round(x.detach()))


_UNARY: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "Abs": torch.abs, "Neg": torch.neg, "Exp": torch.exp, "Log": torch.log, "Sqrt": sqrt,
    "Reciprocal": torch.reciprocal, "Floor": torch.floor, "Ceil": torch.ceil, "Round": _round, "Sign": torch.sign,
    "Sin": torch.sin, "Cos": torch.cos, "Tan": torch.tan, "Asin": torch.asin, "Acos": torch.acos, "Atan": torch.atan,
    "Sinh": torch.sinh, "Cosh": torch.cosh, "Asinh": torch.asinh, "Acosh": torch.acosh, "Atanh": torch.atanh,
    "Erf": torch.erf, "Not": torch.logical_not, "BitwiseNot": _bitwise_not, "IsNaN": torch.isnan,
    "Sigmoid": torch.sigmoid, "Tanh": torch.tanh, "Relu": torch.relu, "Softplus": _softplus,
    "Softsign": functional.softsign, "Mish": lambda x: x * torch.tanh(_softplus(x)), "HardSwish": _hard_swish,
    "Identity": lambda x: x,
}  # fmt: skip
_BINARY: dict[str, Binary] = {
    "Add": torch.add, "Sub": torch.sub, "Mul": torch.mul, "Div": divide,
    "BitwiseAnd": torch.bitwise_and, "BitwiseOr": torch.bitwise_or, "BitwiseXor": torch.bitwise_xor,
}  # fmt: skip
_COMPARISONS: dict[str, Binary] = {
    "Equal": torch.eq, "Less": torch.lt, "Greater": torch.gt, "LessOrEqual": torch.le, "GreaterOrEqual": torch.ge,
    "And": torch.logical_and, "Or": torch.logical_or, "Xor": torch.logical_xor,
}  # fmt: skip

OPERATORS: dict[str, Operator] = {
    **{name: _unary(function) for name, function in _UNARY.items()},
    **{name: _arithmetic(function) for name, function in _BINARY.items()},
    **{name: _comparison(function) for name, function in _COMPARISONS.items()},
    "Max": _variadic(torch.maximum), "Min": _variadic(torch.minimum), "Sum": _variadic(torch.add), "Mean": _mean,
    "Pow": _power, "Mod": _modulo, "BitShift": _shift, "Where": _where, "Clip": _clip, "Dropout": _dropout,
    "Gelu": _gelu, "HardSigmoid": _hard_sigmoid, "LeakyRelu": _leaky_relu, "PRelu": _prelu, "Elu": _elu,
    "Selu": _selu, "Celu": _celu, "Swish": _swish, "ThresholdedRelu": _thresholded_relu, "Shrink": _shrink,
    "IsInf": _is_infinite,
}  # fmt: skip
