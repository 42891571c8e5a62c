"""The fine-tuning job that the command line and the window's training process both run."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from core.data.keeping import options_dict, options_from
from core.data.options import DEFAULT_OPTIONS, DataOptions
from core.errors import Cancelled, DataError, GateError, InternalError, ModelFileError
from core.jobs import CALIBRATION_SAMPLES, COMPARED_SAMPLES
from core.methods.params import build, to_dict
from core.progress import SILENT, Reporter
from core.training.events import EpochDone
from core.training.settings import DEFAULT_TRAINING, TrainingSettings

if TYPE_CHECKING:
    from core.analysis.comparison import Comparison
    from core.analysis.layer_error import LayerError
    from core.data.samples import Samples
    from core.exporting.report import ExportReport
    from core.model.model import Model
    from core.recipe import Recipe
    from core.runs.recording import Recorder
    from core.runs.run import Run
    from core.torch_files.exporting import TorchExport
    from core.training.fit import Fitted
    from core.training.loop import TrainingResult

NAMED = 3
"""Kinds of steps that a title names."""
COUNTED_TWICE = 100_000
"""Samples up to which it is looked for some that are used twice."""


@dataclass(frozen=True)
class FinetuneSpec:
    """What to fine-tune, how, and where to.

    recipe_text  as YAML; "" trains the model as it is stored
    data_path    samples to train on
    target       the ONNX file to write
    valid_path   samples to choose the best state by; None: some of `data_path` are held out (settings.held_out)
    test_path    samples to compare on; None: the held-out ones, on which the best state was chosen as well
    options      how all data is read, and the metric
    runs_folder  where runs are kept (`core.runs`); None: this one is not
    parent_run   id of the run that this one branches from, or None
    resume       id of an interrupted run to go on with, or None
    limit        samples to compare on
    passing      the target is a passing place: the run keeps a copy of the file instead of naming it
    torch_target  also write the trained weights there, for PyTorch (`core.torch_files.exporting`); None: not
    """

    model_path: str
    recipe_text: str
    data_path: str
    target: str
    settings: TrainingSettings = DEFAULT_TRAINING
    valid_path: str | None = None
    test_path: str | None = None
    options: DataOptions = DEFAULT_OPTIONS
    runs_folder: str | None = None
    parent_run: str | None = None
    resume: str | None = None
    limit: int = COMPARED_SAMPLES
    passing: bool = False
    torch_target: str | None = None


@dataclass(frozen=True)
class FinetuneOutcome:
    """What became of it.

    path        the file that was written
    report      of the export; its layers are those that were trained, without encodings
    comparison  original against trained, on `compared_on`
    curves      one point an epoch
    best_epoch  of the curves; 0 when the compressed model before training was the best
    stopped     why the training ended before its last epoch or gave nothing, and what to do; "" when all went well
    used        which samples were used for what, a sentence each
    frozen      (layer, reason) whose stored values were not trained
    run         id of its run, "" when none is kept
    untrained   original against compressed without training, on the same samples; None for an empty recipe, or where
                that file would not pass the gate
    accumulated error at each layer's output in the trained model
    torch       the weights that were written for PyTorch, or None
    """

    path: str
    report: ExportReport
    comparison: Comparison
    compared_on: str
    curves: tuple[EpochDone, ...]
    best_epoch: int
    stopped: str
    used: tuple[str, ...]
    frozen: tuple[tuple[str, str], ...]
    seconds: float
    run: str = ""
    notes: tuple[str, ...] = ()
    untrained: Comparison | None = None
    accumulated: tuple[LayerError, ...] = ()
    torch: TorchExport | None = None


def finetune_file(spec: FinetuneSpec, reporter: Reporter = SILENT) -> FinetuneOutcome:
    """Compress a model, train what is stored, export it through the gate, and compare it with the original.

    Parts of the progress are those of `loop.train`. Raises FeatherweightError kinds; the target is written whole or not
    at all. A cancelled training keeps its run, which can be resumed.
    """
    from core.runs.figures import result_figures
    from core.runs.recording import recording
    from core.runs.run import RunKind
    from core.runs.store import RunStore

    began = time.perf_counter()
    job = _opened(spec)
    store = None if spec.runs_folder is None else RunStore(spec.runs_folder)
    with recording(
        store, kind=RunKind.FINETUNE, title=_title(job), model_path=spec.model_path, model_sha256=job.model.sha256,
        recipe_text=spec.recipe_text, settings=to_dict(spec.settings, all_values=True),
        data={"train": spec.data_path, "valid": spec.valid_path or "", "test": spec.test_path or ""},
        options=options_dict(spec.options), seed=spec.settings.seed, parent=spec.parent_run, resume=spec.resume,
    ) as run:  # fmt: skip
        fitted = _fitted(spec, job, run, run.reporter(reporter.part(0.02, 0.8)))
        outcome = _written(spec, job, fitted, reporter.part(0.8, 1.0))
        run.figures(*result_figures(outcome.report, outcome.comparison))
        run.details(best_epoch=outcome.best_epoch, epochs=len(outcome.curves))
        run.result(spec.target, written=not spec.passing)
        if outcome.stopped:
            run.note(outcome.stopped)
        outcome = replace(outcome, run=run.id, notes=(*outcome.notes, *run.trouble))
    reporter.report(1.0, "Done")
    return replace(outcome, seconds=time.perf_counter() - began)


def spec_of(run: Run, target: str, runs_folder: str) -> FinetuneSpec:
    """The description of a run that stopped on the way, to go on with it. Raises DataError when it cannot be read."""
    from core.runs.run import RunKind

    if run.kind is not RunKind.FINETUNE:
        raise DataError(f"it is no fine-tuning but a {run.kind.words.lower()}", where=run.id)
    options = options_from(dict(run.options))
    if options is None or "train" not in run.data:
        raise DataError("what it was set to is damaged", where=run.id, do="begin a new run")
    return FinetuneSpec(
        run.model_path, run.recipe_text, run.data["train"], target, build(TrainingSettings, dict(run.settings)),
        run.data.get("valid"), run.data.get("test"), options, runs_folder, run.parent or None, run.id,
    )  # fmt: skip


@dataclass(frozen=True)
class _Job:
    """What a spec names, opened and checked.

    samples   to train on; `held` to choose the best state by; `tested` to compare on
    used      which samples are used for what
    """

    model: Model
    recipe: Recipe
    samples: Samples
    held: Samples
    tested: Samples
    used: tuple[str, ...]


def _opened(spec: FinetuneSpec) -> _Job:
    """Read everything and refuse what cannot be done, before any work."""
    from core.exporting.staging import check_distinct, check_target, files_read
    from core.model.readers import open_model
    from core.recipe import Recipe
    from core.training.fit import refuse_missing

    model = open_model(spec.model_path)
    read = files_read(spec.data_path, spec.valid_path, spec.test_path, options=spec.options)
    check_target(Path(spec.target), model.path, (*model.data_files, *read))
    if spec.torch_target is not None:
        from core.torch_files.exporting import check_torch_target

        check_torch_target(model, Path(spec.torch_target))
        check_target(Path(spec.torch_target), also_read=read)
        check_distinct(spec.target, spec.torch_target)
    if not model.layers:
        raise ModelFileError(
            "no weights were found in this model", where=model.name, do="choose a model that stores its weights"
        )
    refuse_missing(model)
    recipe = Recipe.parse(spec.recipe_text, model=model) if spec.recipe_text else Recipe(model_name=model.name)
    return _Job(model, recipe, *_data(spec, model, recipe))


def _data(spec: FinetuneSpec, model: Model, recipe: Recipe) -> tuple[Samples, Samples, Samples, tuple[str, ...]]:
    """Samples to train on, to choose by and to compare on, and what is used for what, in words."""
    from core.data import load_samples
    from core.preparing import works_from_samples
    from core.training.splits import check_apart, check_enough, hold_out, overlap

    check_apart(spec.data_path, spec.valid_path, spec.test_path)
    given, valid, test = (
        None if path is None else load_samples(path, model.inputs, options=spec.options)
        for path in (spec.data_path, spec.valid_path, spec.test_path)
    )
    if given is None:
        raise InternalError("a training without data")
    name = Path(given.source).name
    if valid is None:
        samples, held = hold_out(given, spec.settings.held_out, spec.settings.seed)
        learned = f"{samples.n:,} of {given.n:,} samples of {name}"
        used = [f"Trained on {learned}; the other {held.n:,} chose the best state."]
    else:
        samples, held = given, valid
        check_enough(samples)
        chose = f"{valid.n:,} of {Path(valid.source).name}"
        used = [f"Trained on {given.n:,} samples of {name}; {chose} chose the best state."]
        both = overlap(given, valid) if given.n + valid.n <= COUNTED_TWICE else 0
        if both:
            also = f"{both:,} of the {valid.n:,} that chose are"
            used.append(f"{also} also among those trained on, so learning by heart is not seen.")
    if works_from_samples(model, recipe):
        used.append(f"Steps that work from samples saw {min(CALIBRATION_SAMPLES, samples.n)} of those trained on.")
    if test is None:
        used.append(
            "The figures are measured on the samples that chose the best state, so they look a little too good; give "
            "test data for figures of new samples."
        )
        return samples, held, held, tuple(used)
    known = overlap(samples, test) + overlap(held, test) if samples.n + test.n <= COUNTED_TWICE else 0
    if known:
        also = f"{known:,} of the {test.n:,} test samples are"
        used.append(f"{also} also among those trained on or chosen by, so the figures look too good.")
    return samples, held, test, tuple(used)


def _fitted(spec: FinetuneSpec, job: _Job, run: Recorder, reporter: Reporter) -> Fitted:
    from core.training.fit import fit

    return fit(
        job.model, job.recipe, job.samples, job.held, spec.settings, folder=run.checkpoints, resume=run.resumed,
        title=_title(job), run=run.id, reporter=reporter,
    )  # fmt: skip


def _written(spec: FinetuneSpec, job: _Job, fitted: Fitted, reporter: Reporter) -> FinetuneOutcome:
    """Export the trained model and compare it, and the compressed one before training, with the original."""
    from core.analysis.comparison import compare_models
    from core.jobs import layer_errors
    from core.training.exporting import export_trained, trained_compression

    target, result = Path(spec.target), fitted.result
    trained = fitted.student.trained()
    report = export_trained(job.model, fitted.compression, trained, target, job.held, reporter.part(0.0, 0.2))
    torch_export = None
    if spec.torch_target is not None:
        from core.torch_files.exporting import export_torch

        weights = trained_compression(job.model, fitted.compression, trained)
        torch_export = export_torch(weights, Path(spec.torch_target))
    try:
        comparison = compare_models(
            job.model.path, target, job.tested, reporter=reporter.part(0.2, 0.7), limit=spec.limit
        )
        accumulated = layer_errors(job.model, target, job.tested, reporter.part(0.7, 0.8))
        untrained = _untrained(spec, job, fitted, reporter.part(0.8, 1.0))
    except Cancelled as cancelled:
        raise Cancelled("cancelled while measuring", do=f"the trained file is complete: {target}") from cancelled
    on = f"{comparison.measured_on} of {Path(comparison.source).name}"
    return FinetuneOutcome(
        path=str(target), report=report, comparison=comparison, compared_on=on, curves=result.curves,
        best_epoch=result.best_epoch, stopped=_why_stopped(result, spec.settings), used=job.used,
        frozen=fitted.student.frozen, seconds=0.0, notes=(*result.notes, *_worse(comparison, untrained)),
        untrained=untrained, accumulated=accumulated,
        torch=torch_export,
    )  # fmt: skip


def _untrained(spec: FinetuneSpec, job: _Job, fitted: Fitted, reporter: Reporter) -> Comparison | None:
    """The recipe's result without training against the original; None where there is no such file."""
    from core.analysis.comparison import compare_models
    from core.exporting.export import export
    from core.scratch import scratch_folder

    if job.recipe.does_nothing:
        return None
    with scratch_folder() as folder:
        path = Path(folder) / "untrained.onnx"
        try:
            export(job.model, fitted.compression, path, job.held, reporter.part(0.0, 0.3))
        except GateError:  # what training could mend: numbers that are not finite, for example
            return None
        return compare_models(
            job.model.path, path, job.tested, reporter=reporter.part(0.3, 1.0), limit=spec.limit, latency=False,
            memory=False,
        )  # fmt: skip


def _worse(trained: Comparison, untrained: Comparison | None) -> tuple[str, ...]:
    """A sentence where training did more harm than good."""
    before, after = (None if found is None else found.score for found in (untrained, trained))
    if before is None or after is None or before.metric != after.metric or not after.drop > before.drop:
        return ()
    return (
        f"Training made it worse: {after.words} {after.value_text}, without training {before.value_text}. Lower the "
        "learning rate, or train on more samples.",
    )


def _why_stopped(result: TrainingResult, settings: TrainingSettings) -> str:
    """Why the training ended early or gave nothing, and what to do, in sentences; "" when all went well."""
    if result.best_epoch == 0 and result.stopped in ("", "early"):
        return (
            f"No epoch of {len(result.curves):,} was better than the state before training, which was kept. Lower the "
            f"learning rate (it was {settings.learning_rate:g})."
        )
    if not result.stopped:
        return ""
    if result.stopped == "early":
        return (
            f"Ended after {len(result.curves):,} of {settings.epochs:,} epochs: {settings.patience:,} in a row were no "
            "better on the held-out samples."
        )
    said = result.stopped[:1].upper() + result.stopped[1:]
    return f"{said}; the last good state was kept. {result.do[:1].upper()}{result.do[1:]}."


def _title(job: _Job) -> str:
    return f"{job.model.name}: {recipe_words(job.recipe)}"


def recipe_words(recipe: Recipe) -> str:
    """What a recipe does, in the words of its steps: "prune 90 % + 16 levels"; several kinds of layers with commas."""
    lists = [recipe.defaults, *(steps for _, steps in recipe.layers if steps)]
    told = [" + ".join(step.label() for step in steps) for steps in (recipe.graph, *lists) if steps]
    kinds = list(dict.fromkeys(told))
    more = f" and {len(kinds) - NAMED} more" if len(kinds) > NAMED else ""
    return f"{', '.join(kinds[:NAMED])}{more}, trained" if kinds else "trained"
