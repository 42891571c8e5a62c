"""Channel steps carried out: which units of which groups go, as a change of the graph that can be applied to any copy.

A step of a layer is a step of all groups that its output channels belong to (`model.coupling`). Where layers of one
group have different steps, the first layer's step is done and the others are refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from core.data.layer_inputs import LayerInputs, Need
from core.errors import Cancelled, FeatherweightError, InternalError, LayerSkipped
from core.methods import registry
from core.methods._channels import ChannelChooser, Channels, Part
from core.methods.base import Context, Memo
from core.model.change import Change
from core.model.coupling import Coupling, Group, Role, cut, find_groups, mask
from core.model.coupling.groups import channel_axis
from core.model.layer import Kind
from core.progress import SILENT, Reporter
from core.rewriting.cuts_bias import BiasShift, carried_forward

if TYPE_CHECKING:
    import onnx_ir as ir

    from core.model.model import Model

Array = np.ndarray[Any, np.dtype[Any]]
Inputs = Callable[[str], LayerInputs | None]
Reason = Callable[[str], str]


class StepLike(Protocol):
    """A recipe's step: a method's key and its parameters."""

    @property
    def method(self) -> str: ...

    @property
    def params(self) -> Any: ...


@dataclass(frozen=True)
class GroupCut:
    """Which units of a group stay.

    tensor, axis  the group's key
    units         how many it has
    kept          the numbers of those that stay, ascending
    lines         what to tell of it
    """

    tensor: str
    axis: int
    units: int
    kept: tuple[int, ...] = field(repr=False)
    line: str = ""


@dataclass(frozen=True)
class ChannelCut(Change):
    """Channels removed from coupled layers. The reference is the original in which they count for nothing.

    shifts  constants that removed channels gave, carried into biases before anything is cut
    """

    cuts: tuple[GroupCut, ...]
    shifts: tuple[BiasShift, ...] = ()

    def apply(self, graph: ir.Model) -> None:
        cut(*self._prepared(graph))

    def reference(self, graph: ir.Model) -> None:
        mask(*self._prepared(graph))

    def lines(self) -> tuple[str, ...]:
        names = sorted(shift.layer for shift in self.shifts)
        shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        extra = (f"What removed channels add on average goes into the biases of {shown}",) if names else ()
        return tuple(one.line for one in self.cuts) + extra

    def _prepared(self, graph: ir.Model) -> tuple[Coupling, Mapping[Group, Array]]:
        for shift in self.shifts:
            shift.apply(graph)
        coupling = find_groups(graph)
        kept = {}
        for one in self.cuts:
            group = coupling.by_key(one.tensor, one.axis)
            if group is None or group.units != one.units:
                raise InternalError(f"the channels of {one.tensor!r} are coupled otherwise than when this was planned")
            stays = np.zeros(group.units, bool)
            stays[list(one.kept)] = True
            kept[group] = stays
        return coupling, kept


@dataclass(frozen=True)
class CutPlan:
    """What channel steps come to.

    change   what to do to the graph; None when nothing is cut
    notes    {layer: what happens to it, in words}, also for layers without a step that are cut with others
    skipped  {layer: why its step cannot be done (one clause)}
    cut      {layer: (kept, of)} output channels of the layers that lose some
    """

    change: ChannelCut | None
    notes: Mapping[str, str] = field(default_factory=dict)
    skipped: Mapping[str, str] = field(default_factory=dict)
    cut: Mapping[str, tuple[int, int]] = field(default_factory=dict)


def plan_cuts(
    model: Model,
    steps: Mapping[str, StepLike],
    inputs: Inputs = lambda name: None,
    reporter: Reporter = SILENT,
    *,
    why_not: Reason = lambda name: "",
    seed: int = 0,
) -> CutPlan:
    """Decide the channel steps of a model's layers. A step that cannot be done is told and the others go on.

    steps   {layer: step of a ChannelMethod}
    inputs  statistics of a layer on samples, as far as they were measured (`measurements` says which are used)
    why_not why a layer's statistics are not there although there are samples (one clause), or ""

    Raises Cancelled.
    """
    return _Planner(model, inputs, why_not, reporter, seed).plan(steps)


def measurements(model: Model, steps: Mapping[str, StepLike]) -> dict[str, frozenset[Need]]:
    """What `plan_cuts` reads of each layer's statistics for these steps, also of layers that are cut with others."""
    coupling = model.coupling
    found: dict[str, set[Need]] = {}
    for name, step in steps.items():
        needs = registry.by_key(step.method).needs(step.params)
        found.setdefault(name, set()).update(needs)
        for member in (member for group in coupling.groups_of(name) for member in group.members):
            layer = coupling.layers.get(member.tensor)
            if layer is not None and layer.kind is not Kind.NORM:
                consumer = member.role is Role.CONSUMER
                found.setdefault(layer.name, set()).update(n for n in needs if (n is Need.MEANS) == consumer)
    return {name: frozenset(needs) for name, needs in found.items() if needs}


class _Planner:
    def __init__(self, model: Model, inputs: Inputs, why_not: Reason, reporter: Reporter, seed: int) -> None:
        self._model, self._inputs, self._why_not, self._reporter, self._seed = model, inputs, why_not, reporter, seed
        self._coupling = model.coupling
        self._skipped: dict[str, str] = {}

    def plan(self, steps: Mapping[str, StepLike]) -> CutPlan:
        claims = self._claims(steps)
        kept: dict[Group, Array] = {}
        for number, (group, names) in enumerate(claims.items()):
            self._reporter.report(number / len(claims), f"Choosing channels of {names[0]}")
            try:
                kept[group] = self._choose(group, names[0], steps[names[0]])
            except Cancelled:
                raise
            except LayerSkipped as error:
                self._refuse(names, f"{error.what}; {error.do}" if error.do else error.what)
            except FeatherweightError as error:  # a weight that cannot be read: the other groups go on
                self._refuse(names, str(error).removesuffix("."))
            except MemoryError:
                self._refuse(names, "there is not enough memory to judge its channels")
        counts = self._counts(kept)
        done = {name for group in kept for name in claims[group]}
        skipped = {name: why for name, why in self._skipped.items() if name not in done}
        if not kept:
            return CutPlan(None, skipped=skipped)
        measured = {group for group, names in claims.items() if _wants_means(steps[names[0]])}
        shifts = carried_forward(self._model, self._coupling, kept, self._inputs, measured, self._reporter)
        cuts = tuple(self._record(group, stays) for group, stays in kept.items())
        return CutPlan(ChannelCut(cuts, shifts), self._notes(kept, claims, counts), skipped, counts)

    def _claims(self, steps: Mapping[str, StepLike]) -> dict[Group, list[str]]:
        """The layers whose step is each group's, the deciding one first; others are refused."""
        claims: dict[Group, list[str]] = {}
        for layer in self._model.layers:
            step = steps.get(layer.name)
            if step is None:
                continue
            found = self._coupling.groups_of(layer.name)
            why = registry.by_key(step.method).why_not(layer, step.params)
            why = why or ("" if found else self._coupling.why_not(layer.name))
            for group in found if not why else ():
                names = claims.setdefault(group, [layer.name])
                first = steps[names[0]]
                if (first.method, first.params) != (step.method, step.params):
                    title = self._coupling.layers[names[0]].title
                    why = f"its channels are cut together with those of {title!r}, which has another step"
                elif layer.name not in names:
                    names.append(layer.name)
            if why:
                self._skipped[layer.name] = why
        return claims

    def _refuse(self, names: Sequence[str], why: str) -> None:
        self._skipped.update(dict.fromkeys(names, why))

    def _choose(self, group: Group, name: str, step: StepLike) -> Array:
        method = registry.by_key(step.method)
        if not isinstance(method, ChannelChooser):
            raise LayerSkipped(f"{method.title} says nothing of which channels to cut")
        context = Context(self._coupling.layers[name], Memo(), self._seed, self._reporter, self._inputs(name),
                          self._why_not(name), opset=self._model.opset)  # fmt: skip
        stays = method.choose(self._channels(group), step.params, context)
        if not stays.any() or stays.all():
            raise LayerSkipped("none of its channels would go" if stays.all() else "none of its channels would stay")
        if not all(stays[units].any() for units in group.slices):
            raise LayerSkipped("none would stay of the channels that one of the layers behind it reads")
        return stays

    def _channels(self, group: Group) -> Channels:
        """The group as a method sees it."""
        parts = []
        for member in group.members:
            layer = self._coupling.layers.get(member.tensor)
            if layer is not None:
                parts.append(Part(layer, member.axis, str(member.role), member.unit_of,
                                  lambda name=layer.name: self._model.weight(name),  # type: ignore[misc]
                                  self._inputs(layer.name), member.tensor in group.scales))  # fmt: skip
        first = group.members[0].unit_of
        return Channels(group.units, max(int((first >= 0).sum()) // group.units, 1), group.heads, tuple(parts),
                        group.slices)

    def _counts(self, kept: Mapping[Group, Array]) -> dict[str, tuple[int, int]]:
        """(kept, of) output channels of every layer that loses some."""
        found: dict[str, tuple[int, int]] = {}
        for group, stays in kept.items():
            for member in group.members:
                layer = self._coupling.layers.get(member.tensor)
                if layer is None or layer.kind is Kind.NORM or member.axis != channel_axis(layer):
                    continue
                gone = int((~stays[member.unit_of[member.unit_of >= 0]]).sum())
                before, of = found.get(layer.name, (member.unit_of.size, member.unit_of.size))
                found[layer.name] = (before - gone, of)
        return {layer.name: found[layer.name] for layer in self._model.layers if layer.name in found}

    def _record(self, group: Group, stays: Array) -> GroupCut:
        producers = [m.tensor for m in group.members if m.role is Role.PRODUCER]
        titles = [self._coupling.layers[name].title for name in dict.fromkeys(producers)]
        unit = "Heads" if group.heads else "Channels"
        others = len({member.tensor for member in group.members}) - len(titles)
        more = f"{others} {'tensor' if others == 1 else 'tensors'} with them"
        line = f"{unit} {group.units} -> {int(stays.sum())}: {', '.join(titles)}, and {more}"
        return GroupCut(*group.key, group.units, tuple(np.flatnonzero(stays).tolist()), line)

    def _notes(
        self, kept: Mapping[Group, Array], claims: Mapping[Group, list[str]], counts: Mapping[str, tuple[int, int]]
    ) -> dict[str, str]:
        notes = {name: f"{stays} of {of} channels" for name, (stays, of) in counts.items()}
        for group in kept:
            decider = claims[group][0]
            title = self._coupling.layers[decider].title
            for member in group.members:
                layer = self._coupling.layers.get(member.tensor)
                mine = layer is not None and member.axis == channel_axis(layer)
                if mine and member.tensor in notes and member.tensor != decider:
                    stays, of = counts[member.tensor]
                    notes[member.tensor] = f"{stays} of {of} channels, cut with {title}"
        return notes


def _wants_means(step: StepLike) -> bool:
    return getattr(step.params, "compensate", "none") == "mean"
