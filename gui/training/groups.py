"""Which settings of a training belong together, and starting points for common aims. Everything else of the form comes
from the settings' own declarations.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

BASICS = ("epochs", "batch", "learning_rate", "loss", "stages", "sparsity", "rounds")
"""What a person would try first; shown at once."""
MORE: Mapping[str, tuple[str, ...]] = {
    "Against overfitting": ("held_out", "patience", "weight_decay", "l1", "dropout", "augmentation", "label_smoothing",
                            "class_weights"),
    "Learning from the original": ("temperature", "distill_share", "features"),
    "Steps of the optimiser": ("optimiser", "momentum", "schedule", "warmup", "clip_norm", "seed"),
}  # fmt: skip
"""The rest, by headings. A setting that is in none of these comes under the last one."""


@dataclass(frozen=True)
class Preset:
    """A starting point.

    values  settings that differ from their defaults
    """

    title: str
    hint: str
    values: Mapping[str, Any] = field(default_factory=dict)


PRESETS = (
    Preset("Quick recovery", "A few epochs from labels and the original's answers: for plans that lost a little",
           {"epochs": 8, "learning_rate": 5e-4}),
    Preset("Deep compression", "Prune along a curve, then quantize, training in between (Han et al., 2016): for plans "
           "that prune and quantize hard", {"epochs": 60, "stages": "in turn", "sparsity": "cubic", "patience": 20}),
    Preset("Distil without labels", "Only from the original's answers: for samples without labels",
           {"epochs": 12, "loss": "distill", "learning_rate": 5e-4}),
)  # fmt: skip


def grouped(names: list[str]) -> dict[str, tuple[str, ...]]:
    """All of `names` by heading, "" for the basics; each exactly once."""
    found = {"": tuple(name for name in BASICS if name in names)}
    found |= {title: tuple(name for name in group if name in names) for title, group in MORE.items()}
    placed = {name for group in found.values() for name in group}
    last = list(found)[-1]
    found[last] += tuple(name for name in names if name not in placed)
    return found
