"""How large the compressed file will be, before it is built."""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from core.encoding import Encoding
from core.encoding.counting import EmittedSize, graph_size, varint
from core.encoding.emitter import GraphEmitter
from core.encoding.scaled import scale_channels
from core.exporting.cleanup import apply_fold, clean_up
from core.exporting.constants import WORTH_MERGING, identical_tensors
from core.exporting.opset import default_opset
from core.exporting.report import Saving
from core.exporting.uses import extra_bytes, has_joint_bytes, joint_bytes, own_bytes
from core.model.folding import find_folds
from core.model.graph import Stored, fresh_names, remove_unused, stored_tensors
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
    merged  contents that equal layers which are stored alike take once: a digest, and their bytes; only for layers that
            have an equal one
    joint   the encoding, when layers that are stored like it also take bytes together (`uses.joint_bytes`)
    """

    own: EmittedSize
    shared: frozenset[Constant]
    scope: tuple[str, ...] = ()
    joint: Encoding | None = None
    merged: tuple[bytes, int] | None = None


class SizeModel:
    """Predicts file sizes of one model. Making it takes some ten milliseconds; a prediction takes microseconds a layer.

    base     bytes of the file after clean-up, with every layer as it is
    savings  the parts of the clean-up with the bytes that each takes off the file, largest first; () unless asked for
    """

    def __init__(self, model: Model, *, list_savings: bool = False) -> None:
        graph = model.graph()
        sizes = [model.file_bytes]
        parts: list[str] = []

        def done(what: str) -> None:
            if list_savings:
                parts.append(what)
                sizes.append(graph_bytes(graph))

        clean_up(graph, {layer.name for layer in model.layers}, done)
        folds = find_folds(graph)
        for fold, name in zip(folds, fresh_names(graph), strict=False):
            apply_fold(fold, name)
        remove_unused(graph)
        done(f"{len(folds):,} batch norms folded into the convolutions before them")
        saved = (before - after for before, after in itertools.pairwise(sizes))
        listed = [Saving(what, nbytes) for what, nbytes in zip(parts, saved, strict=True) if nbytes > 0]
        self.savings = tuple(sorted(listed, key=lambda saving: -saving.nbytes))
        self._stored = stored = stored_tensors(graph)
        self.opset = default_opset(graph)
        self._axes = {fold.weight: (fold.axis, len(fold.bias)) for fold in folds}
        self._entries = {name: _entry(s) for name, s in stored.items() if s.tensor is not None}
        self._typical = 10 if len(stored) < 30 else 100  # a made-up name's number: as long as most will be
        # Both branches of an If have its name as their scope, but each holds its own constants.
        graphs = {id(s.place.graph): str(number) for number, s in enumerate(stored.values())}
        self._scopes = {name: (*s.place.scope, graphs[id(s.place.graph)]) for name, s in stored.items()}
        self._name_lengths = {name: len(str(s.value.name).encode()) for name, s in stored.items()}
        names = {s.value: name for name, s in stored.items()}
        self._twins = [[names[value] for value in group] for _, group in identical_tensors(graph, least=WORTH_MERGING)]
        self._twin_names = {name for group in self._twins for name in group}
        self.base = sizes[-1] if list_savings else graph_bytes(graph)

    def emitted(self, name: str, encoding: Encoding) -> LayerSize:
        """Bytes of one layer in the file when it is stored as `encoding`."""
        axis, channels = self._axes.get(name, (0, 0))
        if channels:
            encoding = scale_channels(encoding, np.ones(channels, np.float32), axis)
        joint = encoding if has_joint_bytes(encoding) and name in self._stored else None
        opset = max(self.opset, encoding.min_opset)
        whole = own_bytes(self._stored[name], encoding, opset) if name in self._stored else None
        if whole is not None:
            data = min(encoding.nbytes, whole)
            merged = (_digest([encoding.decode()]), data) if name in self._twin_names else None
            return LayerSize(EmittedSize(data, whole - data), frozenset(), self._scopes.get(name, ()), joint, merged)
        numbers = itertools.count(self._typical)
        emitter = GraphEmitter(opset, lambda: f"w{next(numbers)}")
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
            joint,
            self._mergeable(name, emitter),
        )

    def _mergeable(self, name: str, emitter: GraphEmitter) -> tuple[bytes, int] | None:
        if name not in self._twin_names:
            return None
        arrays = [t.array for t in emitter.tensors if not t.constant and t.array.nbytes >= WORTH_MERGING]
        return _digest(arrays), sum(array.nbytes for array in arrays)

    def predict(self, sizes: Mapping[str, LayerSize]) -> int:
        """Bytes of the file when the named layers take `sizes` and the rest stays as it is."""
        known = {name: size for name, size in sizes.items() if name in self._entries}
        constants = {(size.scope, constant) for size in known.values() for constant in size.shared}
        return (
            self.base
            + sum(size.own.total - self._entries[name] for name, size in known.items())
            + sum(constant[-1] for _, constant in constants)
            - sum(self._merged(group, known) for group in self._twins)
            + joint_bytes([(self._stored[name], size.joint) for name, size in known.items() if size.joint is not None])
        )

    def _merged(self, group: list[str], known: Mapping[str, LayerSize]) -> int:
        """Bytes that equal layers do not take twice where they are stored alike."""
        alone = (b"", self._entries[group[0]])  # stored as they are
        alike = Counter(known[name].merged if name in known else alone for name in group)
        return sum((times - 1) * contents[1] for contents, times in alike.items() if contents is not None)


def _digest(arrays: Iterable[np.ndarray]) -> bytes:
    found = hashlib.blake2b()
    for array in arrays:
        found.update(np.ascontiguousarray(array).tobytes())
    return found.digest()


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


def graph_bytes(graph: ir.Model) -> int:
    """Bytes of the graph as a file, the contents of large tensors counted, not read. The graph is left as it is."""
    extra = 0
    heavy: list[tuple[Stored, ir.TensorProtocol, ir.Attr | None]] = []
    for s in stored_tensors(graph).values():
        if s.tensor is None or s.tensor.nbytes <= _LIGHT:
            continue
        light = ir.Tensor(np.zeros((0,), np.float32), name=s.tensor.name)
        extra += _tensor_bytes(s.tensor, 0) - _tensor_bytes(light, 0)
        around = 1 if s.node is None else 3  # the lengths of the messages around it grow as well
        extra += around * (varint(s.tensor.nbytes) - 1)
        heavy.append((s, s.tensor, None if s.node is None else s.node.attributes["value"]))
        if s.node is None:
            s.value.const_value = light
        else:
            s.node.attributes["value"] = ir.AttrTensor("value", light)
    size = int(ir.to_proto(graph).ByteSize()) + extra
    for s, tensor, attribute in heavy:
        if s.node is None:
            s.value.const_value = tensor
        elif attribute is not None:
            s.node.attributes["value"] = attribute
    return size
