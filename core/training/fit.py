"""Compress a model by a recipe and train what is stored: a fine-tuning without files, for jobs that train many."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.errors import ModelFileError
from core.methods import registry
from core.methods.base import Stage
from core.pipeline import Compression, compress
from core.preparing import prepare, works_from_samples
from core.progress import SILENT, Reporter
from core.training.loop import TrainingResult, train
from core.training.schedule import make_schedule, steps_title
from core.training.settings import DEFAULT_TRAINING, LABELS, TrainingSettings
from core.training.student import Student
from core.training.teacher import ModelTeacher, Teacher

if TYPE_CHECKING:
    from core.data.samples import Samples
    from core.model.model import Model
    from core.recipe import Recipe, Step

Array = np.ndarray[Any, np.dtype[Any]]

CALIBRATION_SAMPLES = 64
"""Samples that steps work from when no others are given, as without training."""
COMPRESSING = 0.05
"""Of the progress."""


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
    keep: Collection[str] = (),
    folder: Path | None = None,
    resume: bool = False,
    title: str = "",
    run: str = "",
    reporter: Reporter = SILENT,
) -> Fitted:
    """Compress by the recipe, then train by the settings, their stages and sparsity schedule included.

    teacher      None: the model itself, where the loss or the metric asks for the original's answers
    calibration  for steps that work from samples; None: some of `samples`
    keep         layers that are not trained (`Student`)
    folder       for checkpoints, a folder of this training alone; `resume` without one in it begins at the start

    Errors as of `pipeline.compress` and `loop.train`; missing operators are named before anything is compressed.
    """
    refuse_missing(model)
    lesson = None if settings.loss == LABELS and samples.labels is not None else (teacher or ModelTeacher(model))
    working = prepared = None
    if works_from_samples(model, recipe):
        working = calibration or samples.subset(CALIBRATION_SAMPLES, settings.seed)
    compression = compress(model, recipe, reporter.part(0.0, COMPRESSING), seed=settings.seed, samples=working)
    student = Student(model, compression, keep=keep, dropout=settings.dropout)
    rewritten = compression.rewriting.model
    steps = {
        result.name: weight_steps for result in compression.layers
        if result.encoding is not None and (weight_steps := _of_weights(recipe.steps_for(result.name)))
        and result.name not in keep
    }  # fmt: skip
    schedule = make_schedule(rewritten, steps, settings, lambda name, chosen: (None, ""))
    if schedule is not None and working is not None:  # its steps are applied again while training
        prepared = prepare(model, recipe, working, reporter.part(0.0, COMPRESSING), seed=settings.seed)
        schedule = make_schedule(rewritten, steps, settings, prepared.inputs)
    if schedule is not None:
        schedule.remember(student)
    result = train(
        student, samples, held_out, settings, teacher=lesson, sample_weights=sample_weights, restage=schedule,
        metadata=model.metadata, folder=folder, resume=resume, title=title or _title(model, recipe), run=run,
        stage=steps_title(step for chosen in steps.values() for step in chosen),
        reporter=reporter.part(COMPRESSING, 1.0),
    )  # fmt: skip
    return Fitted(compression, student, replace(result, notes=(*student.notes, *result.notes)))


def refuse_missing(model: Model) -> None:
    """Raise ModelFileError naming the operators of a model that torch does not run."""
    from core.interpreter.module import missing_operators

    lacking = missing_operators(model.graph())
    if lacking:
        raise ModelFileError(
            f"training does not know the operator{'s' * (len(lacking) > 1)} {', '.join(lacking)}", where=model.name,
            do="compress it without training",
        )  # fmt: skip


def _of_weights(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """The steps that are applied to a weight: channels are cut before, once."""
    return tuple(step for step in steps if registry.by_key(step.method).stage is Stage.WEIGHTS)


def _title(model: Model, recipe: Recipe) -> str:
    return f"{model.name}, trained" if recipe.does_nothing else f"{model.name}, compressed and trained"
