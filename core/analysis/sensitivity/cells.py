"""What a sensitivity table holds: one cell for each layer and setting. Frozen values only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from functools import cached_property
from typing import Any

from core.analysis.metrics import json_number
from core.methods import registry
from core.methods.params import build, to_dict
from core.recipe import Step

Setting = tuple[Step, ...]
"""The steps that one layer gets, in order."""


class Tier(IntEnum):
    """How a cell's error was found; a higher tier is nearer to the truth and takes longer."""

    FREE = 0
    """No data: relative error of the weight, |changed - original|^2 / |original|^2."""
    FAST = 1
    """Predicted output divergence, from gradients of one pass over the samples."""
    MEASURED = 2
    """Output divergence with this layer alone compressed."""


class Measure(StrEnum):
    """What the error of a cell is, in tiers 1 and 2."""

    KL = "kl"
    """Kullback-Leibler divergence of the class scores in nats, mean over rows and samples."""
    SQUARED = "squared"
    """Squared error of the float outputs / their sum of squares, mean over the outputs."""
    WEIGHT = "weight"
    """Relative squared error of the weight: all that is known without data."""


@dataclass(frozen=True)
class Cell:
    """One layer with one setting.

    bytes          that the layer then takes in the file, constants that it shares with others included
    error          see `Tier` and `Measure`; never negative, inf when the changed output is not finite
    tier           0, 1 or 2 (`Tier`)
    multiply_adds  of one run of the layer with this setting; None when not known
    milliseconds   of one run of the layer with this setting; None when not measured
    """

    layer: str
    steps: Setting
    bytes: int
    error: float
    tier: int
    multiply_adds: int | None = None
    milliseconds: float | None = None

    @property
    def label(self) -> str:
        """The setting in two or three words: "prune 50 %, int4"."""
        return setting_label(self.steps)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; an error that is not finite is null."""
        return {
            "layer": self.layer, "setting": self.label, "steps": steps_data(self.steps), "bytes": self.bytes,
            "error": json_number(self.error) if self.error != float("inf") else None, "tier": int(self.tier),
            "multiply_adds": self.multiply_adds, "milliseconds": self.milliseconds,
        }  # fmt: skip


@dataclass(frozen=True)
class Skip:
    """A layer (with `steps`: one setting of it) that has no cell, or none of the tier asked for; `reason` is a clause.

    steps  () when no setting of the layer can be had
    """

    layer: str
    steps: Setting
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"layer": self.layer, "setting": setting_label(self.steps), "reason": self.reason}


@dataclass(frozen=True)
class LayerCells:
    """The cells of one layer: what `Reporter.tell` is given as each layer is done, once for each tier that it has.

    measure  what errors of tiers 1 and 2 are (`Measure`), as far as that is known yet
    """

    layer: str
    cells: tuple[Cell, ...]
    skipped: tuple[Skip, ...] = ()
    measure: str = "weight"


@dataclass(frozen=True)
class Sensitivity:
    """The cells of a model.

    samples      how many samples the errors come from; 0 at tier 0
    measure      what errors of tiers 1 and 2 are (`Measure`); "weight" when all cells are of tier 0
    cells        layer by layer in the model's order, settings in the order asked for; at most one of each
    skipped      what has no cell, and why; cells of a lower tier than asked for may be among them
    layer_bytes  (layer, bytes in the file as it is now) of every layer that is not locked
    notes        sentences that a person should know
    """

    model_sha256: str
    samples: int
    measure: str
    cells: tuple[Cell, ...]
    skipped: tuple[Skip, ...] = ()
    layer_bytes: tuple[tuple[str, int], ...] = ()
    notes: tuple[str, ...] = ()
    seconds: float = field(default=0.0, compare=False)

    @cached_property
    def by_layer(self) -> dict[str, tuple[Cell, ...]]:
        """Cells of each layer that has any, in order."""
        found: dict[str, list[Cell]] = {}
        for cell in self.cells:
            found.setdefault(cell.layer, []).append(cell)
        return {name: tuple(cells) for name, cells in found.items()}

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "model_sha256": self.model_sha256, "samples": self.samples, "measure": self.measure,
            "cells": [cell.to_dict() for cell in self.cells], "skipped": [skip.to_dict() for skip in self.skipped],
            "layer_bytes": dict(self.layer_bytes), "notes": list(self.notes), "seconds": self.seconds,
        }  # fmt: skip


def setting_label(steps: Setting) -> str:
    """The setting in a few words: "prune 50 %, int4"; "" without steps."""
    return ", ".join(step.label() for step in steps)


def steps_data(steps: Setting) -> list[dict[str, Any]]:
    """The steps as plain values; `steps_from_data` gives them back."""
    return [{"method": step.method, "params": to_dict(step.params, all_values=True)} for step in steps]


def steps_from_data(data: Sequence[dict[str, Any]]) -> Setting:
    """Steps from `steps_data`. Raises KeyError for a method that is not there, ParameterError for bad parameters."""
    return tuple(Step(item["method"], build(registry.by_key(item["method"]).Params, item["params"])) for item in data)
