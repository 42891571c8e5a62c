"""Which settings a sensitivity table tries: a dozen for a person to look at, or the grids that methods declare."""

from __future__ import annotations

from collections.abc import Collection

from core.analysis.sensitivity.cells import Setting
from core.methods import registry
from core.methods.base import Described, Stage
from core.methods.params import specs
from core.recipe import Step

BITS = (8, 6, 4, 3, 2)
PRUNE_RATIOS = (0.3, 0.5, 0.7, 0.9)
LOW_RANK_SHARES = (0.5, 0.25)
DCT_SHARE = 0.5


def default_settings() -> tuple[Setting, ...]:
    """Thirteen settings that need no samples, of every family that works on weights, mildest of each kind first.

    float16; quantize to 8, 6, 4, 3, 2 bits; prune 30, 50, 70, 90 %; low rank with half and a quarter of the numbers;
    cosine transform that keeps half of the coefficients.
    """
    return (
        (Step.make("float16"),),
        *((Step.make("quantize", bits=bits),) for bits in BITS),
        *((Step.make("prune", ratio=ratio),) for ratio in PRUNE_RATIOS),
        *((Step.make("low_rank", share=share),) for share in LOW_RANK_SHARES),
        (Step.make("filter:dct", by="share", share=DCT_SHARE),),
    )


def family_settings(families: Collection[str] = ()) -> tuple[Setting, ...]:
    """Settings of every method that works on weights, of these families (all when none are named).

    Each method with its defaults otherwise, along the first grid that means anything with them; a method without a grid
    has one setting.
    """
    chosen = [
        method
        for method in registry.all_methods()
        if method.stage is Stage.WEIGHTS and (not families or method.family in families)
    ]
    return tuple(setting for method in chosen for setting in _first_grid(method))


def _first_grid(method: Described) -> tuple[Setting, ...]:
    declared = specs(method.Params)
    defaults = {spec.name: spec.default for spec in declared}
    for spec in declared:
        if spec.grid and spec.active(defaults):
            return tuple((Step.make(method.key, **{spec.name: value}),) for value in spec.grid)
    return ((Step.make(method.key),),)
