"""The same network as if it had learned nothing: weights drawn anew by the standard schemes, for an honest comparison.

Conv, Linear, ConvTranspose: normal with variance 2 / fan-in (He et al., "Delving Deep into Rectifiers", ICCV 2015,
section 2.2). LSTM, GRU: uniform within 1 / sqrt(hidden units), as PyTorch draws them. Embeddings and positions: normal
with deviation 0.02 (Devlin et al., "BERT", 2019, as published). Biases 0, norms 1 and 0, statistics 0 and 1.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.model.layer import Kind, Layer

if TYPE_CHECKING:
    import onnx_ir as ir

    from core.model.model import Model

Array = np.ndarray[Any, np.dtype[Any]]

EMBEDDING_DEVIATION = 0.02
_ONES = (1, 4)
"""Inputs of norms that begin as ones: the scale and, of batch norms, the variance."""


def write_fresh(model: Model, target: Path, seed: int = 0) -> Model:
    """Write the model with weights drawn anew to a file and open it. Raises TargetError when the disk is full."""
    import onnx_ir as ir

    from core.model.readers import open_model
    from core.scratch import full_disk_told

    graph = model.graph()
    redraw(graph, model, seed)
    with full_disk_told():
        ir.save(graph, target)
    return open_model(target)


def redraw(graph: ir.Model, model: Model, seed: int = 0) -> None:
    """Draw all weights of a graph of the model anew, in the order of its layers."""
    from core.model.graph import stored_tensors

    stored = stored_tensors(graph)
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        found = stored.get(layer.name)
        if found is not None and found.tensor is not None and not layer.locked:
            _replace(found, _drawn(layer, rng))
    for left in model.left_out:
        found = stored.get(left.name)
        if found is not None and found.tensor is not None and "bias" in left.reason:
            _replace(found, np.zeros(found.shape, np.float32))


def _drawn(layer: Layer, rng: np.random.Generator) -> Array:
    if layer.kind is Kind.NORM:
        return np.full(layer.shape, float(layer.uses[0].input in _ONES), np.float32)
    if layer.kind is Kind.RECURRENT:
        bound = 1.0 / math.sqrt(_hidden(layer))
        return rng.uniform(-bound, bound, layer.shape).astype(np.float32)
    deviation = EMBEDDING_DEVIATION if layer.kind in (Kind.EMBEDDING, Kind.OTHER) else math.sqrt(2.0 / fan_in(layer))
    return (deviation * rng.standard_normal(layer.shape)).astype(np.float32)


def _hidden(layer: Layer) -> int:
    """Hidden units of an LSTM or GRU, whose weights have one row for each gate and unit."""
    gates = {"LSTM": 4, "GRU": 3}.get(layer.uses[0].op, 1)
    return max(1, layer.shape[layer.output_axis or 0] // gates)


def fan_in(layer: Layer) -> int:
    """Weights that each output sums over."""
    if layer.output_axis is None:
        return max(1, layer.n_weights // max(layer.shape))
    outputs = layer.shape[layer.output_axis]
    if layer.kind is Kind.CONV_TRANSPOSE:
        return max(1, layer.n_weights // (outputs * max(layer.groups, 1)))
    return max(1, layer.n_weights // outputs)


def _replace(stored: Any, values: Array) -> None:
    """Put other values in a stored tensor's place, in its own type."""
    import onnx_ir as ir

    old = stored.tensor
    new = ir.Tensor(values.astype(old.dtype.numpy()), dtype=old.dtype, name=old.name)
    if stored.node is None:
        stored.value.const_value = new
    else:
        stored.node.attributes.clear()
        stored.node.attributes["value"] = ir.AttrTensor("value", new)
