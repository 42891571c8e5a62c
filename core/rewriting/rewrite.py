"""The first stage of a compression: what changes the graph itself, before any weight is stored in another way.

Graph steps come first, in the recipe's order, then channel steps; weights are compressed in the graph that they leave.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from core.errors import LayerSkipped
from core.methods import registry
from core.methods.base import ChannelMethod, GraphContext, GraphMethod
from core.model.change import Change
from core.model.rewritten import rewritten_model
from core.progress import SILENT, Reporter

if TYPE_CHECKING:
    from core.analysis.calibration import Calibration
    from core.data.layer_inputs import Need
    from core.model.layer import Layer
    from core.model.model import Model
    from core.recipe import Recipe, Step


@dataclass(frozen=True)
class Rewriting:
    """What graph and channel steps make of a model.

    original  the model as opened
    model     the model as they leave it; `original` itself when they change nothing
    changes   in the order in which they are applied
    cut       {layer: (kept, of)} output channels of layers that were cut
    notes     {layer: what happened to it, in words}
    refused   {layer: why its channel step cannot be done (one clause)}
    trouble   why graph steps cannot be done, a sentence each
    """

    original: Model
    model: Model
    changes: tuple[Change, ...] = ()
    cut: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
    trouble: tuple[str, ...] = ()

    @cached_property
    def original_layers(self) -> dict[str, Layer]:
        return {layer.name: layer for layer in self.original.layers}

    def words(self, name: str) -> str:
        """What cuts did to a layer and why its own channels stay though a step cuts them, or ""."""
        refused = self.refused.get(name, "")
        return "; ".join(filter(None, (self.notes.get(name, ""), refused and f"its own channels stay: {refused}")))

    @property
    def lines(self) -> tuple[str, ...]:
        """Everything that was changed in the graph, for the report."""
        return tuple(line for change in self.changes for line in change.lines())

    @property
    def exact(self) -> bool:
        """Whether the rewritten model must give what the masked original gives, up to rounding."""
        return all(change.exact for change in self.changes)


def rewrite(
    model: Model,
    recipe: Recipe,
    calibration: Calibration | None = None,
    reporter: Reporter = SILENT,
    *,
    seed: int = 0,
) -> Rewriting:
    """Decide and apply the recipe's graph and channel steps. A step that cannot be done is told and left out.

    calibration  of `model`, for steps that work from samples. Raises Cancelled
    """
    changes, trouble = _graph_changes(model, recipe, calibration, reporter.part(0.0, 0.3), seed)
    steps = {layer.name: step for layer in model.layers if (step := channel_step(recipe.steps_for(layer.name)))}
    if not steps:
        return Rewriting(model, rewritten_model(model, changes), tuple(changes), trouble=tuple(trouble))
    from core.rewriting.cuts import measurements, plan_cuts

    if calibration is not None:
        measure(calibration, measurements(model, steps), reporter.part(0.3, 0.7))
    changed = rewritten_model(model, changes)
    there = {layer.name for layer in changed.layers}
    plan = plan_cuts(
        changed,
        {name: step for name, step in steps.items() if name in there},
        lambda name: calibration.layer(name) if calibration is not None else None,
        reporter.part(0.7, 1.0),
        why_not=lambda name: calibration.why_not(name) if calibration is not None else "",
        seed=seed,
    )
    if plan.change is not None:
        changes.append(plan.change)
    return Rewriting(
        model, rewritten_model(model, changes), tuple(changes), plan.cut, plan.notes, plan.skipped, tuple(trouble)
    )


def channel_step(steps: tuple[Step, ...]) -> Step | None:
    """The step of a layer that cuts channels, or None; `order` sees to it that it stands first."""
    return next((step for step in steps if isinstance(registry.by_key(step.method), ChannelMethod)), None)


def measure(calibration: Calibration | None, needs: Mapping[str, frozenset[Need]], reporter: Reporter) -> None:
    """Measure what layers' steps need, if there are samples; steps say themselves what they miss."""
    wanted = {name: need for name, need in needs.items() if need}
    if calibration is not None and wanted:
        calibration.collect(wanted, reporter)


def _graph_changes(
    model: Model, recipe: Recipe, calibration: Calibration | None, reporter: Reporter, seed: int
) -> tuple[list[Change], list[str]]:
    changes: list[Change] = []
    trouble: list[str] = []
    for number, step in enumerate(recipe.graph):
        method = registry.by_key(step.method)
        if not isinstance(method, GraphMethod):
            continue
        part = reporter.part(number / len(recipe.graph), (number + 1) / len(recipe.graph))
        part.report(0.0, f"Planning {step.label()}")
        context = GraphContext(calibration.ranges if calibration is not None else None, seed, part)
        try:
            change = method.plan(rewritten_model(model, changes).graph(), step.params, context)
        except LayerSkipped as error:
            trouble.append(f"{step.label()}: {error.what}" + (f"; {error.do}" if error.do else ""))
            continue
        if change is None:
            trouble.append(f"{step.label()}: nothing in this model to change")
        else:
            changes.append(change)
    return changes, trouble
