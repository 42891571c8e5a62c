"""The part of a model behind one layer, as a model of its own that takes the layer's weight as an input.

What the layer does not change, its frontier, is recorded once for each sample; then only the nodes that depend on the
weight are run, and another weight needs no other session.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.analysis.runtime import session
from core.errors import InternalError
from core.scratch import full_disk_told, scratch_folder

if TYPE_CHECKING:
    import onnx
    import onnx_ir as ir
    from onnxruntime import InferenceSession

    from core.model.graph import Stored
    from core.model.layer import Layer
    from core.model.model import Model

Array = np.ndarray[Any, np.dtype[Any]]

WEIGHT = "featherweight.weight"
"""Name of the input that takes the weight, always float32."""
_DATA_FILE = "model.data"
_NO_INPUTS = 4
"""IR version since which a stored tensor need not be an input as well."""


@dataclass(frozen=True)
class _Part:
    """What depends on a weight, with all that it needs.

    nodes     numbers of the main graph's nodes, in running order; also those that compute from constants
    frontier  values of the rest of the model that they read
    stored    stored tensors that they read, without the weight
    """

    nodes: tuple[int, ...]
    frontier: tuple[str, ...]
    stored: tuple[str, ...]


class Suffixes:
    """Cuts a model behind any of its layers. A context manager: its files lie in a temporary folder.

    All parts share one file of weights, so that making one copies no weight.

    threads  in an operator: one, where several sessions run at once; that gains more than threads in one session
    """

    def __init__(self, model: Model, *, threads: int = 1) -> None:
        self._model, self._threads = model, threads
        self._names, self._reasons = {}, {}  # type: dict[str, str], dict[str, str]
        self._known: dict[str, _Part] = {}
        self._recorder: tuple[frozenset[str], InferenceSession] | None = None
        self._numbers = itertools.count()  # threads make parts at the same time

    def __enter__(self) -> Suffixes:
        import onnx
        import onnx_ir as ir

        graph = self._model.graph()
        graph.ir_version = max(graph.ir_version or 0, _NO_INPUTS)
        self._lift(graph)
        self._folder = scratch_folder()
        try:
            path = Path(self._folder.name) / "whole.onnx"
            with full_disk_told():
                ir.save(graph, path, external_data=_DATA_FILE)
            self._index(onnx.load(path, load_external_data=False))
        except BaseException:
            self._folder.cleanup()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self._recorder = None  # before the folder goes: the data file is mapped by the session
        self._folder.cleanup()

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the model's outputs."""
        return tuple(output.name for output in self._whole.graph.output)

    def why_not(self, layer: str) -> str:
        """Why there is no part behind this layer (one clause), or ""."""
        return self._reasons.get(layer, "")

    def frontier(self, layer: str) -> tuple[str, ...]:
        """Values that the part behind the layer reads and that do not depend on its weight: to be recorded."""
        return self._part(self._names[layer]).frontier

    def behind_layers(self) -> list[tuple[str, str]]:
        """(layer, first output of the main graph's first node that uses it), in running order; no branches' layers."""
        layers = {weight: layer for layer, weight in self._names.items()}
        found: dict[str, str] = {}
        for node in self._whole.graph.node:
            nested = any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute)
            output = next((name for name in node.output if name in self._varies), "")
            for weight in () if nested or not output else self._weights_of(node):
                found.setdefault(layers[weight], output)
        return list(found.items())

    def whole(self, values: Iterable[str] = ()) -> InferenceSession:
        """A session of the whole model whose outputs are the model's own and at least these values.

        The last one with values is kept for who asks for no others; without values the runtime may rewrite the graph as
        it likes, so that one is always made anew.
        """
        import onnx

        asked = frozenset(values)
        if asked and self._recorder is not None and asked <= self._recorder[0]:
            return self._recorder[1]
        made = onnx.ModelProto()
        made.CopyFrom(self._whole)
        made.graph.output.extend(onnx.ValueInfoProto(name=name) for name in sorted(asked - set(self.outputs)))
        sess = self._session(made)
        if asked:
            self._recorder = asked, sess
        return sess

    def part(self, layer: str, frontier: Mapping[str, Array], outputs: Sequence[str]) -> InferenceSession:
        """A session of the part behind a layer.

        Inputs: WEIGHT and the frontier's values; outputs: those of `outputs` that depend on the weight.

        frontier  a recorded array of each value, for its type and number of axes
        """
        import onnx
        from onnx import helper

        weight = self._names[layer]
        found = self._part(weight)
        nodes = [self._whole.graph.node[number] for number in found.nodes]
        reached = {name for node in nodes for name in node.output}
        stored = self._initializers[weight]
        inputs = [helper.make_tensor_value_info(WEIGHT, onnx.TensorProto.FLOAT, list(stored.dims))]
        declared = {value.name: value for value in self._whole.graph.input}
        for name, array in frontier.items():
            kind = helper.np_dtype_to_tensor_dtype(array.dtype)
            inputs.append(declared.get(name) or helper.make_tensor_value_info(name, kind, [None] * array.ndim))
        made = helper.make_model(
            helper.make_graph(
                [_weight_node(weight, stored.data_type), *nodes], "part", inputs,
                [output for output in self._whole.graph.output if output.name in outputs and output.name in reached],
                [self._initializers[name] for name in found.stored],
            ),
            opset_imports=list(self._whole.opset_import), ir_version=self._whole.ir_version,
            functions=list(self._whole.functions),
        )  # fmt: skip
        return self._session(made)

    def _session(self, made: onnx.ModelProto) -> InferenceSession:
        import onnx

        path = Path(self._folder.name) / f"part{next(self._numbers)}.onnx"  # beside the data file that it points to
        onnx.save(made, path)
        try:
            return session(path, threads=self._threads)
        finally:
            path.unlink(missing_ok=True)

    def _lift(self, graph: ir.Model) -> None:
        """Make every layer's weight an initializer of the main graph, wherever it is stored."""
        from core.model.graph import stored_tensors

        stored = stored_tensors(graph)
        for number, layer in enumerate(self._model.layers):
            found = stored.get(layer.name)
            reason = _why_not(layer, found)
            if reason or found is None:
                self._reasons[layer.name] = reason
            elif found.place.scope or found.node is not None:
                self._names[layer.name] = _to_main(graph.graph, found, f"featherweight.layer.{number}")
            else:
                self._names[layer.name] = found.value.name or ""
                if found.value in graph.graph.inputs:
                    graph.graph.inputs.remove(found.value)

    def _index(self, whole: onnx.ModelProto) -> None:
        """What each node of the main graph reads and makes, and which values depend on the model's inputs."""
        self._whole = whole
        graph = whole.graph
        stored = {tensor.name: tensor for tensor in graph.initializer}
        self._initializers = stored
        self._reads = [tuple(dict.fromkeys(_reads(node))) for node in graph.node]
        self._maker = {name: number for number, node in enumerate(graph.node) for name in node.output if name}
        fed = {value.name for value in graph.input if value.name not in stored}
        self._varies = set(fed)
        for node, reads in zip(graph.node, self._reads, strict=True):
            if not self._varies.isdisjoint(reads) or node.op_type.startswith("Random"):
                self._varies.update(name for name in node.output if name)
        for layer, weight in list(self._names.items()):
            if not self._behind(weight)[1].intersection(self.outputs):
                self._reasons[layer] = "no output of the model depends on it"
                del self._names[layer]

    def _weights_of(self, node: onnx.NodeProto) -> set[str]:
        """Layers' weights that a node reads, straight or through nodes that compute from constants alone."""
        names, found = list(node.input), set[str]()
        weights = set(self._names.values())
        while names:
            name = names.pop()
            if name in weights:
                found.add(name)
            elif name in self._maker and name not in self._varies:
                names.extend(self._reads[self._maker[name]])
        return found

    def _behind(self, weight: str) -> tuple[list[int], set[str]]:
        """Numbers of the main graph's nodes that depend on the weight, and the values that they make."""
        changed, numbers = {weight}, []
        for number, (node, reads) in enumerate(zip(self._whole.graph.node, self._reads, strict=True)):
            if not changed.isdisjoint(reads):
                numbers.append(number)
                changed.update(name for name in node.output if name)
        return numbers, changed - {weight}

    def _part(self, weight: str) -> _Part:
        """What the part behind a weight is made of; remembered."""
        if weight not in self._known:
            self._known[weight] = self._find_part(weight)
        return self._known[weight]

    def _find_part(self, weight: str) -> _Part:
        numbers, changed = self._behind(weight)
        needed, frontier, stored = set(numbers), set[str](), set[str]()
        stack = [name for number in numbers for name in self._reads[number]]
        seen = {weight} | changed
        while stack:
            name = stack.pop()
            if name in seen:
                continue
            seen.add(name)
            if name in self._initializers:
                stored.add(name)
            elif name in self._varies:
                frontier.add(name)
            elif name in self._maker and self._maker[name] not in needed:  # computed from constants
                needed.add(self._maker[name])
                stack.extend(self._reads[self._maker[name]])
        return _Part(tuple(sorted(needed)), tuple(sorted(frontier)), tuple(sorted(stored)))


def _why_not(layer: Layer, stored: Stored | None) -> str:
    if layer.locked:
        return layer.locked
    if stored is None or stored.tensor is None:
        return "the graph does not store it"
    if stored.place.function:
        return f"it lies inside the function {stored.place.function}"
    if stored.place.scope and stored.value.is_graph_output():
        return "a branch of the model hands it out as it is"
    return ""


def _to_main(main: ir.Graph, stored: Stored, name: str) -> str:
    """Move a stored tensor of any graph to the main graph's initializers; returns its name there."""
    import onnx_ir as ir

    tensor = stored.tensor
    if tensor is None:
        raise InternalError(f"{stored.name!r} has no tensor")
    moved = ir.Value(name=name, type=ir.TensorType(tensor.dtype), shape=ir.Shape(stored.shape), const_value=tensor)
    main.register_initializer(moved)
    stored.value.replace_all_uses_with(moved, replace_graph_outputs=True)
    if stored.node is not None and stored.node.graph is not None:
        stored.node.graph.remove(stored.node)
    elif isinstance(stored.place.graph, ir.Graph):
        stored.place.graph.initializers.pop(stored.value.name or "")
    return name


def _reads(node: onnx.NodeProto) -> Iterable[str]:
    """Names that a node reads from the graph around it, through its branches and bodies too."""
    yield from (name for name in node.input if name)
    for attribute in node.attribute:
        for graph in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
            own = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
            own.update(name for inner in graph.node for name in inner.output)
            yield from (name for inner in graph.node for name in _reads(inner) if name not in own)
            yield from (value.name for value in graph.output if value.name not in own)


def _weight_node(name: str, kind: int) -> onnx.NodeProto:
    """From the float32 input to the stored value's name and type."""
    from onnx import TensorProto, helper

    if kind == TensorProto.FLOAT:
        return helper.make_node("Identity", [WEIGHT], [name])
    return helper.make_node("Cast", [WEIGHT], [name], to=kind)
