"""How large the compressed file will be, before it is built."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from core.encoding import Encoding
from core.encoding.counting import EmittedSize, graph_size, varint
from core.encoding.emitter import GraphEmitter
from core.encoding.scaled import scale_channels
from core.exporting.cleanup import apply_fold, forget_types, lift_constants, strip_notes
from core.exporting.opset import default_opset
from core.exporting.uses import extra_bytes
from core.model.folding import find_folds
from core.model.graph import Stored, remove_unused, stored_tensors
from core.model.model import Model

_LIGHT = 1024
"""Bytes above which a tensor's content is counted instead of serialized."""


Constant = tuple[str, tuple[int, ...], bytes, int]


@dataclass(frozen=True)
class LayerSize:
    """Bytes that one layer adds to a file.

    own     its tensors and nodes
    shared  small constants that it needs and that its graph holds once for all layers; the last element is their size
    scope   which graph (If branches have their own constants)
    """

    own: EmittedSize
    shared: frozenset[Constant]
    scope: tuple[str, ...] = ()


class SizeModel:
    """Predicts file sizes of one model. Making it takes some ten milliseconds; a prediction takes microseconds a layer.

    base   bytes of the file after clean-up, with every layer as it is
    notes  bytes of exporters' notes that clean-up takes off
    """

    def __init__(self, model: Model) -> None:
        graph = model.graph()
        self.notes = strip_notes(graph)
        lift_constants(graph)
        forget_types(graph)
        folds = find_folds(graph)
        for number, fold in enumerate(folds):
            apply_fold(fold, f"w{number}")
        remove_unused(graph)
        self._stored = stored = stored_tensors(graph)
        self.opset = default_opset(graph)
        self._axes = {fold.weight: (fold.axis, len(fold.bias)) for fold in folds}
        self._entries = {name: _entry(s) for name, s in stored.items() if s.tensor is not None}
        self._typical = 10 if len(stored) < 30 else 100  # a made-up name's number: as long as most will be
        self._scopes = {name: s.place.scope for name, s in stored.items()}
        self._name_lengths = {name: len(str(s.value.name).encode()) for name, s in stored.items()}
        self.base = _serialized(graph, stored)

    def emitted(self, name: str, encoding: Encoding) -> LayerSize:
        """Bytes of one layer in the file when it is stored as `encoding`."""
        axis, channels = self._axes.get(name, (0, 0))
        if channels:
            encoding = scale_channels(encoding, np.ones(channels, np.float32), axis)
        numbers = itertools.count(self._typical)
        emitter = GraphEmitter(max(self.opset, encoding.min_opset), lambda: f"w{next(numbers)}")
        emitter.emit(encoding, "v" * self._name_lengths.get(name, 12))
        shared = frozenset(
            (t.dtype, t.array.shape, t.array.tobytes(), graph_size([t], ()).total)
            for t in emitter.tensors
            if t.constant
        )
        own = graph_size((t for t in emitter.tensors if not t.constant), emitter.nodes)
        extra = extra_bytes(self._stored[name], encoding, emitter.opset) if name in self._stored else 0
        return LayerSize(
            EmittedSize(own.data, own.overhead + extra),
            shared,
            self._scopes.get(name, ()),
        )

    def predict(self, sizes: Mapping[str, LayerSize]) -> int:
        """Bytes of the file when the named layers take `sizes` and the rest stays as it is."""
        known = {name: size for name, size in sizes.items() if name in self._entries}
        constants = {(size.scope, constant) for size in known.values() for constant in size.shared}
        return (
            self.base
            + sum(size.own.total - self._entries[name] for name, size in known.items())
            + sum(constant[-1] for _, constant in constants)
        )


def predict_bytes(model: Model, encodings: Mapping[str, Encoding]) -> int:
    """Bytes of the file that `encodings` give; use a SizeModel for more than one prediction."""
    sizes = SizeModel(model)
    return sizes.predict({name: sizes.emitted(name, encoding) for name, encoding in encodings.items()})


def _tensor_bytes(tensor: ir.TensorProtocol, name: int) -> int:
    """Bytes of a TensorProto: dims, data type, raw data, name."""
    body = sum(1 + varint(int(n)) for n in tensor.shape.numpy()) + 2 + (2 + name if name else 0)
    return body + (1 + varint(tensor.nbytes) + tensor.nbytes if tensor.nbytes else 0)


def _entry(stored: Stored) -> int:
    """Bytes that a stored tensor takes in the graph now: an initializer, or a Constant node."""
    name = len(str(stored.value.name).encode())
    if stored.tensor is None:
        return 0
    if stored.node is None:
        size = _tensor_bytes(stored.tensor, name)
        return 1 + varint(size) + size
    size = _tensor_bytes(stored.tensor, len((stored.tensor.name or "").encode()))
    attribute = 1 + varint(size) + size + len("value") + 2 + 3
    node = (
        1
        + varint(attribute)
        + attribute
        + 2
        + name
        + len("Constant")
        + 2
        + (2 + len(stored.node.name or "") if stored.node.name else 0)
    )
    return 1 + varint(node) + node


def _serialized(graph: ir.Model, stored: Mapping[str, Stored]) -> int:
    """Bytes of the graph as a file, with the contents of large tensors counted, not read."""
    extra = 0
    for s in stored.values():
        if s.tensor is None or s.tensor.nbytes <= _LIGHT:
            continue
        light = ir.Tensor(np.zeros((0,), np.float32), name=s.tensor.name)
        extra += _tensor_bytes(s.tensor, 0) - _tensor_bytes(light, 0)
        around = 1 if s.node is None else 3  # the lengths of the messages around it grow as well
        extra += around * (varint(s.tensor.nbytes) - 1)
        if s.node is None:
            s.value.const_value = light
        else:
            s.node.attributes["value"] = ir.AttrTensor("value", light)
    return int(ir.to_proto(graph).ByteSize()) + extra
