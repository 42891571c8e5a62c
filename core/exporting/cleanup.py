"""Clean-up before compression: what costs bytes and time and changes nothing.

Case 1  Conv -> BatchNormalization: the norm's factor goes into the convolution's weight, the rest becomes its bias
        (Jacob et al., "Quantization and Training of Neural Networks", 2018, section 3.2).
Case 2  ConvTranspose -> BatchNormalization: the same on the weight's axis 1, when there are no groups.
Not done when the convolution's result is used elsewhere, is an output, or a tensor that is needed is not constant.

Nodes and tensors that nothing uses any more go as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

_AXIS = {"Conv": 0, "ConvTranspose": 1}
_PARTS = ("scale", "bias", "mean", "variance")


@dataclass(frozen=True)
class Fold:
    """A BatchNormalization that can go into the convolution before it.

    weight   name of the convolution's weight value, as the node sees it
    axis     its output axis
    factor   (channels,) float32, to multiply the weight with along `axis`
    bias     (channels,) float32, the convolution's new bias
    norms    names of the norm's four tensors, which are no longer needed
    """

    conv: ir.Node
    norm: ir.Node
    weight: str
    axis: int
    factor: np.ndarray[Any, np.dtype[np.float32]]
    bias: np.ndarray[Any, np.dtype[np.float32]]
    norms: tuple[str, ...]


def find_folds(model: ir.Model) -> tuple[Fold, ...]:
    """All batch norms of the graph and its subgraphs that can be folded."""
    return tuple(fold for node in model.graph.all_nodes() if (fold := _fold(node)) is not None)


def apply_fold(fold: Fold, name: str) -> None:
    """Give the convolution its new bias (stored under `name`) and take the norm out. The weight is the caller's part."""
    conv, norm = fold.conv, fold.norm
    graph = conv.graph
    if not isinstance(graph, ir.Graph):
        raise ValueError("the convolution is not in a graph")
    bias = ir.Value(name=name, const_value=ir.Tensor(fold.bias, name=name), shape=ir.Shape(fold.bias.shape),
                    type=ir.TensorType(ir.DataType.FLOAT))
    graph.register_initializer(bias)
    conv.resize_inputs(3)
    conv.replace_input_with(2, bias)
    old, new = norm.outputs[0], conv.outputs[0]
    final_name = old.name
    ir.convenience.replace_all_uses_with(old, new, replace_graph_outputs=True)
    graph.remove(norm, safe=True)
    new.name = final_name


def constant(value: ir.Value | None) -> ir.TensorProtocol | None:
    """The tensor that a value always has: an initializer that is no graph input, or a Constant node's; else None."""
    if value is None:
        return None
    if value.is_initializer() and not value.is_graph_input():
        return value.const_value
    node = value.producer()
    if node is not None and node.op_type == "Constant" and node.domain == "" and "value" in node.attributes:
        return node.attributes["value"].as_tensor()
    return None


def _fold(norm: ir.Node) -> Fold | None:
    if norm.op_type != "BatchNormalization" or norm.domain or len(norm.inputs) < 5:
        return None
    conv = _only_producer(norm)
    if conv is None:
        return None
    axis = _AXIS[conv.op_type]
    if conv.op_type == "ConvTranspose" and conv.attributes.get_int("group", 1) != 1:
        return None
    weight = conv.inputs[1]
    tensors = [constant(v) for v in norm.inputs[1:5]]
    if weight is None or constant(weight) is None or len(weight.uses()) != 1 or any(t is None for t in tensors):
        return None
    scale, shift, mean, variance = (np.asarray(t.numpy(), np.float64) for t in tensors if t is not None)
    old = _bias(conv, mean)
    if old is None:
        return None
    with np.errstate(all="ignore"):
        factor = scale / np.sqrt(variance + norm.attributes.get_float("epsilon", 1e-5))
        bias = shift + (old - mean) * factor
    if not (np.isfinite(factor).all() and np.isfinite(bias).all()):
        return None
    return Fold(conv, norm, str(weight.name), axis, factor.astype(np.float32), bias.astype(np.float32),
                tuple(str(v.name) for v in norm.inputs[1:5] if v is not None))


def _only_producer(norm: ir.Node) -> ir.Node | None:
    """The convolution whose result goes into this norm and nowhere else, when the norm has one result."""
    value = norm.inputs[0]
    conv = value.producer() if value is not None else None
    if value is None or conv is None or conv.op_type not in _AXIS or conv.domain or conv.graph is not norm.graph:
        return None
    if len(value.uses()) != 1 or value.is_graph_output() or norm.attributes.get_int("training_mode", 0):
        return None
    return None if any(o.uses() or o.is_graph_output() for o in norm.outputs[1:]) else conv


def _bias(conv: ir.Node, like: np.ndarray[Any, Any]) -> np.ndarray[Any, Any] | None:
    """The convolution's own bias in float64 (zeros when it has none), or None when it is not constant."""
    if len(conv.inputs) < 3 or conv.inputs[2] is None:
        return np.zeros_like(like)
    tensor = constant(conv.inputs[2])
    return None if tensor is None else np.asarray(tensor.numpy(), np.float64)


def remove_unused(model: ir.Model) -> int:
    """Take out nodes and initializers that nothing uses; returns how many went. Inputs and outputs stay."""
    removed = 0
    for graph in _graphs_inside_first(model):
        for node in reversed(list(graph)):
            if not any(o.uses() or o.is_graph_output() for o in node.outputs):
                graph.remove(node, safe=True)
                removed += 1
        for name, value in list(graph.initializers.items()):
            if not value.uses() and not value.is_graph_output() and not value.is_graph_input():
                del graph.initializers[name]
                removed += 1
    return removed


def _graphs_inside_first(model: ir.Model) -> Iterator[ir.Graph]:
    yield from reversed([model.graph, *model.graph.subgraphs()])
