"""Compress a model by a recipe and train what is stored: a fine-tuning without files, for jobs that train many."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.progress import SILENT, Reporter
from core.training.loop import TrainingResult
from core.training.settings import DEFAULT_TRAINING, TrainingSettings
from core.training.teacher import Teacher

if TYPE_CHECKING:
    from core.data.samples import Samples
    from core.model.model import Model
    from core.pipeline import Compression
    from core.recipe import Recipe
    from core.training.student import Student

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Fitted:
    """A trained model in memory; `exporting.export_trained(model, compression, student.trained(), ...)` writes it.

    compression  what the recipe made of the model before training (its encodings are the untrained ones)
    """

    compression: Compression
    student: Student
    result: TrainingResult


def fit(
    model: Model,
    recipe: Recipe,
    samples: Samples,
    held_out: Samples | None,
    settings: TrainingSettings = DEFAULT_TRAINING,
    *,
    teacher: Teacher | None = None,
    sample_weights: Array | None = None,
    calibration: Samples | None = None,
    folder: Path | None = None,
    resume: bool = False,
    title: str = "",
    run: str = "",
    reporter: Reporter = SILENT,
) -> Fitted:
    """Compress by the recipe, then train by the settings, their stages and sparsity schedule included.

    teacher      None: the model itself, where the loss asks for one
    calibration  for steps that work from samples; None: some of `samples`

    Errors as of `pipeline.compress` and `loop.train`.
    """
    raise NotImplementedError
