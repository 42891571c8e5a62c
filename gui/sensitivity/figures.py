"""Sensitivity cells as arrays: thousands of cells cross from the worker process and are drawn without one object each.

No Qt. Rows are layers in the model's order, columns are settings.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from core.analysis.sensitivity.cells import LayerCells, Setting

Array = np.ndarray[Any, np.dtype[Any]]
NO_CELL = -1
"""Tier of a place in the table where there is no cell."""
WHOLE_LAYER = -1
"""Column of a reason that is about all settings of a layer."""


@dataclass(frozen=True, eq=False)
class Figures:
    """Cells of some layers.

    names          (n,) layers
    nbytes         (n, settings) float64; NaN where there is no cell, as in the next two
    errors         (n, settings) float64; inf when the changed output is not finite
    multiply_adds  (n, settings) float64; NaN also where it is not known
    tiers          (n, settings) int8, `NO_CELL` where there is none
    reasons        (row, column or `WHOLE_LAYER`, clause): why there is no cell, or none of the tier asked for
    measure        what errors of tiers 1 and 2 are (`cells.Measure`)
    """

    names: tuple[str, ...]
    nbytes: Array
    errors: Array
    multiply_adds: Array
    tiers: Array
    reasons: tuple[tuple[int, int, str], ...]
    measure: str


@dataclass(frozen=True)
class Made:
    """What a finished table says as a whole.

    samples  0 when no data was used
    seconds  that making it took, when it was made
    notes    sentences that a person should know
    """

    model_sha256: str
    measure: str
    samples: int
    seconds: float
    notes: tuple[str, ...]


def pack(found: Sequence[LayerCells], settings: Sequence[Setting]) -> Figures:
    """The cells of these layers as arrays."""
    column = {steps: index for index, steps in enumerate(settings)} | {(): WHOLE_LAYER}
    shape = (len(found), len(settings))
    nbytes, errors, counts = (np.full(shape, np.nan) for _ in range(3))
    tiers = np.full(shape, NO_CELL, np.int8)
    reasons: list[tuple[int, int, str]] = []
    for row, layer in enumerate(found):
        for cell in layer.cells:
            at = row, column[cell.steps]
            nbytes[at], errors[at], tiers[at] = cell.bytes, cell.error, cell.tier
            if cell.multiply_adds is not None:
                counts[at] = cell.multiply_adds
        reasons += [(row, column[skip.steps], skip.reason) for skip in layer.skipped]
    measure = next((layer.measure for layer in reversed(found)), "weight")
    return Figures(tuple(layer.layer for layer in found), nbytes, errors, counts, tiers, tuple(reasons), measure)


class Grid:
    """The table as far as it is known: figures of all layers of a model. Filled row by row.

    names     (layers,) in the model's order
    settings  columns
    filled    (layers,) bool: which layers have any cell
    """

    def __init__(self, names: Sequence[str], settings: Sequence[Setting]) -> None:
        self.names, self.settings = tuple(names), tuple(settings)
        self.measure = "weight"
        self._row = {name: index for index, name in enumerate(self.names)}
        shape = (len(self.names), len(self.settings))
        self.nbytes, self.errors, self.multiply_adds = (np.full(shape, np.nan) for _ in range(3))
        self.tiers = np.full(shape, NO_CELL, np.int8)
        self.filled = np.zeros(shape[0], bool)
        self._reasons: dict[tuple[int, int], str] = {}

    def row(self, name: str) -> int:
        """Row of a layer, -1 when it is not of this model."""
        return self._row.get(name, -1)

    def put(self, figures: Figures) -> tuple[str, ...]:
        """Take figures over those there are; returns the names of the layers that were among this model's."""
        known = [(at, self._row[name]) for at, name in enumerate(figures.names) if name in self._row]
        if not known:
            return ()
        places, rows = (np.array(side) for side in zip(*known, strict=True))
        self.nbytes[rows], self.errors[rows] = figures.nbytes[places], figures.errors[places]
        self.multiply_adds[rows], self.tiers[rows] = figures.multiply_adds[places], figures.tiers[places]
        self.filled[rows] = (figures.tiers[places] >= 0).any(axis=1)
        if figures.measure != "weight":
            self.measure = figures.measure
        into: Mapping[int, int] = dict(known)
        for at, column, reason in figures.reasons:
            if at in into:
                self._reasons[into[at], column] = reason
        return tuple(figures.names[at] for at, _ in known)

    def reason(self, row: int, column: int) -> str:
        """Why there is no cell, or why it is not of the tier that was asked for; "" when there is nothing to say."""
        return self._reasons.get((row, column)) or self._reasons.get((row, WHOLE_LAYER), "")

    def counts(self) -> tuple[int, int, int]:
        """How many cells there are of tiers 0, 1 and 2."""
        found = np.bincount(self.tiers[self.tiers >= 0].astype(np.int64), minlength=3)
        return int(found[0]), int(found[1]), int(found[2])


def by_reason(reasons: Iterable[str]) -> dict[str, int]:
    """How often each reason is given, the most frequent first."""
    counted: dict[str, int] = {}
    for reason in reasons:
        counted[reason] = counted.get(reason, 0) + 1
    return dict(sorted(counted.items(), key=lambda item: -item[1]))
