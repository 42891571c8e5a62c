"""A look at a training before it begins: what would be trained, what stays and why, and how long an epoch takes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from core.errors import DataError
from core.finetune_job import FinetuneSpec
from core.progress import SILENT, Reporter

if TYPE_CHECKING:
    from core.data.samples import Samples

STEPS = 4
"""Batches that are timed, after as many that are not: the first ones take longer."""


@dataclass(frozen=True)
class Probe:
    """What a few steps showed.

    seconds_an_epoch  of training and validation, from the few steps
    trained           values that change
    frozen            (layer, reason) that keep their stored values
    notes             sentences of the student ("samples run one at a time: ...")
    """

    seconds_an_epoch: float
    trained: int
    frozen: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]


def probe_training(spec: FinetuneSpec, reporter: Reporter = SILENT) -> Probe:
    """Compress as the job would and train a few batches; nothing is written.

    Raises what `finetune_job.finetune_file` would before its first epoch: operators that torch does not run, data that
    does not fit, labels that are missing.
    """
    from core.data import load_samples
    from core.model.readers import open_model
    from core.recipe import Recipe
    from core.training.fit import fit

    model = open_model(spec.model_path)
    recipe = Recipe.parse(spec.recipe_text, model=model) if spec.recipe_text else Recipe(model_name=model.name)
    samples = load_samples(spec.data_path, model.inputs, options=spec.options)
    few, held = _few(samples, spec)
    # One stage of two epochs: schedules have no part in how long a step takes.
    short = replace(spec.settings, epochs=2, patience=0, warmup=0.0, stages="together", sparsity="at once")
    fitted = fit(model, recipe, few, held, short, calibration=few, reporter=reporter)
    share = few.n / max(samples.n * (1.0 if spec.valid_path else 1.0 - spec.settings.held_out), 1.0)
    trained = sum(parameter.numel() for group in fitted.student.groups().values() for parameter in group)
    seconds = fitted.result.curves[-1].seconds / max(share, 1e-9)
    return Probe(seconds, trained, fitted.student.frozen, fitted.student.notes)


def _few(samples: Samples, spec: FinetuneSpec) -> tuple[Samples, Samples]:
    """Samples for a few batches, and as large a share of them held out as the job holds out."""
    if samples.n < 2:
        raise DataError("one sample is too few to train on", where=samples.source, do="give more samples")
    batch = min(spec.settings.batch, max(samples.n // 2, 1))
    few, rest = samples.split(STEPS * batch, spec.settings.seed)
    return few, rest.subset(max(1, round(few.n * spec.settings.held_out)), spec.settings.seed)
