"""The exporter's raw graph as one to work on: constants computed, parameters left under their own names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import onnx_ir as ir

_SYMBOL = re.compile(r"\b[A-Za-z_]\w*\b")


def tidy(model: ir.Model, keep: frozenset[str]) -> None:
    """Optimise a graph in place as the exporter would, but for the tensors in `keep`, which stay as they are.

    The exporter's own clean-up transposes weights and gives the results names such as val_30. So those tensors are
    inputs meanwhile, whose values nothing knows.
    """
    import onnxscript.optimizer

    graph = model.graph
    held = {}
    for name in [name for name in graph.initializers if name in keep]:
        value = graph.initializers.pop(name)
        held[name] = value.const_value
        value.const_value = None
        graph.inputs.append(value)
    onnxscript.optimizer.optimize_ir(model)
    for value in [value for value in graph.inputs if value.name in held]:
        graph.inputs.remove(value)
        value.const_value = held[value.name or ""]
        if value.uses() or value.is_graph_output():
            graph.register_initializer(value)
    _drop_comments(model)


def _drop_comments(model: ir.Model) -> None:
    """Paths and code lines of the machine that exported: kilobytes a node, and nobody else's business."""
    for node in ir.traversal.RecursiveGraphIterator(model.graph):
        node.metadata_props.clear()
        node.doc_string = None
        for value in (*node.inputs, *node.outputs):
            if value is not None:
                value.metadata_props.clear()
    for value in (*model.graph.inputs, *model.graph.outputs, *model.graph.initializers.values()):
        value.metadata_props.clear()
    model.graph.metadata_props.clear()
    model.metadata_props.clear()
    model.producer_name, model.producer_version = f"pytorch {model.producer_version or ''}".strip(), None
    model.doc_string = None


def name_ports(model: ir.Model, inputs: Sequence[str] | None, outputs: Sequence[str]) -> None:
    """Give inputs (None: as they are) and outputs these names, and free dimensions names that read well."""
    graph = model.graph
    taken = {value.name for node in graph for value in (*node.inputs, *node.outputs) if value is not None}
    taken |= {value.name for value in graph.inputs}
    for values, names in ((graph.inputs, inputs or ()), (graph.outputs, outputs)):
        for value, name in zip(values, names, strict=False):
            if value.name != name and name not in taken:
                value.name = name
                taken.add(name)
    symbols: dict[str, str] = {}
    for value in graph.inputs:
        for axis, size in enumerate(value.shape or ()):
            if not isinstance(size, int) and size.value is not None and str(size.value) not in symbols:
                name = "batch" if axis == 0 and "batch" not in symbols.values() else f"{value.name}_{axis}"
                symbols[str(size.value)] = name
    for value in _values(model):
        if value.shape is not None:
            value.shape = ir.Shape([size if isinstance(size, int) else _renamed(size, symbols) for size in value.shape])


def _values(model: ir.Model) -> set[ir.Value]:
    found = {*model.graph.inputs, *model.graph.outputs}
    for node in ir.traversal.RecursiveGraphIterator(model.graph):
        found.update(node.outputs)
    return found


def _renamed(size: ir.SymbolicDim, symbols: Mapping[str, str]) -> str | None:
    if size.value is None:
        return None
    return _SYMBOL.sub(lambda found: symbols.get(found[0], found[0]), str(size.value))
