"""Places of a graph where a size is written down, and how each follows a cut."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx_ir as ir

from core.model.coupling.axes import Axis, Factor

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, eq=False)
class Kept:
    """What a cut leaves.

    keep      (atoms,) bool
    constant  stores a new tensor for a node to read
    numbers   {(node, input): {place: number}} to change in the shape values that nodes read; filled by the sites
    """

    keep: Array
    constant: Callable[[ir.Node, Array], ir.Value]
    numbers: dict[tuple[ir.Node, int], dict[int, int]] = field(default_factory=dict)

    def state(self, node: ir.Node, index: int, place: int, number: int) -> None:
        """Note that number `place` of a node's input is to be another."""
        self.numbers.setdefault((node, index), {})[place] = number

    def changed(self, axis: Axis) -> bool:
        """Whether something along the axis goes."""
        return any(factor.atoms is not None and not self.keep[factor.atoms].all() for factor in axis)

    def size(self, axis: Axis) -> int:
        """Places that stay along an axis of static size."""
        return math.prod(self.length(factor) for factor in axis)

    def length(self, factor: Factor) -> int:
        return factor.size or 0 if factor.atoms is None else int(self.keep[factor.atoms].sum())


@dataclass(frozen=True, eq=False)
class Site:
    """A size that the graph states. `follow` rewrites it."""

    node: ir.Node
    axis: Axis = field(repr=False)

    def follow(self, kept: Kept) -> None:
        """Rewrite what the node says; called only when something along `axis` goes."""


@dataclass(frozen=True, eq=False)
class AttributeSite(Site):
    """An attribute that is the size of the axis (group, hidden_size)."""

    name: str

    def follow(self, kept: Kept) -> None:
        self.node.attributes[self.name] = ir.AttrInt64(self.name, kept.size(self.axis))


@dataclass(frozen=True, eq=False)
class NumberSite(Site):
    """A literal number of an input (a Reshape's target) or of an attribute that is the size of the axis."""

    place: int
    input: int = 1
    attribute: str = ""

    def follow(self, kept: Kept) -> None:
        if self.attribute:
            numbers = list(self.node.attributes[self.attribute].as_ints())
            numbers[self.place] = kept.size(self.axis)
            self.node.attributes[self.attribute] = ir.AttrInt64s(self.attribute, numbers)
            return
        kept.state(self.node, self.input, self.place, kept.size(self.axis))


@dataclass(frozen=True, eq=False)
class SliceSite(Site):
    """Bounds of a Slice along one axis of single steps; `place` of its lists, `start` and `end` in the uncut axis."""

    place: int
    start: int
    end: int

    def follow(self, kept: Kept) -> None:
        (factor,) = self.axis
        stays = kept.keep[factor.atoms] if factor.atoms is not None else np.ones(factor.size or 0, bool)
        bounds = int(stays[: self.start].sum()), int(stays[: self.end].sum())
        for index, name, number in ((1, "starts", bounds[0]), (2, "ends", bounds[1])):
            attribute = name if len(self.node.inputs) == 1 else ""
            if attribute:
                numbers = list(self.node.attributes[name].as_ints())
                numbers[self.place] = number
                self.node.attributes[name] = ir.AttrInt64s(name, numbers)
                continue
            kept.state(self.node, index, self.place, number)


@dataclass(frozen=True, eq=False)
class SplitSite(Site):
    """Sizes of a Split's parts."""

    parts: tuple[Axis, ...]
    as_input: bool

    def follow(self, kept: Kept) -> None:
        sizes = [kept.size(part) for part in self.parts]
        self.node.attributes.pop("num_outputs", None)
        if not self.as_input:
            self.node.attributes["split"] = ir.AttrInt64s("split", sizes)
            return
        self.node.resize_inputs(2)
        self.node.replace_input_with(1, kept.constant(self.node, np.array(sizes, np.int64)))


@dataclass(frozen=True, eq=False)
class SumSite(Site):
    """An input whose numbers along one of its axes are multiplied and summed up: what does not count is masked here.

    rank, place  of the input's axes, and which of them
    """

    input: int
    rank: int
    place: int

    def mask(self, kept: Kept) -> Array | None:
        """(size, 1, ...) ones and zeros that broadcast with the input, or None when nothing of it goes."""
        if not kept.changed(self.axis):
            return None
        marks = np.ones(1, bool)
        for factor in self.axis:
            part = np.ones(factor.size or 1, bool) if factor.atoms is None else kept.keep[factor.atoms]
            marks = (marks[:, None] & part[None]).reshape(-1)
        return marks.reshape(-1, *[1] * (self.rank - 1 - self.place))
