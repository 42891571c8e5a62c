"""Where the value at a node's input comes from: a stored tensor behind a plain chain, or a constant computation.

Plain operators only move or select numbers or change their float type, so the stored tensor is still the weight.
Anything else that is computed from constants alone (dequantizing, unpacking, a table lookup, a product of factors)
makes one encoded weight, whatever the operators are.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from core.errors import ModelFileError
from core.model.graph import Place, Stored, attribute, numbers, stored_tensors, subgraphs

_MOVES = frozenset({"Transpose", "Reshape", "Identity", "Cast", "Squeeze", "Unsqueeze", "Flatten", "Slice", "Concat",
                    "Split", "CastLike"})
_RANDOM = frozenset({"RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Multinomial",
                     "Bernoulli", "Dropout"})
_MAX_CHAIN = 100  # plain operators in a row; more are treated as a computation, so that odd files stay quick to read
_MAX_STEPS = 300_000  # nodes visited while computations are followed; some seconds
_FLOATS = frozenset({"FLOAT", "FLOAT16", "BFLOAT16", "DOUBLE"})

Shape = tuple[int, ...] | None


@dataclass(frozen=True)
class Source:
    """A stored float tensor seen through a plain chain.

    axes   for each axis of the value the stored tensor's axis that it is, or None when that is unclear
    via    operators of the chain, nearest the tensor first
    alias  name of the value that the first of them makes, or ""
    """

    stored: Stored
    axes: tuple[int | None, ...]
    via: tuple[str, ...] = ()
    alias: str = ""


@dataclass(frozen=True)
class Origin:
    """What a constant value is.

    shape    of the value, or None when it cannot be known without computing it
    sources  stored float tensors behind it when the chain is plain, else ()
    chain    for a computed value: the value that the computation proper ends in, what plain operators make of it, and
             last the value itself; begins with an integer tensor when plain operators move only that. Else ()
    """

    shape: Shape
    sources: tuple[Source, ...] = ()
    chain: tuple[ir.Value, ...] = ()


class Origins:
    """The origin of every constant value of a model. Built in one pass over the nodes; reads no large tensor."""

    def __init__(self, model: ir.Model, places: Iterable[Place]) -> None:
        self.opsets = {("" if domain == "ai.onnx" else domain): version
                       for domain, version in model.graph.opset_imports.items()}
        self.ir_version = model.ir_version
        self.stored: dict[ir.Value, Stored] = {s.value: s for s in stored_tensors(model).values()}
        self._of: dict[ir.Value, Origin] = {}
        self._nodes: dict[ir.Value, list[ir.Node]] = {}
        self._steps = 0
        for stored in self.stored.values():
            self._of[stored.value] = _stored_origin(stored)
        for place in places:
            for node in place.graph:
                self._visit(node)

    def of(self, value: ir.Value) -> Origin | None:
        """The origin of a constant value; None for values that depend on the model's inputs."""
        return self._of.get(value)

    def is_constant(self, node: ir.Node) -> bool:
        """Whether the node computes from constants alone (or is a Constant)."""
        return bool(node.outputs) and node.outputs[0] in self._of

    def leaves(self, root: ir.Value) -> list[Stored]:
        """The stored tensors that a constant computation reads, in the order they are met."""
        found: dict[ir.Value, Stored] = {root: self.stored[root]} if root in self.stored else {}
        for node in self.nodes(root):
            for value in node.inputs:
                if value is not None and value in self.stored:
                    found[value] = self.stored[value]
        return list(found.values())

    def nodes(self, root: ir.Value) -> list[ir.Node]:
        """The nodes of the constant computation that ends in `root`, in an order in which they can run."""
        if root not in self._nodes:
            self._nodes[root] = self._ordered(root)
        return self._nodes[root]

    def _ordered(self, root: ir.Value) -> list[ir.Node]:
        order: list[ir.Node] = []
        seen: set[ir.Node] = set()
        stack: list[tuple[ir.Value, bool]] = [(root, False)]
        while stack:
            value, ready = stack.pop()
            node = value.producer()
            self._steps += 1
            if self._steps > _MAX_STEPS:
                raise ModelFileError("too much of the graph is computed from constants", do="simplify the model first")
            if node is None or value in self.stored or (not ready and node in seen):
                continue
            if ready:
                order.append(node)
                continue
            seen.add(node)
            stack.append((value, True))
            stack.extend((source, False) for source in reversed(node.inputs) if source is not None)
        return order

    def _visit(self, node: ir.Node) -> None:
        inputs = [value for value in node.inputs if value is not None]
        if not inputs or node.op_type in _RANDOM or subgraphs(node) or any(v not in self._of for v in inputs):
            return
        for output in node.outputs:
            self._of[output] = self._origin(node, output)

    def follow(self, chain: Sequence[ir.Value], shape: tuple[int, ...]) -> tuple[tuple[int | None, ...], Shape]:
        """(axes, shape) of the last value of a plain chain, whose first value has `shape`; see `Source.axes`."""
        axes: tuple[int | None, ...] = tuple(range(len(shape)))
        now: Shape = shape
        for value in chain[1:]:
            node = value.producer()
            if node is None or now is None:
                return (), None
            if node.op_type == "Concat":  # its parts came different ways
                return (), _static(value.shape)
            after = self._moved_shape(node, now, _static(value.shape))
            axes, now = _moved_axes(node, axes, now, after, self), after
        return axes, now

    def _origin(self, node: ir.Node, output: ir.Value) -> Origin:
        declared = _static(output.shape)
        data = [value for value in node.inputs if value is not None]
        if node.op_type != "Concat":
            data = data[:1]
        plain = node.domain in ("", "ai.onnx") and node.op_type in _MOVES and node.inputs[0] is not None
        origins = [self._of[value] for value in data]
        length = max((len(o.chain) or len(o.sources[0].via) for o in origins), default=0)
        if not plain or _ends_float(node) or length > _MAX_CHAIN:
            return Origin(declared, chain=(output,))
        if all(origin.sources for origin in origins):
            shape = self._moved_shape(node, origins[0].shape, declared)
            return Origin(shape, _through(node, origins, shape, self))
        chains = [origin.chain for origin in origins]
        begins_cast = node.op_type in ("Cast", "CastLike") and chains[0][:1] and chains[0][0] in self.stored
        shared = [values[0] for values in zip(*chains, strict=False) if len(set(values)) == 1]
        if not shared or begins_cast:
            return Origin(declared, chain=(output,))
        shape = self._moved_shape(node, origins[0].shape, declared) if len(origins) == 1 else declared
        return Origin(shape, chain=(*shared, output))

    def _moved_shape(self, node: ir.Node, before: Shape, declared: Shape) -> Shape:
        if node.op_type in ("Identity", "Cast", "CastLike"):
            return before
        if before is None:
            return declared
        if node.op_type == "Transpose":
            return tuple(before[axis] for axis in permutation(node, len(before)))
        if node.op_type == "Unsqueeze":
            shape = list(before)
            for axis in sorted(self.axes(node, len(before), grow=True)):
                shape.insert(axis, 1)
            return tuple(shape)
        if node.op_type == "Squeeze":
            gone = self.axes(node, len(before)) or [axis for axis, size in enumerate(before) if size == 1]
            return tuple(size for axis, size in enumerate(before) if axis not in gone)
        if node.op_type == "Reshape":
            return self._reshaped(node, before) or declared
        if node.op_type == "Flatten":
            axis = attribute(node, "axis", 1) % (len(before) + 1)
            return (math.prod(before[:axis]), math.prod(before[axis:]))
        return declared

    def axes(self, node: ir.Node, rank: int, *, grow: bool = False) -> list[int]:
        """The `axes` of a Squeeze or Unsqueeze (an attribute before opset 13, an input since)."""
        given: Sequence[int] | None = numbers(node, "axes")
        if given is None and len(node.inputs) > 1:
            given = self.small(node.inputs[1])
        axes = list(given or ())
        full = rank + len(axes) if grow else rank
        return [axis % full for axis in axes if full]

    def _reshaped(self, node: ir.Node, before: tuple[int, ...]) -> Shape:
        target = self.small(node.inputs[1]) if len(node.inputs) > 1 else numbers(node, "shape")
        if target is None:
            return None
        keep_zero = bool(attribute(node, "allowzero", 0))
        shape = [before[i] if size == 0 and not keep_zero and i < len(before) else int(size)
                 for i, size in enumerate(target)]
        known = math.prod(size for size in shape if size != -1)
        return tuple(math.prod(before) // known if size == -1 and known else size for size in shape)

    def small(self, value: ir.Value | None) -> list[int] | None:
        """The numbers of a small stored integer tensor (a shape, axes), else None."""
        stored = self.stored.get(value) if value is not None else None
        if stored is None or stored.tensor is None or math.prod(stored.shape) > 64:
            return None
        return [int(number) for number in stored.tensor.numpy().reshape(-1)]


def _stored_origin(stored: Stored) -> Origin:
    if stored.tensor is not None and stored.tensor.dtype.name in _FLOATS:
        return Origin(stored.shape, (Source(stored, tuple(range(len(stored.shape)))),))
    return Origin(stored.shape, chain=(stored.value,))


def _ends_float(node: ir.Node) -> bool:
    """Whether the node is a Cast to something that is no float."""
    if node.op_type != "Cast":
        return False
    target = attribute(node, "to", 0)
    try:
        return ir.DataType(target).name not in _FLOATS
    except ValueError:
        return True


def _through(node: ir.Node, origins: list[Origin], shape: Shape, origins_map: Origins) -> tuple[Source, ...]:
    """The sources behind a plain node, with their axes as the node leaves them."""
    found: dict[str, Source] = {}
    for origin in origins:
        for source in origin.sources:
            axes = _moved_axes(node, source.axes, origin.shape, shape, origins_map)
            alias = source.alias or str(node.outputs[0].name or "")
            found.setdefault(source.stored.name, Source(source.stored, axes, (*source.via, node.op_type), alias))
    return tuple(found.values())


def _moved_axes(node: ir.Node, axes: tuple[int | None, ...], before: Shape, after: Shape,
                origins: Origins) -> tuple[int | None, ...]:
    if node.op_type == "Transpose":
        return tuple(axes[axis] for axis in permutation(node, len(axes)))
    if node.op_type == "Unsqueeze":
        moved = list(axes)
        for axis in sorted(origins.axes(node, len(axes), grow=True)):
            moved.insert(axis, None)
        return tuple(moved)
    if node.op_type == "Squeeze" and before is not None:
        gone = origins.axes(node, len(axes)) or [axis for axis, size in enumerate(before) if size == 1]
        return tuple(old for axis, old in enumerate(axes) if axis not in gone)
    if node.op_type in ("Reshape", "Flatten"):
        return _matched(axes, before, after)
    return axes


def _matched(axes: tuple[int | None, ...], before: Shape, after: Shape) -> tuple[int | None, ...]:
    """Axes that a Reshape surely keeps: equal sizes counted from the front and from the back; None between them."""
    if before is None or after is None:
        return ()
    moved: list[int | None] = [None] * len(after)
    shared = min(len(before), len(after))
    front = 0
    while front < shared and before[front] == after[front]:
        moved[front] = axes[front]
        front += 1
    back = 1
    while back <= shared - front and before[-back] == after[-back]:
        moved[-back] = axes[-back]
        back += 1
    return tuple(moved)


def permutation(node: ir.Node, rank: int) -> list[int]:
    """The `perm` of a Transpose; reversed axes when it is not given or does not fit."""
    perm = list(numbers(node, "perm") or ())
    return perm if sorted(perm) == list(range(rank)) else list(reversed(range(rank)))


def _static(shape: ir.Shape | None) -> Shape:
    if shape is None or any(not isinstance(size, int) for size in shape):
        return None
    return tuple(shape.numpy())
