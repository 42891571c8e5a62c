"""What a plan may change before any weight: channels, heads and activations, as rewritten models to plan for."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from core.errors import LayerSkipped
from core.methods import registry
from core.methods.base import ChannelMethod, Described, GraphContext, GraphMethod
from core.planning.budgets import Goal
from core.progress import SILENT, Reporter
from core.recipe import Recipe, Step

if TYPE_CHECKING:
    from core.analysis.calibration import Calibration
    from core.analysis.sensitivity.cells import Setting
    from core.model.model import Model
    from core.rewriting.rewrite import Rewriting

SAVED_BY = {Goal.SIZE: "file", Goal.LATENCY: "time", Goal.MULTIPLY_ADDS: "multiply-adds"}
"""What a method must save (`Described.saves`) to be of use for a cost."""
RATIOS: Mapping[str, tuple[float, ...]] = {"prune_channels": (0.1, 0.25, 0.5), "prune_heads": (0.25, 0.5)}
"""Shares of channels and heads that go."""
LEARNED: Mapping[str, dict[str, Any]] = {
    "prune_channels": {"criterion": "activation", "compensate": "mean"}, "prune_heads": {"criterion": "activation"},
}  # fmt: skip
"""How channels and heads are judged where there are samples, running forwards only; by their weights where there are
none."""
ACTIVATIONS = ("HardSwish", "Relu")
"""What stands for smooth activations, the nearest first."""


@dataclass(frozen=True)
class Structure:
    """A change of the graph that weights are then planned for.

    label   in a few words; "" for the model as it is
    recipe  with the change's graph steps, and its channel steps in front of layers' own
    before  {layer: its channel step}
    """

    label: str
    recipe: Recipe
    before: Mapping[str, Setting] = field(default_factory=dict)


@dataclass(frozen=True)
class Built:
    """A structure carried out.

    model  the rewritten model; the original itself when nothing changes
    lines  what was changed, a line each
    """

    structure: Structure
    model: Model
    rewriting: Rewriting | None = None

    @property
    def lines(self) -> tuple[str, ...]:
        return () if self.rewriting is None else self.rewriting.lines


def structures(
    model: Model, base: Recipe, families: Collection[str], goals: Iterable[Goal], *, pinned: Collection[str] = (),
    samples: bool = False,
) -> tuple[Structure, ...]:  # fmt: skip
    """The structures to look at beside the model as it is, each change alone, mildest first.

    base     the recipe that the plan starts from
    goals    what is limited; only methods that save it are of use. A quality alone: the file
    pinned   layers that stay as they are; what is coupled with them stays as well
    samples  whether there are samples to judge channels by
    """
    costs = {SAVED_BY[goal] for goal in goals if goal in SAVED_BY} or {"file"}
    found: list[Structure] = []
    for method in registry.all_methods():
        if method.family not in families or not costs & {*method.saves}:
            continue
        if isinstance(method, ChannelMethod):
            found += _cuts(model, base, method, pinned, samples)
        elif isinstance(method, GraphMethod):
            found += _activations(model, base, method, samples)
    return tuple(found)


def combined(first: Structure, second: Structure) -> Structure:
    """Both changes; where both cut a layer's channels, the first one's step."""
    before = {**second.before, **first.before}
    graph = tuple(dict.fromkeys((*first.recipe.graph, *second.recipe.graph)))
    recipe = replace(first.recipe, graph=graph).with_steps(before)
    return Structure(f"{first.label}, {second.label}", recipe, before)


def _cuts(
    model: Model, base: Recipe, method: Described, pinned: Collection[str], samples: bool
) -> list[Structure]:
    """The method's step on every group of channels that it can cut and that holds no pinned layer."""
    more = LEARNED.get(method.key, {}) if samples else {}
    found = []
    for ratio in RATIOS.get(method.key, ()):
        step = Step.make(method.key, ratio=ratio, **more)
        layers = _cuttable(model, method, step, pinned)
        if layers:
            before = dict.fromkeys(layers, (step,))
            found.append(Structure(step.label(), base.with_steps(before), before))
    return found


def _cuttable(model: Model, method: Described, step: Step, pinned: Collection[str]) -> list[str]:
    """One layer of each group, as a step of one is a step of all."""
    coupling, heads = model.coupling, method.key == "prune_heads"
    taken: set[tuple[str, int]] = set()
    names: list[str] = []
    fixed = {group.key for name in pinned for group in coupling.groups_of(name)}
    fixed |= {g.key for g in coupling.groups for m in g.members if m.tensor in set(pinned)}
    for layer in model.layers:
        groups = coupling.groups_of(layer.name)
        if not groups or method.why_not(layer, step.params) or any(group.key in fixed | taken for group in groups):
            continue
        if all(bool(group.heads) == heads for group in groups):
            names.append(layer.name)
            taken |= {group.key for group in groups}
    return names


def _activations(model: Model, base: Recipe, method: GraphMethod, samples: bool) -> list[Structure]:
    """The method's step with each of ACTIVATIONS that it can put anywhere in the model."""
    found = []
    for to in ACTIVATIONS:
        try:
            change = method.plan(model.graph(), Step.make(method.key, to=to).params, GraphContext())
        except LayerSkipped:
            continue
        if change is not None:
            step = Step.make(method.key, to=to, keep_mean=samples)
            found.append(Structure(step.label(), replace(base, graph=(*base.graph, step))))
    return found


def build(
    model: Model, structure: Structure, calibration: Calibration | None, reporter: Reporter = SILENT, *, seed: int = 0
) -> Built:
    """Carry a structure out. Its model is the original where nothing of it can be done.

    calibration  of `model`, kept from structure to structure; None without samples
    """
    from core.rewriting.rewrite import rewrite

    if not structure.recipe.graph and not structure.before:
        return Built(structure, model)
    rewriting = rewrite(model, structure.recipe, calibration, reporter, seed=seed)
    return Built(structure, rewriting.model, rewriting)
