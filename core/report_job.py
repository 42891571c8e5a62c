"""The report as a job: compress in a temporary place and measure, or compare a file that is there already."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.data.options import DEFAULT_OPTIONS, DataOptions
from core.errors import DataError, ParameterError
from core.jobs import COMPARED_SAMPLES, CompressSpec, compress_file
from core.progress import SILENT, Reporter

if TYPE_CHECKING:
    from core.analysis.sensitivity.cells import Sensitivity
    from core.jobs import CompressOutcome
    from core.planning.plan import Plan, PlanPoint
    from core.reporting.subject import Subject


@dataclass(frozen=True)
class ReportSpec:
    """What to report on.

    target       the HTML file
    recipe_text  compress by this recipe in a temporary place; "" when `compressed` is given
    compressed   a file that is there already, to be compared on `data_path`; None when a recipe is given
    calib_path   samples for steps that work from them (`CompressSpec`)
    """

    model_path: str
    target: str
    recipe_text: str = ""
    compressed: str | None = None
    data_path: str | None = None
    calib_path: str | None = None
    seed: int = 0
    limit: int = COMPARED_SAMPLES
    options: DataOptions = DEFAULT_OPTIONS


def report_file(spec: ReportSpec, reporter: Reporter = SILENT) -> Subject:
    """Make the report and write it, whole or not at all; returns what is in it.

    Raises ParameterError for a specification that does not fit together, TargetError before any work when the target
    cannot be written, and what `compress_file` and `compare_models` raise.
    """
    from core.exporting.staging import check_target, files_read
    from core.model.readers import open_model

    if bool(spec.recipe_text) == (spec.compressed is not None):
        raise ParameterError("a report is of a recipe or of a compressed file", do="give one of them")
    model = open_model(spec.model_path)
    read = files_read(spec.data_path, spec.calib_path, spec.compressed, options=spec.options)
    check_target(Path(spec.target), model.path, (*model.data_files, *read))
    subject = _compressed(spec, reporter) if spec.recipe_text else _compared(spec, reporter)
    write_report(subject, Path(spec.target))
    return subject


def report_of_outcome(
    target: Path, model_path: str, outcome: CompressOutcome, recipe_text: str, plan: Plan | None,
    data_path: str, options: DataOptions, reporter: Reporter = SILENT, chosen: PlanPoint | None = None,
) -> Path:  # fmt: skip
    """Write the report of a compression that was made before; returns the target.

    chosen     the plan's point that the recipe is, where it is not the plan itself
    data_path  of the samples, to find the sensitivity that was measured on them; "" for none
    """
    from core.exporting.staging import check_target, files_read
    from core.model.readers import open_model
    from core.reporting.subject import of_outcome

    model = open_model(model_path)
    read = files_read(data_path, outcome.path, options=options)
    check_target(target, model.path, (*model.data_files, *read))
    reporter.check()
    table = kept_sensitivity(model_path, data_path, options)
    write_report(of_outcome(outcome, model.name, recipe_text, plan, table, chosen), target)
    return target


def write_report(subject: Subject, target: Path) -> None:
    """Write the page whole or not at all; raises TargetError."""
    from core.exporting.staging import write_atomic
    from core.reporting.report import report_page

    write_atomic(target, report_page(subject).encode("utf-8"))


def kept_sensitivity(model_path: str, data_path: str, options: DataOptions) -> Sensitivity | None:
    """The sensitivity that was measured on these samples before, if it was; nothing is measured."""
    from core.analysis.sensitivity.cells import Tier
    from core.analysis.sensitivity.table import Asked, cached_sensitivity
    from core.model.readers import open_model

    if not data_path:
        return None
    return cached_sensitivity(open_model(model_path), None, Asked(Tier.FAST), data_path=data_path, options=options)


def _compressed(spec: ReportSpec, reporter: Reporter) -> Subject:
    from core.reporting.subject import of_outcome
    from core.scratch import scratch_folder
    from core.torch_files.origin import shown_name

    name = shown_name(spec.model_path)
    with scratch_folder() as folder:
        outcome = compress_file(
            CompressSpec(
                spec.model_path, spec.recipe_text, str(Path(folder) / "compressed.onnx"), spec.data_path, spec.seed,
                spec.calib_path, limit=spec.limit, options=spec.options,
            ),
            reporter,
        )  # fmt: skip
    table = kept_sensitivity(spec.model_path, spec.data_path or "", spec.options)
    return of_outcome(outcome, name, spec.recipe_text, sensitivity=table)


def _compared(spec: ReportSpec, reporter: Reporter) -> Subject:
    from core.analysis.comparison import LATENCY_FEEDS, compare_models
    from core.analysis.layer_error import accumulated_errors
    from core.data import load_samples
    from core.model.readers import open_model
    from core.reporting.subject import Setup, Subject

    if spec.data_path is None:
        raise DataError("comparing two files needs samples", do="give --data")
    before, after = open_model(spec.model_path), open_model(spec.compressed or "")
    samples = load_samples(spec.data_path, before.inputs, options=spec.options)
    found = compare_models(before.path, after.path, samples, reporter=reporter.part(0.0, 0.85), limit=spec.limit)
    errors = accumulated_errors(before, after, samples, reporter=reporter.part(0.85, 1.0))
    return Subject(
        f"{before.name} and {after.name}", before.file_bytes, after.file_bytes, Setup.now(), found, found.latency,
        f"measured on {min(found.n, LATENCY_FEEDS)} samples", accumulated=errors,
    )  # fmt: skip
