"""A fine-tuning of the open model: what is asked of the job, what its outcome shows, and how it becomes the result."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import FeatherweightError
from core.runs.run import RunState
from core.runs.words import model_name
from core.training.events import EpochDone, Started
from gui.training.asked import Asked, ResultView
from gui.training.curves import Series
from gui.units import NONE, TIMES, decibels, file_size, milliseconds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from core.analysis.comparison import Comparison
    from core.data.options import DataOptions
    from core.finetune_job import FinetuneOutcome
    from core.recipe import Recipe
    from core.runs.run import Run
    from core.training.settings import TrainingSettings
    from gui.result import Result
    from gui.session import Session

FINETUNE = "finetune"
"""As `core.runs.run.RunKind`."""
_COLUMNS = ("", "File", "Metric", "SQNR", "Latency")


@dataclass(frozen=True)
class Wish:
    """What the form gives.

    train, valid, test   paths of data; without `valid` some of `train` are held out, without `test` those are compared
    """

    settings: TrainingSettings
    train: Path
    valid: Path | None = None
    test: Path | None = None


def asked_of(session: Session, wish: Wish) -> Asked:
    """The job for a wish. Raises FeatherweightError when the model has changed on disk or nothing can be written."""
    from core.finetune_job import FinetuneSpec

    model, recipe = session.model, session.recipe
    if model is None or recipe is None:
        raise FeatherweightError("no model is open", do="open one first")
    model.check_unchanged()
    spec = FinetuneSpec(
        str(model.path), "" if recipe.does_nothing else recipe.dump(), str(wish.train),
        str(session.runs.trained_file(model.path)), wish.settings, _text(wish.valid), _text(wish.test),
        session.data_options, str(session.runs_folder), session.runs.parent_of(model) or None, passing=True,
    )  # fmt: skip
    return _asked(session, spec.model_path, spec, recipe)


def asked_of_run(session: Session, run: Run) -> Asked:
    """The job of a run that stopped on the way, to be resumed. Raises FeatherweightError when it fits no more."""
    from core.finetune_job import spec_of
    from core.recipe import Recipe

    model = session.model
    if model is None or str(model.path) != run.model_path:
        raise FeatherweightError("its model is not open", where=run.title, do=f"open {model_name(run)} first")
    recipe = Recipe.parse(run.recipe_text, model=model) if run.recipe_text else Recipe(model_name=model.name)
    place = session.runs.trained_file(model.path)
    spec = replace(spec_of(run, str(place), str(session.runs_folder)), passing=True)
    return _asked(session, run.model_path, spec, recipe)


def _asked(session: Session, path: str, spec: object, recipe: Recipe) -> Asked:
    from core.finetune_job import finetune_file

    model = Path(path)
    result = partial(as_result, recipe=recipe, data=session.data_path, options=session.data_options)
    return Asked(FINETUNE, f"Fine-tuning {model.name}", finetune_file, spec, view_of, result, model)


def series_of_run(run: Run, curves: Mapping[str, tuple[EpochDone, ...]]) -> tuple[Series, ...]:
    """The curves that a run left on disk, as those of a training that has stopped."""
    epochs = int(run.settings.get("epochs", 0))
    metric = next((figure.words for figure in run.figures if figure.name == "score"), "metric")
    whole = run.state is RunState.DONE or (
        run.settings.get("stages") != "in turn" and run.settings.get("sparsity") != "rewind"
    )  # else there may be stages that have not begun
    return tuple(
        Series(Started(run.id, name or model_name(run), epochs, metric,
                       last_stage=points[-1].stage if whole else None), points)
        for name, points in curves.items() if points
    )  # fmt: skip


def as_result(outcome: FinetuneOutcome, *, recipe: Recipe, data: Path | None, options: DataOptions) -> Result:
    """The outcome as that of a compression, so that everything that shows one shows it.

    data, options   what was loaded when the training began: the result is out of date when that changes
    """
    from core.jobs import CompressOutcome
    from gui.result import Result

    comparison = outcome.comparison
    compressed = CompressOutcome(
        path=outcome.path, layers=outcome.report.layers, report=outcome.report, comparison=comparison,
        latency=comparison.latency, latency_on=f"measured on {outcome.compared_on}", live=(),
        accumulated=outcome.accumulated, seconds=outcome.seconds,
    )  # fmt: skip
    return Result(recipe, data, options, compressed, trained=_how(outcome))


def _how(outcome: FinetuneOutcome) -> str:
    epochs = len(outcome.curves)
    return f"{epochs:,} epoch{'' if epochs == 1 else 's'}, the best was {outcome.best_epoch:,}"


def view_of(outcome: FinetuneOutcome) -> ResultView:
    """Original, compressed without training, trained: size, metric, SQNR, latency."""
    comparison, untrained, report = outcome.comparison, outcome.untrained, outcome.report
    score, latency = comparison.score, comparison.latency
    head = score.words[:1].upper() + score.words[1:] if score is not None else "Metric"
    rows = [("Original", file_size(report.bytes_before), score.reference_text if score else NONE, NONE,
             milliseconds(latency.before.median_ms) if latency else NONE)]  # fmt: skip
    if untrained is not None:
        rows.append(("Compressed, not trained", f"about {file_size(report.bytes_after)}", *_judged(untrained)))
    rows.append(("Trained", file_size(report.bytes_after), *_judged(comparison)))
    spread = ["The latencies differ by less than their spread."] if latency and latency.within_spread else []
    notes = [f"Measured on {outcome.compared_on}.", *spread, *outcome.used, *outcome.notes]
    notes += [f"{name} keeps its stored values: {why}." for name, why in outcome.frozen[:3]]
    if len(outcome.frozen) > 3:
        notes.append(f"{len(outcome.frozen) - 3:,} more layers keep theirs.")
    return ResultView(_headline(outcome), (_COLUMNS[0], _COLUMNS[1], head, *_COLUMNS[3:]), tuple(rows), len(rows) - 1,
                      tuple(notes), outcome.stopped, Path(outcome.path))


def _judged(comparison: Comparison) -> tuple[str, str, str]:
    score, latency = comparison.score, comparison.latency
    return (score.value_text if score is not None else NONE, decibels(comparison.output_sqnr_db),
            milliseconds(latency.after.median_ms) if latency is not None else NONE)  # fmt: skip


def _headline(outcome: FinetuneOutcome) -> str:
    """What training changed, and what the file is now."""
    report, score = outcome.report, outcome.comparison.score
    times = report.bytes_before / max(report.bytes_after, 1)
    smaller = f"{times:.1f}{TIMES} smaller" if times >= 1.05 else "no smaller"
    size = f"in {file_size(report.bytes_after)}, {smaller} than the original"
    if score is None:
        return f"SQNR {decibels(outcome.comparison.output_sqnr_db)} {size}."
    before = outcome.untrained.score if outcome.untrained is not None else None
    untrained = f", {before.value_text} without training" if before is not None else ""
    return f"{score.value_text} (original {score.reference_text}{untrained}) {size}."


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
