"""Which layers' gradients torch can compute in a model with operators that it does not run, and the graph to do so.

A node that torch does not run stops gradients: layers in front of it have none. Behind it they are as they would be
with the whole model, when the node's outputs are recorded from ONNX Runtime and fed to the rest of the graph.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx_ir as ir

    from core.model.model import Model


@dataclass(frozen=True, eq=False)
class Differentiable:
    """The graph for torch.

    recorded   values that have become inputs of it, to be recorded from the model
    operators  that torch does not run, sorted
    before     layers whose gradients they stop
    """

    graph: ir.Model = field(repr=False)
    recorded: tuple[str, ...] = ()
    operators: tuple[str, ...] = ()
    before: frozenset[str] = frozenset()

    def note(self, layers: int) -> str:
        """A sentence about what is not predicted, or ""; of so many layers in all."""
        if not self.operators:
            return ""
        which = f"{len(self.before)} of {layers} layers" if len(self.before) < layers else "All layers"
        return (
            f"{which} could not be predicted from gradients but were measured: they lie in front of "
            f"{', '.join(self.operators)}, which torch does not run."
        )


def differentiable(model: Model) -> Differentiable:
    """The model's graph, cut at the nodes of the main graph that torch does not run."""
    from core.interpreter.plan import missing_by_node
    from core.model.graph import stored_tensors

    graph = model.graph()
    lacking = missing_by_node(graph)
    if not lacking:
        return Differentiable(graph)
    behind_values = _all_read(list(lacking))
    names = {layer.name for layer in model.layers}
    before = {name for name, found in stored_tensors(graph).items() if name in names and found.value in behind_values}
    recorded = [name for node in lacking for name in _feed(graph, node)]
    graph.graph.remove(list(lacking))
    operators = sorted({operator for operators in lacking.values() for operator in operators})
    return Differentiable(graph, tuple(recorded), tuple(operators), frozenset(before))


def _all_read(nodes: list[ir.Node]) -> set[ir.Value]:
    """All values that the nodes' outputs depend on."""
    from core.interpreter.plan import reads

    seen: set[ir.Value] = set()
    stack = [value for node in nodes for value in reads(node)]
    while stack:
        value = stack.pop()
        if value in seen:
            continue
        seen.add(value)
        maker = value.producer()
        if maker is not None:
            stack.extend(reads(maker))
    return seen


def _feed(graph: ir.Model, node: ir.Node) -> list[str]:
    """Make inputs of a node's outputs that are used; their names."""
    import onnx_ir as ir

    names = []
    for value in node.outputs:
        if not value.uses() and not value.is_graph_output():
            continue
        fed = ir.Value(name=value.name, type=value.type, shape=value.shape)
        value.replace_all_uses_with(fed, replace_graph_outputs=True)
        graph.graph.inputs.append(fed)
        names.append(value.name or "")
    return names
