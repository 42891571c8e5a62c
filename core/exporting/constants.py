"""Constants that a file states in more bytes than they need: computed where they could be stored, or stored twice.

Both are lossless: only operators that move or convert values exactly are computed here, and only where what they give
is no larger than what they take.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator
from typing import Any

import numpy as np
import onnx_ir as ir

from core.errors import InternalError
from core.model.graph import places, subgraphs

LARGEST = 65_536
"""Bytes above which a computed constant is left to the runtime."""

WORTH_MERGING = 1024
"""Bytes of a part of a compressed weight from which an equal one is looked for."""

_EXACT = frozenset({
    "Cast", "Concat", "ConstantOfShape", "Expand", "Flatten", "Gather", "Identity", "Range", "Reshape", "Shape", "Size",
    "Slice", "Split", "Squeeze", "Tile", "Transpose", "Unsqueeze",
})  # fmt: skip


def fold_constants(model: ir.Model, keep: Collection[str]) -> int:
    """Store what nodes compute exactly from small stored tensors; returns how many nodes are gone.

    keep  names of tensors that must stay as they are (the layers)
    """
    gone = 0
    for place in places(model):
        graph = place.graph
        if not isinstance(graph, ir.Graph):
            continue
        for node in list(graph):
            values = _computed(node, model) if _may_fold(node, graph, keep) else None
            if values is None:
                continue
            for output, value in zip(node.outputs, values, strict=True):
                _store(graph, output, value)
            graph.remove(node, safe=True)
            gone += 1
    return gone


def merge_identical(model: ir.Model, keep: Collection[str] = (), *, least: int = 0) -> int:
    """Let one stored tensor stand for all of the same graph with equal type, shape and content; returns how many went.

    keep   names of tensors that are not looked at
    least  bytes below which tensors are not looked at
    """
    merged = 0
    for graph, group in identical_tensors(model, keep, least=least):
        first, *others = group
        for value in others:
            value.replace_all_uses_with(first)
            del graph.initializers[str(value.name)]
            merged += 1
    return merged


def identical_tensors(
    model: ir.Model, keep: Collection[str] = (), *, least: int = 0
) -> list[tuple[ir.Graph, list[ir.Value]]]:
    """Groups of two or more stored tensors of one graph that are equal, those named in `keep` not looked at."""
    found = []
    for place in places(model):
        if not isinstance(place.graph, ir.Graph):
            continue
        alike: dict[tuple[Any, ...], list[ir.Value]] = {}
        for value in _free(place.graph, keep):
            tensor = value.const_value
            if tensor is not None and tensor.dtype != ir.DataType.STRING and tensor.nbytes >= least:
                alike.setdefault((tensor.dtype, tuple(tensor.shape.numpy())), []).append(value)
        for values in alike.values():
            if len(values) > 1:  # contents are read only where there is something to compare
                found += [(place.graph, group) for group in _equal(values) if len(group) > 1]
    return found


def _equal(values: list[ir.Value]) -> Iterable[list[ir.Value]]:
    """Groups of equal content."""
    groups: dict[bytes, list[ir.Value]] = {}
    for value in values:
        content = value.const_value.tobytes()  # type: ignore[union-attr]
        groups.setdefault(hashlib.blake2b(content).digest(), []).append(value)
    return groups.values()


def _free(graph: ir.Graph, keep: Collection[str]) -> Iterator[ir.Value]:
    """Initializers that nothing but nodes of the graph reads."""
    for value in graph.initializers.values():
        if value.name not in keep and not value.is_graph_input() and not value.is_graph_output():
            yield value


def _may_fold(node: ir.Node, graph: ir.Graph, keep: Collection[str]) -> bool:
    if node.op_type not in _EXACT or node.domain not in ("", "ai.onnx") or subgraphs(node) or not node.inputs:
        return False
    if any(output.is_graph_output() for output in node.outputs):
        return False
    return all(value is not None and _is_small(value, graph) and value.name not in keep for value in node.inputs)


def _is_small(value: ir.Value, graph: ir.Graph) -> bool:
    tensor = value.const_value
    stored = graph.initializers.get(str(value.name)) is value and not value.is_graph_input()
    return stored and tensor is not None and tensor.nbytes <= LARGEST and tensor.dtype != ir.DataType.STRING


def _computed(node: ir.Node, model: ir.Model) -> list[np.ndarray] | None:
    """What a node gives, or None when storing that would take more bytes, or when it cannot be computed."""
    from onnx import TensorProto, helper
    from onnx.reference import ReferenceEvaluator

    proto = ir.serde.serialize_node(node)
    tensors = []
    for name, value in {str(value.name): value for value in node.inputs if value is not None}.items():
        tensor = ir.serde.serialize_tensor(value.const_value)  # type: ignore[arg-type]
        tensor.name = name
        tensors.append(tensor)
    outputs = [helper.make_tensor_value_info(str(v.name), TensorProto.UNDEFINED, None) for v in node.outputs]
    graph = helper.make_graph([proto], "constant", [], outputs, tensors)
    opset = helper.make_opsetid("", model.opset_imports.get("", model.opset_imports.get("ai.onnx", 1)))
    try:
        evaluator = ReferenceEvaluator(helper.make_model(graph, opset_imports=[opset]))
        values = [np.asarray(value) for value in evaluator.run(None, {})]
    except Exception:  # noqa: BLE001  many kinds, for graphs that make no sense: the runtime will say so
        return None
    alone = sum(v.const_value.nbytes for v in {*node.inputs} if v and v.const_value and len(v.uses()) == 1)
    taken = sum(value.nbytes for value in values)
    return values if taken <= min(LARGEST, alone + proto.ByteSize()) else None


def _store(graph: ir.Graph, output: ir.Value, array: np.ndarray) -> None:
    """Make an initializer of a node's output, under its name."""
    name = str(output.name)
    value = ir.Value(name=name, const_value=ir.Tensor(np.ascontiguousarray(array).reshape(array.shape), name=name))
    output.replace_all_uses_with(value)
    output.name = None
    if name in graph.initializers:
        raise InternalError(f"{name!r} is both stored and computed")
    graph.register_initializer(value)
