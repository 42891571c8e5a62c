"""The job that compares methods, which the command line and the window's worker process both run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.data.options import DEFAULT_OPTIONS, DataOptions
from core.errors import Cancelled, ModelFileError
from core.progress import SILENT, Reporter

if TYPE_CHECKING:
    from core.data.samples import Samples
    from core.method_comparison.rows import Study
    from core.model.model import Model


@dataclass(frozen=True)
class MethodsSpec:
    """What to compare.

    data_path   samples to measure on, or None: then the output error and the metric are not known
    calib_path  samples for steps that work from them; None: some of `data_path`, which are then not measured on
    families    names of families of methods; () for all
    minutes     after which no further setting is tried; None: `run.DEFAULT_MINUTES`
    plan_text   a recipe to measure beside them, as YAML; "" for none
    html, csv   files to write, or None. After a cancel they hold what was found until then
    options     how the data is read, and the metric
    cache       folder of kept rows; None: the person's own
    """

    model_path: str
    data_path: str | None = None
    calib_path: str | None = None
    families: tuple[str, ...] = ()
    minutes: float | None = None
    plan_text: str = ""
    html: str | None = None
    csv: str | None = None
    seed: int = 0
    options: DataOptions = DEFAULT_OPTIONS
    cache: str | None = None


def compare_methods(spec: MethodsSpec, reporter: Reporter = SILENT) -> Study:
    """Try every method at several levels. Parts of the progress are Rows, one by one, and one Extent.

    Raises FeatherweightError kinds: bad words in the spec, a model or data that cannot be used, a file that cannot be
    written. A setting that fails is a row with the reason. Cancelled says whether a file was kept.
    """
    from core.errors import ParameterError
    from core.exporting.staging import check_distinct, check_target, files_read
    from core.method_comparison.run import Asked, MethodComparison
    from core.methods.registry import check_families
    from core.model.readers import open_model
    from core.recipe import Recipe

    if spec.minutes is not None and not spec.minutes > 0:
        raise ParameterError(f"the time is {spec.minutes:g} minutes", do="give a number above 0")
    families = tuple(sorted(check_families(spec.families))) if spec.families else ()
    model = open_model(spec.model_path)
    read = files_read(spec.data_path, spec.calib_path, options=spec.options)
    check_distinct(spec.html, spec.csv)
    for target in (spec.html, spec.csv):
        if target is not None:
            check_target(Path(target), model.path, (*model.data_files, *read))
    if not model.layers:
        raise ModelFileError(
            "no weights were found in this model", where=model.name, do="choose a model that stores its weights"
        )
    plan = Recipe.parse(spec.plan_text, model=model) if spec.plan_text else None
    asked = Asked(families, spec.minutes, plan, spec.seed)
    comparison = MethodComparison(model, *_samples(spec, model), asked, Path(spec.cache) if spec.cache else None)
    try:
        study = comparison.run(reporter)
    except Cancelled as cancelled:
        kept = _write(spec, comparison.study())
        told = f"what was found until then is kept: {', '.join(kept)}" if kept else ""
        raise Cancelled("cancelled while comparing methods", do=told) from cancelled
    _write(spec, study)
    return study


def _samples(spec: MethodsSpec, model: Model) -> tuple[Samples | None, Samples | None]:
    """Samples to learn from and samples to measure on: the same split as `jobs.compress_file` makes."""
    from core.data import load_samples
    from core.jobs import CALIBRATION_SAMPLES

    calibration = None
    if spec.calib_path is not None:
        given = load_samples(spec.calib_path, model.inputs, options=spec.options)
        calibration = given.subset(CALIBRATION_SAMPLES, spec.seed)
    if spec.data_path is None:
        return calibration, None
    samples = load_samples(spec.data_path, model.inputs, options=spec.options)
    return (calibration, samples) if calibration is not None else samples.split(CALIBRATION_SAMPLES, spec.seed)


def _write(spec: MethodsSpec, study: Study) -> list[str]:
    """Write the files that were asked for; returns which. Nothing is written of a study without rows."""
    from core.method_comparison.recommend import recommend
    from core.method_comparison.tables import save_csv

    if not study.rows:
        return []
    advice = recommend(study)
    if spec.html is not None:
        from core.method_comparison.page import save_html

        save_html(study, advice, Path(spec.html))
    if spec.csv is not None:
        save_csv(study, advice, Path(spec.csv))
    return [target for target in (spec.html, spec.csv) if target is not None]
