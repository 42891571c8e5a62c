"""Seeing inside a model: a session whose inner values are outputs as well."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from core.analysis.runtime import Feed, run, session, spare_threads
from core.errors import InternalError
from core.scratch import full_disk_told, scratch_folder

if TYPE_CHECKING:
    import onnx_ir as ir
    from onnxruntime import InferenceSession

Array = np.ndarray[Any, np.dtype[Any]]

DATA_FILE = "model.data"


@dataclass(frozen=True)
class InnerValue:
    """A value that a node produces, with the If nodes around that node, outermost first."""

    value: ir.Value
    around: tuple[ir.Node, ...] = ()


def inner_values(graph: ir.Model) -> dict[str, InnerValue]:
    """All values that can be seen, by key.

    The key is the value's name, followed by "@" and the innermost If node where two branches use the same name. Values
    inside a Loop or Scan (many for one run) and inside functions are not among them.
    """
    from core.model.graph import node_key, places

    nodes: dict[str, ir.Node] = {}
    found: dict[str, InnerValue] = {}
    for place in places(graph):
        if place.function:
            continue
        nodes.update((node_key(node), node) for node in place.graph)
        around = tuple(nodes[key] for key in place.scope)
        if any(node.op_type != "If" for node in around):
            continue
        for node in place.graph:
            for value in node.outputs:
                if value.name:
                    key = value.name if value.name not in found else f"{value.name}@{'/'.join(place.scope)}"
                    found.setdefault(key, InnerValue(value, around))
    return found


class Exposed:
    """A session of `graph` that also gives inner values; a context manager.

    graph   a fresh graph of its own (`Model.graph()`); it is changed
    values  keys of `inner_values`, each with the ONNX element type that it is cast to if it lies in a branch, where
            files seldom tell types
    where   the model's name, for errors
    optimize  whether the runtime may rewrite the graph: quicker to run, slower to load

    A value of a branch that does not run is given as an array without elements. The changed model lies in a temporary
    folder, as a session from memory would hold the interpreter's lock; its tensors go to a second file, so that the
    size of the model does not matter.
    """

    def __init__(
        self,
        graph: ir.Model,
        values: Mapping[str, int],
        *,
        where: str,
        threads: int | None = None,
        optimize: bool = True,
    ) -> None:
        self._graph, self._where, self._optimize = graph, where, optimize
        self._threads = threads or spare_threads()
        self._session: InferenceSession | None = None
        self._outputs = _expose(graph, values)

    def __enter__(self) -> Exposed:
        import onnx_ir as ir

        self._folder = scratch_folder()
        path = Path(self._folder.name) / "model.onnx"
        try:
            with full_disk_told():
                ir.save(self._graph, path, external_data=DATA_FILE)
            self._session = session(path, threads=self._threads, optimize=self._optimize)
        except BaseException:
            self._folder.cleanup()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._session = None  # before the folder goes: the data file is mapped by the session
        self._folder.cleanup()

    def run(self, feed: Feed, values: Iterable[str] | None = None) -> dict[str, Array]:
        """The exposed values (those of the keys `values`, all when None) for one sample."""
        if self._session is None:
            raise InternalError("an exposed model is run outside its with block")
        keys = list(self._outputs if values is None else values)
        if not keys:
            return {}
        results = run(self._session, feed, [self._outputs[key] for key in keys], where=self._where)
        return dict(zip(keys, results, strict=True))


def _expose(graph: ir.Model, values: Mapping[str, int]) -> dict[str, str]:
    """Make the values outputs of the model; returns the output's name for each key."""
    inner = inner_values(graph)
    outputs: dict[str, str] = {}
    listed = set(graph.graph.outputs)
    for number, (key, dtype) in enumerate(values.items()):
        found = inner[key]
        value = _lift(found, dtype, f"featherweight.inner.{number}") if found.around else found.value
        if value not in listed:
            listed.add(value)
            graph.graph.outputs.append(value)
        outputs[key] = value.name or ""
    return outputs


def _lift(inner: InnerValue, dtype: int, name: str) -> ir.Value:
    """Hand a value out of the branches around it; the other branches give an empty tensor in its place."""
    import onnx_ir as ir

    from core.model.graph import subgraphs

    kind = ir.DataType(dtype)
    value = _appended(inner.value.producer(), ir.Node("", "Cast", [inner.value], [ir.AttrInt64("to", dtype)]), kind)
    value.name = f"{name}.cast"
    for depth, node in reversed(list(enumerate(inner.around))):
        home = _graph_of(value)
        for branch in subgraphs(node):
            if branch is home:
                branch.outputs.append(value)
                continue
            empty = ir.tensor(np.empty(0, kind.numpy()), dtype=kind)
            constant = ir.Node("", "Constant", [], [ir.AttrTensor("value", empty)])
            branch.append(constant)
            constant.outputs[0].name, constant.outputs[0].type = f"{name}.empty.{depth}", ir.TensorType(kind)
            branch.outputs.append(constant.outputs[0])
        node.resize_outputs(len(node.outputs) + 1)
        value = node.outputs[-1]
        value.name, value.type = f"{name}.{depth}", ir.TensorType(kind)
    return value


def _appended(before: ir.Node | None, node: ir.Node, kind: ir.DataType) -> ir.Value:
    """Append a node to the graph that `before` is in; returns its output."""
    import onnx_ir as ir

    if before is None or before.graph is None:
        raise InternalError("a value is made by no node of a graph")
    before.graph.append(node)
    node.outputs[0].type = ir.TensorType(kind)
    return node.outputs[0]


def _graph_of(value: ir.Value) -> ir.Graph | ir.Function | None:
    producer = value.producer()
    return producer.graph if producer is not None else None
