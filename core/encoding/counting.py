"""Exact size of emitted tensors and nodes in a model file, without building one.

Follows the protobuf encoding of onnx.proto (proto2: repeated integers are not packed): every field is a tag, and for
strings, bytes and messages a length and the content. Field numbers above 15 have two bytes of tag.
Sources: https://protobuf.dev/programming-guides/encoding, https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any, TypeVar

import numpy as np

from core.encoding.base import Array, Encoding, Shape
from core.encoding.emitter import EmittedNode, EmittedTensor, GraphEmitter
from core.errors import InternalError

E = TypeVar("E", bound=Encoding)


@dataclass(frozen=True)
class SharedConstant:
    """A node's constant, which a graph stores once for all weights.

    total  its bytes in the file, of which `data` are the content
    """

    dtype: str
    shape: Shape
    content: bytes
    total: int

    @property
    def data(self) -> int:
        return len(self.content)


@dataclass(frozen=True)
class EmittedSize:
    """Bytes in the file.

    data       contents of tensors
    overhead   everything around them: names, shapes, types, nodes, lengths
    constants  what of both goes to constants that other weights of the same graph share (`size_together`)
    """

    data: int
    overhead: int
    constants: frozenset[SharedConstant] = frozenset()

    @property
    def total(self) -> int:
        return self.data + self.overhead

    def __add__(self, other: EmittedSize) -> EmittedSize:
        return size_together((self, other))


def size_together(sizes: Iterable[EmittedSize]) -> EmittedSize:
    """The size of several weights in one graph, which stores their common constants once."""
    data = overhead = 0
    constants: frozenset[SharedConstant] = frozenset()
    for size in sizes:
        common = constants & size.constants
        data += size.data - sum(c.data for c in common)
        overhead += size.overhead - sum(c.total - c.data for c in common)
        constants |= size.constants
    return EmittedSize(data, overhead, constants)


def emitted_size(encoding: Encoding, opset: int, *, name_length: int = 3, value_name_length: int = 12) -> EmittedSize:
    """Bytes that one weight takes in a GraphProto.

    name_length        of the names the writer makes up ("w42")
    value_name_length  of the rebuilt value's name, which is the layer's own, in UTF-8 bytes
    """
    names = count()
    emitter = GraphEmitter(opset, lambda: f"{next(names):0{name_length}d}")
    emitter.emit(encoding, "v" * value_name_length)
    return graph_size(emitter.tensors, emitter.nodes)


def graph_size(tensors: Iterable[EmittedTensor], nodes: Iterable[EmittedNode]) -> EmittedSize:
    """Bytes that initializers, nodes and declared shapes take as fields of a GraphProto."""
    data = overhead = 0
    constants = set()
    for tensor in tensors:
        total = _message(_tensor(tensor.array, len(tensor.name.encode())))
        data += tensor.array.nbytes
        overhead += total - tensor.array.nbytes
        if tensor.constant:
            constants.add(SharedConstant(tensor.dtype, tensor.array.shape, tensor.array.tobytes(), total))
    for node in nodes:
        overhead += _message(_node(node))
        if node.shape is not None:
            overhead += _message(_info(node.output, node.shape))
    return EmittedSize(data, overhead, frozenset(constants))


def smallest(*encodings: E, opset: int = 13) -> E:
    """The encoding that takes the fewest bytes in a file, nodes included; the first of equals."""
    if not encodings:
        raise InternalError("there is no encoding to choose from")
    return min(encodings, key=lambda encoding: emitted_size(encoding, opset).total)


def varint(value: int) -> int:
    """Bytes of a varint; negative numbers take ten."""
    return 10 if value < 0 else max(1, -(-value.bit_length() // 7))


def _message(size: int, tag: int = 1) -> int:
    """Bytes of a length-delimited field whose content has `size` bytes."""
    return tag + varint(size) + size


def _tensor(array: Array, name: int | None = None) -> int:
    """TensorProto: dims, data_type, name, raw_data."""
    size = sum(1 + varint(n) for n in array.shape) + 2 + _message(array.nbytes)
    return size if name is None else size + _message(name)


def _node(node: EmittedNode) -> int:
    """NodeProto: input, output, op_type, attribute."""
    names = (*node.inputs, node.output, node.op)
    return sum(_message(len(name.encode())) for name in names) + _attributes(node.attributes)


def _info(name: str, shape: Shape) -> int:
    """ValueInfoProto: name, type; TypeProto.Tensor: elem_type (one byte of value), shape; each dimension a message."""
    dimensions = sum(_message(1 + varint(n)) for n in shape)
    return _message(len(name.encode())) + _message(_message(2 + _message(dimensions)))


def _attributes(attributes: Mapping[str, Any]) -> int:
    return sum(_message(_attribute(name, value)) for name, value in attributes.items())


def _attribute(name: str, value: Any) -> int:
    """AttributeProto: name, one of f, i, s, t, ints, and the type (field 20: two bytes of tag, one of value)."""
    size = _message(len(name.encode())) + 3
    if isinstance(value, int):
        return size + 1 + varint(value)
    if isinstance(value, float):
        return size + 5
    if isinstance(value, str):
        return size + _message(len(value.encode()))
    if isinstance(value, np.ndarray):
        return size + _message(_tensor(value))
    if isinstance(value, tuple):
        return size + sum(1 + varint(n) for n in value)
    raise InternalError(f"attribute {name} is a {type(value).__name__}")
