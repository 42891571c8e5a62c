"""What a plan is: a recipe within a budget, what it was chosen from, and what is predicted and what measured of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from core.analysis.hulls import Array, hull
from core.analysis.metrics import json_number
from core.analysis.sensitivity.cells import setting_label
from core.planning.budgets import Budget
from core.planning.candidates import refined
from core.planning.evaluation import Measured
from core.recipe import Recipe

if TYPE_CHECKING:
    from core.analysis.latency import LatencyComparison
    from core.planning.candidates import Candidates

BINDING = 5
"""Layers that are named as those which hold a plan back."""


@dataclass(frozen=True)
class PlanPoint:
    """One whole plan among others: on the front, or a uniform setting for reference.

    bytes     predicted, of the file
    error     predicted, in the plan's measure
    sqnr_db   predicted output SQNR; None without samples
    measured  what was measured of it; None while it is only predicted
    label     the setting that all layers have, or "" on the front
    options   each layer's option (`Candidates.cells`)
    learned   places of the layers whose rounding learns from samples (`candidates.refined`)
    milliseconds, multiply_adds  predicted, of one run; None where they are not known
    error_measured  in the plan's measure; None while it is only predicted
    """

    bytes: int
    error: float
    sqnr_db: float | None
    measured: Measured | None
    label: str = ""
    options: tuple[int, ...] = field(default=(), repr=False)
    learned: tuple[int, ...] = field(default=(), repr=False)
    milliseconds: float | None = None
    multiply_adds: int | None = None
    error_measured: float | None = None

    @property
    def best_error(self) -> float:
        """The error that is known best: measured where it was."""
        return self.error if self.error_measured is None else self.error_measured

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "bytes": self.bytes, "label": self.label, "error_predicted": finite(self.error),
            "sqnr_db_predicted": json_number(self.sqnr_db),
            "milliseconds_predicted": self.milliseconds, "multiply_adds": self.multiply_adds,
            "measured": None if self.measured is None else self.measured.to_dict(),
        }  # fmt: skip


@dataclass(frozen=True)
class PlannedLayer:
    """One layer of a plan.

    steps         labels of its steps; () when it is left as it is
    bytes_*       that it takes in the file
    error         predicted, that it adds to the output's error
    share         of the predicted error of the whole plan, 0 to 1
    """

    name: str
    steps: tuple[str, ...]
    bytes_before: int
    bytes_after: int
    error: float
    share: float
    pinned: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "name": self.name, "steps": list(self.steps), "bytes_before": self.bytes_before,
            "bytes_after": self.bytes_after, "error_predicted": finite(self.error), "share_of_error": self.share,
            "pinned": self.pinned,
        }  # fmt: skip


@dataclass(frozen=True)
class Binding:
    """A layer that holds the plan back, and what relaxing it would gain.

    share        of the plan's predicted error that comes from it, 0 to 1
    now, better  its setting, and the next one on its hull, in words
    extra_bytes  that the better setting takes
    gain_db      predicted gain of the output's SQNR with it
    """

    layer: str
    share: float
    now: str
    better: str
    extra_bytes: int
    gain_db: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "layer": self.layer, "share_of_error": self.share, "now": self.now, "better": self.better,
            "extra_bytes": self.extra_bytes, "gain_db": json_number(self.gain_db),
        }  # fmt: skip


@dataclass(frozen=True)
class VariantFigures:
    """The model with its graph or channels changed and its weights as they are: what the change alone costs and saves.

    label     in a few words: "channels -25 %"
    bytes     of the file
    measured  against the original; None where it was dropped before
    left_out  why no plan was made with it (one clause), or ""
    """

    label: str
    bytes: int
    measured: Measured | None
    milliseconds: float | None = None
    multiply_adds: int | None = None
    left_out: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "label": self.label, "bytes": self.bytes, "milliseconds_predicted": self.milliseconds,
            "multiply_adds": self.multiply_adds, "left_out": self.left_out,
            "measured": None if self.measured is None else self.measured.to_dict(),
        }  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """The best recipe that was found for a budget.

    met              whether the budget is met, as far as it was measured
    bytes_before     of the original file
    bytes_predicted  of the compressed file, within 1 %
    measure          what errors are: "kl" (nats), "squared" (relative) or "weight" (relative, without samples)
    error_predicted  from another measured plan, and how the two compare on the samples that plans were compared on;
                     where there are no other samples, from the other plans alone
    sqnr_predicted_db  output SQNR, predicted likewise; None without samples
    measured         on samples that nothing was calibrated on; None without samples
    front            plans from the smallest to the most accurate, predicted and (some) measured
    uniform          one setting for all layers, for reference
    evaluations      whole plans that were measured
    candidates       what the plan was chosen from, for changing it by hand
    options          each layer's option
    also             the second budget, or None
    latency_*_ms     of one run of the original (measured) and of the plan (predicted from its layers); None when not
                     asked for
    latency          original and finished plan, measured in turn; None when not asked for
    multiply_adds_*  of one run; None when not counted
    structure        what was changed in the graph, a line each; the layers are those that this leaves
    variants         the other structures that were looked at
    """

    recipe: Recipe
    budget: Budget
    met: bool
    bytes_before: int
    bytes_predicted: int
    measure: str
    error_predicted: float
    sqnr_predicted_db: float | None
    measured: Measured | None
    layers: tuple[PlannedLayer, ...]
    front: tuple[PlanPoint, ...]
    uniform: tuple[PlanPoint, ...]
    binding: tuple[Binding, ...]
    notes: tuple[str, ...]
    evaluations: int
    seconds: float
    candidates: Candidates = field(repr=False)
    options: tuple[int, ...] = field(default=(), repr=False)
    also: Budget | None = None
    latency_before_ms: float | None = None
    latency_predicted_ms: float | None = None
    latency: LatencyComparison | None = None
    multiply_adds_before: int | None = None
    multiply_adds_after: int | None = None
    structure: tuple[str, ...] = ()
    variants: tuple[VariantFigures, ...] = ()

    @property
    def budgets(self) -> tuple[Budget, ...]:
        """One or two."""
        return (self.budget,) if self.also is None else (self.budget, self.also)

    def recipe_of(self, point: PlanPoint) -> Recipe:
        """The recipe of another plan of the front, or of a uniform setting."""
        steps = self.candidates.steps(point.options)
        for layer in point.learned:
            name = self.candidates.names[layer]
            steps[name] = refined(steps[name])
        return self.candidates.recipe(steps)

    @property
    def error_measured(self) -> float | None:
        """In the plan's measure; None without samples."""
        return None if self.measured is None else self.measured.error(self.measure)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: what `plan --json` gives."""
        sqnr = self.sqnr_predicted_db if self.measured is None else self.measured.sqnr_db
        return {
            "budget": {"goal": str(self.budget.goal), "value": self.budget.value, "met": self.met},
            "also": None if self.also is None else {"goal": str(self.also.goal), "value": self.also.value},
            "latency_ms": {
                "before": self.latency_before_ms, "predicted": self.latency_predicted_ms,
                "measured": None if self.latency is None else self.latency.to_dict(),
            },
            "multiply_adds": {"before": self.multiply_adds_before, "after": self.multiply_adds_after},
            "structure": list(self.structure), "variants": [variant.to_dict() for variant in self.variants],
            "bytes_before": self.bytes_before, "bytes_predicted": self.bytes_predicted,
            "output_sqnr_db": {
                "value": json_number(sqnr), "measured": self.measured is not None,
                "predicted": json_number(self.sqnr_predicted_db),
            },
            "measure": self.measure, "error_predicted": finite(self.error_predicted),
            "error_measured": finite(self.error_measured),
            "measured": None if self.measured is None else self.measured.to_dict(),
            "layers": [layer.to_dict() for layer in self.layers],
            "front": [point.to_dict() for point in self.front], "uniform": [p.to_dict() for p in self.uniform],
            "binding": [binding.to_dict() for binding in self.binding], "notes": list(self.notes),
            "evaluations": self.evaluations, "seconds": self.seconds,
        }  # fmt: skip


def finite(value: float | None) -> float | None:
    """An error as JSON can hold it: null when it is not finite."""
    return value if value is not None and math.isfinite(value) else None


def planned_layers(found: Candidates, options: Array, errors: Sequence[Array]) -> tuple[PlannedLayer, ...]:
    """Layer by layer; `errors` are those of each layer's options, as far as they are known by now."""
    added = [float(error[option]) for error, option in zip(errors, options, strict=True)]
    total = sum(added) or 1.0
    return tuple(
        PlannedLayer(
            cells[0].layer, tuple(step.label() for step in cells[option].steps), found.bytes_before[cells[0].layer],
            cells[option].bytes, error, error / total, cells[0].layer in found.pinned,
        )
        for cells, option, error in zip(found.cells, options, added, strict=True)
    )


def binding_layers(found: Candidates, options: Array, errors: Sequence[Array]) -> tuple[Binding, ...]:
    """The layers that add most to the error and could do better, those with the largest share first."""
    now = np.array([float(error[option]) for error, option in zip(errors, options, strict=True)])
    total = float(now.sum())
    if not total > 0.0 or not np.isfinite(total):
        return ()
    named: list[Binding] = []
    for layer in np.argsort(-now, kind="stable"):
        cells, option, points = found.cells[layer], int(options[layer]), found.points[layer]
        edge = hull(type(points)(points.costs, errors[layer]))
        better = [int(i) for i in edge if errors[layer][i] < now[layer] and points.costs[i] > points.costs[option]]
        if better and now[layer] > 0.0:
            left = total - float(now[layer]) + float(errors[layer][better[0]])
            gain = 10.0 * math.log10(total / left) if left > 0.0 else math.inf
            extra = cells[better[0]].bytes - cells[option].bytes
            words = [setting_label(cells[i].steps) or "as it is" for i in (option, better[0])]
            named.append(Binding(cells[0].layer, float(now[layer]) / total, words[0], words[1], extra, gain))
        if len(named) == BINDING:
            break
    return tuple(named)
