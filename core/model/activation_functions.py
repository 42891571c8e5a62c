"""What activations compute: the known ones, and the elementwise operators that they are spelled out in.

Definitions: ONNX operators; Hendrycks and Gimpel, "Gaussian Error Linear Units", 2016 (both forms of GELU, and the
sigmoid form); Howard et al., "Searching for MobileNetV3", 2019 (HardSwish); Misra, "Mish", 2019.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

Array = np.ndarray[Any, np.dtype[Any]]
Inputs = Sequence[Any]
"""Arrays, numbers, or None for an input that is not given."""

_erf = np.vectorize(math.erf, otypes=[np.float64])


def _sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-np.asarray(x, np.float64)))


def _softplus(x: Array) -> Array:
    return np.logaddexp(0, x)


def _gelu(x: Array) -> Array:
    return 0.5 * x * (1 + _erf(x / math.sqrt(2)))


def _tanh_gelu(x: Array) -> Array:
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def _hard_sigmoid(x: Array, alpha: float, beta: float) -> Array:
    return np.clip(alpha * x + beta, 0, 1)


KNOWN: dict[str, Callable[[Array], Array]] = {
    "Relu": lambda x: np.maximum(x, 0),
    "Relu6": lambda x: np.clip(x, 0, 6),
    "HardTanh": lambda x: np.clip(x, -1, 1),
    "Gelu": _gelu,
    "TanhGelu": _tanh_gelu,
    "QuickGelu": lambda x: x * _sigmoid(1.702 * x),
    "SiLU": lambda x: x * _sigmoid(x),
    "Mish": lambda x: x * np.tanh(_softplus(x)),
    "HardSwish": lambda x: x * _hard_sigmoid(x, 1 / 6, 0.5),
    "HardSigmoid": lambda x: _hard_sigmoid(x, 1 / 6, 0.5),
    "Sigmoid": _sigmoid,
    "Tanh": np.tanh,
    "Softplus": _softplus,
    "Softsign": lambda x: x / (1 + np.abs(x)),
    "Elu": lambda x: np.where(x > 0, x, np.expm1(x)),
    "LeakyRelu": lambda x: np.where(x > 0, x, 0.01 * x),
}
"""By name, of float64 arrays; parameters as they are usual. Single nodes with others go by the same name."""

_OWN = {
    "Relu": "Relu",
    "Sigmoid": "Sigmoid",
    "Tanh": "Tanh",
    "Softplus": "Softplus",
    "Softsign": "Softsign",
    "Mish": "Mish",
    "HardSwish": "HardSwish",
    "HardSigmoid": "HardSigmoid",
    "Elu": "Elu",
    "LeakyRelu": "LeakyRelu",
    "FastGelu": "TanhGelu",
    "QuickGelu": "QuickGelu",
}


def own_function(node: ir.Node, numbers: Sequence[float | None]) -> str:
    """The activation that a single node is by its operator, or "". numbers: its inputs that are single numbers."""
    if node.op_type == "Gelu":
        return "TanhGelu" if _text(node, "approximate", "none") == "tanh" else "Gelu"
    if node.op_type == "Swish":
        return "SiLU" if _given(node, "alpha", 1.0) == 1 else "QuickGelu"
    if node.op_type == "Clip":
        low, high = bounds(node, numbers)
        names = {(0.0, math.inf): "Relu", (0.0, 6.0): "Relu6", (-1.0, 1.0): "HardTanh"}
        return names.get((low, high), "ClippedRelu" if low == 0 and high > 0 else "")
    return _OWN.get(node.op_type, "")


def bounds(node: ir.Node, numbers: Sequence[float | None]) -> tuple[float, float]:
    """(min, max) of a Clip; attributes before opset 11, inputs since. NaN where a bound is computed."""

    def bound(index: int, name: str, default: float) -> float:
        if len(node.inputs) > index and node.inputs[index] is not None:
            found = numbers[index]
            return math.nan if found is None else found
        return _given(node, name, default)

    low, high = bound(1, "min", -math.inf), bound(2, "max", math.inf)
    largest = float(np.finfo(np.float32).max)
    return (-math.inf if low <= -largest else low), (math.inf if high >= largest else high)


def _given(node: ir.Node, name: str, default: float) -> float:
    found = node.attributes.get(name)
    if found is None or found.is_ref() or found.type != ir.AttributeType.FLOAT:
        return default
    return float(found.as_float())


def _text(node: ir.Node, name: str, default: str) -> str:
    found = node.attributes.get(name)
    return default if found is None or found.is_ref() else found.as_string()


def _clip(node: ir.Node, inputs: Inputs) -> Array:
    low, high = bounds(node, [None if isinstance(v, np.ndarray) else v for v in inputs])
    return np.clip(inputs[0], low, high)


def _hard_sigmoid_of(node: ir.Node, inputs: Inputs) -> Array:
    return _hard_sigmoid(inputs[0], _given(node, "alpha", 0.2), _given(node, "beta", 0.5))


def _as_it_is(function: Callable[[Array], Array]) -> Callable[[ir.Node, Inputs], Any]:
    return lambda node, inputs: function(inputs[0])


ELEMENTWISE: dict[str, Callable[[ir.Node, Inputs], Any]] = {
    "Add": lambda node, v: v[0] + v[1],
    "Sub": lambda node, v: v[0] - v[1],
    "Mul": lambda node, v: v[0] * v[1],
    "Div": lambda node, v: v[0] / v[1],
    "Pow": lambda node, v: np.power(v[0], v[1]),
    "Neg": lambda node, v: -v[0],
    "Abs": lambda node, v: np.abs(v[0]),
    "Exp": lambda node, v: np.exp(v[0]),
    "Log": lambda node, v: np.log(v[0]),
    "Sqrt": lambda node, v: np.sqrt(v[0]),
    "Reciprocal": lambda node, v: 1 / v[0],
    "Erf": lambda node, v: _erf(v[0]),
    "Max": lambda node, v: np.maximum.reduce(np.broadcast_arrays(*v)),
    "Min": lambda node, v: np.minimum.reduce(np.broadcast_arrays(*v)),
    "Identity": lambda node, v: v[0],
    "Clip": _clip,
    "HardSigmoid": _hard_sigmoid_of,
    "Elu": lambda node, v: np.where(v[0] > 0, v[0], _given(node, "alpha", 1.0) * np.expm1(v[0])),
    "LeakyRelu": lambda node, v: np.where(v[0] > 0, v[0], _given(node, "alpha", 0.01) * v[0]),
    "Swish": lambda node, v: v[0] * _sigmoid(_given(node, "alpha", 1.0) * v[0]),
    "Gelu": lambda node, v: _tanh_gelu(v[0]) if _text(node, "approximate", "none") == "tanh" else _gelu(v[0]),
    "FastGelu": lambda node, v: _tanh_gelu(v[0]),
    "QuickGelu": lambda node, v: v[0] * _sigmoid(_given(node, "alpha", 1.702) * v[0]),
    **{name: _as_it_is(KNOWN[name]) for name in
       ("Relu", "Sigmoid", "Tanh", "Softplus", "Softsign", "Mish", "HardSwish")},
}
"""What each operator gives for a node and its inputs."""
