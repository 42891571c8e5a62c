"""A cross-validation for the training process: what is asked of the job, and what its outcome shows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import FeatherweightError
from gui.training.asked import Asked, ResultView

if TYPE_CHECKING:
    from core.crossval_job import CrossvalOutcome, CrossvalSpec
    from core.runs.run import Run
    from core.training.crossval_result import CrossvalResult, Variant
    from core.training.settings import TrainingSettings
    from gui.session import Session

_COLUMNS = ("", "Score", "Deviation", "Error of mean", "Gain", "Error of gain", "Better in")


def asked_of(
    session: Session, settings: TrainingSettings, data: Path, folds: int, variants: tuple[Variant, ...], *, every: bool
) -> Asked:
    """The job for the open model and its plan. Raises FeatherweightError when there is none, or it changed on disk."""
    from core.crossval_job import CrossvalSpec

    model, recipe = session.model, session.recipe
    if model is None or recipe is None:
        raise FeatherweightError("no model is open", do="open one first")
    model.check_unchanged()
    spec = CrossvalSpec(
        str(model.path), "" if recipe.does_nothing else recipe.dump(), str(data), settings, folds, variants, every,
        session.data_options, str(session.runs_folder), session.runs.parent_of(model) or None,
    )  # fmt: skip
    return _asked(spec)


def asked_of_run(session: Session, run: Run) -> Asked:
    """The job that goes on with a run. Raises DataError when what it was set to is damaged."""
    from core.crossval_job import spec_of
    from core.runs.store import RunStore

    return _asked(spec_of(RunStore(session.runs_folder), run))


def _asked(spec: CrossvalSpec) -> Asked:
    from core.crossval_job import crossval_file

    model = Path(spec.model_path)
    return Asked("crossval", f"Cross-validating {model.name}", crossval_file, spec, view_of, model=model)


def view_of(outcome: CrossvalOutcome) -> ResultView:
    """The card of a cross-validation: a row for the original, for each variant and for each of its folds."""
    from core.training.crossval_result import advice

    result = outcome.result
    base = result.spread(0)
    metric = result.metric[:1].upper() + result.metric[1:]
    headline = (
        f"{metric}: {result.text(base.mean)} on average over {base.n} folds, "
        f"give or take {result.amount(base.deviation)} from fold to fold."
    )
    rows = [_original(result), *(_variant(result, index) for index in range(len(result.variants)))]
    rows += [_fold(result, place) for place in range(base.n)]
    notes = tuple(filter(None, (_parted(result), *result.notes, *outcome.notes)))
    shown = [column for column in range(len(_COLUMNS)) if not column or any(row[column] for row in rows)]
    columns, *cells = (tuple(row[column] for column in shown) for row in (_COLUMNS, *rows))
    return ResultView(headline, columns, tuple(cells), 1, notes, advice(result))


def _original(result: CrossvalResult) -> tuple[str, ...]:
    found = result.original
    return "Original", result.text(found.mean), result.amount(found.deviation), result.amount(found.error), "", "", ""


def _variant(result: CrossvalResult, index: int) -> tuple[str, ...]:
    """Mean and spread over the folds; of what is compared, the gain over the base as well."""
    found, words = result.spread(index), result.variants[index].words
    name = words.removeprefix("the ")
    row = (name[:1].upper() + name[1:], result.text(found.mean), result.amount(found.deviation),
           result.amount(found.error))
    if not index:
        return (*row, "", "", "")
    gain = result.difference(index)
    sign = "+" if gain.mean >= 0 else "\N{MINUS SIGN}"
    return (*row, f"{sign}{result.amount(abs(gain.mean))}", result.amount(gain.error), f"{gain.better} of {found.n}")


def _fold(result: CrossvalResult, place: int) -> tuple[str, ...]:
    """One fold of the base alone."""
    fold = result.of(0)[place]
    return f"Fold {fold.fold + 1}", result.text(fold.score), "", "", "", "", ""


def _parted(result: CrossvalResult) -> str:
    """Where training and validation parted, over the folds of the base: a sentence, or ""."""
    known = [fold.parted for fold in result.of(0) if fold.parted is not None]
    if not known:
        return ""
    span = f"epoch {min(known)}" if min(known) == max(known) else f"epochs {min(known)} to {max(known)}"
    return f"Training and validation part in {len(known)} of {len(result.of(0))} folds, at {span}: fewer would do."
