"""The algebra of stored weights: how a weight is kept in the file and rebuilt from what is kept.

An encoding is a small frozen tree. Leaves hold stored tensors; inner nodes are ONNX operators that rebuild the weight.
One tree gives the error (`decode`), the size (`nbytes`) and the export (`emit`), so the three cannot disagree.
`decode` must do the same float32 operations in the same order as the emitted nodes, so that a runtime that follows the
specification rebuilds the same bits.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Protocol

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
Shape = tuple[int, ...]

FLOAT, UINT8, INT32, BOOL = 1, 2, 6, 9
"""ONNX element types (onnx.TensorProto.DataType)."""


class Emitter(Protocol):
    """Where an encoding writes its tensors and nodes; `emitter.GraphEmitter` is the one implementation."""

    opset: int

    def tensor(self, array: Array, dtype: str | None = None) -> str:
        """Store a part of the weight and return its name.

        dtype: ONNX element type name when numpy has no such type ("bfloat16": the array is uint16 bit patterns).
        """
        ...

    def constant(self, array: Array) -> str:
        """Store a small tensor that a node needs (a shape, a shift); equal ones are stored once for all weights."""
        ...

    def node(self, op: str, inputs: list[str], **attributes: Any) -> str:
        """Add a node of the default domain with one output and return the output's name."""
        ...

    def declare(self, dtype: str, shape: Shape) -> None:
        """State type and shape of the last node's output (value_info), where a runtime cannot infer them."""
        ...


class Encoding(ABC):
    """How one weight is stored. Subclasses are frozen dataclasses, one file each.

    shape is the shape that `decode` gives. Arrays handed to a constructor are kept, not copied: do not change them.
    """

    shape: Shape

    @abstractmethod
    def decode(self) -> Array:
        """The weight as float32, of `shape`: a fresh array, or a read-only view of what is stored."""

    @property
    @abstractmethod
    def nbytes(self) -> int:
        """Exact bytes of the tensors that hold this weight, without names, nodes and the nodes' constants."""

    @abstractmethod
    def emit_as(self, out: Emitter, shape: Shape) -> str:
        """`emit`, but the value has another `shape` of as many elements: free for encodings that end in a Reshape."""

    @abstractmethod
    def describe(self) -> str:
        """A few words for tables: "int8 per channel", "90 % zeros · 16 levels"."""

    def emit(self, out: Emitter) -> str:
        """Write the tensors and the nodes that rebuild the weight; returns the name of the rebuilt float32 value."""
        return self.emit_as(out, self.shape)

    @property
    def min_opset(self) -> int:
        """The lowest default-domain opset whose operators `emit` needs."""
        return max((child.min_opset for child in self.children), default=7)

    @property
    def children(self) -> tuple[Encoding, ...]:
        """Encodings that this one is built on."""
        return ()

    @property
    def exact(self) -> bool:
        """Whether a runtime rebuilds the same bits as `decode`: no sums whose order is the runtime's own choice."""
        return all(child.exact for child in self.children)

    @property
    def shared_bytes(self) -> int:
        """Bytes of large constants that layers share (the basis of a transform) and that `nbytes` leaves out."""
        return sum(child.shared_bytes for child in self.children)

    @property
    def rounds_inputs(self) -> bool:
        """Whether the layer rounds what enters it, where its uses can be rewritten for that (`exporting.uses`)."""
        return False

    def levels(self) -> Array | None:
        """The distinct values the weight can take when there are few (at most 256) and they are shared, else None."""
        return None

    @property
    def n_weights(self) -> int:
        return count(self.shape)


def count(shape: Shape) -> int:
    """Number of elements of a tensor of this shape."""
    total = 1
    for size in shape:
        total *= size
    return total


def emit_reshape(out: Emitter, value: str, shape: Shape) -> str:
    """A Reshape node to a fixed shape."""
    return out.node("Reshape", [value, out.constant(np.array(shape, np.int64))])
