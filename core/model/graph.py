"""Queries and rewrites of the onnx_ir graph, subgraphs included.

Everything that walks a model does it through here, so that a weight inside an If branch is as good as any other.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from core.errors import InternalError, ModelFileError

_KEY = "featherweight.key"


@dataclass(frozen=True)
class Place:
    """A graph of the model and where it is.

    graph   the main graph, a subgraph of an If/Loop/Scan node, or the body of a model-local function
    scope   keys of the nodes around it, outermost first; () for the main graph
    function  name of the model-local function that it belongs to, or ""
    """

    graph: ir.Graph | ir.Function
    scope: tuple[str, ...] = ()
    function: str = ""


@dataclass(frozen=True)
class Stored:
    """A tensor that the file stores: an initializer or what a Constant node holds.

    name   unique within the model (the value's own name unless two scopes use the same)
    node   the Constant node, or None for an initializer
    """

    name: str
    value: ir.Value
    tensor: ir.TensorProtocol | None
    place: Place
    node: ir.Node | None = None
    shape: tuple[int, ...] = field(default=())


def places(model: ir.Model) -> Iterator[Place]:
    """All graphs: the main graph first, then subgraphs depth first, then functions with theirs."""
    yield from _nested(Place(model.graph))
    for function in model.functions.values():
        yield from _nested(Place(function, function=function.name))


def _nested(place: Place) -> Iterator[Place]:
    yield place
    for node in place.graph:
        for graph in subgraphs(node):
            yield from _nested(Place(graph, (*place.scope, node_key(node)), place.function))


def subgraphs(node: ir.Node) -> list[ir.Graph]:
    """The graphs in a node's attributes (branches and bodies)."""
    found: list[ir.Graph] = []
    for attribute in node.attributes.values():
        if attribute.is_ref():
            continue
        if attribute.type == ir.AttributeType.GRAPH:
            found.append(attribute.as_graph())
        elif attribute.type == ir.AttributeType.GRAPHS:
            found.extend(attribute.as_graphs())
    return found


def node_key(node: ir.Node) -> str:
    """The node's unique key: its name when no other node has it, else a name made from its first output."""
    key = node.meta.get(_KEY)
    if key is not None:
        return str(key)
    return node.name or f"{node.op_type}:{node.outputs[0].name if node.outputs else ''}"


def assign_keys(model: ir.Model) -> None:
    """Give every node and stored tensor its key, when a graph is loaded; a file always gives the same keys."""
    nodes = [node for graph in _all_graphs(model) for node in graph]
    count = Counter(node.name for node in nodes)
    taken = {name for name, times in count.items() if name and times == 1}
    for node in nodes:
        if node.name and count[node.name] == 1:
            node.meta[_KEY] = node.name
            continue
        output = next((value.name for value in node.outputs if value.name), "")
        node.meta[_KEY] = _unique(f"{node.name or node.op_type}:{output}", taken)
    for name, stored in stored_tensors(model).items():
        stored.value.meta[_KEY] = name


def _all_graphs(model: ir.Model) -> Iterator[ir.Graph | ir.Function]:
    stack: list[ir.Graph | ir.Function] = [*reversed(list(model.functions.values())), model.graph]
    while stack:
        graph = stack.pop()
        yield graph
        stack.extend(reversed([inner for node in graph for inner in subgraphs(node)]))


def _unique(name: str, taken: set[str]) -> str:
    candidate, number = name, 2
    while candidate in taken:
        candidate, number = f"{name}#{number}", number + 1
    taken.add(candidate)
    return candidate


def constant_tensor(node: ir.Node) -> ir.TensorProtocol | None:
    """What a Constant node holds, or None (texts, a sparse tensor, a reference to a function's attribute)."""
    for attribute in node.attributes.values():
        if attribute.is_ref():
            return None
        if attribute.type == ir.AttributeType.TENSOR:
            tensor: ir.TensorProtocol = attribute.value  # `as_tensor` checks a protocol, which is slow
            return tensor
        if attribute.type in (ir.AttributeType.FLOAT, ir.AttributeType.FLOATS):
            return ir.tensor(np.asarray(attribute.value, np.float32))
        if attribute.type in (ir.AttributeType.INT, ir.AttributeType.INTS):
            return ir.tensor(np.asarray(attribute.value, np.int64))
    return None


def stored_tensors(model: ir.Model) -> dict[str, Stored]:
    """Every stored tensor by its unique name, in file order. Reads no data."""
    found: dict[str, Stored] = {}
    taken: set[str] = set()

    def add(value: ir.Value, tensor: ir.TensorProtocol | None, place: Place, node: ir.Node | None) -> None:
        name = str(value.meta.get(_KEY) or value.name or "constant")
        if name in taken and place.scope:
            name = f"{name}@{place.scope[-1]}"
        name = _unique(name, taken)
        shape = tuple(tensor.shape.numpy()) if tensor is not None else ()
        found[name] = Stored(name, value, tensor, place, node, shape)

    for place in places(model):
        if isinstance(place.graph, ir.Graph):
            for value in place.graph.initializers.values():
                add(value, value.const_value, place, None)
        for node in place.graph:
            if node.op_type == "Constant" and node.domain in ("", "ai.onnx") and node.outputs:
                add(node.outputs[0], constant_tensor(node), place, node)
    return found


def find_constant(model: ir.Model, name: str) -> Stored:
    """The stored tensor of a layer; InternalError when the graph has none of that name."""
    stored = stored_tensors(model).get(name)
    if stored is None:
        raise InternalError(f"the graph stores no tensor {name!r}")
    return stored


def replace_stored(stored: Stored, nodes: Sequence[ir.Node], initializers: Iterable[ir.Value], new: ir.Value) -> None:
    """Let `new`, which `nodes` compute from `initializers`, stand for a stored tensor wherever it is used.

    `new` must have the stored tensor's type, or float32 where `takes_float32` says that this will do.
    The nodes come where the Constant node was, or first in the graph for an initializer. `new` takes over the name and
    the declared type and shape of the old value, so that a reader finds the weight under its name again. An initializer
    that was also a graph input stops being one. Raises InternalError inside a function, which has no initializers.
    """
    graph, old = stored.place.graph, stored.value
    keeps_name = not new.uses() and not new.is_graph_output()  # else it already stands for another tensor
    if not isinstance(graph, ir.Graph):
        raise InternalError(f"{stored.name!r} lies inside the function {stored.place.function!r}")
    name = str(old.name)
    if stored.node is not None:
        graph.insert_before(stored.node, nodes)
    else:
        graph.initializers.pop(name)
        if old in graph.inputs:
            graph.inputs.remove(old)
        if len(graph):
            graph.insert_before(graph[0], nodes)
        else:
            graph.extend(nodes)
    for value in initializers:
        if value.name not in graph.initializers:
            graph.register_initializer(value)
    if stored.tensor is not None:
        new.type, new.shape = old.type or ir.TensorType(stored.tensor.dtype), ir.Shape(stored.shape)
    old.replace_all_uses_with(new, replace_graph_outputs=True)
    if stored.node is not None:
        graph.remove(stored.node)
    old.name = None
    if keeps_name:
        new.name = name


def takes_float32(stored: Stored) -> bool:
    """Whether float32 can stand for the stored tensor: it is float32, or all that reads it is a Cast."""
    if stored.tensor is None or stored.tensor.dtype == ir.DataType.FLOAT:
        return True
    return not stored.value.is_graph_output() and all(use.node.op_type == "Cast" for use in stored.value.uses())


def fresh_names(graph: ir.Model) -> Iterator[str]:
    """Short names that nothing in the model has: w1, w2, ... Short, because each is written several times."""
    taken = {v.name for place in places(graph) for node in place.graph for v in node.outputs}
    taken |= {s.value.name for s in stored_tensors(graph).values()} | {v.name for v in graph.graph.inputs}
    return (name for number in itertools.count(1) if (name := f"w{number}") not in taken)


def remove_unused(model: ir.Model) -> None:
    """Remove nodes whose outputs nothing reads and initializers that nothing reads, in all graphs."""
    for place in reversed(list(places(model))):
        graph = place.graph
        for node in reversed(list(graph)):
            if not any(value.uses() or value.is_graph_output() for value in node.outputs):
                graph.remove(node, safe=True)
        if isinstance(graph, ir.Graph):
            for name, value in list(graph.initializers.items()):
                if not value.uses() and not value.is_graph_output() and not value.is_graph_input():
                    del graph.initializers[name]


def sort_and_check(model: ir.Model, where: str) -> None:
    """Put nodes in order if they are not; ModelFileError for a cycle or for a value that nothing produces."""
    graphs: list[ir.Graph | ir.Function] = [model.graph, *model.functions.values()]
    for graph in graphs:
        if _unknown(graph, set()) is None:
            continue
        try:
            graph.sort()
        except ValueError:
            raise ModelFileError("the graph runs in a circle", where=where, do="export the model again") from None
        missing = _unknown(graph, set())
        if missing is not None:
            raise ModelFileError(f"{missing[0]} reads {missing[1].name!r}, which nothing produces", where=where,
                                 do="export the model again")


def _unknown(graph: ir.Graph | ir.Function, known: set[ir.Value]) -> tuple[str, ir.Value] | None:
    """The first value that is read before it is there, and who reads it; adds what the graph makes to `known`."""
    known.update(graph.inputs)
    if isinstance(graph, ir.Graph):
        known.update(graph.initializers.values())
    for node in graph:
        for value in node.inputs:
            if value is not None and value not in known:
                return f"the node {node.name or node.op_type!r}", value
        for inner in subgraphs(node):
            missing = _unknown(inner, known)
            if missing is not None:
                return missing
        known.update(node.outputs)
    return next((("an output", value) for value in graph.outputs if value not in known), None)


def attribute(node: ir.Node, name: str, default: int) -> int:
    """The value of a node's whole-number attribute, or the default when it is not given as one."""
    found = _given(node, name, ir.AttributeType.INT)
    return default if found is None else found.as_int()


def numbers(node: ir.Node, name: str) -> tuple[int, ...] | None:
    """The value of a node's attribute that is a list of whole numbers, or None when it is not given as one."""
    found = _given(node, name, ir.AttributeType.INTS)
    return None if found is None else tuple(found.as_ints())


def _given(node: ir.Node, name: str, kind: ir.AttributeType) -> ir.Attr | None:
    found = node.attributes.get(name)
    return found if found is not None and not found.is_ref() and found.type == kind else None
