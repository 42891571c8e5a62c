"""Channels that give the same number whatever comes in, from the layer that makes them to the one that reads them.

Known where every operator between works channel by channel: norms, activations, sums and products with constants,
pooling, and a Reshape that flattens channels and positions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir

from core.model.coupling import Coupling
from core.model.coupling.axes import size_of
from core.model.graph import attribute, node_key, numbers
from core.model.layer import Layer

Array = np.ndarray[Any, np.dtype[Any]]

_DEPTH = 200


class Constants:
    """Constants of a graph's values along one of their axes, float64.

    NaN for places that vary, None where nothing is known.
    """

    def __init__(self, coupling: Coupling) -> None:
        self._axes = coupling.plan.axes
        self._stored = coupling.plan.tensors
        self._nodes = {node_key(node): node for node in coupling.plan.graph.graph}

    def at(self, layer: Layer) -> Array | None:
        """(size of the layer's input axis,) the constant that reaches each of its inputs."""
        node = self._nodes.get(layer.uses[0].node)
        axis, value = layer.input_axis, node.inputs[0] if node is not None else None
        if node is None or value is None or axis is None or len(layer.uses) > 1 or layer.groups > 1:
            return None
        found = self.of(value, 1 if node.op_type in ("Conv", "FusedConv") else -1)
        return found if found is not None and found.size == layer.shape[axis] else None

    def of(self, value: ir.Value, place: int, depth: int = 0) -> Array | None:
        """Constants of a value along its axis `place`."""
        node, axes = value.producer(), self._axes.get(value)
        if node is None or not node.inputs or axes is None or depth > _DEPTH:
            return None
        place %= max(len(axes), 1)
        if node.op_type in ("Conv", "FusedConv", "ConvTranspose", "Gemm", "MatMul"):
            return self._made(node, place, len(axes), depth)
        if node.op_type == "BatchNormalization":
            return self._normed(node, depth)
        if node.op_type in ("Add", "Sub", "Mul", "Div") and len(node.inputs) == 2:
            return self._pair(node, place, len(axes), size_of(axes[place]), depth)
        if node.op_type in ("Reshape", "Flatten"):
            return self._flattened(node, value, place, depth)
        source = node.inputs[0]
        rule = self._rule(node)
        if rule is None or source is None:
            return None
        before = self.of(source, place, depth + 1)
        with np.errstate(all="ignore"):
            return None if before is None else rule(before)

    def _rule(self, node: ir.Node) -> Callable[[Array], Array] | None:
        """What an operator makes of a channel that has one value everywhere."""
        if node.op_type in ("GlobalAveragePool", "GlobalMaxPool", "MaxPool", "Identity", "Dropout"):
            return lambda x: x
        if node.op_type == "AveragePool":
            padded = attribute(node, "count_include_pad", 0) and node.attributes.get("pads") is not None
            return None if padded else lambda x: x
        if node.op_type == "Clip":
            return self._clip(node)
        alpha, beta = node.attributes.get_float("alpha", 0.2), node.attributes.get_float("beta", 0.5)
        table: dict[str, Callable[[Array], Array]] = {
            "Relu": lambda x: np.maximum(x, 0),
            "Sigmoid": lambda x: 1 / (1 + np.exp(-x)),
            "Tanh": np.tanh,
            "HardSigmoid": lambda x: np.clip(alpha * x + beta, 0, 1),
            "HardSwish": lambda x: x * np.clip(x / 6 + 0.5, 0, 1),
            "LeakyRelu": lambda x: np.where(x >= 0, x, node.attributes.get_float("alpha", 0.01) * x),
        }
        return table.get(node.op_type)

    def _clip(self, node: ir.Node) -> Callable[[Array], Array] | None:
        bounds = [node.attributes.get_float("min", -math.inf), node.attributes.get_float("max", math.inf)]
        for index, value in enumerate(node.inputs[1:3]):
            if value is not None:
                known = self._numbers(value)
                if known is None or known.size != 1:
                    return None
                bounds[index] = float(known.reshape(-1)[0])
        return lambda x: np.clip(x, bounds[0], bounds[1])

    def _numbers(self, value: ir.Value | None) -> Array | None:
        stored = self._stored.get(value) if value is not None else None
        return None if stored is None or stored.tensor is None else stored.tensor.numpy().astype(np.float64)

    def _made(self, node: ir.Node, place: int, rank: int, depth: int) -> Array | None:
        """Where all weights of an output are zero, it is its bias; a depthwise kernel passes constants on."""
        weight = self._numbers(node.inputs[1])
        conv = node.op_type in ("Conv", "FusedConv")
        if weight is None or node.op_type == "ConvTranspose" or place != (1 if conv else rank - 1):
            return None
        axis = 0 if conv or attribute(node, "transB", 0) else weight.ndim - 1
        zero = ~weight.any(axis=tuple(at for at in range(weight.ndim) if at != axis))
        given = node.inputs[2] if len(node.inputs) > 2 else None
        bias = self._numbers(given) if given is not None else np.zeros(1)
        if bias is None or node.attributes.get_float("beta", 1.0) != 1 or bias.size not in (1, zero.size):
            return None
        varying = np.full(zero.size, np.nan)
        source = node.inputs[0]
        deep = conv and attribute(node, "group", 1) == zero.size == weight.size // max(math.prod(weight.shape[2:]), 1)
        if deep and source is not None and not any(numbers(node, "pads") or ()) and "auto_pad" not in node.attributes:
            before = self.of(source, 1, depth + 1)
            if before is not None and before.size == zero.size:
                varying = before * weight.reshape(zero.size, -1).sum(1) + bias.reshape(-1)
        return np.where(zero, bias.reshape(-1), varying)

    def _normed(self, node: ir.Node, depth: int) -> Array | None:
        scale, shift, mean, variance = (self._numbers(value) for value in node.inputs[1:5])
        source = node.inputs[0]
        if scale is None or shift is None or mean is None or variance is None or source is None:
            return None
        before = self.of(source, 1, depth + 1)
        factor = scale / np.sqrt(variance + node.attributes.get_float("epsilon", 1e-5))
        after = np.full(scale.size, np.nan) if before is None else (before - mean) * factor + shift
        return np.where(factor == 0, shift, after)

    def _pair(self, node: ir.Node, place: int, rank: int, size: int | None, depth: int) -> Array | None:
        sides = []
        for value in node.inputs:
            if value is None or size is None:
                return None
            known = self._along(value, place, rank, size) if value in self._stored else None
            sides.append(known if known is not None else self.of(value, place - rank, depth + 1))
        first, second = sides
        if first is None or second is None or size is None or {first.size, second.size} - {1, size}:
            return None
        with np.errstate(all="ignore"):
            rules = {"Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": np.divide}
            return np.broadcast_to(rules[node.op_type](first, second), size)

    def _along(self, value: ir.Value, place: int, rank: int, size: int) -> Array | None:
        """A stored operand as numbers along the axis; None when it varies along another."""
        numbers = self._numbers(value)
        if numbers is None or numbers.size not in (1, size):
            return None
        at = place - (rank - numbers.ndim)
        fits = numbers.size == 1 or (0 <= at < numbers.ndim and numbers.shape[at] == size)
        return numbers.reshape(-1) if fits else None

    def _flattened(self, node: ir.Node, value: ir.Value, place: int, depth: int) -> Array | None:
        """(C, H, W) -> C H W: every channel's constant, once for each position."""
        source, axes = node.inputs[0], self._axes.get(value)
        before = self._axes.get(source) if source is not None else None
        if source is None or axes is None or before is None or not axes[place]:
            return None
        first, rest = axes[place][0], axes[place][1:]
        at = next((index for index, axis in enumerate(before) if axis and axis[0] is first), None)
        times = size_of(rest)
        if at is None or times is None or any(factor.atoms is not None for factor in rest):
            return None
        known = self.of(source, at, depth + 1)
        return None if known is None or known.size != first.size else np.repeat(known, times)
