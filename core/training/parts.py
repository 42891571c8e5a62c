"""Which stored tensors of a model are trained, and as what."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from core.interpreter.tensors import TYPES
from core.model.graph import Stored, stored_tensors
from core.model.layer import Kind, Layer

if TYPE_CHECKING:
    from core.model.model import Model

Array = np.ndarray[Any, np.dtype[Any]]

STATISTICS = (3, 4)
"""Inputs of a BatchNormalization that are statistics of its inputs: they stay, as for prediction."""
_NORMS = frozenset({
    "BatchNormalization", "LayerNormalization", "InstanceNormalization", "GroupNormalization", "RMSNormalization"
})  # fmt: skip
_SAME = 1024
"""Bytes from which equal tensors are one: the file holds them once (`exporting.constants.WORTH_MERGING`)."""
_HUGE = 1e4
"""A table with numbers beyond this is a mask, not a weight."""


@dataclass(frozen=True)
class Parts:
    """What of a graph is trained.

    layers  float weights, by name, in the model's order: each may have an encoding
    rest    names of biases and of what decomposed norms multiply by
    frozen  (layer, reason) of those that are not trained
    """

    layers: dict[str, Layer]
    rest: tuple[str, ...]
    frozen: tuple[tuple[str, str], ...]


def find_parts(model: Model, stored: Mapping[str, Stored], keep: Collection[str]) -> Parts:
    """What of the model's graph is trained; `keep`: layers that are not, nor the biases and norms of their nodes."""
    kept = set(keep) | set(_beside(stored, keep))
    layers, frozen = {}, []
    for layer in model.layers:
        entry = stored.get(layer.name)
        reason = "kept as it was" if layer.name in kept else _why_not(layer, entry)
        if entry is not None and _is_statistic(entry):
            continue
        if reason:
            frozen.append((layer.name, reason))
        else:
            layers[layer.name] = layer
    reasons = {left.name: left.reason for left in model.left_out}
    rest = tuple(
        name for name, entry in stored.items()
        if name not in kept and is_float(entry) and not _is_statistic(entry)
        and (reasons.get(name) in ("bias", "scale") or (reasons.get(name) == "scalar" and _is_only_bias(entry)))
    )  # fmt: skip
    return Parts(layers, rest, tuple(frozen))


def is_float(stored: Stored) -> bool:
    """Whether a stored tensor is of a type that torch computes gradients with."""
    kind = TYPES.get(stored.tensor.dtype) if stored.tensor is not None else None
    return kind is not None and kind.is_floating_point and kind.itemsize > 1


def _why_not(layer: Layer, stored: Stored | None) -> str:
    """Why a layer's float values are not trained (one clause), or ""."""
    if stored is None or not is_float(stored):
        return layer.locked or f"it is stored as {layer.dtype}"
    if layer.kind is Kind.OTHER and stored.tensor is not None and not _is_table(stored.tensor.numpy()):
        return "it is a mask or another constant, not a weight"
    return ""


def _is_statistic(stored: Stored) -> bool:
    return any(
        use.node.op_type == "BatchNormalization" and use.idx in STATISTICS for use in stored.value.uses()
    )


def _is_only_bias(stored: Stored) -> bool:
    """Whether one number is the bias of a layer with one output."""
    ops = ("Gemm", "Conv", "ConvTranspose")
    uses = list(stored.value.uses())
    return bool(uses) and all(use.node.op_type in ops and use.idx == 2 for use in uses)


def _is_table(values: Array) -> bool:
    """Whether a tensor that enters the graph somewhere can be weights: finite numbers of many values."""
    numbers = np.asarray(values, np.float32)
    return bool(np.isfinite(numbers).all() and np.abs(numbers).max(initial=0) < _HUGE and np.unique(numbers).size > 2)


def _beside(stored: Mapping[str, Stored], keep: Collection[str]) -> Iterator[str]:
    """The biases and norms of kept layers: what their nodes take as well, and the Add or norm that follows."""
    names = {entry.value: name for name, entry in stored.items()}
    for layer in keep:
        if layer not in stored:
            continue
        for use in stored[layer].value.uses():
            for node in _with_followers(use.node):
                yield from (names[value] for value in node.inputs if value is not None and value in names)


def _with_followers(node: ir.Node) -> Iterable[ir.Node]:
    """The node, and the Add and the norm that alone take what it gives."""
    found = [node]
    while len(found[-1].outputs) and len(found[-1].outputs[0].uses()) == 1:
        follower = found[-1].outputs[0].consumers()[0]
        if follower.op_type not in _NORMS and follower.op_type != "Add":
            break
        found.append(follower)
    return found


def same_tensors(stored: Mapping[str, Stored], names: Iterable[str]) -> dict[str, str]:
    """{name: the first of equal tensors of its graph}, for tensors that the file holds once: they stay one."""
    first: dict[tuple[Any, ...], str] = {}
    found = {}
    for name in names:
        entry = stored[name]
        if entry.tensor is None or entry.tensor.nbytes < _SAME:
            continue
        content = hashlib.blake2b(np.ascontiguousarray(entry.tensor.numpy()).tobytes()).digest()
        key = (id(entry.place.graph), entry.tensor.dtype, entry.shape, content)
        leader = first.setdefault(key, name)
        if leader != name:
            found[name] = leader
    return found


_FEATURES = frozenset({Kind.CONV, Kind.DEPTHWISE, Kind.CONV_TRANSPOSE, Kind.LINEAR, Kind.RECURRENT})
_MOVES = frozenset({"Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Cast", "Identity"})


def layer_outputs(graph: ir.Model, layers: Iterable[Layer], cut: Collection[str]) -> tuple[str, ...]:
    """Names of what layers give in the main graph, in its order; not of layers in `cut`, nor outputs of the graph."""
    wanted = {layer.name for layer in layers if layer.kind in _FEATURES} - set(cut)
    users = {
        use.node
        for name, entry in stored_tensors(graph).items() if name in wanted
        for use in entry.value.uses()
    }  # fmt: skip
    found = (node.outputs[0] for node in graph.graph if node in users)
    return tuple(value.name for value in found if value.name and not value.is_graph_output())


def entering_linear(graph: ir.Model, layers: Iterable[Layer]) -> frozenset[ir.Node]:
    """The Linear layers' nodes whose first input is computed: what enters the graph is no layer's values."""
    wanted = {layer.name for layer in layers if layer.kind is Kind.LINEAR}
    return frozenset(
        use.node
        for name, entry in stored_tensors(graph).items() if name in wanted
        for use in entry.value.uses() if use.idx == 1 and _is_computed(use.node.inputs[0])
    )  # fmt: skip


def _is_computed(value: ir.Value | None) -> bool:
    while value is not None and (producer := value.producer()) is not None:
        if producer.op_type not in _MOVES:
            return True
        value = producer.inputs[0]
    return False
