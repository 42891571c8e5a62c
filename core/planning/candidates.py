"""What a plan can choose from: settings to try, and for each layer the cells that a sensitivity table has of it."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from core.analysis.hulls import Array, Points
from core.analysis.sensitivity.cells import Cell, Measure, Sensitivity, Setting, Tier
from core.methods import registry
from core.methods.base import Stage
from core.methods.params import specs
from core.planning.budgets import Goal
from core.recipe import Recipe, Step

if TYPE_CHECKING:
    from core.model.model import Model

LARGE = 5_000_000
"""Weights of a model in which what takes long, error feedback and the trellis, is tried for few settings or none."""
TRELLIS_SECONDS = 20.0
"""What trying the trellis' settings takes for a million weights, with error feedback, two cores."""
SHARES = (0.5, 0.25)
"""Of a layer's numbers that factors may take, where a run is to become faster."""
LEAVE: Setting = ()
"""The setting that leaves a layer as it is."""


def plan_settings(
    chosen: Collection[str] = (), weights: int = 0, seconds: float = math.inf
) -> tuple[Setting, ...]:
    """The settings that a plan tries on each layer, of these families (all when none are named).

    weights  of the whole model; in a large one the trellis is not tried, whose search takes seconds a million weights
    seconds  that the plan may take; the trellis is not tried where its search would take more than a tenth of them

    All make the file smaller, and none needs samples; `refined` is what samples add. A setting with steps of two
    families needs both: pruned weights are stored with few levels, and factors in few bits.
    """
    quantize = [_setting(("quantize", {"bits": bits})) for bits in (8, 7, 6, 5, 4, 3, 2)]
    blocks = [_setting(("quantize", {"bits": bits, "granularity": "block", "block": 32})) for bits in (4, 3)]
    codebook = [_setting(("quantize:codebook", {"bits": bits})) for bits in (5, 4, 3, 2)]
    trellis = [_setting(("quantize:trellis", {"bits": bits})) for bits in (4.0, 3.0, 2.0)]
    if weights > LARGE or seconds < 10 * TRELLIS_SECONDS * weights / 1e6:
        trellis = []
    pruned = [
        _setting(("prune", {"ratio": ratio}), ("quantize:codebook", {"bits": bits}))
        for ratio, bits in ((0.5, 4), (0.7, 4), (0.7, 3), (0.85, 4), (0.85, 3), (0.95, 3))
    ]
    factors = [_setting(("low_rank", {"share": share}), ("quantize", {"bits": 6})) for share in (0.5, 0.25)]
    alone = [
        *(_setting(("prune", {"ratio": ratio})) for ratio in (0.5, 0.7, 0.9)),
        *(_setting(("low_rank", {"share": share})) for share in (0.5, 0.25, 0.1)),
        *(_setting(("filter:dct", {"share": share})) for share in (0.5, 0.25)),
    ]
    every = [_setting(("float16", {})), *quantize, *blocks, *codebook, *trellis, *pruned, *factors, *alone]
    wanted = frozenset(chosen) or frozenset(registry.families())
    fitting = [setting for setting in every if _families(setting) <= wanted]
    if "Quantization" in wanted:  # then one step alone is never the best
        fitting = [s for s in fitting if "Quantization" in _families(s)]
    return tuple(fitting)


def run_settings(
    chosen: Collection[str] = (), saving: Collection[str] = ("time", "multiply-adds"), *, also_small: bool = False
) -> tuple[Setting, ...]:
    """The settings that change what a run of a layer takes, of these families (all when none are named).

    Every method of the registry that saves what `saving` names: those with a kept share at two of them, others as they
    are by default. `also_small`: factors also in 8 bits
    """
    wanted = frozenset(chosen) or frozenset(registry.families())
    found: list[Setting] = []
    for method in registry.all_methods():
        if method.stage is not Stage.WEIGHTS or method.family not in wanted or not {*saving} & {*method.saves}:
            continue
        shared = any(spec.name == "share" for spec in specs(method.Params))
        alone = [_setting((method.key, {"share": s})) for s in SHARES] if shared else [_setting((method.key, {}))]
        found += alone
        if shared and also_small and "Quantization" in wanted:
            found += [(*setting, Step.make("quantize", bits=8)) for setting in alone]
    return tuple(found)


def refined(setting: Setting) -> Setting:
    """The setting with what it can learn from samples, at the same bytes: error feedback when rounding."""
    changed = []
    for step in setting:
        plain = getattr(step.params, "rounding", None) in ("balanced", "nearest")
        changed.append(Step(step.method, replace(step.params, rounding="feedback")) if plain else step)
    return tuple(changed)


def learned_settings(settings: Iterable[Setting], weights: int) -> tuple[Setting, ...]:
    """What samples add to the settings, beside which they stand in a table: which layers gain most decides the plan.

    weights  of the whole model; of a large one only the settings near the middle are given, as each takes a while
    """
    better = [refined(setting) for setting in settings if refined(setting) != setting]
    if weights <= LARGE:
        return tuple(better)
    return tuple(setting for setting in better if len(setting) == 1 and setting[0].params.bits in (3, 4, 5))


def _setting(*steps: tuple[str, dict[str, Any]]) -> Setting:
    return tuple(Step.make(method, **values) for method, values in steps)


def _families(setting: Setting) -> set[str]:
    return {registry.by_key(step.method).family for step in setting}


@dataclass(frozen=True, eq=False)
class Candidates:
    """The cells of every layer that a plan decides on.

    cells    of each layer; the first leaves it as it is. A pinned layer has one cell, the setting that it has
    base     recipe that the plan starts from: pinned layers and graph steps stay as it says
    bytes_before  of each layer in the file as it is
    pinned   names of the layers that stay as they are in `base`
    before   {layer: steps that stand before its setting}: those that cut its channels
    shared   error that the changed graph costs by itself, in the table's measure
    fixed    what no layer takes of a run's milliseconds and multiply-adds, where they are known
    """

    cells: tuple[tuple[Cell, ...], ...]
    base: Recipe
    bytes_before: dict[str, int] = field(default_factory=dict)
    pinned: frozenset[str] = frozenset()
    before: Mapping[str, Setting] = field(default_factory=dict)
    shared: float = 0.0
    fixed: Mapping[Goal, float] = field(default_factory=dict)

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(cells[0].layer for cells in self.cells)

    @cached_property
    def points(self) -> tuple[Points, ...]:
        """Bytes and errors of each layer's cells."""
        return tuple(
            Points(np.array([float(c.bytes) for c in cells]), np.array([c.error for c in cells]))
            for cells in self.cells
        )

    def costs(self, goal: Goal) -> tuple[Array, ...]:
        """What each layer's cells take of a cost that adds up; inf where it is not known."""
        if goal is Goal.SIZE:
            return tuple(points.costs for points in self.points)
        return tuple(np.array([_cost(cell, goal) for cell in cells]) for cells in self.cells)

    def cost_of(self, options: Array | Sequence[int], goal: Goal) -> float | None:
        """Milliseconds or multiply-adds of one run of a plan, predicted; None where they are not known."""
        if goal not in self.fixed:
            return None
        added = [_cost(cells[int(option)], goal) for cells, option in zip(self.cells, options, strict=True)]
        total = self.fixed[goal] + sum(added)
        return total if np.isfinite(total) else None

    @property
    def smallest(self) -> int:
        """Bytes of all layers in the smallest plan."""
        return sum(min(cell.bytes for cell in cells if np.isfinite(cell.error)) for cells in self.cells)

    def steps(self, options: Array | Sequence[int]) -> dict[str, Setting]:
        """The setting of each layer when it takes these options."""
        return {cells[o].layer: cells[o].steps for cells, o in zip(self.cells, options, strict=True)}

    def recipe(self, steps: dict[str, Setting]) -> Recipe:
        """The recipe in which the layers have these steps, written as briefly as it can be."""
        free = {name: self.before.get(name, ()) + s for name, s in steps.items() if name not in self.pinned}
        return self.base.with_steps({name: setting or None for name, setting in free.items()})

    def uniform(self, setting: Setting) -> Array:
        """Options when every free layer that can has this setting; the others are left as they are."""
        found = [
            next((i for i, cell in enumerate(cells) if cell.steps == setting and np.isfinite(cell.error)), 0)
            for cells in self.cells
        ]
        return np.array(found, np.int64)


def _cost(cell: Cell, goal: Goal) -> float:
    value = cell.milliseconds if goal is Goal.LATENCY else cell.multiply_adds
    return float("inf") if value is None else float(value)


def candidates(model: Model, table: Sensitivity, base: Recipe, pinned: Collection[Cell] = ()) -> Candidates:
    """What a plan for the model chooses from.

    base    the recipe that the plan starts from; its entries of layers that are not pinned are replaced
    pinned  the cells of layers that keep the steps that `base` gives them

    Layers that are locked, or without cells, stay as they are and are not among the candidates. A layer of which only
    the weight's error is known (tier 0) beside layers that were measured is taken for a typical one: see `_typical`.
    """
    fixed = {cell.layer: cell for cell in pinned}
    typical = _typical(table)
    before = dict(table.layer_bytes)
    found: list[tuple[Cell, ...]] = []
    for layer in model.layers:
        if layer.name in fixed:
            found.append((fixed[layer.name],))
        elif layer.name in table.by_layer and layer.name in before:
            leave = Cell(layer.name, LEAVE, before[layer.name], 0.0, Tier.MEASURED)
            found.append((leave, *(_in_measure(cell, table, typical) for cell in table.by_layer[layer.name])))
    return Candidates(tuple(found), base, before, frozenset(fixed))


def _typical(table: Sensitivity) -> dict[Setting, float]:
    """The median error of each setting over the layers that were measured, or predicted from gradients."""
    known: dict[Setting, list[float]] = {}
    for cell in table.cells:
        if cell.tier > Tier.FREE and np.isfinite(cell.error):
            known.setdefault(cell.steps, []).append(cell.error)
    return {steps: float(np.median(errors)) for steps, errors in known.items()}


def _in_measure(cell: Cell, table: Sensitivity, typical: dict[Setting, float]) -> Cell:
    """The cell with its error in the table's measure; one that cannot be told is never taken."""
    if table.measure == Measure.WEIGHT or cell.tier > Tier.FREE:
        return cell
    return replace(cell, error=typical.get(cell.steps, float("inf")))
