"""What the session knows of a compression: frozen, with what it was made from, which tells when it is stale."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from core.data.options import DataOptions
    from core.jobs import CompressOutcome
    from core.pipeline import LayerResult
    from core.recipe import Recipe
    from gui.data.state import DataState

_UNCUT = "its own channels stay: "
"""How `Rewriting.words` begins the reason why a layer's channel step was refused."""


@dataclass(frozen=True)
class Result:
    """A finished compression.

    recipe, data_path, options   what it was made from
    outcome             the job's outcome; its file lies in the session's work folder
    exported            where the person saved it last, or None
    trained             how it was trained after it was compressed ("20 epochs, the best was 14"), or ""
    """

    recipe: Recipe
    data_path: Path | None
    options: DataOptions
    outcome: CompressOutcome
    exported: Path | None = None
    trained: str = ""

    def made_with(self, data: DataState) -> bool:
        """Whether it was measured on what is loaded now, read the same way and by the same metric."""
        return (self.data_path, self.options) == (data.path, data.options)

    def same_numbers(self, data: DataState) -> bool:
        """Whether the model got the numbers that it would get now; the metric has no part in errors of layers."""
        return data.read_as == (self.data_path, self.options.preprocessing)

    @cached_property
    def layers(self) -> dict[str, LayerResult]:
        return {layer.name: layer for layer in self.outcome.layers}

    @cached_property
    def trouble(self) -> tuple[str, ...]:
        """What the plan asked for in the graph and could not have, a sentence each: graph steps, then channel cuts."""
        from core.rewriting.rewrite import channel_step

        steps = list(self.outcome.report.trouble)
        for layer in self.outcome.layers:
            step = channel_step(self.recipe.steps_for(layer.name))
            why = (layer.note or layer.skipped).partition(_UNCUT)[2]
            if step is not None and why:
                steps.append(f"{layer.name}: {step.label()}: {why}")
        return tuple(steps)

    @property
    def trouble_words(self) -> str:
        """The same in one sentence, or ""."""
        found = self.trouble
        if not found:
            return ""
        if len(found) == 1:
            return f"One step was not done: {found[0].rstrip('.')}."
        return f"{len(found)} steps were not done; the first: {found[0].rstrip('.')}."

    @cached_property
    def live(self) -> dict[str, float]:
        """Layer name -> SQNR in dB at its own output when it alone is compressed, where it was measured."""
        return {one.name: one.isolated_sqnr_db for one in self.outcome.live if one.isolated_sqnr_db is not None}
