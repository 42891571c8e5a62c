"""Axes flow through the graph: every operator's rule says which axes its results have and what they tie and pin."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import cached_property

import onnx_ir as ir

from core.model.coupling.axes import Axes, Axis, Ledger, fixed
from core.model.coupling.sites import Site
from core.model.coupling.sizes import Sizes
from core.model.graph import Stored, node_key, stored_tensors, subgraphs

Rule = Callable[["Flow", ir.Node], Sequence[Axes | None]]
Rules = dict[str, Rule]

_LOG = logging.getLogger(__name__)
_INPUT = "it is an input of the model"


class Opaque(Exception):
    """A rule cannot follow the axes through this node; the text is the reason that pins them (one clause)."""


class Flow:
    """One pass over a graph. After `run`: `ledger`, `sites`, and `known`, the axes of every value.

    tensors  (value, axes) of the stored tensors that take part
    """

    def __init__(self, model: ir.Model, rules: Rules) -> None:
        self.model = model
        self.rules = rules
        self.ledger = Ledger()
        self.sites: list[Site] = []
        self.known: dict[ir.Value, Axes | None] = {}
        self.given_up: set[ir.Node] = set()  # nodes that no axis is followed through
        self.heads: list[Axis] = []  # axes along which two computed values are multiplied matrix by matrix
        self.stored: dict[ir.Value, Stored] = {
            stored.value: stored for stored in stored_tensors(model).values() if stored.place.graph is model.graph
        }
        self.sizes = Sizes(self.stored, self.known.get)

    @cached_property
    def opset(self) -> int:
        imports = self.model.graph.opset_imports
        return imports.get("", imports.get("ai.onnx", 1))

    def run(self) -> Flow:
        """Follow the axes through the main graph; what lies in branches and bodies is pinned."""
        for value in self.model.graph.inputs:
            self.known[value] = None if value.shape is None else _declared(value, _INPUT)
        for node in self.model.graph:
            if node.op_type != "Constant" or node.domain not in ("", "ai.onnx"):
                self._visit(node)
        for value in self.model.graph.outputs:
            self._pin(value, f"it is the model's output {value.name!r}")
        return self

    def axes(self, value: ir.Value | None) -> Axes:
        """The axes of a value; raises Opaque when not even their number is known."""
        found = None if value is None else self.maybe(value)
        if found is None:
            raise Opaque("the shape of a value before it is not known")
        return found

    def maybe(self, value: ir.Value) -> Axes | None:
        """The axes of a value, or None; a stored tensor gets its atoms when it is first asked for."""
        if value not in self.known:
            stored = self.stored.get(value)
            self.known[value] = None if stored is None or stored.tensor is None else self._fresh(stored)
        return self.known[value]

    def input(self, node: ir.Node, index: int) -> ir.Value | None:
        """Input `index`, or None when it is left out."""
        return node.inputs[index] if len(node.inputs) > index else None

    def _fresh(self, stored: Stored) -> Axes:
        axes = tuple(self.ledger.new(size) for size in stored.shape)
        if stored.value.is_graph_input() or stored.value.is_graph_output():
            for axis in axes:
                self.ledger.pin(axis, "a caller of the model can see or replace it")
        return axes

    def _visit(self, node: ir.Node) -> None:
        rule = self.rules.get(node.op_type) if node.domain in ("", "ai.onnx", "com.microsoft") else None
        try:
            if rule is None or subgraphs(node):
                inside = "what happens inside its branches is not followed"
                raise Opaque(inside if subgraphs(node) else "its operator is not one that can be cut through")
            results = rule(self, node)
        except Opaque as error:
            self._give_up(node, f"{node.op_type} {_title(node)} stands behind it: {error}")
            return
        except (IndexError, ValueError, TypeError, ZeroDivisionError) as error:
            # A damaged graph: numbers of axes that do not fit the operator. Nothing before it can be cut.
            _LOG.info("%s %s cannot be followed: %s", node.op_type, _title(node), error)
            self._give_up(node, f"{node.op_type} {_title(node)} stands behind it, and does not fit its inputs")
            return
        for value, axes in zip(node.outputs, [*results, *[None] * len(node.outputs)], strict=False):
            self.known[value] = axes if axes is not None else self._outside(value)

    def _give_up(self, node: ir.Node, why: str) -> None:
        """Pin everything that the node reads, also from inside its branches; its results are as the file declares."""
        self.given_up.add(node)
        for value in node.inputs:
            self._pin(value, why)
        graphs = subgraphs(node)
        while graphs:
            graph = graphs.pop()
            for inner in graph:
                graphs.extend(subgraphs(inner))
                for value in inner.inputs:
                    if value in self.known or value in self.stored:
                        self._pin(value, why)
            for value in graph.outputs:
                if value in self.known or value in self.stored:
                    self._pin(value, why)
        for value in node.outputs:
            self.known[value] = self._outside(value)

    def _pin(self, value: ir.Value | None, why: str) -> None:
        for axis in (self.maybe(value) if value is not None else None) or ():
            self.ledger.pin(axis, why)

    def _outside(self, value: ir.Value) -> Axes | None:
        """Axes of a value that no rule made: as declared or inferred, and none of them can be cut."""
        if value.shape is not None:
            return _declared(value, "an operator before it gives it this size")
        shape = self._inferred.get(value.name or "")
        return None if shape is None else tuple(fixed(size) for size in shape)

    @cached_property
    def _inferred(self) -> dict[str, tuple[int | None, ...]]:
        """Shapes by ONNX's inference, asked only when an operator without a rule comes up and nothing is declared."""
        from core.model.coupling.inference import inferred_shapes

        return inferred_shapes(self.model)


def _declared(value: ir.Value, why: str) -> Axes:
    sizes = [size if isinstance(size, int) and size >= 0 else None for size in value.shape or ()]
    return tuple(fixed(size, why) for size in sizes)


def _title(node: ir.Node) -> str:
    return repr(node_key(node))


def pin_axes(flow: Flow, axes: Sequence[Axis], why: str) -> None:
    """Pin several axes for one reason."""
    for axis in axes:
        flow.ledger.pin(axis, why)
