"""Clean-up before compression: what costs bytes and time and changes nothing.

Case 1  batch norms go into the convolutions before them (`model.folding`)
Case 2  Constant nodes become initializers, which say the same in some 30 bytes less each
Case 3  types that are stated twice: of stored tensors, which say theirs themselves
Case 4  notes that exporters leave on nodes, values and graphs (where in the source code they came from): no runtime
        reads them. The model's own metadata and description stay.
"""

from __future__ import annotations

import onnx_ir as ir

from core.encoding.counting import varint
from core.model.folding import Fold
from core.model.graph import places, replace_stored, stored_tensors

INITIALIZERS_ALONE = 4
"""IR version from which an initializer need not be a graph input as well."""


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


def strip_notes(model: ir.Model) -> int:
    """Take exporters' notes off nodes, values and graphs (case 4); returns the bytes that they took in the file."""
    saved = 0
    for place in places(model):
        for node in place.graph:
            saved += _strip(node) + sum(_strip(value) for value in node.outputs)
        values = [*place.graph.inputs, *place.graph.outputs]
        values += place.graph.initializers.values() if isinstance(place.graph, ir.Graph) else []
        saved += sum(_strip(value) for value in values) + _strip(place.graph)
    return saved


def forget_types(model: ir.Model) -> None:
    """Take off what value_info repeats of stored tensors (case 3)."""
    for stored in stored_tensors(model).values():
        if stored.tensor is not None and not stored.value.is_graph_input() and not stored.value.is_graph_output():
            stored.value.type = stored.value.shape = None


def _strip(thing: ir.Node | ir.Value | ir.Graph | ir.Function) -> int:
    size = sum(
        _field(_field(len(key.encode())) + _field(len(text.encode())), tag=2)
        for key, text in thing.metadata_props.items()
    )
    thing.metadata_props.clear()
    if thing.doc_string:
        size += _field(len(thing.doc_string.encode()))
        thing.doc_string = None
    return size


def _field(size: int, tag: int = 1) -> int:
    """Bytes of a protobuf field whose content has `size` bytes."""
    return tag + varint(size) + size
