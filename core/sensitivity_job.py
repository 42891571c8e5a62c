"""The sensitivity table as a job: the command line and the window's worker process run the same."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from core.data.options import DEFAULT_OPTIONS, DataOptions
from core.progress import SILENT, Reporter

if TYPE_CHECKING:
    from core.analysis.sensitivity.cells import Sensitivity
    from core.recipe import Step

LEVELS = ("free", "fast", "measured")
"""The tiers by name, in their order."""


@dataclass(frozen=True)
class SensitivitySpec:
    """Which table of which model.

    data_path   samples; may be None at level "free"
    level       "free", "fast" or "measured" (`cells.Tier`)
    settings    columns of the table; () means `settings.default_settings`
    everything  at level "measured": measure every cell, not only those that a plan would choose from
    samples     to use at most; None means `table.SAMPLES`
    cache       folder to keep tables in; None: the person's own
    options     how the data is read
    """

    model_path: str
    data_path: str | None = None
    level: str = "fast"
    settings: tuple[tuple[Step, ...], ...] = ()
    everything: bool = False
    samples: int | None = None
    seed: int = 0
    cache: str | None = None
    options: DataOptions = DEFAULT_OPTIONS


def measure_sensitivity(spec: SensitivitySpec, reporter: Reporter = SILENT) -> Sensitivity:
    """The table. Parts of the progress are `cells.LayerCells`.

    Raises ParameterError for an unknown level or no samples, DataError and ModelFileError as `table.sensitivity` does,
    and Cancelled.
    """
    from core.analysis.sensitivity.cells import Tier
    from core.analysis.sensitivity.table import SAMPLES, Asked, sensitivity
    from core.data import load_samples
    from core.errors import ModelFileError, ParameterError
    from core.model.readers import open_model

    if spec.level not in LEVELS:
        raise ParameterError(f"there is no level {spec.level!r}", do=f"give one of {', '.join(LEVELS)}")
    if spec.samples is not None and spec.samples < 1:
        raise ParameterError(f"the number of samples is {spec.samples}", do="give at least 1")
    model = open_model(spec.model_path, reporter.part(0.0, 0.02))
    if not model.layers:
        raise ModelFileError(
            "no weights were found in this model", where=model.name, do="choose a model that stores its weights"
        )
    samples = None
    if spec.data_path is not None:
        samples = load_samples(spec.data_path, model.inputs, options=spec.options)
    tier = Tier(LEVELS.index(spec.level))
    asked = Asked(tier, spec.settings, spec.everything, spec.samples or SAMPLES, spec.seed)
    cache = None if spec.cache is None else Path(spec.cache)
    found = sensitivity(model, samples, asked, reporter=reporter.part(0.02, 1.0), cache=cache)
    return found if samples is None else replace(found, notes=tuple(dict.fromkeys((*samples.notes, *found.notes))))
