"""How large the compressed file will be, before it is built."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from core.encoding import Encoding
from core.encoding.counting import EmittedSize, emitted_size, varint
from core.encoding.scaled import absorbs_factor
from core.exporting.cleanup import apply_fold, find_folds, strip_notes
from core.exporting.opset import default_opset
from core.model.graph import Stored, remove_unused, stored_tensors
from core.model.model import Model

_LIGHT = 1024
"""Bytes above which a tensor's content is counted instead of serialized."""
_FACTOR_NODE = 90
"""Bytes around a folded norm's factor where the weight cannot take it in: a tensor's header and a Mul."""


class SizeModel:
    """Predicts file sizes of one model. Making it takes some ten milliseconds; a prediction takes microseconds a layer.

    base   bytes of the file after clean-up, with every layer as it is
    notes  bytes of exporters' notes that clean-up takes off
    """

    def __init__(self, model: Model) -> None:
        graph = model.graph()
        self.notes = strip_notes(graph)
        folds = find_folds(graph)
        for number, fold in enumerate(folds):
            apply_fold(fold, f"w{number}")
        remove_unused(graph)
        stored = stored_tensors(graph)
        self.opset = default_opset(graph)
        self._axes = {fold.weight: (fold.axis, len(fold.bias)) for fold in folds}
        self._entries = {name: _entry(s) for name, s in stored.items() if s.tensor is not None}
        self._name_lengths = {name: len(str(s.value.name).encode()) for name, s in stored.items()}
        self.base = _serialized(graph, stored)

    def emitted(self, name: str, encoding: Encoding) -> EmittedSize:
        """Bytes of one layer in the file when it is stored as `encoding`."""
        size = emitted_size(encoding, max(self.opset, encoding.min_opset), value_name_length=self._name_lengths.get(name, 12))
        axis, channels = self._axes.get(name, (0, 0))
        if channels and not absorbs_factor(encoding, axis):
            size += EmittedSize(4 * channels, _FACTOR_NODE)
        return size

    def predict(self, sizes: Mapping[str, EmittedSize]) -> int:
        """Bytes of the file when the named layers take `sizes` and the rest stays as it is."""
        return self.base + sum(size.total - self._entries[name] for name, size in sizes.items() if name in self._entries)


def predict_bytes(model: Model, encodings: Mapping[str, Encoding]) -> int:
    """Bytes of the file that `encodings` give; use a SizeModel for more than one prediction."""
    sizes = SizeModel(model)
    return sizes.predict({name: sizes.emitted(name, encoding) for name, encoding in encodings.items()})


def _tensor_bytes(tensor: ir.TensorProtocol, name: int) -> int:
    """Bytes of a TensorProto: dims, data type, raw data, name."""
    body = sum(1 + varint(int(n)) for n in tensor.shape.numpy()) + 2 + (2 + name if name else 0)
    return body + (1 + varint(tensor.nbytes) + tensor.nbytes if tensor.nbytes else 0)


def _entry(stored: Stored) -> int:
    """Bytes that a stored tensor takes in the graph now: an initializer, or a Constant node with everything around it."""
    name = len(str(stored.value.name).encode())
    if stored.tensor is None:
        return 0
    if stored.node is None:
        size = _tensor_bytes(stored.tensor, name)
        return 1 + varint(size) + size
    size = _tensor_bytes(stored.tensor, len((stored.tensor.name or "").encode()))
    attribute = 1 + varint(size) + size + len("value") + 2 + 3
    node = 1 + varint(attribute) + attribute + 2 + name + len("Constant") + 2 + (2 + len(stored.node.name or "") if stored.node.name else 0)
    return 1 + varint(node) + node


def _serialized(graph: ir.Model, stored: Mapping[str, Stored]) -> int:
    """Bytes of the graph as a file, with the contents of large tensors counted, not read."""
    extra = 0
    for s in stored.values():
        if s.tensor is None or s.tensor.nbytes <= _LIGHT:
            continue
        light = ir.Tensor(np.zeros((0,), np.float32), name=s.tensor.name)
        extra += _tensor_bytes(s.tensor, 0) - _tensor_bytes(light, 0)
        extra += 2 * (varint(s.tensor.nbytes) - 1)  # the lengths of the messages around it grow as well
        if s.node is None:
            s.value.const_value = light
        else:
            s.node.attributes["value"] = ir.AttrTensor("value", light)
    return int(ir.to_proto(graph).ByteSize()) + extra
