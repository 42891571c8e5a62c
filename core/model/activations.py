"""The activations of a graph, also those that an exporter spelled out in several nodes.

A chain of elementwise nodes that depends on one value and on single numbers is a function of that value. It is
recognised by what it computes: its values on a grid are compared with those of the known activations, so the order of
the nodes and the way constants are written do not matter.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from core.model.activation_functions import ELEMENTWISE, KNOWN, own_function
from core.model.graph import constant_tensor, node_key, places, subgraphs
from core.model.origins import Origins

Array = np.ndarray[Any, np.dtype[Any]]

_MOST_NODES = 16
_GRID = np.concatenate([np.linspace(-9, 9, 109), np.linspace(-1, 1, 20)])
_TOLERANCE = 2e-5
"""Constants in float32 leave 1e-6; the two forms of GELU differ by 5e-4."""
_GATES = frozenset({"Sigmoid", "HardSigmoid", "Tanh", "Softsign"})
_ROOTS = frozenset({"Sqrt", "Log", "Reciprocal"})
_Around = Mapping[ir.Graph | ir.Function | None, ir.Node]
"""The node that each subgraph is in."""
_PLAIN = frozenset({"Identity", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Transpose", "Cast",
                    "ReduceMean"})


@dataclass(frozen=True)
class Activation:
    """An activation of the graph.

    key      `node_key` of its last node
    op       what it computes: a name of `activation_functions.KNOWN`, such as "Gelu" or "HardSwish"
    nodes    keys of all nodes that it is made of, in running order
    input, output  names of its input value and of its result
    layer    name of the layer whose result it takes, directly or behind a bias, scale or batch norm, or ""
    gate     its result is multiplied with another value (a gate, as in squeeze-and-excite)
    answers  its result is an answer of the model
    title    for people: "Gelu after encoder.0.mlp.weight"
    """

    key: str
    op: str
    nodes: tuple[str, ...]
    input: str
    output: str
    layer: str = ""
    gate: bool = False
    answers: bool = False
    title: str = ""

    @property
    def inner(self) -> bool:
        """Whether it is what people mean by a network's activations: neither a gate nor an answer."""
        return not (self.gate or self.answers)


@dataclass(frozen=True, eq=False)
class Match:
    """An activation with its nodes in one certain graph. function: the op's name; nodes in running order."""

    function: str
    nodes: tuple[ir.Node, ...]
    input: ir.Value
    output: ir.Value

    @property
    def key(self) -> str:
        return node_key(self.nodes[-1])


def find_activations(graph: ir.Model) -> tuple[Activation, ...]:
    """All activations, branches included, in running order. Reads small constants only."""
    origins = Origins(graph, [place for place in places(graph) if not place.function])
    around: _Around = {inner: node for place in places(graph) for node in place.graph for inner in subgraphs(node)}
    return tuple(_activation(match, origins, around) for match in matches(graph))


def matches(graph: ir.Model) -> tuple[Match, ...]:
    """The same, as nodes and values of this graph."""
    found: list[Match] = []
    for place in places(graph):
        if not place.function:
            order = {node: i for i, node in enumerate(place.graph)}
            whole = [match for node in order if (match := _match(node, order)) is not None]
            inside = {node for match in whole if len(match.nodes) > 1 for node in match.nodes[:-1]}
            found += [match for match in whole if match.nodes[-1] not in inside and not _is_guard(match)]
    return tuple(found)


def _match(last: ir.Node, order: Mapping[ir.Node, int]) -> Match | None:
    """The activation that ends in this node, of as few nodes as make one; a longer one is found at its own end."""
    if not _is_elementwise(last):
        return None
    nodes: set[ir.Node] = set()
    frontier: set[ir.Value] = {last.outputs[0]}
    while len(nodes) < _MOST_NODES:
        growing = [v for v in frontier if (p := v.producer()) is not None and p in order and _is_elementwise(p)]
        if not growing:
            return None
        value = max(growing, key=lambda v: order[v.producer()])  # type: ignore[index]
        producer = value.producer()
        if producer is None or (nodes and not _used_only_by(value, nodes)):
            return None
        nodes.add(producer)
        frontier.discard(value)
        frontier.update(v for v in producer.inputs if v is not None and number(v) is None)
        if len(frontier) == 1:
            source = next(iter(frontier))
            name = _recognised(source, sorted(nodes, key=order.__getitem__))
            if name:
                return Match(name, tuple(sorted(nodes, key=order.__getitem__)), source, last.outputs[0])
    return None


def _is_guard(match: Match) -> bool:
    """Whether a maximum with zero only keeps a root or logarithm from failing, as in a normalization."""
    if match.function != "Relu" or match.nodes[-1].op_type == "Relu":
        return False
    values, steps = [match.output], 0
    while values and steps < _MOST_NODES:
        steps += 1
        for user in [use.node for use in values.pop().uses()]:
            if user.op_type in _ROOTS:
                return True
            if user.op_type in _PLAIN or user.op_type in ("Add", "Expand"):
                values.append(user.outputs[0])
    return False


def behind(graph: ir.Model) -> dict[ir.Value, ir.Value]:
    """For each value that goes into an activation and nowhere else, the activation's result."""
    return {
        match.input: match.output
        for match in matches(graph)
        if _used_only_by(match.input, set(match.nodes))
    }


def _is_elementwise(node: ir.Node) -> bool:
    return node.op_type in ELEMENTWISE and node.domain in ("", "ai.onnx", "com.microsoft") and len(node.outputs) == 1


def _used_only_by(value: ir.Value, nodes: set[ir.Node]) -> bool:
    return not value.is_graph_output() and all(use.node in nodes for use in value.uses())


def _recognised(source: ir.Value, nodes: list[ir.Node]) -> str:
    """The name of what the nodes compute from `source`, or ""."""
    if len(nodes) == 1 and (own := own_function(nodes[0], [number(v) for v in nodes[0].inputs])):
        return own
    values: dict[ir.Value, Array] = {source: _GRID}
    with np.errstate(all="ignore"):
        for node in nodes:
            inputs = [None if v is None else values[v] if v in values else number(v) for v in node.inputs]
            values[node.outputs[0]] = np.asarray(ELEMENTWISE[node.op_type](node, inputs), np.float64)
    result = values[nodes[-1].outputs[0]]
    return next((name for name, right in _known_values().items() if _same(result, right)), "")


def _known_values() -> dict[str, Array]:
    if not _VALUES:
        _VALUES.update({name: function(_GRID) for name, function in KNOWN.items()})
    return _VALUES


_VALUES: dict[str, Array] = {}


def _same(first: Array, second: Array) -> bool:
    if first.shape != second.shape or not np.isfinite(first).all():
        return False
    return bool((np.abs(first - second) <= _TOLERANCE * np.maximum(1, np.abs(second))).all())


def number(value: ir.Value | None) -> float | None:
    """The single number that a value always is, through Identity and Cast; None for all else."""
    for _ in range(4):
        if value is None:
            return None
        producer = value.producer()
        if producer is None or producer.op_type not in ("Identity", "Cast"):
            break
        value = producer.inputs[0]
    if value is None or value.is_graph_input():
        return None
    producer = value.producer()
    tensor = constant_tensor(producer) if producer is not None and producer.op_type == "Constant" else value.const_value
    if tensor is None or math.prod(tensor.shape.numpy()) != 1 or tensor.dtype.name in ("STRING", "BOOL"):
        return None
    return float(np.asarray(tensor.numpy(), np.float64).reshape(-1)[0])


def _activation(match: Match, origins: Origins, around: _Around) -> Activation:
    layer = feeding_layer(match.input, origins)
    users = [use.node for use in match.output.uses()]
    gate = match.function in _GATES and any(_multiplies(user, match.output, origins) for user in users)
    where = f"after {layer}" if layer else f"at {match.key}"
    return Activation(
        match.key,
        match.function,
        tuple(node_key(node) for node in match.nodes),
        match.input.name or "",
        match.output.name or "",
        layer,
        gate,
        any(_answers(match.output, around)),
        f"{match.function} {where}",
    )


def _multiplies(node: ir.Node, value: ir.Value, origins: Origins) -> bool:
    """Whether the node multiplies the value with another that is not constant."""
    others = [v for v in node.inputs if v is not None and v is not value]
    return node.op_type == "Mul" and any(origins.of(other) is None for other in others)


def _answers(value: ir.Value, around: _Around) -> Iterator[bool]:
    """True where the value, perhaps in another shape and through branches, is an output of the model."""
    producer = value.producer()
    if value.is_graph_output() and producer is not None:
        outer = around.get(producer.graph)
        if outer is None:
            yield True
        elif outer.op_type == "If" and isinstance(producer.graph, ir.Graph):
            yield from _answers(outer.outputs[producer.graph.outputs.index(value)], around)
    for use in value.uses():
        if use.node.op_type in _PLAIN and use.idx == 0:
            yield from _answers(use.node.outputs[0], around)


def feeding_layer(value: ir.Value, origins: Origins) -> str:
    """Name of the stored weight whose product the value is, directly or behind a bias, a scale or a batch norm;
    else ""."""
    for _ in range(4):
        node = value.producer()
        if node is None:
            return ""
        if node.op_type in _WEIGHTED:
            for source in node.inputs[:2]:
                origin = origins.of(source) if source is not None else None
                if origin is not None and origin.sources:
                    return origin.sources[0].stored.name
            return ""
        rest = [v for v in node.inputs if v is not None and origins.of(v) is None]
        if node.op_type not in ("Add", "Mul", "BatchNormalization") or len(rest) != 1:
            return ""
        value = rest[0]
    return ""


_WEIGHTED = frozenset({"Conv", "ConvTranspose", "MatMul", "Gemm", "FusedConv", "FusedMatMul", "FusedGemm"})
