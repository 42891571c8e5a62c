"""Nodes and tensors that rewritten uses add to a graph, with made-up names and without repeating constants."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from core.encoding.base import Array
from core.encoding.counting import graph_size
from core.encoding.emitter import EmittedTensor
from core.errors import InternalError
from core.model.graph import Stored

MICROSOFT = "com.microsoft"
"""Operators of ONNX Runtime's own domain; every stock build has them."""


class Builder:
    """Adds to the graphs of one model."""

    def __init__(self, names: Iterator[str]) -> None:
        self._names = names
        self._constants: dict[tuple[int, str, tuple[int, ...], bytes], ir.Value] = {}

    def tensor(self, graph: ir.Graph, array: Array, name: str = "") -> ir.Value:
        """A new initializer of `graph`."""
        name = name or next(self._names)
        whole = array if array.ndim == 0 else np.ascontiguousarray(array)  # which would make one axis of none
        value = ir.Value(name=name, const_value=ir.Tensor(whole, name=name))
        graph.register_initializer(value)
        return value

    def constant(self, graph: ir.Graph, array: Array) -> ir.Value:
        """An initializer that everything which needs the same numbers shares."""
        array = np.asarray(array)
        key = (id(graph), str(array.dtype), array.shape, array.tobytes())
        if key not in self._constants:
            self._constants[key] = self.tensor(graph, array)
        return self._constants[key]

    def node(
        self, op: str, inputs: Sequence[ir.Value | None], *, outputs: int = 1, domain: str = "", **attributes: Any
    ) -> ir.Node:
        """A node that is in no graph yet; its outputs have made-up names."""
        made = [ir.convenience.convert_attribute(key, value) for key, value in attributes.items()]
        return ir.Node(domain, op, inputs, made, outputs=[ir.Value(name=next(self._names)) for _ in range(outputs)])


def free_name(stored: Stored, names: Iterator[str]) -> str:
    """The name of a stored tensor whose uses are about to be rewritten, free for what stands for it from now on."""
    name = str(stored.value.name)
    if stored.node is None and isinstance(stored.place.graph, ir.Graph):
        stored.place.graph.initializers.pop(name)
        if stored.value in stored.place.graph.inputs:
            stored.place.graph.inputs.remove(stored.value)
    stored.value.name = next(names)
    return name


def node_bytes(op: str, inputs: int, outputs: int = 1, *, domain: str = "", **attributes: Any) -> int:
    """Bytes in the file of a node whose values have made-up names."""
    import onnx

    names = [f"w{100 + number}" for number in range(inputs + outputs)]
    proto = onnx.helper.make_node(op, names[:inputs], names[inputs:], domain=domain or None, **attributes)
    return int(proto.ByteSize()) + 2


def tensor_bytes(*arrays: Array | np.generic) -> int:
    """Bytes in the file of initializers with made-up names."""
    return graph_size([EmittedTensor("w100", np.asarray(a), str(a.dtype)) for a in arrays], ()).total


def graph_of(node: ir.Node) -> ir.Graph:
    """The graph that holds a node; InternalError for a node inside a function, which holds no tensors."""
    if not isinstance(node.graph, ir.Graph):
        raise InternalError(f"the node {node.name!r} is not in a graph")
    return node.graph


def insert_before(node: ir.Node, made: Sequence[ir.Node]) -> None:
    """Put nodes before another one, without the names that onnx_ir gives them (some 15 bytes each)."""
    graph_of(node).insert_before(node, made)
    for new in made:
        new.name = None


def insert_after(value: ir.Value, made: Sequence[ir.Node]) -> None:
    """Put nodes where `value` is there: behind its producer, or first in the graph whose input it is."""
    producer = value.producer()
    graph = graph_of(producer) if producer is not None else value.graph
    if not isinstance(graph, ir.Graph):
        raise InternalError(f"the value {value.name!r} is not in a graph")
    if producer is not None:
        graph.insert_after(producer, made)
    elif len(graph):
        graph.insert_before(graph[0], made)
    else:
        graph.extend(made)
    for new in made:
        new.name = None


def take_over(old: ir.Value, new: ir.Value) -> None:
    """Let `new` stand for `old` wherever it is used; it also takes over the name where that is an output of the graph.

    Types stay with the old value: a runtime infers them anew.
    """
    was_output = old.is_graph_output()
    old.replace_all_uses_with(new, replace_graph_outputs=True)
    if was_output:
        new.type, new.shape = old.type, old.shape
        old.name, new.name = new.name, old.name
