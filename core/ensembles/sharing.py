"""What members have in common, once: equal stored tensors, and nodes that compute the same from the same.

Tensors are equal in type, shape and content, whichever graph they are stored in; what stands in two branches moves to
the main graph. Nodes are equal in operator, attributes and inputs, so that a common trunk collapses from its first node
on (common subexpression elimination: Cocke, Global common subexpression elimination, 1970). Bodies of If, Loop and Scan
are compared node by node. Operators that draw random numbers are never merged.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Any

import onnx_ir as ir

from core.model.graph import places

_RANDOM = frozenset({
    "Bernoulli", "Dropout", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike",
})  # fmt: skip


@dataclass(frozen=True)
class Shared:
    """What is in the graph once instead of several times.

    tensors, nbytes  stored tensors that went, and their bytes
    nodes            nodes that went
    """

    tensors: int
    nbytes: int
    nodes: int


def share(model: ir.Model, names: Iterator[str]) -> Shared:
    """Merge equal tensors and equal nodes in place; `names` are free in the whole model."""
    tensors, nbytes = _share_tensors(model, names)
    nodes = sum(_share_nodes(place.graph) for place in places(model))
    return Shared(tensors, nbytes, nodes)


def _share_tensors(model: ir.Model, names: Iterator[str]) -> tuple[int, int]:
    gone = nbytes = 0
    for group in _equal_tensors(model):
        keeper = next((value for graph, value in group if graph is model.graph), None)
        if keeper is None:
            keeper = ir.Value(name=next(names), const_value=group[0][1].const_value)
            model.graph.register_initializer(keeper)
        for graph, value in group:
            if value is keeper:
                continue
            value.replace_all_uses_with(keeper)
            del graph.initializers[str(value.name)]
        gone += len(group) - 1
        nbytes += (len(group) - 1) * int(group[0][1].const_value.nbytes)  # type: ignore[union-attr]
    return gone, nbytes


def _equal_tensors(model: ir.Model) -> list[list[tuple[ir.Graph, ir.Value]]]:
    """Groups of two or more equal stored tensors, of all graphs outside functions."""
    alike: dict[Hashable, list[tuple[ir.Graph, ir.Value]]] = {}
    for place in places(model):
        if place.function or not isinstance(place.graph, ir.Graph):
            continue
        for value in place.graph.initializers.values():
            tensor = value.const_value
            fixed = not value.is_graph_input() and not value.is_graph_output()
            if tensor is not None and fixed and tensor.dtype != ir.DataType.STRING:
                key: Hashable = (tensor.dtype, tuple(tensor.shape.numpy()))
                alike.setdefault(key, []).append((place.graph, value))
    groups: dict[Hashable, list[tuple[ir.Graph, ir.Value]]] = {}
    for kind, found in alike.items():
        for graph, value in found if len(found) > 1 else ():  # contents are read only where there is a second one
            groups.setdefault((kind, _digest(value.const_value)), []).append((graph, value))
    return [group for group in groups.values() if len(group) > 1]


def _digest(tensor: Any) -> bytes:
    return hashlib.blake2b(tensor.tobytes()).digest()


def _share_nodes(graph: ir.Graph | ir.Function) -> int:
    """Let the first of equal nodes stand for all; nodes are in order, so what they read has been merged before."""
    seen: dict[Hashable, ir.Node] = {}
    gone = 0
    for node in list(graph):
        key = _node_key(node, {})
        if key is None:
            continue
        first = seen.setdefault(key, node)
        if first is node or any(output.is_graph_output() for output in node.outputs):
            continue
        for old, new in zip(node.outputs, first.outputs, strict=True):
            old.replace_all_uses_with(new)
        graph.remove(node, safe=True)
        gone += 1
    return gone


def _node_key(node: ir.Node, local: dict[ir.Value, int]) -> Hashable | None:
    """What a node computes: equal keys, equal results. None for one that may give something else each time.

    local  values of the bodies around it, by number: two bodies are equal when they are so up to names
    """
    if node.op_type in _RANDOM:
        return None
    attributes = []
    for name, attribute in sorted(node.attributes.items()):
        value = _attribute_key(attribute, local)
        if value is None:
            return None
        attributes.append((name, attribute.type, value))
    inputs = tuple(None if value is None else _value_key(value, local) for value in node.inputs)
    outputs = tuple(bool(output.name) for output in node.outputs)  # "" is an output that is not computed
    return node.op_identifier(), inputs, outputs, tuple(attributes)


def _value_key(value: ir.Value, local: dict[ir.Value, int]) -> Hashable:
    return ("inner", local[value]) if value in local else ("outer", id(value))


def _attribute_key(attribute: ir.Attr, local: dict[ir.Value, int]) -> Hashable | None:
    if attribute.is_ref():
        return ("refers to", attribute.ref_attr_name)
    value, kind = attribute.value, ir.AttributeType
    if attribute.type == kind.GRAPH:
        return _graph_key(attribute.as_graph(), local)
    if attribute.type == kind.GRAPHS:
        keys = tuple(_graph_key(graph, local) for graph in attribute.as_graphs())
        return None if any(key is None for key in keys) else keys
    if attribute.type == kind.TENSOR:
        return value.dtype, tuple(value.shape.numpy()), _digest(value)
    if attribute.type in (kind.INT, kind.FLOAT, kind.STRING):
        return value
    if attribute.type in (kind.INTS, kind.FLOATS, kind.STRINGS):
        return tuple(value)
    return None  # sparse tensors, types: rare, left as they are


def _graph_key(graph: ir.Graph, local: dict[ir.Value, int]) -> Hashable | None:
    inside = dict(local)
    stored = []
    for value in graph.inputs:
        inside[value] = len(inside)
    for value in graph.initializers.values():
        inside[value] = len(inside)
        tensor = value.const_value
        stored.append(None if tensor is None else (tensor.dtype, tuple(tensor.shape.numpy()), _digest(tensor)))
    nodes = []
    for node in graph:
        key = _node_key(node, inside)
        if key is None:
            return None
        nodes.append(key)
        for value in node.outputs:
            inside[value] = len(inside)
    outputs = tuple(_value_key(value, inside) for value in graph.outputs)
    return len(graph.inputs), tuple(stored), tuple(nodes), outputs
