"""Which settings a sensitivity table tries: read from the grids that methods declare of their parameters."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from core.analysis.sensitivity.cells import Setting
from core.methods import registry
from core.methods.base import Described, Stage
from core.methods.params import specs
from core.recipe import Step

PRUNE_RATIOS = (0.5, 0.7, 0.9)
LOW_RANK_SHARES = (0.5, 0.25)


def default_settings() -> tuple[Setting, ...]:
    """Twelve settings that need no samples, mildest of each kind first.

    float16; quantize to 8, 6, 5, 4, 3, 2 bits; prune 50, 70, 90 %; low rank with half and a quarter of the numbers.
    """
    return (
        (Step.make("float16"),),
        *_along("quantize", "bits"),
        *_along("prune", "ratio", PRUNE_RATIOS),
        *_along("low_rank", "share", LOW_RANK_SHARES),
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


def _along(word: str, parameter: str, only: Collection[Any] = ()) -> tuple[Setting, ...]:
    """The default method of a word along the declared grid of one parameter; `only` picks values of the grid."""
    method = registry.find(word)
    grid = next(spec.grid for spec in specs(method.Params) if spec.name == parameter)
    values = [value for value in grid if not only or value in only]
    return tuple((Step.make(method.key, **{parameter: value}),) for value in values)


def _first_grid(method: Described) -> tuple[Setting, ...]:
    declared = specs(method.Params)
    defaults = {spec.name: spec.default for spec in declared}
    for spec in declared:
        if spec.grid and spec.active(defaults):
            return tuple((Step.make(method.key, **{spec.name: value}),) for value in spec.grid)
    return ((Step.make(method.key),),)
