"""What comes before any weight is compressed: measuring on samples what steps need, and changing the graph."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from core.methods import registry
from core.methods.base import Stage
from core.progress import SILENT, Reporter
from core.rewriting.rewrite import Rewriting, measure, rewrite

if TYPE_CHECKING:
    from core.analysis.calibration import Calibration
    from core.analysis.preview import Start
    from core.data.layer_inputs import LayerInputs, Need
    from core.data.samples import Samples
    from core.model.layer import Layer
    from core.model.model import Model
    from core.recipe import Recipe, Step

_BEFORE, _AFTER = "before.npz", "after.npz"


@dataclass(frozen=True)
class Prepared:
    """A model ready for the steps of its weights.

    rewriting  what graph and channel steps made of it
    before     what was measured on the original, for those steps; None without samples, or when no step needs any
    after      what was measured on the rewritten model, for the steps of weights; likewise
    """

    rewriting: Rewriting
    before: Calibration | None = None
    after: Calibration | None = None

    def inputs(self, name: str, steps: tuple[Step, ...]) -> tuple[LayerInputs | None, str]:
        """What is known of a layer's inputs, if its steps ask for it; and why nothing is though it could be, or ""."""
        if self.after is None or not needs(steps, Stage.WEIGHTS):
            return None, ""
        return self.after.layer(name), self.after.why_not(name)

    def start(self, name: str, steps: tuple[Step, ...]) -> Start | None:
        """What a preview of the layer starts from; None when the rewritten model no longer has it."""
        from core.analysis.preview import Start

        layer = self.layers.get(name)
        if layer is None:
            return None
        model, rewriting = self.rewriting.model, self.rewriting
        words = rewriting.words(name)
        return Start(layer, model.weight(name), model.encoding(name), *self.inputs(name, steps), words)

    @cached_property
    def layers(self) -> dict[str, Layer]:
        """Layers of the rewritten model by name."""
        return {layer.name: layer for layer in self.rewriting.model.layers}

    def save(self, folder: Path) -> None:
        """Write the measurements into a folder, for `load` in another process."""
        for calibration, name in ((self.before, _BEFORE), (self.after, _AFTER)):
            if calibration is not None:
                calibration.save(folder / name)

    @classmethod
    def load(
        cls, model: Model, recipe: Recipe, folder: Path, reporter: Reporter = SILENT, *, seed: int = 0
    ) -> Prepared:
        """What `prepare` gave for the same model, recipe and seed, from the measurements that `save` wrote.

        The files are mapped and have to stay. Raises DataError when one is damaged or of another model.
        """
        from core.analysis.calibration import Calibration

        before = Calibration.load(folder / _BEFORE, model) if (folder / _BEFORE).exists() else None
        rewriting = rewrite(model, recipe, before, reporter, seed=seed)
        there = (folder / _AFTER).exists()
        return cls(rewriting, before, Calibration.load(folder / _AFTER, rewriting.model) if there else None)


@lru_cache(maxsize=256)
def needs(steps: tuple[Step, ...], stage: Stage) -> frozenset[Need]:
    """What the steps of one stage need to know."""
    methods = [(registry.by_key(step.method), step.params) for step in steps]
    return frozenset(need for method, params in methods if method.stage is stage for need in method.needs(params))


def works_from_samples(model: Model, recipe: Recipe) -> bool:
    """Whether any step of the recipe needs to know what reaches the layers."""
    if needs(recipe.graph, Stage.GRAPH):
        return True
    return any(needs(recipe.steps_for(layer.name), stage) for layer in model.layers for stage in Stage)


def prepare(
    model: Model, recipe: Recipe, samples: Samples | None, reporter: Reporter = SILENT, *, seed: int = 0
) -> Prepared:
    """Measure what the recipe's steps need, and apply its graph and channel steps.

    samples  without them, steps that need some leave their layers as they were. Raises DataError or ModelFileError when
             the model does not run on them, and Cancelled
    """
    measured = samples is not None and works_from_samples(model, recipe)
    before = _calibration(model, samples) if measured else None
    rewriting = rewrite(model, recipe, before, reporter.part(0.0, 0.5 if measured else 1.0), seed=seed)
    if not measured:
        return Prepared(rewriting)
    after = _calibration(rewriting.model, samples) if rewriting.changes else before
    wanted = {layer.name: needs(recipe.steps_for(layer.name), Stage.WEIGHTS) for layer in rewriting.model.layers}
    measure(after, wanted, reporter.part(0.5, 1.0))
    return Prepared(rewriting, before, after)


def _calibration(model: Model, samples: Samples | None) -> Calibration | None:
    from core.analysis.calibration import Calibration

    return None if samples is None else Calibration(model, samples)
