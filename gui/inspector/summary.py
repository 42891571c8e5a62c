"""What the inspector shows of a selection, worked out from frozen values. No Qt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.model.layer import Layer
from core.model.model import Model
from core.recipe import Recipe, Step
from gui.layers.rows import short_name
from gui.units import TIMES, file_size

if TYPE_CHECKING:
    from core.analysis.preview import LayerPreview


@dataclass(frozen=True)
class Variant:
    """Steps that some of the selected layers have in common."""

    steps: tuple[Step, ...]
    layers: tuple[str, ...]

    def words(self) -> str:
        """The steps as the plan column writes them."""
        return plan_words(self.steps)


@dataclass(frozen=True)
class Summary:
    """The selection in words.

    title      what the layer is called, as in the table, or "12 layers"
    facts      kind, shape, weights, size, share of the file
    locked     why nothing can be done to any of the layers, or ""
    variants   the different steps of the layers, the most frequent first; one when all have the same
    """

    layers: tuple[Layer, ...]
    title: str
    facts: str
    locked: str
    variants: tuple[Variant, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(layer.name for layer in self.layers)

    @property
    def steps(self) -> tuple[Step, ...] | None:
        """The steps of all layers when they have the same, else None."""
        return self.variants[0].steps if len(self.variants) == 1 else None


def summarize(model: Model | None, recipe: Recipe | None, names: Sequence[str]) -> Summary | None:
    """The selection's summary; None without a model or a selection."""
    if model is None or recipe is None or not names:
        return None
    layers = tuple(model.layer(name) for name in names)
    by_steps: dict[tuple[Step, ...], list[str]] = {}
    for layer in layers:
        by_steps.setdefault(recipe.steps_for(layer.name), []).append(layer.name)
    ordered = sorted(by_steps.items(), key=lambda item: -len(item[1]))
    variants = tuple(Variant(steps, tuple(which)) for steps, which in ordered)
    locked = layers[0].locked if all(layer.locked for layer in layers) else ""
    title = short_name(layers[0]) if len(layers) == 1 else f"{len(layers):,} layers"
    return Summary(layers, title, _facts(layers, model.file_bytes), locked, variants)


def _facts(layers: Sequence[Layer], file_bytes: int) -> str:
    size = sum(layer.nbytes for layer in layers)
    weights = sum(layer.n_weights for layer in layers)
    share = f" · {share_words(size / file_bytes)} of the file" if file_bytes else ""
    if len(layers) == 1:
        what = f"{layers[0].kind} {shape_words(layers[0].shape)}"
    else:
        what = ", ".join(f"{n} {kind}" for kind, n in Counter(str(layer.kind) for layer in layers).most_common())
    return f"{what} · {weights:,} weight{'' if weights == 1 else 's'} · {file_size(size)}{share}"


def shape_words(shape: Sequence[int]) -> str:
    """A shape as "512×256×1×1"; a scalar as "scalar"."""
    return TIMES.join(map(str, shape)) or "scalar"


def share_words(share: float) -> str:
    """A share as "12 %", "0.4 %" or "< 0.1 %"; "0 %" only for exactly zero."""
    if share in (0.0, 1.0):
        return f"{100 * share:.0f} %"
    if 0 < share < 0.0005:
        return "< 0.1 %"
    return f"{100 * share:.{0 if share >= 0.0995 else 1}f} %"


def level_words(preview: LayerPreview, steps: Sequence[Step]) -> str:
    """How many values the weights can take: "16 levels", or "4 levels + zero" when pruning adds the zero."""
    if preview.levels is None:
        return ""
    count = len(preview.levels)
    codes = [2**step.params.bits for step in steps if hasattr(step.params, "bits")]
    if codes and count == codes[-1] + 1 and 0.0 in preview.levels:
        return f"{codes[-1]:,} levels + zero"
    return f"{count:,} level{'' if count == 1 else 's'}"


def plan_words(steps: Sequence[Step]) -> str:
    """Steps as the plan column writes them: "prune 60 % + int4", "keep"."""
    return " + ".join(step.label() for step in steps) or "keep"


def similar(summary: Summary, layers: Sequence[Layer]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Sets of layers that the selection's steps could go to, the closest first: words and names, selection included.

    1. same kind and shape, 2. same kind, 3. all that can be compressed. Sets that add nothing to the one before are
    left out.
    """
    kinds = {layer.kind for layer in summary.layers}
    shapes = {layer.shape for layer in summary.layers}
    kind_words = " and ".join(sorted(kinds))
    free = [layer for layer in layers if not layer.locked]
    wanted = (
        (f"{kind_words} layers of this shape", [x for x in free if x.kind in kinds and x.shape in shapes]),
        (f"All {kind_words} layers", [x for x in free if x.kind in kinds]),
        ("All layers", free),
    )
    out, before = [], len(summary.layers)
    for words, found in wanted:
        if len(found) > before:
            out.append((words, tuple(layer.name for layer in found)))
            before = len(found)
    return tuple(out)
