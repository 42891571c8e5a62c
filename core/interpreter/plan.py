"""A graph as a list of steps, each with what it reads, makes, and may forget afterwards."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import onnx_ir as ir

from core.interpreter.attributes import Attributes, Operator
from core.interpreter.operators import TABLE
from core.model.graph import subgraphs

DEFAULT_DOMAINS = ("", "ai.onnx")
_NO_NUMBERS = ("value_string", "value_strings", "sparse_value")  # what a Constant may hold beside tensors

Graph = ir.Graph | ir.Function


@dataclass(frozen=True)
class Plan:
    """The steps of a graph, a branch or one call of a function."""

    steps: tuple[Step, ...]
    outputs: tuple[ir.Value, ...]


@dataclass(frozen=True)
class Step:
    """One node.

    operator   its function; None for an If (`branches`: then, else) and for a call (`body`, the function's inputs)
    forget     values that nothing reads after this step
    """

    node: ir.Node
    operator: Operator | None
    attributes: Attributes
    forget: tuple[ir.Value, ...]
    branches: tuple[Plan, Plan] | None = None
    body: Plan | None = None
    parameters: tuple[ir.Value, ...] = ()


def missing(model: ir.Model) -> tuple[str, ...]:
    """Operators of the model (functions that it calls included) that cannot be run, sorted; "domain.Name" of others."""
    return tuple(sorted({name for names in missing_by_node(model).values() for name in names}))


def missing_by_node(model: ir.Model) -> dict[ir.Node, tuple[str, ...]]:
    """The main graph's nodes that cannot be run, in order, with the operators that are missing in each."""
    found = {node: _missing_in(model, node) for node in model.graph}
    return {node: names for node, names in found.items() if names}


def _missing_in(model: ir.Model, main: ir.Node) -> tuple[str, ...]:
    found: set[str] = set()
    for node in _reached(model, [main], set()):
        if node.op_identifier() in model.functions:
            continue
        if node.domain not in DEFAULT_DOMAINS:
            found.add(f"{node.domain}.{node.op_type}")
        elif node.op_type not in TABLE and node.op_type != "If":
            found.add(node.op_type)
        elif node.op_type == "Constant":
            found.update(f"Constant ({name})" for name in _NO_NUMBERS if name in node.attributes)
    return tuple(sorted(found))


def _reached(model: ir.Model, nodes: Iterable[ir.Node], called: set[ir.OperatorIdentifier]) -> Iterator[ir.Node]:
    """These nodes, all nodes of their branches, and of the functions that they call."""
    for node in nodes:
        yield node
        for inner in subgraphs(node):
            yield from _reached(model, inner, called)
        name = node.op_identifier()
        if name in model.functions and name not in called:
            called.add(name)
            yield from _reached(model, model.functions[name], called)


def make_plan(
    model: ir.Model, graph: Graph, opsets: Mapping[str, int], around: Mapping[str, ir.Attr] | None = None
) -> Plan:
    """The plan of a graph whose operators are all there (`missing`).

    around   attributes of the call when the graph is a function's body
    """
    nodes = [node for node in graph if not _is_stored(node)]
    last: dict[ir.Value, int] = {}
    for place, node in enumerate(nodes):
        for value in (*node.outputs, *reads(node)):
            last[value] = place
    kept = set(graph.outputs)
    own = {value for node in nodes for value in node.outputs}
    forget: list[list[ir.Value]] = [[] for _ in nodes]
    for value, place in last.items():
        if value in own and value not in kept:  # what comes from outside is forgotten there
            forget[place].append(value)
    steps = (_step(model, node, opsets, around, tuple(old)) for node, old in zip(nodes, forget, strict=True))
    return Plan(tuple(steps), tuple(graph.outputs))


def _step(
    model: ir.Model,
    node: ir.Node,
    opsets: Mapping[str, int],
    around: Mapping[str, ir.Attr] | None,
    forget: tuple[ir.Value, ...],
) -> Step:
    names = DEFAULT_DOMAINS if node.domain in DEFAULT_DOMAINS else (node.domain,)
    attributes = Attributes(node, next((opsets[name] for name in names if name in opsets), 1), around)
    function = model.functions.get(node.op_identifier())
    if function is not None:
        given = {name: attribute for name, attribute in function.attributes.items() if attribute.value is not None}
        body = make_plan(model, function, function.opset_imports, {**given, **attributes.given})
        return Step(node, None, attributes, forget, body=body, parameters=tuple(function.inputs))
    if node.op_type == "If":
        graphs = (attributes.given[name].as_graph() for name in ("then_branch", "else_branch"))
        then, otherwise = (make_plan(model, branch, opsets, around) for branch in graphs)
        return Step(node, None, attributes, forget, branches=(then, otherwise))
    return Step(node, TABLE[node.op_type], attributes, forget)


def _is_stored(node: ir.Node) -> bool:
    """Whether the node is a Constant that `stored_tensors` knows. One whose value a function's caller gives is none."""
    constant = node.op_type == "Constant" and node.domain in DEFAULT_DOMAINS
    return constant and not any(attribute.is_ref() for attribute in node.attributes.values())


def reads(node: ir.Node) -> Iterator[ir.Value]:
    """What a node reads, in its branches too."""
    yield from (value for value in node.inputs if value is not None)
    for graph in subgraphs(node):
        yield from graph.outputs
        for inner in graph:
            yield from reads(inner)
