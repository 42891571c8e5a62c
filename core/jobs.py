"""The jobs that the command line and the window's worker process both run: same function, same bytes.

A job takes a frozen description and a Reporter and gives a frozen outcome; both pickle, so that a job can run in
another process. Parts of its progress are `LayerResult` (without the encoding) and `LayerLive`.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from core.data.keeping import options_dict
from core.data.options import DEFAULT_OPTIONS, DataOptions
from core.errors import Cancelled, FeatherweightError, ModelFileError
from core.progress import SILENT, Reporter
from core.runs.figures import result_figures
from core.runs.recording import Recorder, recording
from core.runs.run import RunKind
from core.runs.store import RunStore

if TYPE_CHECKING:
    from core.analysis.comparison import Comparison
    from core.analysis.latency import LatencyComparison
    from core.analysis.layer_error import LayerError, LayerProbe
    from core.data.layer_inputs import ValueRange
    from core.data.samples import Samples
    from core.encoding import Encoding
    from core.exporting.report import ExportReport
    from core.model.model import Model
    from core.pipeline import Compression, LayerResult
    from core.recipe import Recipe
    from core.torch_files.exporting import TorchExport

CALIBRATION_SAMPLES = 64
"""Samples set apart for steps that work from them when no others are given."""
COMPARED_SAMPLES = 2_000
"""Samples that a comparison runs on unless the person asks for another number."""


@dataclass(frozen=True)
class LayerLive:
    """Error at one layer's output when this layer alone is compressed, measured while compressing.

    isolated_sqnr_db  None when it cannot be measured, with the reason
    """

    name: str
    isolated_sqnr_db: float | None
    reason: str = ""


@dataclass(frozen=True)
class CompressSpec:
    """What to compress, how, and where to.

    recipe_text  the recipe as YAML
    data_path    samples to measure with, or None
    calib_path   samples for steps that work from them; None: some of `data_path`, which are then not measured on
    seed         for methods that draw random numbers
    live         measure each layer's own output error while compressing (needs data)
    limit        samples to compare on
    options      how both data sets are read, and the metric
    runs_folder  where runs are kept (`core.runs`); None: this one is not
    parent_run   id of the run that this one branches from, or None
    passing      the target is a passing place: the run keeps a copy of the file instead of naming it
    torch_target  also write the decoded weights there, for PyTorch (`core.torch_files.exporting`); None: not
    """

    model_path: str
    recipe_text: str
    target: str
    data_path: str | None = None
    seed: int = 0
    calib_path: str | None = None
    live: bool = True
    limit: int = COMPARED_SAMPLES
    options: DataOptions = DEFAULT_OPTIONS
    runs_folder: str | None = None
    parent_run: str | None = None
    passing: bool = False
    torch_target: str | None = None


@dataclass(frozen=True)
class CompressOutcome:
    """What became of it.

    path         the file that was written
    layers       what became of each layer, without encodings
    comparison   original against compressed on the data; None without data
    latency      also without data, then on made-up inputs; `latency_on` says on what it was measured
    live         error at each layer's own output with that layer alone compressed
    calibrated_on  the samples that steps worked from, in words, or ""
    accumulated  error at each layer's output in the whole compressed model
    run          id of its run, "" when none is kept; `not_kept` says what of it could not be kept, a sentence each
    torch        the weights that were written for PyTorch, or None
    """

    path: str
    layers: tuple[LayerResult, ...]
    report: ExportReport
    comparison: Comparison | None
    latency: LatencyComparison | None
    latency_on: str
    live: tuple[LayerLive, ...]
    accumulated: tuple[LayerError, ...]
    seconds: float
    calibrated_on: str = ""
    run: str = ""
    not_kept: tuple[str, ...] = ()
    torch: TorchExport | None = None


@dataclass(frozen=True)
class MeasureSpec:
    """What the steps of a recipe need to know of a model, and the folder to write it to (`preparing.Prepared.load`)."""

    model_path: str
    recipe_text: str
    data_path: str
    folder: str
    seed: int = 0
    options: DataOptions = DEFAULT_OPTIONS


def measure_for_steps(spec: MeasureSpec, reporter: Reporter = SILENT) -> str:
    """Measure on samples what the recipe's steps need, as `compress_file` does; returns which samples, in words.

    Raises DataError or ModelFileError when the model does not run on them, and Cancelled.
    """
    from core.model.readers import open_model
    from core.preparing import prepare
    from core.recipe import Recipe

    model = open_model(spec.model_path)
    recipe = Recipe.parse(spec.recipe_text, model=model)
    asked = CompressSpec(spec.model_path, spec.recipe_text, "", spec.data_path, spec.seed, options=spec.options)
    samples, _, words = _data(asked, model, recipe)
    prepare(model, recipe, samples, reporter, seed=spec.seed).save(Path(spec.folder))
    return words


@dataclass(frozen=True)
class ActivationFigures:
    """What samples tell of a model's activations.

    samples  on how many they were measured
    ranges   by `Activation.key`: the distributions of its input and of its result; None where there is none
    """

    samples: int
    ranges: Mapping[str, tuple[ValueRange | None, ValueRange | None]]


def measure_activations(
    model_path: str, data_path: str, options: DataOptions = DEFAULT_OPTIONS, reporter: Reporter = SILENT
) -> ActivationFigures:
    """The distributions of all activations of a model on samples.

    Raises DataError or ModelFileError when the model does not run on them, and Cancelled.
    """
    from core.analysis.calibration import Calibration
    from core.data import load_samples
    from core.model.activations import find_activations
    from core.model.readers import open_model

    model = open_model(model_path)
    found = find_activations(model.graph())
    calibration = Calibration(model, load_samples(data_path, model.inputs, options=options))
    names = dict.fromkeys(name for activation in found for name in (activation.input, activation.output))
    ranges = calibration.ranges(names, reporter)
    return ActivationFigures(calibration.n, {a.key: (ranges.get(a.input), ranges.get(a.output)) for a in found})


def compress_file(spec: CompressSpec, reporter: Reporter = SILENT) -> CompressOutcome:
    """Compress a model by a recipe, export it through the gate, and compare it with the original.

    Raises FeatherweightError kinds; the target is written whole or not at all.
    """
    from core.exporting.staging import check_distinct, check_target, files_read
    from core.model.readers import open_model
    from core.recipe import Recipe

    target = Path(spec.target)
    model = open_model(spec.model_path)
    read = files_read(spec.data_path, spec.calib_path, options=spec.options)
    check_target(target, model.path, (*model.data_files, *read))
    if spec.torch_target is not None:
        from core.torch_files.exporting import check_torch_target

        check_torch_target(model, Path(spec.torch_target))
        check_target(Path(spec.torch_target), also_read=read)
        check_distinct(spec.target, spec.torch_target)
    if not model.layers:
        raise ModelFileError(
            "no weights were found in this model", where=model.name, do="choose a model that stores its weights"
        )
    recipe = Recipe.parse(spec.recipe_text, model=model)
    with _recorded(spec, model) as run:
        outcome = _compressed(spec, model, recipe, reporter)
        run.figures(*result_figures(outcome.report, outcome.comparison, outcome.latency))
        run.result(outcome.path, keep=spec.passing, written=not spec.passing)
    return dataclasses.replace(outcome, run=run.id, not_kept=run.trouble)


def _recorded(spec: CompressSpec, model: Model) -> AbstractContextManager[Recorder]:
    data = {"test": spec.data_path or "", "calib": spec.calib_path or ""}
    return recording(
        RunStore(spec.runs_folder) if spec.runs_folder else None, kind=RunKind.COMPRESS, title=model.name,
        model_path=model.path, model_sha256=model.sha256, recipe_text=spec.recipe_text, data=data,
        options=options_dict(spec.options), seed=spec.seed, parent=spec.parent_run,
    )  # fmt: skip


def _compressed(spec: CompressSpec, model: Model, recipe: Recipe, reporter: Reporter) -> CompressOutcome:
    """The work of `compress_file`, with everything checked before."""
    from core.exporting.export import export
    from core.pipeline import compress

    started = time.perf_counter()
    target = Path(spec.target)
    calibration, samples, calibrated_on = _data(spec, model, recipe)
    live: list[LayerLive] = []
    probe = _probe(model, samples, reporter.part(0.0, 0.05)) if spec.live and samples is not None else None
    compressing = reporter.part(0.05, 0.25)

    def on_layer(result: LayerResult) -> None:
        compressing.tell(dataclasses.replace(result, encoding=None))
        if probe is not None and result.encoding is not None:
            live.append(_measure(probe, result.name, result.encoding))
            compressing.tell(live[-1])

    compression = compress(model, recipe, compressing, on_layer, seed=spec.seed, samples=calibration)
    report = export(model, compression, target, samples, reporter=reporter.part(0.25, 0.35))
    torch_export = _for_pytorch(compression, spec.torch_target)
    try:
        measured = _measured(model, target, samples, spec.limit, reporter.part(0.35, 1.0))
    except Cancelled as cancelled:
        raise Cancelled("cancelled while measuring", do=f"the compressed file is complete: {target}") from cancelled
    reporter.report(1.0, "Done")
    seconds = time.perf_counter() - started
    return CompressOutcome(
        path=str(target), layers=report.layers, report=report, live=tuple(live), seconds=seconds,
        calibrated_on=calibrated_on, torch=torch_export, **measured
    )


def _for_pytorch(compression: Compression, target: str | None) -> TorchExport | None:
    if target is None:
        return None
    from core.torch_files.exporting import export_torch

    return export_torch(compression, Path(target))


@dataclass(frozen=True)
class TorchSpec:
    """What to write for PyTorch, and where to: the weights as the recipe leaves them."""

    model_path: str
    recipe_text: str
    target: str
    data_path: str | None = None
    seed: int = 0
    options: DataOptions = DEFAULT_OPTIONS


def export_torch_file(spec: TorchSpec, reporter: Reporter = SILENT) -> TorchExport:
    """Compress a model by a recipe as `compress_file` does, and write only its weights, for PyTorch.

    Raises FeatherweightError kinds; the target is written whole or not at all.
    """
    from core.exporting.staging import check_target, files_read
    from core.model.readers import open_model
    from core.pipeline import compress
    from core.recipe import Recipe
    from core.torch_files.exporting import check_torch_target, export_torch

    model, target = open_model(spec.model_path), Path(spec.target)
    check_torch_target(model, target)
    check_target(target, also_read=files_read(spec.data_path, options=spec.options))
    recipe = Recipe.parse(spec.recipe_text, model=model)
    asked = CompressSpec(
        spec.model_path, spec.recipe_text, spec.target, spec.data_path, spec.seed, options=spec.options
    )
    calibration, _, _ = _data(asked, model, recipe)
    compression = compress(model, recipe, reporter.part(0.0, 0.9), seed=spec.seed, samples=calibration)
    reporter.report(0.9, f"Writing {target.name}")
    return export_torch(compression, target)


class _Measured(TypedDict):
    """Fields of a CompressOutcome that come from running both models."""

    comparison: Comparison | None
    latency: LatencyComparison | None
    latency_on: str
    accumulated: tuple[LayerError, ...]


def _measured(model: Model, target: Path, samples: Samples | None, limit: int, reporter: Reporter) -> _Measured:
    """Original against compressed: on the samples, or without them the times alone."""
    from core.analysis.comparison import LATENCY_FEEDS, compare_models

    if samples is None:
        latency, latency_on = _latency_without_data(model, target, reporter)
        return _Measured(comparison=None, latency=latency, latency_on=latency_on, accumulated=())
    found = compare_models(model.path, target, samples, reporter=reporter.part(0.0, 0.8), limit=limit)
    accumulated = layer_errors(model, target, samples, reporter.part(0.8, 1.0))
    latency_on = f"measured on {min(found.n, LATENCY_FEEDS)} samples"
    return _Measured(comparison=found, latency=found.latency, latency_on=latency_on, accumulated=accumulated)


def _data(spec: CompressSpec, model: Model, recipe: Recipe) -> tuple[Samples | None, Samples | None, str]:
    """Samples to calibrate on, samples to measure on, and what the first are, in words. Never the same ones twice."""
    from core.data import load_samples
    from core.preparing import works_from_samples

    measured, given = (
        None if path is None else load_samples(path, model.inputs, options=spec.options)
        for path in (spec.data_path, spec.calib_path)
    )
    if not works_from_samples(model, recipe):
        return None, measured, ""
    if given is not None:
        return given, measured, f"{min(given.n, CALIBRATION_SAMPLES)} samples of {Path(given.source).name}"
    if measured is None:
        return None, None, ""
    name = Path(measured.source).name
    calibration, rest = measured.split(CALIBRATION_SAMPLES, spec.seed)
    if measured.n < 2:
        return calibration, rest, f"the only sample of {name}, on which the result is measured as well"
    return calibration, rest, f"{calibration.n} samples of {name}; the result is measured on the other {rest.n}"


def _probe(model: Model, samples: Samples, reporter: Reporter) -> LayerProbe | None:
    """The probe of each layer's own error, or None when the original cannot be taken apart."""
    from core.analysis.layer_error import LayerProbe

    try:
        return LayerProbe(model, samples, reporter=reporter)
    except FeatherweightError as error:
        if isinstance(error, Cancelled):
            raise
        reporter.tell(LayerLive("", None, str(error)))
        return None


def _measure(probe: LayerProbe, name: str, encoding: Encoding) -> LayerLive:
    """The error at one layer's own output; a layer that cannot be measured says why."""
    if encoding.shape != probe.shape(name):
        return LayerLive(name, None, "its channels are cut")
    try:
        value = probe.error(name, encoding.decode())
    except FeatherweightError as error:
        if isinstance(error, Cancelled):
            raise
        return LayerLive(name, None, error.what)
    return LayerLive(name, value, "" if value is not None else probe.why_not(name))


def layer_errors(model: Model, target: Path, samples: Samples, reporter: Reporter) -> tuple[LayerError, ...]:
    """The error at each layer's output in the whole compressed model; () when the graph cannot be taken apart."""
    from core.analysis.layer_error import accumulated_errors
    from core.model.readers import open_model

    try:
        return accumulated_errors(model, open_model(target), samples, reporter=reporter)
    except FeatherweightError as error:
        if isinstance(error, Cancelled):
            raise
        return ()


def _latency_without_data(model: Model, target: Path, reporter: Reporter) -> tuple[LatencyComparison | None, str]:
    """Both models' times on made-up inputs, or None where the model takes none."""
    from core.analysis import comparison
    from core.analysis.latency import compare_latency
    from core.exporting.export import parity_feeds

    feeds, what = parity_feeds(model, None)
    if not feeds:
        return None, "not measured: no data, and the model takes no made-up input"
    seconds = comparison.LATENCY_SECONDS
    return compare_latency(model.path, target, feeds, seconds=seconds, reporter=reporter), f"measured on {what}"
