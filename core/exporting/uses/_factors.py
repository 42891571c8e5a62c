"""What rewriting a layer into several needs: writing one factor into the graph, and counting the bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count

import onnx_ir as ir

from core.encoding import Encoding
from core.encoding.counting import graph_size, varint
from core.encoding.emitter import GraphEmitter
from core.errors import InternalError
from core.exporting.uses import ToIr
from core.model.graph import Stored

NAME = 3
"""Bytes of a made-up name ("w42")."""


def write_factor(
    part: Encoding, stored: Stored, emitter: GraphEmitter, to_ir: ToIr, names: Iterator[str]
) -> ir.Value:
    """Write one factor where the stored tensor is, under a new name, and return its value."""
    graph, name = stored.place.graph, next(names)
    if not isinstance(graph, ir.Graph):
        raise InternalError(f"{stored.name!r} is not in a graph")
    tensors, nodes = len(emitter.tensors), len(emitter.nodes)
    emitter.emit(part, name)
    values, made = to_ir(emitter.tensors[tensors:], emitter.nodes[nodes:], stored)
    for value in values.values():
        graph.register_initializer(value)
    if stored.node is not None:
        graph.insert_before(stored.node, made)
    elif len(graph):
        graph.insert_before(graph[0], made)
    for node in made:
        node.name = None
    return made[-1].outputs[0] if made else values[name]


def no_longer_an_input(stored: Stored) -> None:
    """A rewritten tensor that a caller could have replaced stops being an input of the graph; else it would stay."""
    graph = stored.place.graph
    if isinstance(graph, ir.Graph) and stored.value in graph.inputs:
        graph.inputs.remove(stored.value)


def plain_uses(stored: Stored) -> list[tuple[ir.Node, int]] | None:
    """The standard operators that read the stored float32 tensor, with the input's index; None for any other use."""
    if stored.value.is_graph_output():
        return None
    if stored.tensor is not None and stored.tensor.dtype != ir.DataType.FLOAT:
        return None  # the factors are float32; rebuilt, their product is cast to what the layer computes in
    uses = [(use.node, use.idx) for use in stored.value.uses()]
    plain = all(node.domain in ("", "ai.onnx") and isinstance(node.graph, ir.Graph) for node, _ in uses)
    return uses if plain else None


def emitted_bytes(encodings: Sequence[Encoding], opset: int, name: int = NAME) -> int:
    """Bytes of the tensors and nodes of encodings whose values have names of `name` bytes; shared constants apart."""
    numbers = count(10)
    emitter = GraphEmitter(opset, lambda: f"w{next(numbers)}")
    for encoding in encodings:
        emitter.emit(encoding, "v" * name)
    return graph_size((t for t in emitter.tensors if not t.constant), emitter.nodes).total


def field_bytes(size: int) -> int:
    """Bytes of a protobuf field whose content has `size` bytes."""
    return 1 + varint(size) + size
