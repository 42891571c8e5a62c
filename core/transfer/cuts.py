"""Where a model's head can be cut off: the values that all answers go through, and which of them to take.

A cut keeps what computes one value (the trunk); the numbers of that value, one vector a sample, are what a new head
reads. Only values that every path from the inputs to the answers goes through are offered: what lies inside a residual
block or an attention layer holds a part of what is known. Source: Yosinski et al., "How transferable are features in
deep neural networks?", NeurIPS 2014: the last layers are the most specific to the task that was learned.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from core.errors import ModelFileError, ParameterError
from core.model.layer import Kind, Layer
from core.progress import SILENT, Reporter

if TYPE_CHECKING:
    import onnx_ir as ir

    from core.model.model import Model

Array = np.ndarray[Any, np.dtype[Any]]

FEWEST_FEATURES = 2
SMALLEST_EMBEDDING = 16
"""From so many numbers on, an answer that no last Linear layer gives is taken for a vector that says what is meant."""
_CUT_AT = (Kind.LINEAR, Kind.CONV, Kind.CONV_TRANSPOSE, Kind.RECURRENT)
_SIZES = frozenset({"Shape", "Size"})
"""What reads only how large a value is, not what it holds."""
_FINISHING = frozenset({
    "Add", "ArgMax", "Cast", "Clip", "Div", "Exp", "Expand", "Flatten", "Identity", "LogSoftmax", "Max", "Min", "Mul",
    "Reciprocal", "ReduceMax", "ReduceSum", "Reshape", "Sigmoid", "Softmax", "Squeeze", "Sub", "Transpose", "Unsqueeze",
})  # fmt: skip
"""Operators behind the last Linear layer that only turn its scores into the form of the answer."""


@dataclass(frozen=True)
class CutPoint:
    """A place to cut.

    key         name of the value whose numbers are the features
    axes        its axes that are averaged over (positions, tokens); () when it already is one vector a sample
    mask        input whose ones tell which tokens count in the mean, or ""
    features    numbers a sample that the new head gets
    shape       of the value, measured on one sample
    title       what it is, for a person: "before fc2"
    layer       name of the first layer that goes, "" when the answer itself is kept
    removed     names of all layers that go
    kept_weights, removed_weights  weights of layers that stay and go
    reason      why it is (not) a good place, a sentence
    """

    key: str
    axes: tuple[int, ...]
    mask: str
    features: int
    shape: tuple[int, ...]
    title: str
    layer: str
    removed: tuple[str, ...] = field(repr=False)
    kept_weights: int
    removed_weights: int
    reason: str = ""
    recommended: bool = False


def find_cuts(model: Model, feed: Mapping[str, Array], reporter: Reporter = SILENT) -> tuple[CutPoint, ...]:
    """All places where the head can be cut, the last first; exactly one is recommended.

    feed  one sample, to learn the values' shapes from

    Raises ModelFileError saying why the head cannot be cut, DataError when the model does not take the feed.
    """
    graph = model.graph()
    found = _Graph(graph, model)
    candidates = list(found.candidates())
    arrays = _measured(model, {value.name or "" for value, _ in candidates}, feed)
    reporter.report(0.9, "Looking for where the head can be cut")
    points = []
    for value, layer in candidates:
        array = arrays.get(value.name or "")
        points += [] if array is None else found.points(value, layer, array)
    if not points:
        raise ModelFileError(_why_none(model), where=model.name, do="choose a model with a trunk of its own")
    return _recommended(found, points, arrays)


def choose(cuts: Sequence[CutPoint], at: str) -> CutPoint:
    """The place that a person names: a layer (cut before it), a value, or "" for the recommended one.

    Raises ParameterError with the names that there are.
    """
    if not at:
        return next(cut for cut in cuts if cut.recommended)
    for cut in cuts:
        if at in (cut.layer, cut.layer.removesuffix(".weight"), cut.key, cut.title):
            return cut
    names = [cut.layer or cut.key for cut in cuts]
    near = difflib.get_close_matches(at, names, 3) or list(dict.fromkeys(names))[:6]
    raise ParameterError(f"the head cannot be cut at {at!r}", do=f"cut at {' or '.join(map(repr, near))}")


class _Graph:
    """What of the graph's values depends on what."""

    def __init__(self, graph: ir.Model, model: Model) -> None:
        from core.model.graph import node_key

        self.graph, self.model = graph, model
        self.nodes = {node_key(node): node for node in graph.graph}
        self.inputs = [value for value in graph.graph.inputs if not value.is_initializer()]
        self.masks = {value for value in self.inputs if "mask" in (value.name or "").lower()}
        floats = [value for value in graph.graph.outputs if value.dtype is None or value.dtype.is_floating_point()]
        self.answer = (floats or list(graph.graph.outputs))[0]

    def candidates(self) -> Iterator[tuple[ir.Value, Layer | None]]:
        """Values that all answers go through, the last first, with the layer that reads each; the answer itself."""
        yield self.answer, None
        seen: set[tuple[ir.Value, bool]] = set()
        for layer in reversed(self._in_order()):
            value = self._read_by(layer)
            if value is None or value.producer() is None or (value, layer.kind is Kind.LINEAR) in seen:
                continue
            seen.add((value, layer.kind is Kind.LINEAR))
            if self._is_bottleneck(value) and any(self.layers_behind(value)):
                yield value, layer

    def _in_order(self) -> list[Layer]:
        place = {key: number for number, key in enumerate(self.nodes)}
        layers = [layer for layer in self.model.layers if self._use(layer) in place and _is_place(layer)]
        return sorted(layers, key=lambda layer: place[self._use(layer)])

    def _use(self, layer: Layer) -> str:
        """The node of the main graph that uses the layer, "" when it lies inside a branch."""
        return next((use.node for use in layer.uses if not use.scope), "")

    def _read_by(self, layer: Layer) -> ir.Value | None:
        """The value that the layer's weight is multiplied with."""
        use = next(use for use in layer.uses if not use.scope)
        node = self.nodes[use.node]
        index = 1 if layer.kind is Kind.LINEAR and use.input == 0 else 0
        return node.inputs[index] if index < len(node.inputs) else None

    def _is_bottleneck(self, value: ir.Value) -> bool:
        """Whether the answer depends on the inputs through this value alone; masks may also count behind it."""
        reached = set(self._behind(self.answer, stop=value))
        return not any(one in reached for one in self.inputs if one not in self.masks)

    def _behind(self, value: ir.Value, stop: ir.Value | None = None) -> Iterator[ir.Value]:
        """All values that this one is computed from, subgraphs' outer values included; not those behind `stop`."""
        from core.model.graph import subgraphs

        seen: set[ir.Value] = set()
        stack = [value]
        while stack:
            one = stack.pop()
            if one in seen or one is stop:
                continue
            seen.add(one)
            yield one
            node = one.producer()
            if node is None or node.op_type in _SIZES:
                continue
            stack.extend(other for other in node.inputs if other is not None)
            for graph in subgraphs(node):
                stack.extend(other for inner in graph.all_nodes() for other in inner.inputs if other is not None)

    def layers_behind(self, value: ir.Value) -> tuple[Layer, ...]:
        """The layers that the value is computed with."""
        from core.model.graph import node_key

        keys = {node_key(node) for one in self._behind(value) if (node := one.producer()) is not None}
        return tuple(layer for layer in self.model.layers
                     if any(use.node in keys or keys.intersection(use.scope) for use in layer.uses))  # fmt: skip

    def points(self, value: ir.Value, layer: Layer | None, array: Array) -> list[CutPoint]:
        """The ways in which the value can be one vector a sample; [] when there is none."""
        if array.dtype.kind != "f" or array.ndim < 2 or array.shape[0] != 1:
            return []
        channels_first = array.ndim == 4 if layer is None else layer.kind in (Kind.CONV, Kind.CONV_TRANSPOSE)
        axis = 1 if channels_first or array.ndim == 2 else array.ndim - 1
        axes = tuple(a for a in range(1, array.ndim) if a != axis)
        if array.shape[axis] < FEWEST_FEATURES:
            return []
        kept = self.layers_behind(value)
        names = {one.name for one in kept}
        removed = tuple(one for one in self.model.layers if one.name not in names)
        tokens = array.ndim == 3 and not channels_first
        mask = self._mask_for(array) if tokens else ""
        title = "the answer itself" if layer is None else f"before {plain_title(layer)}"
        what = ", mean of the tokens" if tokens else ", mean over positions" if len(axes) and _many(array, axes) else ""
        return [CutPoint(
            value.name or "", axes, mask, int(array.shape[axis]), tuple(map(int, array.shape)), title + what,
            layer.name if layer is not None else "", tuple(one.name for one in removed),
            sum(one.n_weights for one in kept), sum(one.n_weights for one in removed),
        )]  # fmt: skip

    def _mask_for(self, array: Array) -> str:
        fitting = [one.name or "" for one in self.masks if one.shape is not None and len(one.shape) == 2]
        return fitting[0] if array.ndim == 3 and len(fitting) == 1 else ""

    def finishes(self, layer: str) -> bool:
        """Whether nothing but the form of the answer is worked out behind the layer's node."""
        node = self.nodes[self._use(self.model.layer(layer))]
        made = node.outputs[0]
        for one in self._behind(self.answer, stop=made):
            producer = one.producer()
            if producer is None or self._from_constants(one, made):
                continue
            if producer.op_type not in _FINISHING:
                return False
        return True

    def _from_constants(self, value: ir.Value, made: ir.Value) -> bool:
        """Whether the value does not depend on what the layer gives: constants, shapes."""
        return made not in set(self._behind(value))


def plain_title(layer: Layer) -> str:
    """The layer's title without what names one of its tensors: "fc2" of "fc2.weight"."""
    return layer.title.removesuffix(".weight").removesuffix(".bias") or layer.title


def _is_place(layer: Layer) -> bool:
    """Whether a head may begin with the layer: a norm over each token's features begins a block of a transformer."""
    return layer.kind in _CUT_AT or (layer.kind is Kind.NORM and layer.uses[0].op == "LayerNormalization")


def _many(array: Array, axes: Iterable[int]) -> bool:
    return any(array.shape[axis] > 1 for axis in axes)


def _measured(model: Model, names: Iterable[str], feed: Mapping[str, Array]) -> dict[str, Array]:
    """The values of one sample by name; values that the model takes in as they are (inputs) are left out."""
    from core.analysis.exposing import Exposed, inner_values

    graph = model.graph()
    inner = inner_values(graph)
    wanted = {name: 1 for name in names if name in inner and not inner[name].around}
    with Exposed(graph, wanted, where=model.name, optimize=False) as exposed:
        return exposed.run(feed)


def _recommended(found: _Graph, points: list[CutPoint], arrays: Mapping[str, Array]) -> tuple[CutPoint, ...]:
    """The same places with reasons, one recommended: the last Linear layer where nothing but scores comes behind it;
    else the answer itself when it is a vector; else the last of the widest inner values."""
    answer = arrays.get(found.answer.name or "")
    layers = {p.layer: found.model.layer(p.layer) for p in points if p.layer}
    linear = [p for p in points if p.layer and layers[p.layer].kind is Kind.LINEAR and found.finishes(p.layer)]
    whole = [p for p in points if not p.layer and not linear]
    if linear:
        best, why = linear[0], _linear_reason(found, linear[0], answer)
    elif whole and whole[0].features >= SMALLEST_EMBEDDING and answer is not None and answer.ndim == 2:
        best = whole[0]
        why = f"The model answers with a vector of {best.features} numbers, not with scores: all of it is kept."
    else:
        inner = [p for p in points if p.layer]
        widest = max((p.features for p in inner), default=0)
        best = next((p for p in inner if 2 * p.features >= widest), points[0])
        form = " x ".join(map(str, answer.shape)) if answer is not None else "something else"
        why = (f"The model answers with {form} numbers, not with one score a class; {best.features} features of "
               "an inner layer, averaged over all positions, say what it holds as a whole.")  # fmt: skip
    return tuple(
        replace(p, recommended=p is best, reason=why if p is best else _other_reason(p, best)) for p in points
    )


def _linear_reason(found: _Graph, cut: CutPoint, answer: Array | None) -> str:
    layer = found.model.layer(cut.layer)
    outputs = layer.shape[layer.output_axis] if layer.output_axis is not None else layer.n_weights // cut.features
    text = f"{plain_title(layer)} only turns {cut.features:,} features into the {outputs:,} scores learned before"
    if answer is not None and answer.ndim > 2:
        text += "; it did so at each position, the new head does it once, from their mean"
    return text + "."


def _other_reason(cut: CutPoint, best: CutPoint) -> str:
    if not cut.layer:
        return "Keeps also what turns features into the old answers; little of that serves other data."
    if cut.kept_weights > best.kept_weights:
        return "Keeps more: what is kept there is more specific to what was learned before."
    return f"Cuts deeper: {cut.kept_weights:,} weights stay; for data that looks less like what was learned from."


def _why_none(model: Model) -> str:
    if not any(layer.kind in _CUT_AT for layer in model.layers):
        return "its head cannot be cut: it has no Linear, Conv or recurrent layer"
    if all(use.scope for layer in model.layers for use in layer.uses):
        return "its head cannot be cut: all its layers lie inside branches (If), which are not cut"
    return "its head cannot be cut: no inner value is one vector a sample that all answers go through"
