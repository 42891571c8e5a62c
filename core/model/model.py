"""An opened model: its layers, and its weights and graph on demand."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from core.errors import FeatherweightError
from core.model.layer import Layer, LeftOut, Port

if TYPE_CHECKING:
    import onnx_ir as ir

    from core.encoding.base import Encoding
    from core.encoding.floats import FloatType
    from core.model.coupling import Coupling
    from core.torch_files.origin import Origin

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, eq=False)
class Model:
    """A model file, opened without reading its weights. Everything may be called from any thread.

    path        the ONNX file; of a PyTorch file, its conversion (`shown_path` is the person's own file)
    name        the person's file's name
    layers      in the order in which the graph first uses them
    left_out    stored tensors that are no layers, with the reason
    opset       version of the default operator domain
    file_bytes  with external data files
    data_files  those files, and of a conversion what it was made from: like the file itself, never overwritten
    origin      the PyTorch file that it was converted from, or None
    notes       sentences a person should know (an unknown operator, no layers)
    """

    path: Path
    layers: tuple[Layer, ...]
    left_out: tuple[LeftOut, ...]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    opset: int
    ir_version: int
    producer: str
    metadata: Mapping[str, str]
    file_bytes: int
    notes: tuple[str, ...]
    _read_weight: Callable[[str], Array] = field(repr=False)
    _make_graph: Callable[[], ir.Model] = field(repr=False)
    _release: Callable[[], None] = field(repr=False)
    _check: Callable[[], None] = field(repr=False)
    data_files: tuple[Path, ...] = ()
    origin: Origin | None = None

    @property
    def name(self) -> str:
        return self.shown_path.name

    @property
    def shown_path(self) -> Path:
        """The file that the person opened."""
        return self.path if self.origin is None else self.origin.path

    @cached_property
    def _by_name(self) -> dict[str, Layer]:
        return {layer.name: layer for layer in self.layers}

    def layer(self, name: str) -> Layer:
        """The layer of a name; FeatherweightError names those that are nearly called so."""
        found = self._by_name.get(name)
        if found is not None:
            return found
        near = difflib.get_close_matches(name, list(self._by_name), 3, 0.5)
        do = f"did you mean {', '.join(map(repr, near))}" if near else f"see the {len(self.layers)} layers' names"
        raise FeatherweightError(f"there is no layer {name!r}", where=self.name, do=do)

    def weight(self, name: str) -> Array:
        """The weight as float32 of the layer's shape, read-only where it is a view of the mapped file.

        A tensor stored as float32 is not copied; such a view need not be aligned to 4 bytes. A weight that the file
        computes (`Layer.locked`) is computed. Raises ModelFileError when its data is damaged or the file was changed.
        """
        self.layer(name)
        self._check()
        return self._read_weight(name)

    def encoding(self, name: str) -> Encoding:
        """The layer as it is stored (what steps start from); for a locked layer, its decoded values as float32."""
        from core.encoding import Float

        layer = self.layer(name)
        kept = {"float16": "float16", "bfloat16": "bfloat16"}.get(layer.dtype, "float32")
        return Float(self.weight(name), cast("FloatType", "float32" if layer.locked else kept))

    def graph(self) -> ir.Model:
        """A fresh, independent graph to rewrite; its tensors are views of the mapped file."""
        self._check()
        return self._make_graph()

    def check_unchanged(self) -> None:
        """Raise ModelFileError when a file of the model was changed or removed since it was opened."""
        self._check()

    def release(self) -> None:
        """Give back the memory of weights that were read; they are read again when they are used again."""
        self._release()

    @cached_property
    def coupling(self) -> Coupling:
        """Which channels are cut together, found once, in a graph of its own: to look at, not to cut."""
        from core.model.coupling import find_groups

        return find_groups(self.graph())

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the model file (without external data), in hexadecimal."""
        with open(self.path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
