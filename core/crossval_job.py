"""The job of a cross-validation, for the command line and the window's training process: kept fold by fold."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from core.analysis.task_metrics.base import Unit
from core.data.keeping import options_dict, options_from
from core.data.options import DEFAULT_OPTIONS, DataOptions
from core.errors import DataError
from core.methods.params import build, to_dict
from core.progress import SILENT, Reporter
from core.runs.figures import DEVIATION, SCORE, SCORE_BEFORE, STANDARD_ERROR
from core.runs.recording import Recorder, recording
from core.runs.run import POINTS, Figure, Run, RunKind
from core.runs.store import RunStore
from core.training.crossval_result import CrossvalResult, FoldResult, Variant, result_from
from core.training.events import EpochDone
from core.training.settings import DEFAULT_TRAINING, TrainingSettings
from core.training.variants import PLAIN, Trial, regularisations

if TYPE_CHECKING:
    from core.data.samples import Samples
    from core.model.model import Model

FOLDS = 5


@dataclass(frozen=True)
class CrossvalSpec:
    """What to cross-validate, and how.

    recipe_text  as YAML; "" trains the model as it is stored
    settings     of the base; its seed also decides the folds
    variants     the base first, then what is compared with it (`training.variants`)
    every        compare every way to regularise that fits the data, each alone, against none; `variants` do not count
    options      how the data is read, and the metric
    runs_folder  where runs are kept (`core.runs`); None: this one is not
    parent_run   id of the run that this one branches from, or None
    resume       id of an interrupted run to go on with, or None; `spec_of` makes its spec again
    """

    model_path: str
    recipe_text: str
    data_path: str
    settings: TrainingSettings = DEFAULT_TRAINING
    folds: int = FOLDS
    variants: tuple[Variant, ...] = (PLAIN,)
    every: bool = False
    options: DataOptions = DEFAULT_OPTIONS
    runs_folder: str | None = None
    parent_run: str | None = None
    resume: str | None = None


@dataclass(frozen=True)
class CrossvalOutcome:
    """What came of it.

    curves  learning curves by the name of their series (`crossval_result.series_name`), of all folds
    run     id of its run, "" when none is kept
    notes   what could not be kept, a sentence each
    """

    result: CrossvalResult
    curves: Mapping[str, tuple[EpochDone, ...]] = field(repr=False)
    seconds: float
    run: str = ""
    notes: tuple[str, ...] = ()


def crossval_file(spec: CrossvalSpec, reporter: Reporter = SILENT) -> CrossvalOutcome:
    """Train a recipe once a fold and variant and measure each on samples that it never saw; no file is written.

    Parts of the progress are those of `loop.train`, and the `CrossvalResult` so far after each fold. Each fold that is
    done is kept at once; a cancelled or interrupted run goes on behind it. Raises FeatherweightError kinds.
    """
    from core.data import load_samples
    from core.model.readers import open_model
    from core.recipe import Recipe
    from core.training.crossval import cross_validate

    model = open_model(spec.model_path)
    recipe = Recipe.parse(spec.recipe_text, model=model) if spec.recipe_text.strip() else Recipe()
    samples = load_samples(spec.data_path, model.inputs, options=spec.options)
    trial = _trial(spec, samples)
    curves: dict[str, list[EpochDone]] = {}
    with _recorded(spec, trial, model, samples) as run:

        def watch(part: Reporter, series: str) -> Reporter:
            heard = run.reporter(part, series)
            return heard.heard_by(lambda told: _collect(curves, told.part, series))

        result = cross_validate(
            model, recipe, samples, trial, folds=spec.folds, done=_done(run),
            folder=run.checkpoints, run=run.id, watch=watch, on_fold=lambda so_far: _keep(run, so_far, samples),
            reporter=reporter,
        )  # fmt: skip
    kept = RunStore(spec.runs_folder).curves(run.id) if spec.runs_folder and run.id else {}
    told = {name: tuple(points) for name, points in curves.items()}
    # the kept curves have those before an interruption as well; a disk that was full may lack some
    both = kept if set(told) <= set(kept) else {**kept, **told}
    return CrossvalOutcome(result, dict(both), sum(f.seconds for f in result.folds), run.id, run.trouble)


def spec_of(store: RunStore, run: Run) -> CrossvalSpec:
    """The description of a run again: to go on with it, or to branch from it. DataError when it cannot be read."""
    if run.kind is not RunKind.CROSSVAL:
        raise DataError(f"it is no cross-validation but a {run.kind.words.lower()}", where=run.id)
    options = options_from(dict(run.options))
    try:
        folds = int(run.details["folds"])
        variants = tuple(Variant(str(v["words"]), dict(v["changes"])) for v in run.details["variants"])
        data = run.data["data"]
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"what it was set to is damaged ({error})", where=run.id) from error
    if options is None or not variants:
        raise DataError("what it was set to is damaged", where=run.id)
    settings = build(TrainingSettings, dict(run.settings))
    return CrossvalSpec(
        run.model_path, run.recipe_text, data, settings, folds, variants, False, options,
        str(store.folder), run.parent or None,
    )  # fmt: skip


def result_of(run: Run) -> CrossvalResult | None:
    """What a run of this kind gave so far; None when no fold is done. Raises DataError when it is damaged."""
    return result_from(run.details["result"]) if "result" in run.details else None


def _trial(spec: CrossvalSpec, samples: Samples) -> Trial:
    if not spec.every:
        return Trial(spec.settings, spec.variants)
    from core.training.augment import takes_pictures
    from core.training.feeding import batch

    return regularisations(spec.settings, pictures=takes_pictures(batch(samples, np.arange(1))))


def _recorded(
    spec: CrossvalSpec, trial: Trial, model: Model, samples: Samples
) -> contextlib.AbstractContextManager[Recorder]:
    store = RunStore(spec.runs_folder) if spec.runs_folder else None
    if store is not None and spec.resume:
        _check_same(store.get(spec.resume), model, samples)
    variants = [{"words": variant.words, "changes": dict(variant.changes)} for variant in trial.variants]
    several = f", {len(variants) - 1} compared" if len(variants) > 1 else ""
    return recording(
        store, kind=RunKind.CROSSVAL, title=f"{model.name}: {spec.folds} folds{several}", model_path=spec.model_path,
        model_sha256=model.sha256, recipe_text=spec.recipe_text, settings=to_dict(trial.base, all_values=True),
        data={"data": spec.data_path}, options=options_dict(spec.options), seed=spec.settings.seed,
        parent=spec.parent_run, resume=spec.resume,
        details={"folds": spec.folds, "variants": variants, "samples": samples.n},
    )  # fmt: skip


def _check_same(run: Run, model: Model, samples: Samples) -> None:
    """Refuse to mix folds of different models or data."""
    if run.model_sha256 != model.sha256:
        raise DataError("the model has changed since this run began", where=run.model_path, do="begin a new one")
    if run.details.get("samples") != samples.n:
        raise DataError("the data has changed since this run began", where=samples.source, do="begin a new one")


def _done(run: Recorder) -> tuple[FoldResult, ...]:
    """Folds that were done before an interruption."""
    before = result_of(run.run) if run.run is not None and run.resumed else None
    return before.folds if before is not None else ()


def _collect(curves: dict[str, list[EpochDone]], part: Any, series: str) -> None:
    if isinstance(part, EpochDone):
        curves.setdefault(series, []).append(part)


def _keep(run: Recorder, so_far: CrossvalResult, samples: Samples) -> None:
    """Keep what there is after a fold: the base's mean and spread are the run's figures."""
    spread, unit = so_far.spread(0), str(so_far.unit)
    apart = POINTS if so_far.unit is Unit.SHARE else unit
    on = f"{spread.n} folds of {samples.n:,} samples"
    run.details(result=so_far.to_dict())
    run.figures(
        Figure(SCORE_BEFORE, so_far.original.mean, unit, f"{so_far.metric} before", on=on),
        Figure(SCORE, spread.mean, unit, so_far.metric, on=on),
        Figure(DEVIATION, spread.deviation, apart, "standard deviation of a fold", on=on),
        Figure(STANDARD_ERROR, spread.error, apart, "standard error of the mean", on=on),
    )
