"""From a graph and encodings to the graph of the compressed file.

Steps, in order: raise the opset if an encoding needs it; clean up; let each encoding rebuild its weight where
the tensor was; write low-rank Linear layers as two layers; remove what nothing uses.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx_ir as ir

from core.encoding import Encoding
from core.encoding.emitter import EmittedNode, EmittedTensor, GraphEmitter
from core.encoding.scaled import scale_channels
from core.errors import FeatherweightError
from core.exporting.cleanup import apply_fold, clean_up
from core.exporting.constants import WORTH_MERGING, merge_identical
from core.exporting.opset import default_opset, raise_opset
from core.exporting.quantized_values import note_norms
from core.exporting.uses import place_shared, rewrite_uses, simulate_uses
from core.model.folding import Fold, find_folds
from core.model.graph import Stored, fresh_names, remove_unused, replace_stored, stored_tensors, takes_float32
from core.model.model import Model
from core.progress import SILENT, Reporter


@dataclass(frozen=True)
class Assembly:
    """The graph of a compressed file.

    graph    ready to be serialized
    opset    its default-domain opset
    left     {layer: reason} of layers that could not be written as planned and stayed as they were
    folded   {norm tensor: convolution's weight} of batch norms that were folded
    split    layers that became two layers (fewer multiply-adds)
    """

    graph: ir.Model
    opset: int
    left: Mapping[str, str] = field(default_factory=dict)
    folded: Mapping[str, str] = field(default_factory=dict)
    split: tuple[str, ...] = ()


def assemble(model: Model, encodings: Mapping[str, Encoding], reporter: Reporter = SILENT) -> Assembly:
    """The compressed graph. `encodings` names the layers to store in another way; the rest stays as it is."""
    graph = model.graph()
    graph, left = _fit_opset(graph, encodings)
    wanted = {name: encoding for name, encoding in encodings.items() if name not in left}
    clean_up(graph, {layer.name for layer in model.layers})
    names = fresh_names(graph)
    folds = find_folds(graph)
    for fold in folds:
        wanted[fold.weight] = scale_channels(
            wanted.get(fold.weight) or model.encoding(fold.weight), fold.factor, fold.axis
        )
        apply_fold(fold, next(names))
    folded = _forgotten_norms(graph, folds, wanted)
    split = _emit_all(graph, wanted, names, left, reporter)
    place_shared(graph, names)
    remove_unused(graph)
    merge_identical(graph, least=WORTH_MERGING)  # layers that were equal and are stored alike
    return Assembly(graph, default_opset(graph), left, folded, split)


def simulate(model: Model, encodings: Mapping[str, Encoding], *, round_inputs: bool = True) -> ir.Model:
    """The original graph with the decoded float32 weights: what the compressed file must give.

    round_inputs  layers that multiply integers round what enters and leaves them in float, at the same levels
    """
    graph = model.graph()
    rounding = {name: e for name, e in encodings.items() if round_inputs and e.rounds_inputs}
    graph, _ = _fit_opset(graph, rounding)
    stored = stored_tensors(graph)
    names = fresh_names(graph)
    for name, encoding in encodings.items():
        if name in rounding:
            simulate_uses(stored[name], encoding, names)
        tensor = _decoded_later(encoding, stored[name])
        value = ir.Value(name=name, const_value=tensor)
        replace_stored(stored[name], [], [value], value)
    if rounding:
        remove_unused(graph)  # as the export does: what else uses a value decides where it is rounded
        note_norms(find_folds(graph))
        place_shared(graph, names)
    return graph


def _decoded_later(encoding: Encoding, stored: Stored) -> ir.LazyTensor:
    """The decoded weight in the type that the export gives it, made when it is written, one at a time."""
    narrow = stored.tensor is not None and not takes_float32(stored)
    dtype = stored.tensor.dtype if stored.tensor is not None and narrow else ir.DataType.FLOAT

    def decode() -> ir.Tensor:
        return ir.Tensor(np.ascontiguousarray(encoding.decode()).astype(dtype.numpy(), copy=False), dtype=dtype)

    return ir.LazyTensor(decode, dtype=dtype, shape=ir.Shape(encoding.shape), name=str(stored.value.name))


def _fit_opset(graph: ir.Model, encodings: Mapping[str, Encoding]) -> tuple[ir.Model, dict[str, str]]:
    """The graph at the opset that the encodings need, and the layers that must stay because it cannot be raised."""
    opset = default_opset(graph)
    needed = max((e.min_opset for e in encodings.values()), default=0)
    if needed <= opset:
        return graph, {}
    try:
        return raise_opset(graph, needed), {}
    except FeatherweightError as error:
        return graph, {
            name: f"{e.describe()} needs opset {e.min_opset}: {error.what}"
            for name, e in encodings.items()
            if e.min_opset > opset
        }


def _forgotten_norms(graph: ir.Model, folds: tuple[Fold, ...], wanted: dict[str, Encoding]) -> dict[str, str]:
    """The folded norms' tensors that no other node uses; plans for them are dropped."""
    stored = stored_tensors(graph)
    gone = {
        name: fold.weight for fold in folds for name in fold.norms if name in stored and not stored[name].value.uses()
    }
    for name in gone:
        wanted.pop(name, None)
    return gone


def _emit_all(
    graph: ir.Model, wanted: Mapping[str, Encoding], names: Iterator[str], left: dict[str, str], reporter: Reporter
) -> tuple[str, ...]:
    """Put every encoding in its tensor's place; returns the layers that became two."""
    stored, split = stored_tensors(graph), []
    emitters: dict[int, GraphEmitter] = {}
    for number, (name, encoding) in enumerate(wanted.items()):
        reporter.report(number / len(wanted), f"Writing {name}")
        place = stored[name].place
        if not isinstance(place.graph, ir.Graph):
            left[name] = f"it lies inside the function {place.function!r}, which cannot hold tensors"
            continue
        emitter = emitters.setdefault(id(place.graph), GraphEmitter(default_opset(graph), names.__next__))
        if rewrite_uses(stored[name], encoding, emitter, _to_ir, names):
            split.append(name)
        else:
            _replace(stored[name], encoding, emitter, names)
    return tuple(split)


def _replace(stored: Stored, encoding: Encoding, emitter: GraphEmitter, names: Iterator[str]) -> None:
    """Emit one encoding and let it stand for the stored tensor."""
    tensors, nodes = len(emitter.tensors), len(emitter.nodes)
    _emit_as_stored(stored, encoding, emitter, names)
    values, made = _to_ir(emitter.tensors[tensors:], emitter.nodes[nodes:], stored)
    new = made[-1].outputs[0] if made else values[emitter.tensors[-1].name]
    declared = new.type, new.shape
    replace_stored(stored, made, values.values(), new)
    unname(made)
    if not new.is_graph_output():  # what a runtime can infer need not be stated: some 60 bytes a layer
        new.type, new.shape = declared


def _emit_as_stored(stored: Stored, encoding: Encoding, emitter: GraphEmitter, names: Iterator[str]) -> None:
    """Emit the weight under the tensor's name, cast back to the tensor's type where the graph needs that."""
    name = str(stored.value.name)
    if stored.tensor is None or takes_float32(stored):
        emitter.emit(encoding, name)
        return
    wide = next(names)
    emitter.emit(encoding, wide)
    emitter.nodes.append(EmittedNode("Cast", (wide,), name, {"to": int(stored.tensor.dtype)}))


def unname(nodes: Iterable[ir.Node]) -> None:
    """Take off the names that onnx_ir gives to nodes when they enter a graph: some 15 bytes each."""
    for node in nodes:
        node.name = None


def _to_ir(
    tensors: list[EmittedTensor], nodes: list[EmittedNode], stored: Stored
) -> tuple[dict[str, ir.Value], list[ir.Node]]:
    """Emitted records as onnx_ir values and nodes; shared constants are found among the graph's initializers."""
    graph = stored.place.graph
    # A value with a type would be written a second time, as value_info; the tensor says it already.
    values = {t.name: ir.Value(name=t.name, const_value=_tensor(t)) for t in tensors}
    known = dict(values)
    made = []
    for node in nodes:
        inputs = [known[name] if name in known else graph.initializers[name] for name in node.inputs]  # type: ignore[union-attr]
        attributes = [
            ir.convenience.convert_attribute(key, _attribute(value)) for key, value in node.attributes.items()
        ]
        output = ir.Value(name=node.output)
        if node.dtype is not None and node.shape is not None:
            output.type, output.shape = ir.TensorType(_element_type(node.dtype)), ir.Shape(node.shape)
        made.append(ir.Node("", node.op, inputs, attributes, outputs=[output]))
        known[node.output] = output
    return values, made


def _attribute(value: Any) -> Any:
    return ir.Tensor(value) if isinstance(value, np.ndarray) else list(value) if isinstance(value, tuple) else value


def _element_type(dtype: str) -> ir.DataType:
    return ir.DataType[{"float32": "FLOAT", "float64": "DOUBLE"}.get(dtype, dtype.upper())]


def _tensor(tensor: EmittedTensor) -> ir.Tensor:
    array = np.ascontiguousarray(tensor.array)
    if tensor.dtype == "bfloat16":
        import ml_dtypes

        array = array.view(ml_dtypes.bfloat16)
    return ir.Tensor(array, dtype=_element_type(tensor.dtype), name=tensor.name)
