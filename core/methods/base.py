"""What a compression method is. A new method is one new file in this folder and nothing else.

A method maps an encoding to an encoding, so steps stack: pruning makes Sparse(values), quantizing that quantizes its
values. A method that cannot handle a layer raises LayerSkipped with the reason.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from core.encoding.base import Encoding
from core.errors import LayerSkipped
from core.model.layer import Kind, Layer
from core.progress import SILENT, Reporter

REBUILT = (
    "The runtime rebuilds float weights on loading: speed stays as it was, and memory does not shrink (loading takes "
    "more of it)."
)
"""What most encodings cost, in one place."""


class Memo:
    """Remembers what is costly to compute of a weight (magnitudes, SVD) while that weight is shown.

    One result a name: asking with another array replaces it, so nothing piles up. Arrays count as the same when they
    are the same memory in the same layout; weights are never changed in place.
    """

    def __init__(self) -> None:
        self._values: dict[str, tuple[np.ndarray, Any]] = {}

    def of(self, name: str, array: np.ndarray, make: Callable[[], Any]) -> Any:
        """What `make` gives for `array`, computed once."""
        known = self._values.get(name)
        if known is None or _place(known[0]) != _place(array):
            known = (array, make())  # holding the array keeps its memory from being used for another
            self._values[name] = known
        return known[1]


def _place(array: np.ndarray) -> tuple[Any, ...]:
    return array.__array_interface__["data"][0], array.shape, array.strides, array.dtype.str


@dataclass(frozen=True)
class Context:
    """What a method may use besides the encoding.

    layer     the layer, with its axes
    memo      remembered results for this layer's weight; one memo serves one layer, in one thread
    seed      for methods that draw random numbers; the same seed gives the same bytes
    reporter  progress within this layer, and cancelling
    """

    layer: Layer
    memo: Memo = field(default_factory=Memo)
    seed: int = 0
    reporter: Reporter = SILENT


class Method(ABC):
    """One way to compress. Instances have no state.

    word      recipe word, e.g. "prune"; methods that share a word differ in `scheme`
    scheme    value of the step's `scheme` key that picks this method, or "" when the word is enough
    default   True for the one method of a word that is meant when a step gives no `scheme`
    """

    word: ClassVar[str]
    scheme: ClassVar[str] = ""
    default: ClassVar[bool] = False
    title: ClassVar[str]
    family: ClassVar[str]
    summary: ClassVar[str]
    """One or two sentences: what it does and when to choose it."""
    saves: ClassVar[tuple[str, ...]]
    """What gets smaller: of "file", "memory", "time", "multiply-adds"."""
    costs: ClassVar[str]
    source: ClassVar[str]
    """Paper or specification."""
    kinds: ClassVar[frozenset[Kind]] = frozenset(Kind)
    Params: ClassVar[type]

    @property
    def key(self) -> str:
        return f"{self.word}:{self.scheme}" if self.scheme else self.word

    def why_not(self, layer: Layer, params: Any) -> str:
        """Why this method cannot handle the layer (one clause), or ""."""
        if layer.locked:
            return layer.locked
        if layer.kind not in self.kinds:
            return f"{self.title} does not handle {layer.kind} layers"
        return ""

    @abstractmethod
    def apply(self, encoding: Encoding, params: Any, context: Context) -> Encoding:
        """The encoding after this step. Never changes its input. Raises LayerSkipped with the reason, or Cancelled."""

    @abstractmethod
    def label(self, params: Any) -> str:
        """Two or three words for the plan column: "int4", "prune 60 %", "rank 48"."""


def require_finite(values: np.ndarray, layer: Layer) -> None:
    """Raise LayerSkipped when a weight holds NaN or Inf."""
    if values.size == 0 or (np.isfinite(values.min()) and np.isfinite(values.max())):  # both carry NaN on
        return
    bad = int(values.size - np.count_nonzero(np.isfinite(values)))
    raise LayerSkipped(f"{bad:,} of {values.size:,} weights are NaN or infinite", where=layer.name)
