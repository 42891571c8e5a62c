"""The one Emitter: collects what encodings write as plain values, for the exporter and for counting alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from core.encoding.base import Array, Encoding, Shape
from core.errors import InternalError


@dataclass(frozen=True, eq=False)
class EmittedTensor:
    """An initializer.

    dtype     ONNX element type in lower case ("float32", "bfloat16": uint16 bit patterns)
    constant  a node's constant, which later weights of the same emitter use again
    """

    name: str
    array: Array = field(repr=False)
    dtype: str
    constant: bool = False


@dataclass(frozen=True, eq=False)
class EmittedNode:
    """A node of the default domain with one output.

    attributes    int, float, str, tuple of int, or an array for a tensor attribute (ConstantOfShape's value)
    dtype, shape  of the output, where the file must state them (value_info) because a runtime cannot infer them; no
                  other output needs them stated
    """

    op: str
    inputs: tuple[str, ...]
    output: str
    attributes: Mapping[str, Any]
    dtype: str | None = None
    shape: Shape | None = None


class GraphEmitter:
    """Collects the tensors and nodes of many encodings in one graph, nodes in topological order.

    opset  default-domain opset of the graph
    fresh  gives a new name, unique in the graph, at every call

    `tensors` and `nodes` hold what was written, in order: what one `emit` adds is a slice, and its nodes use nothing
    but its own tensors and earlier constants.
    """

    def __init__(self, opset: int, fresh: Callable[[], str]) -> None:
        self.opset = opset
        self.tensors: list[EmittedTensor] = []
        self.nodes: list[EmittedNode] = []
        self._fresh = fresh
        self._constants: dict[tuple[str, Shape, bytes], str] = {}

    def emit(self, encoding: Encoding, name: str) -> str:
        """Write `encoding` so that the rebuilt value, of the encoding's shape, is called `name`; returns `name`.

        The value is the output of the last node or, when no node was needed, the last tensor.
        """
        nodes = len(self.nodes)
        value = encoding.emit(self)
        if len(self.nodes) > nodes and self.nodes[-1].output == value:
            self.nodes[-1] = replace(self.nodes[-1], output=name)
        elif len(self.nodes) == nodes and self.tensors and self.tensors[-1].name == value:
            self.tensors[-1] = replace(self.tensors[-1], name=name)
        else:
            raise InternalError(f"{type(encoding).__name__} did not write its value last")
        return name

    def tensor(self, array: Array, dtype: str | None = None) -> str:
        """Store a part of a weight; see `base.Emitter`."""
        name = self._fresh()
        self.tensors.append(EmittedTensor(name, array, dtype or str(array.dtype)))
        return name

    def constant(self, array: Array) -> str:
        """Store a small constant once; see `base.Emitter`."""
        key = (str(array.dtype), array.shape, array.tobytes())
        if key not in self._constants:
            name = self._fresh()
            self.tensors.append(EmittedTensor(name, array, str(array.dtype), constant=True))
            self._constants[key] = name
        return self._constants[key]

    def node(self, op: str, inputs: list[str], **attributes: Any) -> str:
        """Add a node and return its output's name; see `base.Emitter`."""
        output = self._fresh()
        self.nodes.append(EmittedNode(op, tuple(inputs), output, attributes))
        return output

    def declare(self, dtype: str, shape: Shape) -> None:
        """State type and shape of the last node's output; see `base.Emitter`."""
        self.nodes[-1] = replace(self.nodes[-1], dtype=dtype, shape=shape)
