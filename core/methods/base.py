"""What a compression method is. A new method is one new file in this folder and nothing else.

A method maps an encoding to an encoding, so steps stack: pruning makes Sparse(values), quantizing that quantizes its
values. A method that cannot handle a layer raises LayerSkipped with the reason.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from core.data.layer_inputs import LayerInputs, Need, ValueRange
from core.encoding.base import Encoding
from core.errors import LayerSkipped
from core.model.change import Change
from core.model.layer import Kind, Layer
from core.progress import SILENT, Reporter

if TYPE_CHECKING:
    import onnx_ir as ir

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


class Stage(StrEnum):
    """When in a compression a method has its turn; a recipe lists graph methods under `graph`, all others as steps."""

    GRAPH = "graph"
    CHANNELS = "channels"
    WEIGHTS = "weights"


class Role(StrEnum):
    """What a step does to a weight, as far as it decides which steps may follow (`why_not_after`)."""

    CUT = "cut"
    FACTOR = "factor"
    PRUNE = "prune"
    FILTER = "filter"
    FLOAT = "float"
    QUANTIZE = "quantize"
    RUN_TIME = "run time"
    """Quantized in a form that the runtime computes with, which wants the layer's own weights."""


@dataclass(frozen=True)
class Context:
    """What a method may use besides the encoding.

    layer     the layer, with its axes
    memo      remembered results for this layer's weight; one memo serves one layer, in one thread
    seed      for methods that draw random numbers; the same seed gives the same bytes
    reporter  progress within this layer, and cancelling
    inputs    statistics of what reaches the layer on the person's samples, as far as `Method.needs` asked for them
    why_no_inputs  why there are none (one clause), where there could be
    opset     of the model's default domain, before a method raises it
    """

    layer: Layer
    memo: Memo = field(default_factory=Memo)
    seed: int = 0
    reporter: Reporter = SILENT
    inputs: LayerInputs | None = None
    why_no_inputs: str = ""
    opset: int = 13


class Described(ABC):
    """What every method says of itself. Instances have no state.

    word      recipe word, e.g. "prune"; methods that share a word differ in `scheme`
    scheme    value of the step's `scheme` key that picks this method, or "" when the word is enough
    default   True for the one method of a word that is meant when a step gives no `scheme`
    """

    stage: ClassVar[Stage]
    word: ClassVar[str]
    scheme: ClassVar[str] = ""
    default: ClassVar[bool] = False
    title: ClassVar[str]
    family: ClassVar[str]
    """One of: Pruning, Structured cuts, Filtering, Quantization, Activations, Low rank."""
    summary: ClassVar[str]
    """One or two sentences: what it does."""
    saves: ClassVar[tuple[str, ...]]
    """What gets smaller: of "file", "memory", "time", "multiply-adds"."""
    costs: ClassVar[str]
    choose_when: ClassVar[str]
    """One sentence: for which models and aims it is the right choice."""
    avoid_when: ClassVar[str]
    """One sentence: where something else does better, and what."""
    data: ClassVar[str] = "none"
    """Which samples it needs, in words: "none", "unlabelled samples", "unlabelled samples for criterion taylor"."""
    source: ClassVar[str]
    """Paper or specification."""
    kinds: ClassVar[frozenset[Kind]] = frozenset(Kind)
    Params: ClassVar[type]

    @property
    def key(self) -> str:
        return f"{self.word}:{self.scheme}" if self.scheme else self.word

    def needs(self, params: Any) -> frozenset[Need]:
        """What must be measured on samples before `apply` can work with these parameters."""
        return frozenset()

    def why_not(self, layer: Layer, params: Any) -> str:
        """Why this method cannot handle the layer (one clause), or ""."""
        if layer.locked:
            return layer.locked
        if layer.kind not in self.kinds:
            return f"{self.title} does not handle {layer.kind} layers"
        return ""

    def hint(self, layer: Layer, params: Any) -> str:
        """What a person should know of these parameters for this layer, a sentence: the break-even rank; or ""."""
        return ""

    @abstractmethod
    def label(self, params: Any) -> str:
        """Two or three words for the plan column: "int4", "prune 60 %", "rank 48"."""


class Method(Described):
    """A way to store one weight. `role` decides which steps it may follow (`order.why_not_after`)."""

    stage = Stage.WEIGHTS
    role: ClassVar[Role]

    @abstractmethod
    def apply(self, encoding: Encoding, params: Any, context: Context) -> Encoding:
        """The encoding after this step. Never changes its input. Raises LayerSkipped with the reason, or Cancelled."""


class ChannelMethod(Described):
    """Removes whole channels of a layer and of all layers that are coupled with it (`rewriting.cuts` carries it out).

    A step of one layer is a step of its group. Several layers of a group may have the same step; different ones are
    refused.
    """

    stage = Stage.CHANNELS


@dataclass(frozen=True)
class GraphContext:
    """What a graph method may use besides the graph.

    ranges  measures the distribution of values of the graph (by name) on the person's samples, reporting progress and
            hearing a cancel; None without samples
    """

    ranges: Callable[[Sequence[str], Reporter], Mapping[str, ValueRange]] | None = None
    seed: int = 0
    reporter: Reporter = SILENT


class GraphMethod(Described):
    """Changes the graph itself; a step of the recipe's `graph` list."""

    stage = Stage.GRAPH

    @abstractmethod
    def plan(self, graph: ir.Model, params: Any, context: GraphContext) -> Change | None:
        """What to change in a graph of the model, which is not changed itself; None when there is nothing to do.

        Raises LayerSkipped when the step cannot be done at all, with the reason.
        """


def require_inputs(context: Context, need: Need) -> LayerInputs:
    """The layer's input statistics with what `need` names. Raises LayerSkipped: no samples, or why not measurable."""
    inputs = context.inputs
    if inputs is None:
        if context.why_no_inputs:
            raise LayerSkipped(f"its inputs cannot be measured: {context.why_no_inputs}")
        raise LayerSkipped("this step works from samples, and none are loaded", do="load samples, or choose a setting "
                           "that needs none")
    unfit = f"its inputs cannot be measured: {inputs.why_no_means}" if inputs.why_no_means else ""
    if need is Need.MOMENTS and inputs.moments is None:
        raise LayerSkipped(inputs.why_no_moments or unfit or "the products of its inputs were not measured")
    if need is Need.GRADIENTS and inputs.gradient_square is None:
        raise LayerSkipped(inputs.why_no_gradients or unfit or "its gradients were not measured")
    if need is Need.MEANS and inputs.square is None:
        raise LayerSkipped(unfit or "its inputs were not measured")
    if need is Need.RANGES and (inputs.input_range is None or inputs.output_range is None):
        raise LayerSkipped(inputs.why_no_ranges or unfit or "the ranges of its input and output were not measured")
    if need is Need.OUTPUTS and inputs.why_no_outputs:
        raise LayerSkipped(inputs.why_no_outputs)
    return inputs


def require_finite(values: np.ndarray, layer: Layer) -> None:
    """Raise LayerSkipped when a weight holds NaN or Inf."""
    if values.size == 0 or (np.isfinite(values.min()) and np.isfinite(values.max())):  # both carry NaN on
        return
    bad = int(values.size - np.count_nonzero(np.isfinite(values)))
    raise LayerSkipped(f"{bad:,} of {values.size:,} weights are NaN or infinite", where=layer.name)
