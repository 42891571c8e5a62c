"""Small whole-number values that say shapes (targets of Reshape, ends of Slice): what each of their numbers stands for.

A number is a literal of the file, which bakes a size in and is rewritten when that size is cut, or it follows an axis
of a value (Shape) and changes by itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from core.model.coupling.axes import Axes, Axis, size_of
from core.model.graph import Stored, attribute, numbers

MOST = 64
"""Numbers of a value that may say a shape."""
_DEPTH = 40
KEEPS = ("Cast", "Identity", "Squeeze", "Unsqueeze", "Reshape")
"""Operators whose result holds the very numbers of their first input."""


@dataclass(frozen=True, eq=False)
class Entry:
    """One number. size: None when it is known at run time alone. axis: what it follows. literal: the file states it."""

    size: int | None
    axis: Axis | None = None
    literal: bool = False


Entries = tuple[Entry, ...]
UNKNOWN = Entry(None)


class Sizes:
    """Reads the numbers of values; `axes_of` gives the axes of a value that was already followed, or None."""

    def __init__(self, stored: Mapping[ir.Value, Stored], axes_of: Callable[[ir.Value], Axes | None]) -> None:
        self._stored = stored
        self._axes_of = axes_of
        self._known: dict[ir.Value, Entries | None] = {}

    def of(self, value: ir.Value | None, depth: int = 0) -> Entries | None:
        """The numbers of a value of at most one axis; None when it is none or has too many or unknown ones."""
        if value is None or depth > _DEPTH:
            return None
        if value not in self._known:
            self._known[value] = self._read(value, depth)
        return self._known[value]

    def numbers(self, value: ir.Value | None) -> tuple[int, ...] | None:
        """The numbers when all of them are literals, else None."""
        entries = self.of(value)
        if entries is None or any(entry.size is None or not entry.literal for entry in entries):
            return None
        return tuple(entry.size for entry in entries if entry.size is not None)

    def _read(self, value: ir.Value, depth: int) -> Entries | None:
        stored = self._stored.get(value)
        if stored is not None:
            return _literals(stored)
        node = value.producer()
        if node is None or node.domain not in ("", "ai.onnx"):
            return None
        if node.op_type == "Shape":
            return self._shape(node)
        if node.op_type == "Concat":
            parts = [self.of(part, depth + 1) for part in node.inputs]
            joined = [entry for part in parts if part is not None for entry in part]
            return tuple(joined) if None not in parts and len(joined) <= MOST else None
        first = self.of(node.inputs[0], depth + 1) if node.inputs else None
        if first is None:
            return None
        if node.op_type in KEEPS:
            return first
        if node.op_type in ("Slice", "Gather"):
            return self._picked(node, first)
        if node.op_type in ("Mul", "ReduceProd"):
            return self._product(node, first, depth)
        return (UNKNOWN,) * len(first) if node.op_type in ("Add", "Sub", "Div", "Max", "Min", "Where", "Mod") else None

    def _shape(self, node: ir.Node) -> Entries | None:
        axes = self._axes_of(node.inputs[0]) if node.inputs[0] is not None else None
        if axes is None:
            return None
        end = attribute(node, "end", len(axes))
        return tuple(Entry(size_of(axis), axis) for axis in axes[slice(attribute(node, "start", 0), end)])

    def _picked(self, node: ir.Node, data: Entries) -> Entries | None:
        """Slice and Gather of a list of numbers, by literal places."""
        if node.op_type == "Gather":
            places = self.numbers(node.inputs[1])
            if places is None or any(not -len(data) <= place < len(data) for place in places):
                return None
            return tuple(_moved(data[place]) for place in places)
        found = slice_bounds(node, self)
        if found is None or any(axis not in (0, -1) for axis, *_ in found):
            return None
        for _, start, end, step in found:
            data = data[slice(start, end, step)]
        return tuple(map(_moved, data))

    def _product(self, node: ir.Node, first: Entries, depth: int) -> Entries | None:
        if node.op_type == "ReduceProd":
            return (_times(*first),)
        second = self.of(node.inputs[1], depth + 1)
        if second is None or (len(first) != len(second) and 1 not in (len(first), len(second))):
            return None
        count = max(len(first), len(second))
        return tuple(_times(first[i % len(first)], second[i % len(second)]) for i in range(count))


def _literals(stored: Stored) -> Entries | None:
    tensor = stored.tensor
    if tensor is None or len(stored.shape) > 1 or math.prod(stored.shape) > MOST:
        return None
    if tensor.dtype not in (ir.DataType.INT64, ir.DataType.INT32):
        return None
    return tuple(Entry(int(number), literal=True) for number in tensor.numpy().reshape(-1))


def _moved(entry: Entry) -> Entry:
    """A number that was picked out of others: a literal can no longer be rewritten where it is read."""
    return Entry(entry.size) if entry.literal else entry


def _times(*entries: Entry) -> Entry:
    """The product of numbers: it follows axes when all of its factors do."""
    size = None if any(e.size is None for e in entries) else math.prod(e.size or 0 for e in entries)
    axis: Axis | None = ()
    for entry in entries:
        axis = None if axis is None or entry.axis is None else (*axis, *entry.axis)
    return Entry(size, axis)


def slice_bounds(node: ir.Node, sizes: Sizes) -> list[tuple[int, int | None, int | None, int]] | None:
    """(axis, start, end, step) for each axis of a Slice; None as start or end: known at run time alone.

    None when its axes or steps are not literal.
    """
    if len(node.inputs) == 1:  # before opset 10
        starts, ends = numbers(node, "starts"), numbers(node, "ends")
        axes = numbers(node, "axes") or tuple(range(len(starts or ())))
        if starts is None or ends is None:
            return None
        return [(axis, start, end, 1) for axis, start, end in zip(axes, starts, ends, strict=True)]
    first, last = sizes.of(node.inputs[1]), sizes.of(node.inputs[2])
    count = len(first or last or ())
    given = [node.inputs[i] if len(node.inputs) > i else None for i in (3, 4)]
    axes = tuple(range(count)) if given[0] is None else sizes.numbers(given[0]) or ()
    steps = (1,) * count if given[1] is None else sizes.numbers(given[1]) or ()
    if not count or len(axes) != len(steps) or len(axes) != count:
        return None
    start_sizes, end_sizes = ([e.size for e in side] if side else [None] * count for side in (first, last))
    return list(zip(axes, start_sizes, end_sizes, steps, strict=True))




class Rewriter:
    """Private copies of shape values with other literals; equal requests share a copy, shared originals stay."""

    def __init__(self, stored: Mapping[ir.Value, Stored], sizes: Sizes) -> None:
        self._stored = stored
        self._sizes = sizes
        self._made: dict[tuple[ir.Value, tuple[tuple[int, int], ...]], ir.Value] = {}

    def value(self, value: ir.Value, changes: Mapping[int, int]) -> ir.Value:
        """A value like `value` in which number i is changes[i]."""
        if not changes:
            return value
        key = (value, tuple(sorted(changes.items())))
        if key not in self._made:
            self._made[key] = self._make(value, changes)
        return self._made[key]

    def _make(self, value: ir.Value, changes: Mapping[int, int]) -> ir.Value:
        stored = self._stored.get(value)
        if stored is not None and stored.tensor is not None:
            numbers = stored.tensor.numpy().copy()
            for place, number in changes.items():
                numbers.reshape(-1)[place] = number
            return _stored_like(value, stored, numbers)
        producer = value.producer()
        if producer is None:
            return value
        inputs = list(producer.inputs)
        if producer.op_type == "Concat":
            start = 0
            for index, part in enumerate(producer.inputs):
                length = len(self._sizes.of(part) or ())
                mine = {place - start: n for place, n in changes.items() if start <= place < start + length}
                inputs[index] = self.value(part, mine) if part is not None else part
                start += length
        elif inputs[0] is not None:
            inputs[0] = self.value(inputs[0], changes)
        copy = ir.Node(producer.domain, producer.op_type, inputs, list(producer.attributes.values()), num_outputs=1)
        graph = producer.graph
        if isinstance(graph, ir.Graph):
            graph.insert_after(producer, copy)
        return copy.outputs[0]


def _stored_like(value: ir.Value, stored: Stored, numbers: np.ndarray) -> ir.Value:
    """A new stored tensor beside an old one, in the same form (initializer or Constant node)."""
    graph = stored.place.graph
    tensor = ir.Tensor(numbers)
    if stored.node is None and isinstance(graph, ir.Graph):
        name = fresh_name(graph, f"{value.name}.cut")
        new = ir.Value(name=name, const_value=ir.Tensor(numbers, name=name), shape=ir.Shape(numbers.shape),
                       type=ir.TensorType(tensor.dtype))
        graph.register_initializer(new)
        return new
    made = ir.Node("", "Constant", [], [ir.AttrTensor("value", tensor)], num_outputs=1)
    if stored.node is not None and stored.node.graph is not None:
        stored.node.graph.insert_after(stored.node, made)
    return made.outputs[0]


def fresh_name(graph: ir.Graph, name: str) -> str:
    """`name`, with a number behind it when the graph has it already."""
    taken = set(graph.initializers) | {value.name for node in graph for value in node.outputs}
    candidate, number = name, 2
    while candidate in taken:
        candidate, number = f"{name}{number}", number + 1
    return candidate
