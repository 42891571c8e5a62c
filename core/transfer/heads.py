"""A model with another head: trunk and new head as a graph of their own, without what is no longer used."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.errors import InternalError
from core.transfer.cuts import CutPoint

if TYPE_CHECKING:
    import onnx_ir as ir

    from core.model.model import Model

Array = np.ndarray[Any, np.dtype[Any]]

ANSWER, FEATURES = "scores", "features"
CLASSES_KEY = "classes"
"""Metadata of the new model: the names of its classes, a JSON list."""
EXTERNAL_FROM = 1_900_000_000
"""Bytes from which on tensors go into a file beside the model (protobuf takes no message of 2 GiB)."""
_AXES_ARE_INPUTS = {"ReduceMean": 18, "ReduceSum": 13, "Unsqueeze": 13}
"""The opset from which on the axes are an input instead of an attribute (ONNX operator changelog)."""


@dataclass(frozen=True, eq=False)
class Dense:
    """One Linear layer of a head: weight (outputs, inputs), bias (outputs,), both float32."""

    weight: Array = field(repr=False)
    bias: Array = field(repr=False)


@dataclass(frozen=True, eq=False)
class Head:
    """What reads the features: Linear layers with ReLU between them; no layer gives the features themselves."""

    layers: tuple[Dense, ...]

    @property
    def outputs(self) -> int:
        return int(self.layers[-1].bias.size)

    def behind(self, mean: Array, deviation: Array) -> Head:
        """The same head for features as they are, when this one reads (features - mean) / deviation.

        Features that never change (a deviation of 0) get no weight: nothing is known of what they mean.
        """
        first = self.layers[0]
        scale = np.where(deviation > 0, 1.0 / np.where(deviation > 0, deviation, 1.0), 0.0)
        weight = first.weight.astype(np.float64) * scale
        bias = first.bias - weight @ mean.astype(np.float64)
        return Head((Dense(weight.astype(np.float32), bias.astype(np.float32)), *self.layers[1:]))


def new_head(features: int, outputs: int, hidden: int = 0, seed: int = 0, bias: Array | None = None) -> Head:
    """A head with weights as He et al. ("Delving Deep into Rectifiers", ICCV 2015, section 2.2) draw them; the last
    layer's are a tenth of that, so that the first answers are near to even.

    bias  (outputs,) of the last layer, what is answered at first; None: zeros
    """
    rng = np.random.default_rng(seed)
    sizes = [features, *([hidden] if hidden else []), outputs]
    layers = []
    for number, (inputs, width) in enumerate(itertools.pairwise(sizes)):
        gain = np.sqrt(2.0 / inputs) if number < len(sizes) - 2 else 0.1 / np.sqrt(inputs)
        weight = (gain * rng.standard_normal((width, inputs))).astype(np.float32)
        layers.append(Dense(weight, np.zeros(width, np.float32)))
    if bias is not None:
        layers[-1] = Dense(layers[-1].weight, bias.astype(np.float32))
    return Head(tuple(layers))


def write_transferred(
    model: Model, cut: CutPoint, head: Head | None, target: Path, metadata: Mapping[str, str] | None = None
) -> Model:
    """Write trunk and head to a file and open it. Inputs stay as they are; the one output is `ANSWER` (n, outputs).

    head      None: the output is `FEATURES`, what a new head would read
    metadata  of the new file; the old one's is of what the old head answered and goes

    Raises TargetError when the disk is full, ModelFileError kinds of `open_model`.
    """
    import onnx_ir as ir

    from core.model.graph import remove_unused
    from core.model.readers import open_model
    from core.scratch import full_disk_told

    graph = model.graph()
    value = _features(graph, cut)
    output = _headed(graph, value, head)
    graph.graph.outputs.clear()
    graph.graph.outputs.append(output)
    remove_unused(graph)
    graph.metadata_props.clear()
    graph.metadata_props.update(metadata or {})
    with full_disk_told():
        large = model.file_bytes > EXTERNAL_FROM
        ir.save(graph, target, external_data=f"{target.name}.data" if large else None)
    return open_model(target)


def write_head(head: Head, features: int, target: Path) -> Model:
    """The head alone as a model that reads `FEATURES` (n, features), to be trained by itself."""
    import onnx_ir as ir

    from core.model.readers import open_model

    inputs = ir.Value(name=FEATURES, shape=ir.Shape(["n", features]), type=ir.TensorType(ir.DataType.FLOAT))
    graph = ir.Graph([inputs], [], nodes=[], opset_imports={"": 17}, name="head")
    graph.outputs.append(_headed(ir.Model(graph, ir_version=8), inputs, head))
    ir.save(ir.Model(graph, ir_version=8), target)
    return open_model(target)


def classes_metadata(names: Sequence[str]) -> dict[str, str]:
    """The names of the classes as metadata of a model file; {} without names."""
    return {CLASSES_KEY: json.dumps(list(names), ensure_ascii=False)} if names else {}


def head_names(head: Head) -> tuple[str, ...]:
    """The layers' names in the new model, in order."""
    return tuple(f"head.{number}.weight" for number in range(1, len(head.layers) + 1))


def _features(graph: ir.Model, cut: CutPoint) -> ir.Value:
    """The value of the cut as one vector a sample."""
    import onnx_ir as ir

    value = next((one for node in graph.graph for one in node.outputs if one.name == cut.key), None)
    if value is None:
        raise InternalError(f"the graph has no value {cut.key!r}")
    add = _Adding(graph)
    if value.dtype is not None and value.dtype != ir.DataType.FLOAT:
        value = add.node("Cast", [value], [ir.AttrInt64("to", int(ir.DataType.FLOAT))])
    if not cut.axes:
        return value
    if not cut.mask:
        return add.over("ReduceMean", value, cut.axes)
    mask = next(one for one in graph.graph.inputs if one.name == cut.mask)
    ones = add.node("Cast", [mask], [ir.AttrInt64("to", int(ir.DataType.FLOAT))])
    counted = add.node("Mul", [value, add.over("Unsqueeze", ones, (2,))])
    count = add.node("Clip", [add.over("ReduceSum", ones, (1,), keep=True), add.constant("one", np.float32(1))])
    return add.node("Div", [add.over("ReduceSum", counted, (1,)), count])


def _headed(graph: ir.Model, value: ir.Value, head: Head | None) -> ir.Value:
    import onnx_ir as ir

    add = _Adding(graph)
    size: int | None = None
    if head is None:
        value = add.node("Identity", [value])
    for number, dense in enumerate(head.layers if head is not None else (), 1):
        if number > 1:
            value = add.node("Relu", [value])
        weight = add.constant(f"head.{number}.weight", dense.weight)
        bias = add.constant(f"head.{number}.bias", dense.bias)
        value = add.node("Gemm", [value, weight, bias], [ir.AttrInt64("transB", 1)])
        size = int(dense.bias.size)
    value.name = add.free(ANSWER if head is not None else FEATURES)
    first = next((one.shape[0] for one in graph.graph.inputs if one.shape is not None and len(one.shape)), None)
    value.shape = ir.Shape([first if isinstance(first, (int, ir.SymbolicDim)) else None, size])
    value.type = ir.TensorType(ir.DataType.FLOAT)
    return value


class _Adding:
    """Adds nodes and constants at the end of a graph, with names that nothing else has."""

    def __init__(self, graph: ir.Model) -> None:
        from core.model.graph import places

        self._graph = graph
        self._opset = graph.opset_imports.get("", 0)
        self._taken = {value.name for place in places(graph) for node in place.graph for value in node.outputs}
        self._taken |= {value.name for value in (*graph.graph.inputs, *graph.graph.initializers.values())}

    def free(self, name: str) -> str:
        found = next(text for text in _numbered(name) if text not in self._taken)
        self._taken.add(found)
        return found

    def node(self, op: str, inputs: Sequence[ir.Value], attributes: Sequence[ir.Attr] = ()) -> ir.Value:
        import onnx_ir as ir

        node = ir.Node("", op, inputs, attributes, num_outputs=1, name=self.free(f"head/{op}"))
        node.outputs[0].name = self.free(f"head.{op}")
        self._graph.graph.append(node)
        return node.outputs[0]

    def over(self, op: str, value: ir.Value, axes: Sequence[int], *, keep: bool = False) -> ir.Value:
        """A node that works along axes, which are an attribute or an input by the opset."""
        import onnx_ir as ir

        keeps = [] if op == "Unsqueeze" else [ir.AttrInt64("keepdims", int(keep))]
        if self._opset < _AXES_ARE_INPUTS[op]:
            return self.node(op, [value], [*keeps, ir.AttrInt64s("axes", list(axes))])
        return self.node(op, [value, self.constant("head.axes", np.array(axes, np.int64))], keeps)

    def constant(self, name: str, array: Any) -> ir.Value:
        import onnx_ir as ir

        name = self.free(name)
        array = np.asarray(array)
        tensor = ir.tensor(array, name=name)
        value = ir.Value(name=name, const_value=tensor, shape=ir.Shape(array.shape), type=ir.TensorType(tensor.dtype))
        self._graph.graph.register_initializer(value)
        return value


def _numbered(name: str) -> Iterator[str]:
    yield name
    number = 2
    while True:
        yield f"{name}.{number}"
        number += 1
