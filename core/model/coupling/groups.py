"""Groups of units that are cut together, as values, and what a cut needs to know of the graph they were found in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
import onnx_ir as ir

from core.model.coupling import rules_layers, rules_pass, rules_shape
from core.model.coupling.axes import Axes
from core.model.coupling.classes import Classes
from core.model.coupling.counts import pin_counts
from core.model.coupling.flow import Flow, Rules
from core.model.coupling.sites import Site, SliceSite, SplitSite
from core.model.coupling.sizes import Sizes
from core.model.finder import find
from core.model.graph import Stored
from core.model.layer import Kind, Layer

Array = np.ndarray[Any, np.dtype[Any]]

RULES: Rules = {**rules_layers.RULES, **rules_pass.RULES, **rules_shape.RULES}

_PRODUCERS = (Kind.CONV, Kind.CONV_TRANSPOSE, Kind.LINEAR, Kind.RECURRENT, Kind.EMBEDDING)


class Role(StrEnum):
    """What a tensor's axis is to a group: it makes the channels, it sums over them, or it goes along with them."""

    PRODUCER = "producer"
    CONSUMER = "consumer"
    FOLLOWER = "follower"


@dataclass(frozen=True, eq=False)
class Member:
    """An axis of a stored tensor along which a group's units lie.

    tensor   its name, as `graph.stored_tensors` gives it (for a weight: the layer's name)
    unit_of  (size of the axis,) int64: the unit that each place belongs to, or -1
    """

    tensor: str
    axis: int
    role: Role
    unit_of: Array = field(repr=False)


@dataclass(frozen=True, eq=False)
class Group:
    """Units that can be compared with one another: one or more producers' channels with all that goes with them.

    members   the axes along which they lie; the first is a producer's, and the units are numbered as they come there
    units     how many there are; each stays or goes as a whole (a unit of an attention layer is a head)
    heads     they are attention heads: along them two computed values are multiplied, a matrix each
    scales    members that are scales of batch norms
    slices    numbers of units that make up an axis of their own (a Split's part, what one of its readers sums over): of
              each, one unit must stay
    """

    members: tuple[Member, ...]
    units: int
    heads: bool = False
    scales: frozenset[str] = frozenset()
    slices: tuple[Array, ...] = field(default=(), repr=False)

    @property
    def key(self) -> tuple[str, int]:
        """(tensor, axis) of the first member: always the same for one graph."""
        return self.members[0].tensor, self.members[0].axis


@dataclass(frozen=True, eq=False)
class Plan:
    """What `cutting` needs: the graph's stored tensors and values with their axes, and the places that state sizes."""

    graph: ir.Model
    tensors: Mapping[ir.Value, Stored]
    axes: Mapping[ir.Value, Axes | None]
    sites: tuple[Site, ...]
    sizes: Sizes
    classes: Classes


@dataclass(frozen=True, eq=False)
class Coupling:
    """All groups of a graph. `plan` belongs to that very graph object and is stale once it was cut."""

    groups: tuple[Group, ...]
    layers: Mapping[str, Layer] = field(repr=False)
    plan: Plan = field(repr=False)
    _of: Mapping[str, tuple[Group, ...]] = field(repr=False)
    _why: Mapping[str, str] = field(repr=False)

    def groups_of(self, layer: str) -> tuple[Group, ...]:
        """All groups that the layer's output channels belong to; several where a Split or Concat parts them."""
        return self._of.get(layer, ())

    def group_of(self, layer: str) -> Group | None:
        """The group of the layer's output channels (the largest where there are several), or None."""
        return max(self.groups_of(layer), key=lambda group: group.units, default=None)

    def why_not(self, layer: str) -> str:
        """Why none of the layer's output channels can be cut (one clause), or "" when some can."""
        if self.groups_of(layer):
            return ""
        return self._why.get(layer, "there is no such layer")

    def by_key(self, tensor: str, axis: int) -> Group | None:
        """The group of a `Group.key`."""
        return next((group for group in self.groups if group.key == (tensor, axis)), None)


def channel_axis(layer: Layer) -> int | None:
    """The axis of a layer's weight that is cut when its output channels are: an embedding's columns."""
    return layer.input_axis if layer.kind is Kind.EMBEDDING else layer.output_axis


def find_groups(graph: ir.Model) -> Coupling:
    """The groups of a graph. Changes nothing and reads no weights; a scipy import at the first call."""
    flow = Flow(graph, RULES).run()
    pin_counts(flow)
    classes = Classes(flow.ledger)
    layers = {layer.name: layer for layer in find(graph).layers}
    tensors = {value: axes for value in flow.stored if (axes := flow.known.get(value)) is not None}
    lines = _lines(flow, tensors, layers)
    groups = _groups(lines, classes, flow)
    of: dict[str, tuple[Group, ...]] = {}
    for group in groups:
        for member in group.members:
            layer = layers.get(member.tensor)
            if layer is not None and member.axis == channel_axis(layer):
                of[layer.name] = (*of.get(layer.name, ()), group)
    why = {name: _why(layer, flow, classes, lines, graph) for name, layer in layers.items() if not of.get(name)}
    stored = {value: flow.stored[value] for value in tensors}
    plan = Plan(graph, stored, flow.known, tuple(flow.sites), flow.sizes, classes)
    return Coupling(groups, layers, plan, of, why)


@dataclass(frozen=True, eq=False)
class _Line:
    """One axis of a stored tensor with its atoms."""

    tensor: str
    axis: int
    role: Role
    atoms: Array


def _lines(flow: Flow, tensors: Mapping[ir.Value, Axes], layers: Mapping[str, Layer]) -> list[_Line]:
    """All tracked axes of stored tensors, in the order of the file."""
    found = []
    for value, axes in tensors.items():
        name = flow.stored[value].name
        for place, axis in enumerate(axes):
            if axis and axis[0].atoms is not None:
                found.append(_Line(name, place, _role(layers.get(name), place), axis[0].atoms))
    return found


def _role(layer: Layer | None, axis: int) -> Role:
    if layer is None:
        return Role.FOLLOWER
    if layer.kind in _PRODUCERS and axis == channel_axis(layer):
        return Role.PRODUCER
    if layer.kind in _PRODUCERS and axis == layer.input_axis:
        return Role.CONSUMER
    return Role.FOLLOWER


def _groups(lines: Iterable[_Line], classes: Classes, flow: Flow) -> tuple[Group, ...]:
    """Units that share a producer's axis, by union over the producers."""
    lines = list(lines)
    parent = np.arange(len(lines))
    owner: dict[int, int] = {}  # a class -> the first producer that has it

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = int(parent[index])
        return index

    for index, line in enumerate(lines):
        if line.role is Role.PRODUCER:
            for label in np.unique(classes.label[line.atoms[classes.free(line.atoms)]]).tolist():
                first = root(owner.setdefault(label, index))
                parent[root(index)] = first
    units: dict[int, dict[int, int]] = {}  # first producer's line -> class -> unit
    for index, line in enumerate(lines):
        if line.role is Role.PRODUCER:
            free = classes.label[line.atoms[classes.free(line.atoms)]].tolist()
            known = units.setdefault(root(index), {}) if free else {}
            for label in free:
                known.setdefault(label, len(known))
    return _with_members(lines, classes, units, flow)


def _with_members(
    lines: list[_Line], classes: Classes, units: Mapping[int, Mapping[int, int]], flow: Flow
) -> tuple[Group, ...]:
    group_of = np.full(classes.label.size, -1)
    unit_of = np.full(classes.label.size, -1)
    for number, (_, known) in enumerate(units.items()):
        labels = np.fromiter(known, np.int64, len(known))
        group_of[labels] = number
        unit_of[labels] = np.arange(labels.size)
    members: list[list[Member]] = [[] for _ in units]
    for line in lines:
        labels = classes.label[line.atoms]
        for number in np.unique(group_of[labels]).tolist():
            if number >= 0:
                mine = np.where(group_of[labels] == number, unit_of[labels], -1)
                members[number].append(Member(line.tensor, line.axis, line.role, mine))
    counts = [len(known) for known in units.values()]
    heads = {int(group) for axis in flow.heads for factor in axis if factor.atoms is not None
             for group in np.unique(group_of[classes.label[factor.atoms]])}  # fmt: skip
    scales = _norm_scales(flow)
    slices = _slices([*(line.atoms for line in lines), *_parts(flow)], group_of[classes.label], unit_of[classes.label],
                     counts)  # fmt: skip
    return tuple(
        Group(_producers_first(found), count, heads=number in heads,
              scales=frozenset(member.tensor for member in found) & scales, slices=slices[number])
        for number, (found, count) in enumerate(zip(members, counts, strict=True))
    )  # fmt: skip


def _parts(flow: Flow) -> list[Array]:
    """Atoms of what Splits and Slices take out of an axis."""
    parts = [part for site in flow.sites if isinstance(site, SplitSite) for part in site.parts]
    found = [factor.atoms for part in parts for factor in part if factor.atoms is not None]
    slices = [site for site in flow.sites if isinstance(site, SliceSite)]
    return found + [atoms[site.start : site.end] for site in slices if (atoms := site.axis[0].atoms) is not None]


def _slices(
    axes: Iterable[Array], group_of: Array, unit_of: Array, counts: Sequence[int]
) -> list[tuple[Array, ...]]:
    """`Group.slices` of each group. axes: atoms of each; group_of, unit_of: (atoms,), -1 for those that stay."""
    found: list[dict[bytes, Array]] = [{} for _ in counts]
    for atoms in axes:
        groups = group_of[atoms]
        for number in np.unique(groups).tolist() if groups.min(initial=0) >= 0 else ():
            units = np.unique(unit_of[atoms[groups == number]])
            if units.size < counts[number]:
                found[number][units.tobytes()] = units
    return [tuple(slices.values()) for slices in found]


def _norm_scales(flow: Flow) -> frozenset[str]:
    """Names of the stored tensors that are batch norms' scales."""
    found = (node.inputs[1] for node in flow.model.graph if node.op_type == "BatchNormalization" and not node.domain)
    return frozenset(flow.stored[value].name for value in found if value in flow.stored)


def _producers_first(members: list[Member]) -> tuple[Member, ...]:
    return tuple(sorted(members, key=lambda member: member.role is not Role.PRODUCER))


def _why(layer: Layer, flow: Flow, classes: Classes, lines: Iterable[_Line], graph: ir.Model) -> str:
    """Why none of a layer's channels can be cut."""
    axis = channel_axis(layer)
    if layer.locked:
        return layer.locked
    if axis is None:
        return "it has no axis of output channels"
    inside = next((use.scope for use in layer.uses if use.scope), ())
    mine = [line for line in lines if line.tensor == layer.name and line.axis == axis]
    if inside and not mine:
        return f"it lies inside {inside[-1]!r}, and branches are not followed"
    if not mine:
        return "it has one output channel" if layer.shape[axis] == 1 else "it is used in a way that is not followed"
    return classes.why(mine[0].atoms) or "nothing that it produces can be cut"
