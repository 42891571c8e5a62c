"""The change that `replace_activation` decides on, and the nodes of the functions that it puts in place."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from core.errors import InternalError
from core.model.change import Change

if TYPE_CHECKING:
    import onnx_ir as ir

    from core.model.activations import Match

Array = np.ndarray[Any, np.dtype[Any]]

_CLIP_INPUTS, _HARD_SWISH = 11, 14
"""First opsets in which Clip takes its bounds as inputs, and which have HardSwish."""


@dataclass(frozen=True)
class Swap:
    """One activation's replacement.

    key        of its last node
    old, new   what it computes and is to compute
    low, high  bounds when `new` is Clip
    shift      added to the new result
    """

    key: str
    old: str
    new: str
    low: float = -math.inf
    high: float = math.inf
    shift: float = 0.0

    def function(self, x: Array) -> Array:
        """What the new function gives, without the shift."""
        from core.model.activation_functions import KNOWN

        if self.new == "Clip":
            return np.clip(x, self.low, self.high)
        return x if self.new == "Identity" else KNOWN[self.new](x)

    @property
    def line(self) -> str:
        told = f"{self.new} to {self.low:.4g}..{self.high:.4g}" if self.new == "Clip" else self.new
        told += f" {'+' if self.shift > 0 else '-'} {abs(self.shift):.4g}" if self.shift else ""
        return f"{self.old} -> {told}: {self.key}"


@dataclass(frozen=True)
class Replacement(Change):
    """Activations and what stands for them. The new nodes keep the names of the last node and of its result.

    left  sentences on activations that were meant but stay as they are
    """

    swaps: tuple[Swap, ...]
    left: tuple[str, ...] = ()

    def apply(self, graph: ir.Model) -> None:
        from core.model.activations import matches

        swaps = {swap.key: swap for swap in self.swaps}
        opset = graph.opset_imports.get("", 1)
        stands_for: dict[ir.Value, ir.Value] = {}  # an activation may take the result of one replaced before it
        for match in matches(graph):
            if match.key in swaps:
                match = replace(match, input=stands_for.get(match.input, match.input))
                stands_for[match.output] = _replace(match, swaps[match.key], opset)

    def lines(self) -> tuple[str, ...]:
        return (*(swap.line for swap in self.swaps), *(f"left as it is: {why}" for why in self.left))


def _replace(match: Match, swap: Swap, opset: int) -> ir.Value:
    """Put the new nodes in the place of the old ones; returns the new result."""
    last, old = match.nodes[-1], match.output
    nodes = _nodes(match, swap, opset)
    if swap.shift:
        nodes += _added(match, nodes[-1].outputs[0], swap.shift)
    graph = last.graph
    if graph is None:
        raise InternalError("an activation is in no graph")
    graph.insert_before(last, nodes)
    new = nodes[-1].outputs[0]
    new.type, new.shape, name = old.type, old.shape, old.name
    old.replace_all_uses_with(new, replace_graph_outputs=True)
    nodes[-1].name, key = last.name, dict(last.meta)
    for node in reversed(match.nodes):
        sources = [value for value in node.inputs if value is not None]
        if not any(value.uses() for value in node.outputs):
            graph.remove(node, safe=True)
            _drop_constants(sources)
    old.name, new.name = None, name
    nodes[-1].meta.update(key)
    return new


def _drop_constants(values: list[ir.Value]) -> None:
    """Remove Constant nodes and initializers that nothing reads any more."""
    for value in values:
        producer = value.producer()
        if value.uses() or value.is_graph_output():
            continue
        if producer is not None and producer.op_type == "Constant" and producer.graph is not None:
            producer.graph.remove(producer, safe=True)
        elif producer is None and not value.is_graph_input() and value.graph is not None:
            value.graph.initializers.pop(value.name or "", None)


def _nodes(match: Match, swap: Swap, opset: int) -> list[ir.Node]:
    import onnx_ir as ir

    source = match.input
    if swap.new in ("Relu", "Identity"):
        return [ir.Node("", swap.new, [source])]
    if swap.new == "HardSigmoid" or (swap.new == "HardSwish" and opset < _HARD_SWISH):
        slope = [ir.AttrFloat32("alpha", 1 / 6), ir.AttrFloat32("beta", 0.5)]
        hard = ir.Node("", "HardSigmoid", [source], slope)
        if swap.new == "HardSigmoid":
            return [hard]
        hard.outputs[0].name = f"{match.output.name}.gate"
        return [hard, ir.Node("", "Mul", [source, hard.outputs[0]])]
    if swap.new == "HardSwish":
        return [ir.Node("", "HardSwish", [source])]
    low, high = {"Relu6": (0.0, 6.0), "HardTanh": (-1.0, 1.0)}.get(swap.new, (swap.low, swap.high))
    if opset < _CLIP_INPUTS:
        return [ir.Node("", "Clip", [source], [ir.AttrFloat32("min", low), ir.AttrFloat32("max", high)])]
    return _clip(match, low, high)


def _clip(match: Match, low: float, high: float) -> list[ir.Node]:
    import onnx_ir as ir

    bounds = [_constant(match, "low", low), _constant(match, "high", high)]
    return [*bounds, ir.Node("", "Clip", [match.input, *(constant.outputs[0] for constant in bounds)])]


def _added(match: Match, value: ir.Value, number: float) -> list[ir.Node]:
    import onnx_ir as ir

    value.name = f"{match.output.name}.unshifted"
    value.type, value.shape = match.output.type, match.output.shape
    constant = _constant(match, "shift", number)
    return [constant, ir.Node("", "Add", [value, constant.outputs[0]])]


def _constant(match: Match, word: str, number: float) -> ir.Node:
    """A Constant node with a number of the type that the activation works in."""
    import onnx_ir as ir

    dtype = match.input.dtype or match.output.dtype or ir.DataType.FLOAT
    tensor = ir.tensor(np.asarray(number, dtype.numpy()), dtype=dtype)
    constant = ir.Node("", "Constant", [], [ir.AttrTensor("value", tensor)])
    made = constant.outputs[0]
    made.name, made.type, made.shape = f"{match.output.name}.{word}", ir.TensorType(dtype), ir.Shape(())
    return constant
