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


class Emitter(Protocol):
    """Where an encoding writes its tensors and nodes (`exporting.writer` for files, `CountingEmitter` for sizes)."""

    opset: int

    def tensor(self, array: Array, dtype: str | None = None) -> str:
        """Store a tensor and return its name. Equal small tensors are stored once.

        dtype: ONNX element type name when numpy has no such type ("bfloat16": the array is uint16 bit patterns).
        """
        ...

    def node(self, op: str, inputs: list[str], **attributes: Any) -> str:
        """Add a node of the default domain with one output and return the output's name."""
        ...


class Encoding(ABC):
    """How one weight is stored. Subclasses are frozen dataclasses, one file each, registered by being imported.

    shape is the shape that `decode` gives.
    """

    shape: tuple[int, ...]

    @abstractmethod
    def decode(self) -> Array:
        """The weight as float32, of `shape`."""

    @property
    @abstractmethod
    def nbytes(self) -> int:
        """Exact bytes of all tensors that this tree stores, without names and nodes."""

    @abstractmethod
    def emit(self, out: Emitter) -> str:
        """Write the tensors and the nodes that rebuild the weight; returns the name of the rebuilt float32 value."""

    @abstractmethod
    def describe(self) -> str:
        """A few words for tables: "int8 per channel", "90 % zeros · 16 levels"."""

    @property
    def min_opset(self) -> int:
        """The lowest default-domain opset whose operators `emit` needs."""
        return 7

    @property
    def children(self) -> tuple[Encoding, ...]:
        """Encodings that this one is built on."""
        return ()

    def levels(self) -> Array | None:
        """The distinct values the weight can take when there are few (at most 256) and they are shared, else None."""
        return None

    @property
    def n_weights(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))

