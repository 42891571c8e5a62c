"""k-fold cross-validation of a recipe with training: how good it is on samples that it never saw, and how sure that is.

In each fold a part of the learning samples is held out to choose the best state by, as in any training; the fold's own
test samples are looked at once, when its training is over, so that nothing is chosen by what is measured.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from core.progress import SILENT, Reporter
from core.training.crossval_result import CrossvalResult, FoldResult, series_name
from core.training.curves import parted_at
from core.training.fit import Fitted, fit
from core.training.folds import Fold, make_folds, rare_classes, sizes_text
from core.training.scoring import Judge
from core.training.splits import hold_out
from core.training.variants import Trial, check

if TYPE_CHECKING:
    from pathlib import Path

    from core.data.samples import Samples
    from core.model.model import Model
    from core.recipe import Recipe

SEEN = (
    "Every fold begins with the weights of the model. If the model was trained on these samples, all folds look better "
    "than new samples will."
)


def cross_validate(
    model: Model,
    recipe: Recipe,
    samples: Samples,
    trial: Trial,
    *,
    folds: int = 5,
    done: Sequence[FoldResult] = (),
    folder: Path | None = None,
    run: str = "",
    watch: Callable[[Reporter, str], Reporter] | None = None,
    on_fold: Callable[[CrossvalResult], None] | None = None,
    reporter: Reporter = SILENT,
) -> CrossvalResult:
    """Train a recipe once a fold and variant, and test each result on the fold's own samples.

    done      folds of an earlier, interrupted run of the same; they are not trained again
    folder    where checkpoints go, so that also a fold goes on where it was interrupted; None: nowhere
    watch     (reporter, name of the series) -> the reporter that this training tells its epochs to
    on_fold   called with what there is so far after each fold

    One fold of all variants follows the other, so that what is there can be compared at any time. Tells the result so
    far after each fold, beside the parts of `loop.train`. Raises what `make_folds` and `fit` raise, and Cancelled.
    """
    check(trial)
    parts = make_folds(samples, folds, trial.base.seed)
    judge = Judge(model, samples)
    notes = tuple(filter(None, (_how(samples, parts), rare_classes(samples.class_labels, folds), SEEN)))
    result = CrossvalResult(judge.words, judge.unit, judge.higher_is_better, trial.variants, tuple(done), notes)
    tasks = [(variant, fold) for fold in range(folds) for variant in range(len(trial.variants))]
    known = {(each.variant, each.fold) for each in done}
    for place, (variant, fold) in enumerate(tasks):
        if (variant, fold) in known:
            continue
        part = reporter.part(place / len(tasks), (place + 1) / len(tasks))
        name = series_name(trial.variants, variant, fold)
        told = part if watch is None else watch(part, name)
        settings = trial.settings(variant, fold)
        learn, held = hold_out(samples.picked(parts[fold].learn.tolist()), settings.held_out, settings.seed)
        fitted = fit(
            model, recipe, learn, held, settings,
            folder=_made(folder, variant, fold), resume=folder is not None, title=f"{model.name}, {name}", run=run,
            reporter=told,
        )  # fmt: skip
        found = _tested(fitted, judge, samples.picked(parts[fold].test.tolist()), (learn.n, held.n), told)
        found = replace(found, variant=variant, fold=fold)
        result = replace(result, folds=(*result.folds, found))
        if on_fold is not None:
            on_fold(result)  # kept first: with its checkpoint gone it could not be had again without training
        _clear(folder, variant, fold)
        reporter.tell(result)
    reporter.report(1.0, "Done")
    return result


def _made(folder: Path | None, variant: int, fold: int) -> Path | None:
    """The folder for checkpoints of one training."""
    if folder is None:
        return None
    made = folder / f"fold-{fold + 1}-{variant}"
    made.mkdir(parents=True, exist_ok=True)
    return made


def _clear(folder: Path | None, variant: int, fold: int) -> None:
    """Remove the checkpoints of a training that is over."""
    if folder is not None:
        shutil.rmtree(folder / f"fold-{fold + 1}-{variant}", ignore_errors=True)


def _tested(fitted: Fitted, judge: Judge, test: Samples, counts: tuple[int, int], reporter: Reporter) -> FoldResult:
    """The figures of a training that is over."""
    score = judge(fitted.student, test, reporter)
    result = fitted.result
    return FoldResult(
        variant=0, fold=0, score=score.value, original=score.reference, n_learn=counts[0], n_held=counts[1],
        n_test=test.n, best_epoch=result.best_epoch, epochs=len(result.curves), parted=parted_at(result.curves),
        seconds=result.seconds, stopped=result.stopped,
    )  # fmt: skip


def _how(samples: Samples, folds: Sequence[Fold]) -> str:
    way = "each with the same share of every class" if samples.class_labels is not None else "drawn at random"
    return f"{len(folds)} folds, {way}: {sizes_text(folds)}."
