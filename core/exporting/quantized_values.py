"""Where values of a graph are rounded to 8 bits: pairs of QuantizeLinear and DequantizeLinear, one pair a value.

Layers say which levels enter and leave them (`Mark`); here all of a graph are brought together:
Case 1  what enters a marked node is rounded, and what leaves a Conv, behind a Relu or Clip that follows it directly:
        the runtime then drops the Relu, as codes cannot lie below its zero
Case 2  a value that several nodes ask for has one range, the widest
Case 3  values with only moves of numbers between them (MaxPool, Reshape, Transpose, ...) share one range, so that the
        runtime moves bytes; parts of a Concat are rounded when one of them and the whole are
What is rounded is rounded for all that use it: the float value then never exists.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import onnx_ir as ir

from core.encoding.integer import UNSIGNED_ZERO, Levels
from core.errors import InternalError
from core.exporting.building import (
    Builder,
    graph_of,
    insert_after,
    insert_before,
    node_bytes,
    take_over,
    tensor_bytes,
)
from core.model.folding import Fold
from core.model.graph import attribute, constant_tensor

MARK = "featherweight.static"
"""Key of a node's `meta` that holds its Mark."""

_MOVES = frozenset({"MaxPool", "Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Identity", "Dropout"})
_IN_BYTES = frozenset({"Concat", "Add", "Mul", "AveragePool", "GlobalAveragePool"})
_FEW = 64  # moves in a row that are followed
_BIAS_TOP = 2.0**30
"""Largest code of an int32 bias: half of what int32 holds, so that the products added to it do not overflow."""


@dataclass(frozen=True)
class Mark:
    """What a static layer asks of a node.

    input, output  levels of what enters and leaves it (used for Conv alone)
    weight         the DequantizeLinear of its codes; None in a float graph that only simulates the rounding
    norm           the batch norm behind it that the export folds, in a graph that still has it
    """

    input: Levels
    output: Levels
    weight: ir.Node | None
    norm: ir.Node | None = None


@dataclass
class _Point:
    """A value to round, and the other values that share its range."""

    low: float
    high: float
    values: list[ir.Value] = field(default_factory=list)


def note_norms(folds: Iterable[Fold]) -> None:
    """Tell marked convolutions of the batch norms that an export folds into them, in a graph that still has them."""
    for fold in folds:
        mark = fold.conv.meta.get(MARK)
        if mark is not None:
            fold.conv.meta[MARK] = replace(mark, norm=fold.norm)


def place(model: ir.Model, names: Iterator[str]) -> None:
    """Round the values around all marked nodes, and store the marked nodes' biases as integers."""
    marks = {node: node.meta[MARK] for node in model.graph.all_nodes() if MARK in node.meta}
    if not marks:
        return
    levels = plan(marks)
    builder = Builder(names)
    for node, mark in marks.items():
        if mark.weight is not None and node.inputs[0] is not None:
            _store_bias(node, mark.weight, levels[node.inputs[0]].scale, builder)
    for value, wanted in levels.items():
        _insert_pair(value, wanted, builder)


def plan(marks: Mapping[ir.Node, Mark]) -> dict[ir.Value, Levels]:
    """The values to round and their levels, in the order of the nodes."""
    points: dict[ir.Value, _Point] = {}
    for node, mark in marks.items():
        if node.inputs[0] is not None:
            _ask(points, node.inputs[0], mark.input.low, mark.input.high)
    for node, mark in marks.items():
        if node.op_type == "Conv":
            _ask(points, *_leaving(node, mark))
    for value in list(points):
        _join_moves(points, value)
    for value in list(points):
        _join_parts(points, value)
    return {value: Levels.of_range(point.low, point.high) for value, point in points.items()}


def pair_bytes(levels: Mapping[ir.Value, Levels]) -> int:
    """Bytes in the file of the pairs on these values."""
    scales = {(wanted.scale, id(value.graph)) for value, wanted in levels.items()}
    zeros = {(wanted.zero, id(value.graph)) for value, wanted in levels.items()}
    total = len(scales) * tensor_bytes(np.float32(1)) + len(zeros) * tensor_bytes(np.uint8(1))
    pair = node_bytes("QuantizeLinear", 3) + node_bytes("DequantizeLinear", 3)
    for value in levels:
        longer = len(str(value.name).encode()) - len("w100")
        total += pair + longer * (1 - len(value.uses()))
    return total


def bias_bytes(node: ir.Node) -> int:
    """Bytes in the file that a constant bias takes as integers beyond what it takes as floats."""
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    if bias is None or bias.const_value is None or bias.is_graph_input():
        return 0
    numbers = np.zeros(bias.const_value.size, np.int32)
    alone = len(bias.uses()) == 1
    before = tensor_bytes(numbers) + len(str(bias.name).encode()) - len("w100") if alone else 0
    return 2 * tensor_bytes(numbers) + node_bytes("DequantizeLinear", 2, axis=0) - before


def _ask(points: dict[ir.Value, _Point], value: ir.Value, low: float, high: float) -> None:
    point = points.setdefault(value, _Point(low, high, [value]))
    point.low, point.high = min(point.low, low), max(point.high, high)


def _leaving(node: ir.Node, mark: Mark) -> tuple[ir.Value, float, float]:
    """The value to round behind a convolution, and its range: behind Relu and Clip nodes that alone use it."""
    value = (mark.norm or node).outputs[0]
    low, high = mark.output.low, mark.output.high
    while len(value.uses()) == 1 and not value.is_graph_output():
        follower = value.consumers()[0]
        bounds = _bounds(follower)
        if bounds is None:
            break
        low, high = max(low, bounds[0]), min(high, bounds[1])
        value = follower.outputs[0]
    return value, min(low, 0.0), max(high, 0.0)


def _bounds(node: ir.Node) -> tuple[float, float] | None:
    """What a Relu or Clip limits its value to; None for other nodes."""
    if node.domain not in ("", "ai.onnx"):
        return None
    if node.op_type == "Relu":
        return 0.0, np.inf
    if node.op_type != "Clip":
        return None
    ends = []
    for index, (name, missing) in enumerate((("min", -np.inf), ("max", np.inf)), start=1):
        given = node.inputs[index] if index < len(node.inputs) else None
        stored = _constant(given)
        if given is None:
            ends.append(node.attributes.get_float(name, missing))
        elif stored is None:
            return None
        else:
            ends.append(float(stored.numpy()))
    return ends[0], ends[1]


def _constant(value: ir.Value | None) -> ir.TensorProtocol | None:
    """An initializer's tensor or a Constant node's: exports lift the second kind to the first, simulations do not."""
    producer = value.producer() if value is not None else None
    if producer is not None:
        return constant_tensor(producer)
    return value.const_value if value is not None else None


def _join_moves(points: dict[ir.Value, _Point], value: ir.Value) -> None:
    """Let a value share the range of the rounded value that it is moved from, and round all between them.

    What the runtime computes in bytes from rounded values counts as rounded: a Concat, Add or pool before a Flatten.
    """
    between, now = [], value
    for _ in range(_FEW):
        producer = now.producer()
        if producer is None or producer.op_type not in _MOVES or producer.domain or producer.inputs[0] is None:
            return
        now = producer.inputs[0]
        if now in points or _computed_in_bytes(points, now):
            break
        between.append(now)
    else:
        return
    for moved in (now, *between):
        _unite(points, moved, value)


def _computed_in_bytes(points: dict[ir.Value, _Point], value: ir.Value) -> bool:
    producer = value.producer()
    if producer is None or producer.domain or producer.op_type not in _IN_BYTES:
        return False
    parts = [part in points for part in producer.inputs if part is not None]
    return bool(parts) and (any(parts) if producer.op_type == "Concat" else all(parts))


def _join_parts(points: dict[ir.Value, _Point], value: ir.Value) -> None:
    producer = value.producer()
    if producer is None or producer.op_type != "Concat" or producer.domain:
        return
    parts = [part for part in producer.inputs if part is not None and part.const_value is None]
    if any(part in points for part in parts):
        for part in parts:
            if part not in points and len(part.uses()) == 1:
                point = points[value]
                points[part] = _Point(point.low, point.high, [part])


def _unite(points: dict[ir.Value, _Point], first: ir.Value, second: ir.Value) -> None:
    kept = points[second]
    point = points.get(first)
    if point is kept:
        return
    if point is None:
        kept.values.append(first)
        points[first] = kept
        return
    kept.low, kept.high = min(kept.low, point.low), max(kept.high, point.high)
    kept.values.extend(point.values)
    for value in point.values:
        points[value] = kept


def _insert_pair(value: ir.Value, levels: Levels, builder: Builder) -> None:
    producer = value.producer()
    graph = graph_of(producer) if producer is not None else value.graph
    if not isinstance(graph, ir.Graph):
        return
    scale = builder.constant(graph, np.array(levels.scale, np.float32))
    zero = builder.constant(graph, np.array(levels.zero, np.uint8))
    quantize = builder.node("QuantizeLinear", [None, scale, zero])
    dequantize = builder.node("DequantizeLinear", [quantize.outputs[0], scale, zero])
    take_over(value, dequantize.outputs[0])
    quantize.replace_input_with(0, value)
    insert_after(value, [quantize, dequantize])


def _store_bias(node: ir.Node, weight: ir.Node, step: float, builder: Builder) -> None:
    """Store a constant bias as int32 whose scale is that of the products, as integer operators want it."""
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    if bias is None or bias.const_value is None or bias.is_graph_input():
        return
    codes, scales = weight.inputs[:2]
    if codes is None or scales is None or scales.const_value is None:
        raise InternalError(f"the codes of {weight.outputs[0].name!r} are missing")
    numbers = np.asarray(bias.const_value.numpy(), np.float64).reshape(-1)
    steps = np.asarray(scales.const_value.numpy(), np.float64) * step
    if np.size(steps) not in (1, numbers.size) or not np.isfinite(numbers).all():
        return
    if np.abs(numbers / steps).max(initial=0.0) > _BIAS_TOP:
        steps = np.maximum(steps, np.abs(numbers) / _BIAS_TOP)
        steps = _coarsen(weight, codes, scales, steps / step) * step
    steps = np.broadcast_to(steps, numbers.shape).astype(np.float32)
    graph = graph_of(node)
    whole = builder.tensor(graph, np.rint(numbers / steps).astype(np.int32))
    dequantize = builder.node("DequantizeLinear", [whole, builder.tensor(graph, steps)], axis=0)
    insert_before(node, [dequantize])
    node.replace_input_with(2, dequantize.outputs[0])


def _coarsen(
    weight: ir.Node, codes: ir.Value, scales: ir.Value, wanted: np.ndarray[Any, Any]
) -> np.ndarray[Any, Any]:
    """Give channels larger scales, where their bias is too large for the products' scale; returns the scales.

    weight  the DequantizeLinear of the codes
    What their codes lose is below the bias's own rounding to float32.
    """
    before, values = (np.asarray(v.const_value.numpy()) for v in (scales, codes) if v.const_value is not None)
    after, axis = np.maximum(wanted, before).astype(np.float32), attribute(weight, "axis", 0)
    if after.shape != before.shape:  # one scale for the whole weight
        after = np.asarray(after.max(), np.float32)
    factor = np.broadcast_to(before / after, (values.shape[axis],) if after.ndim else ())
    spread = factor.reshape([-1 if a == axis else 1 for a in range(values.ndim)]) if after.ndim else factor
    zero = 0 if values.dtype == np.int8 else UNSIGNED_ZERO
    moved = np.rint((values.astype(np.float32) - zero) * spread) + zero
    codes.const_value = ir.Tensor(moved.astype(values.dtype), name=codes.name)
    scales.const_value = ir.Tensor(after, name=scales.name)
    return after.astype(np.float64)
