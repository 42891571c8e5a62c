"""Clean-up before compression: what costs bytes and time and changes nothing.

Case 1  batch norms go into the convolutions before them (`model.folding`)
Case 2  Constant nodes become initializers, which say the same in some 30 bytes less each
Case 3  types that are stated twice: of stored tensors, which say theirs themselves
Case 4  notes that exporters leave on nodes, values and graphs (where in the source code they came from): no runtime
        reads them. The model's own metadata and description stay.
Case 5  small constants that are computed, and equal tensors that are stored twice (`constants`)
Case 6  nodes and tensors that nothing uses
"""

from __future__ import annotations

from collections.abc import Callable, Collection

import onnx_ir as ir

from core.exporting.constants import fold_constants, merge_identical
from core.model.folding import Fold
from core.model.graph import places, remove_unused, replace_stored, stored_tensors

Done = Callable[[str], None]
"""Told after each part of the clean-up, in words, with the graph as it is then."""

INITIALIZERS_ALONE = 4
"""IR version from which an initializer need not be a graph input as well."""


def clean_up(model: ir.Model, layers: Collection[str], done: Done = lambda what: None) -> None:
    """Cases 2 to 6, in place. Folding batch norms (case 1) is the caller's, as it changes layers.

    layers  names of tensors that may be stored in another way later: they stay as they are
    """
    lift_constants(model)
    forget_types(model)
    done("constants stored shorter, types said once")
    remove_unused(model)
    done("nodes and tensors that nothing uses removed")
    strip_notes(model)
    done("exporters' notes on nodes taken off")
    folded = fold_constants(model, layers)
    remove_unused(model)
    done(f"{folded:,} constant computations done once and stored")
    merged = merge_identical(model, layers)
    done(f"{merged:,} tensors merged with equal ones")


def apply_fold(fold: Fold, name: str) -> None:
    """Give the convolution its new bias (stored as `name`) and take the norm out. The weight is the caller's part."""
    conv, norm = fold.conv, fold.norm
    graph = conv.graph
    if not isinstance(graph, ir.Graph):
        raise ValueError("the convolution is not in a graph")
    bias = ir.Value(name=name, const_value=ir.Tensor(fold.bias, name=name))
    graph.register_initializer(bias)
    conv.resize_inputs(3)
    conv.replace_input_with(2, bias)
    old, new = norm.outputs[0], conv.outputs[0]
    final_name = old.name
    if old.is_graph_output():
        new.type, new.shape = old.type, old.shape  # an output states them
    ir.convenience.replace_all_uses_with(old, new, replace_graph_outputs=True)
    graph.remove(norm, safe=True)
    new.name = final_name


def lift_constants(model: ir.Model) -> None:
    """Make initializers of Constant nodes (case 2), in whichever graph they are; functions have no initializers."""
    for stored in stored_tensors(model).values():
        plain = stored.node is not None and stored.tensor is not None and isinstance(stored.place.graph, ir.Graph)
        if plain and not stored.value.is_graph_output():
            value = ir.Value(name=stored.value.name, const_value=stored.tensor)
            replace_stored(stored, [], [value], value)
    model.ir_version = max(model.ir_version, INITIALIZERS_ALONE)


def strip_notes(model: ir.Model) -> None:
    """Take exporters' notes off nodes, values and graphs (case 4)."""
    for place in places(model):
        values = [*place.graph.inputs, *place.graph.outputs]
        values += place.graph.initializers.values() if isinstance(place.graph, ir.Graph) else []
        for node in place.graph:
            _strip(node)
            values += node.outputs
        for value in values:
            _strip(value)
        _strip(place.graph)


def forget_types(model: ir.Model) -> None:
    """Take off what value_info repeats of stored tensors (case 3)."""
    for stored in stored_tensors(model).values():
        if stored.tensor is not None and not stored.value.is_graph_input() and not stored.value.is_graph_output():
            stored.value.type = stored.value.shape = None


def _strip(thing: ir.Node | ir.Value | ir.Graph | ir.Function) -> None:
    thing.metadata_props.clear()
    thing.doc_string = None
