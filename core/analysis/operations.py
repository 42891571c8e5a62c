"""Multiply-adds of one run of a model, counted from the shapes that its values really have on a sample.

Counted, each with its formula (operators of com.microsoft as their standard ones):
1. Conv            elements of the output x input channels / groups x kernel size
2. ConvTranspose   elements of the input x output channels / groups x kernel size
3. MatMul, Gemm    elements of the output x length of the axis that is summed over
4. LSTM, GRU, RNN  steps x batch x directions x gates x hidden x (inputs + hidden)
Not counted: element-wise work, and what depends on constants alone, which the runtime computes once, when it loads.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.analysis.exposing import Exposed, inner_values
from core.analysis.runtime import Feed
from core.model.layer import Layer

if TYPE_CHECKING:
    import onnx_ir as ir

    from core.model.model import Model

Shapes = Mapping[int, tuple[int, ...]]
"""Shapes of a node's inputs by index, and of its first output under OUTPUT; those that are known."""

OUTPUT = -1

Parts = Mapping[int, int]
"""Multiply-adds of a node by the input whose weight they multiply by; under BOTH where there are just two factors."""

BOTH = -2
_FACTORS = (0, 1, 3)  # inputs that can be factors of an operator with two; 3 where 1 and 2 are scale and zero point


@dataclass(frozen=True)
class OperationCount:
    """Multiply-adds of one run.

    total      of all nodes that ran
    per_layer  by layer name: of the nodes that multiply by its weight; a weight that is used twice counts twice
    uncounted  operators that multiply and were not counted: they lie in a loop, or a shape cannot be known
    """

    total: int
    per_layer: Mapping[str, int]
    uncounted: tuple[str, ...] = ()


def multiply_adds(model: Model, feed: Feed, *, threads: int | None = None) -> OperationCount:
    """Count by running the model on one sample.

    feed  input name -> array, as one run takes it

    Raises ModelFileError when the model cannot be run, DataError when the sample does not fit.
    """
    graph = model.graph()
    products, uncounted = _products(graph, model.layers)
    keys = dict.fromkeys(key for product in products for key in product.seen.values())
    with Exposed(model.graph(), {key: _FLOAT for key in keys if key not in feed}, where=model.name,
                 threads=threads, optimize=False) as exposed:  # fmt: skip
        shapes = {key: array.shape for key, array in (exposed.run(feed) | dict(feed)).items()}
    counts: dict[str, Parts] = {}
    for product in products:
        parts = product.count(shapes)
        if parts is None:
            uncounted.add(product.node.op_type)
        else:
            counts[product.key] = parts
    per_layer = {layer.name: _of_layer(layer, counts) for layer in model.layers}
    return OperationCount(
        sum(sum(parts.values()) for parts in counts.values()),
        {name: count for name, count in per_layer.items() if count},
        tuple(sorted(uncounted)),
    )


def _of_layer(layer: Layer, counts: Mapping[str, Parts]) -> int:
    """What the nodes that use the layer as a factor take."""
    total = 0
    for node, index in dict.fromkeys((use.node, use.input) for use in layer.uses):
        parts = counts.get(node, {})
        total += parts.get(index, parts[BOTH] if BOTH in parts and index in _FACTORS else 0)
    return total


_FLOAT = 1  # ONNX's float32: what values inside a branch are cast to, as files seldom tell their types there


@dataclass(frozen=True)
class _Product:
    """A node that multiplies.

    known  shapes that the file states, by input index
    seen   keys of the values whose shapes are recorded
    """

    key: str
    node: ir.Node
    known: Shapes
    seen: Mapping[int, str]

    def count(self, recorded: Mapping[str, tuple[int, ...]]) -> Parts | None:
        """Its multiply-adds (none when its branch did not run); None when they cannot be known."""
        shapes = {**self.known, **{index: recorded[key] for index, key in self.seen.items()}}
        if any(0 in shapes[index] for index in self.seen):
            return {}
        found = _RULES[self.node.op_type](self.node, shapes)
        return {BOTH: found} if isinstance(found, int) else found


def _products(graph: ir.Model, layers: Iterable[Layer]) -> tuple[list[_Product], set[str]]:
    """The nodes that multiply and depend on the model's inputs; and the operators of those whose values are hidden."""
    from core.model.graph import node_key, places
    from core.model.origins import Origins

    everywhere = list(places(graph))
    origins = Origins(graph, everywhere)
    keys = {inner.value: key for key, inner in inner_values(graph).items()}
    keys.update((value, value.name or "") for value in graph.graph.inputs)
    weights = {(use.node, use.input): layer.shape for layer in layers for use in layer.uses if not use.via}
    products, hidden = [], set()
    for node in (node for place in everywhere for node in place.graph):
        if node.op_type not in _RULES or origins.is_constant(node):
            continue
        values = {**dict(enumerate(node.inputs[:4])), OUTPUT: _first_output(node)}
        constant = {index: origins.of(value) for index, value in values.items() if value is not None}
        known = {
            index: origin.shape or weights.get((node_key(node), index)) for index, origin in constant.items() if origin
        }
        seen = {index: keys.get(value) for index, value in values.items() if value is not None and index not in known}
        if None in seen.values():
            hidden.add(node.op_type)
            continue
        products.append(_Product(node_key(node), node, {i: shape for i, shape in known.items() if shape is not None},
                                 {i: key for i, key in seen.items() if key}))  # fmt: skip
    return products, hidden


def _first_output(node: ir.Node) -> ir.Value | None:
    return next((value for value in node.outputs if value.name), None)


def _conv(node: ir.Node, shapes: Shapes, *, weight: int = 1) -> int | None:
    """Case 1."""
    from core.model.graph import attribute

    kernel = _kernel(node, shapes.get(weight))
    if kernel is None or 0 not in shapes or OUTPUT not in shapes:
        return None
    return math.prod(shapes[OUTPUT]) * (shapes[0][1] // attribute(node, "group", 1)) * kernel


def _conv_transpose(node: ir.Node, shapes: Shapes) -> int | None:
    """Case 2."""
    from core.model.graph import attribute

    kernel = _kernel(node, shapes.get(1))
    if kernel is None or 0 not in shapes or OUTPUT not in shapes:
        return None
    return math.prod(shapes[0]) * (shapes[OUTPUT][1] // attribute(node, "group", 1)) * kernel


def _kernel(node: ir.Node, weight: tuple[int, ...] | None) -> int | None:
    from core.model.graph import numbers

    sizes = numbers(node, "kernel_shape") or (weight[2:] if weight is not None else None)
    return None if sizes is None else math.prod(sizes)


def _matmul(node: ir.Node, shapes: Shapes, *, second: int = 1) -> int | None:
    """Case 3, MatMul: the last axis of the first factor, the last but one of the second."""
    first, other = shapes.get(0), shapes.get(second)
    summed = first[-1] if first else (other[-2:] or (None,))[0] if other else None
    return None if summed is None or OUTPUT not in shapes else math.prod(shapes[OUTPUT]) * summed


def _gemm(node: ir.Node, shapes: Shapes) -> int | None:
    """Case 3, Gemm."""
    from core.model.graph import attribute

    if OUTPUT not in shapes:
        return None
    for index, summed, flag in ((0, 1, "transA"), (1, 0, "transB")):
        if index in shapes:
            axis = 1 - summed if attribute(node, flag, 0) else summed
            return math.prod(shapes[OUTPUT]) * shapes[index][axis]
    return None


def _matmul_n_bits(node: ir.Node, shapes: Shapes) -> int | None:
    """Case 3; its weight is packed, and the attribute K is the axis that is summed over."""
    from core.model.graph import attribute

    return math.prod(shapes[OUTPUT]) * attribute(node, "K", 0) if OUTPUT in shapes else None


def _recurrent(gates: int) -> Callable[[ir.Node, Shapes], Parts | None]:
    """Case 4: input 1 are the weights of the inputs, input 2 those of the hidden state."""

    def count(node: ir.Node, shapes: Shapes) -> Parts | None:
        from core.model.graph import attribute

        if 0 not in shapes:
            return None
        given = node.attributes.get("direction")
        directions = 2 if given is not None and given.as_string() == "bidirectional" else 1
        hidden, (steps, batch, inputs) = attribute(node, "hidden_size", 0), shapes[0]
        rows = steps * batch * directions * gates * hidden
        return {1: rows * inputs, 2: rows * hidden}

    return count


def _fourth(rule: Callable[..., int | None], name: str) -> Callable[[ir.Node, Shapes], int | None]:
    """The rule of an operator whose second factor is its input 3 (after the first one's scale and zero point)."""
    return lambda node, shapes: rule(node, shapes, **{name: 3})


_RULES: dict[str, Callable[[ir.Node, Shapes], int | Parts | None]] = {
    "Conv": _conv,
    "FusedConv": _conv,
    "ConvInteger": _conv,
    "QLinearConv": _fourth(_conv, "weight"),
    "ConvTranspose": _conv_transpose,
    "MatMul": _matmul,
    "FusedMatMul": _matmul,
    "MatMulInteger": _matmul,
    "MatMulIntegerToFloat": _matmul,
    "DynamicQuantizeMatMul": _matmul,
    "QLinearMatMul": _fourth(_matmul, "second"),
    "Gemm": _gemm,
    "FusedGemm": _gemm,
    "MatMulNBits": _matmul_n_bits,
    "LSTM": _recurrent(4),
    "GRU": _recurrent(3),
    "RNN": _recurrent(1),
}
