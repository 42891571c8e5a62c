"""Batch norms that can go into the convolution before them.

Case 1  Conv -> BatchNormalization: the norm's factor goes into the convolution's weight, the rest becomes its bias
        (Jacob et al., "Quantization and Training of Neural Networks", 2018, section 3.2).
Case 2  ConvTranspose -> BatchNormalization: the same on the weight's axis 1, when there are no groups.
Not done when the convolution's result is used elsewhere, is an output, or a tensor that is needed is not constant.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from core.model.graph import Stored, attribute, stored_tensors

_AXIS = {"Conv": 0, "ConvTranspose": 1}


@dataclass(frozen=True)
class Fold:
    """A BatchNormalization that can go into the convolution before it.

    weight   name of the convolution's weight, as `graph.stored_tensors` gives it (the layer's name)
    axis     its output axis
    factor   (channels,) float32, to multiply the weight with along `axis`
    bias     (channels,) in the weight's own type, the convolution's new bias
    norms    names of the norm's four tensors, which the norm no longer needs
    """

    conv: ir.Node
    norm: ir.Node
    weight: str
    axis: int
    factor: np.ndarray[Any, np.dtype[np.float32]]
    bias: np.ndarray[Any, np.dtype[Any]]
    norms: tuple[str, ...]


def find_folds(model: ir.Model) -> tuple[Fold, ...]:
    """All batch norms of the graph and its subgraphs that can be folded. Changes nothing."""
    stored = {id(s.value): s for s in stored_tensors(model).values()}
    return tuple(fold for node in model.graph.all_nodes() if (fold := _fold(node, stored)) is not None)


def _tensor(value: ir.Value | None, stored: Mapping[int, Stored]) -> ir.TensorProtocol | None:
    """The tensor that a value always has, or None (computed, or an initializer that a caller may override)."""
    if value is None or id(value) not in stored or value.is_graph_input():
        return None
    return stored[id(value)].tensor


def _fold(norm: ir.Node, stored: Mapping[int, Stored]) -> Fold | None:
    if norm.op_type != "BatchNormalization" or norm.domain or len(norm.inputs) < 5:
        return None
    conv = _only_producer(norm)
    if conv is None:
        return None
    axis = _AXIS[conv.op_type]
    if conv.op_type == "ConvTranspose" and conv.attributes.get_int("group", 1) != 1:
        return None
    weight = conv.inputs[1]
    stored_weight = _tensor(weight, stored)
    tensors = [_tensor(v, stored) for v in norm.inputs[1:5]]
    if weight is None or stored_weight is None or len(weight.uses()) != 1 or any(t is None for t in tensors):
        return None
    scale, shift, mean, variance = (np.asarray(t.numpy(), np.float64) for t in tensors if t is not None)
    old = _bias(conv, mean, stored)
    if old is None:
        return None
    with np.errstate(all="ignore"):
        factor = scale / np.sqrt(variance + norm.attributes.get_float("epsilon", 1e-5))
        bias = (shift + (old - mean) * factor).astype(stored_weight.dtype.numpy())  # the operator wants one type
    if not (np.isfinite(factor).all() and np.isfinite(bias).all()):
        return None
    return Fold(
        conv,
        norm,
        stored[id(weight)].name,
        axis,
        factor.astype(np.float32),
        bias,
        tuple(stored[id(v)].name for v in norm.inputs[1:5]),
    )


def _only_producer(norm: ir.Node) -> ir.Node | None:
    """The convolution whose result goes into this norm and nowhere else, when the norm has one result."""
    value = norm.inputs[0]
    conv = value.producer() if value is not None else None
    if value is None or conv is None or conv.op_type not in _AXIS or conv.domain or conv.graph is not norm.graph:
        return None
    if len(value.uses()) != 1 or value.is_graph_output() or attribute(norm, "training_mode", 0):
        return None
    return None if any(o.uses() or o.is_graph_output() for o in norm.outputs[1:]) else conv


def _bias(conv: ir.Node, like: np.ndarray[Any, Any], stored: Mapping[int, Stored]) -> np.ndarray[Any, Any] | None:
    """The convolution's own bias in float64 (zeros when it has none), or None when it is not constant."""
    if len(conv.inputs) < 3 or conv.inputs[2] is None:
        return np.zeros_like(like)
    tensor = _tensor(conv.inputs[2], stored)
    return None if tensor is None else np.asarray(tensor.numpy(), np.float64)
