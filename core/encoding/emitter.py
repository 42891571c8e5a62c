"""The one Emitter: collects what encodings write as plain values, for the exporter and for counting alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from core.encoding.base import Array, Encoding

_SHARED_BYTES = 1024  # equal tensors up to this size are stored once


@dataclass(frozen=True, eq=False)
class EmittedTensor:
    """An initializer. dtype is the ONNX element type in lower case ("float32", "bfloat16": uint16 bit patterns)."""

    name: str
    array: Array = field(repr=False)
    dtype: str


@dataclass(frozen=True, eq=False)
class EmittedNode:
    """A node of the default domain with one output.

    attributes: int, float, str, tuple of int, or an array for a tensor attribute (ConstantOfShape's value).
    """

    op: str
    inputs: tuple[str, ...]
    output: str
    attributes: Mapping[str, Any]


@dataclass(frozen=True)
class EmittedInfo:
    """Type and shape of a node's output that the file must state (value_info). No other output needs its shape stated."""

    name: str
    dtype: str
    shape: tuple[int, ...]


class GraphEmitter:
    """Collects the tensors and nodes of many encodings in one scope, nodes in topological order.

    opset  default-domain opset of the graph
    fresh  gives a new name, unique in the graph, at every call

    `tensors`, `nodes` and `infos` hold what was written; `emit` adds one weight. Small constants that several weights need (shift
    tables, shapes, scalars) are stored once for all of them.
    """

    def __init__(self, opset: int, fresh: Callable[[], str]) -> None:
        self.opset = opset
        self.tensors: list[EmittedTensor] = []
        self.nodes: list[EmittedNode] = []
        self.infos: list[EmittedInfo] = []
        self._fresh = fresh
        self._shared: dict[tuple[str, tuple[int, ...], bytes], str] = {}

    def emit(self, encoding: Encoding, name: str) -> None:
        """Write `encoding` so that the rebuilt value, of the encoding's shape, is called `name`."""
        tensors, nodes = len(self.tensors), len(self.nodes)
        value = encoding.emit(self)
        if len(self.nodes) > nodes and self.nodes[-1].output == value:
            self.nodes[-1] = replace(self.nodes[-1], output=name)
        elif len(self.tensors) > tensors and self.tensors[-1].name == value:
            last = self.tensors[-1]
            self.tensors[-1] = replace(last, name=name)
            self._shared.pop(_key(last.array, last.dtype), None)  # a layer's own tensor is nobody else's constant
        else:  # a bare tensor that equals an earlier constant: the layer gets its own
            same = next(t for t in self.tensors if t.name == value)
            self.tensors.append(replace(same, name=name))

    def tensor(self, array: Array, dtype: str | None = None) -> str:
        """Store a tensor and return its name; see `base.Emitter`."""
        dtype = dtype or str(array.dtype)
        key = _key(array, dtype) if array.nbytes <= _SHARED_BYTES else None
        if key in self._shared:
            return self._shared[key]
        name = self._fresh()
        self.tensors.append(EmittedTensor(name, array, dtype))
        if key is not None:
            self._shared[key] = name
        return name

    def node(self, op: str, inputs: list[str], **attributes: Any) -> str:
        """Add a node and return its output's name; see `base.Emitter`."""
        output = self._fresh()
        self.nodes.append(EmittedNode(op, tuple(inputs), output, attributes))
        return output

    def declare(self, name: str, dtype: str, shape: tuple[int, ...]) -> None:
        """State type and shape of a node's output; see `base.Emitter`."""
        self.infos.append(EmittedInfo(name, dtype, shape))


def _key(array: Array, dtype: str) -> tuple[str, tuple[int, ...], bytes]:
    return dtype, array.shape, np.ascontiguousarray(array).tobytes()
