"""featherweight-cli crossval MODEL --data D [--recipe R.yaml] [--folds 5] [--compare weight_decay=1e-4,dropout=20%]"""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from core.commands.base import Command, table
from core.commands.data_arguments import add_data_arguments, data_options
from core.commands.training_arguments import (
    add_run_arguments,
    add_training_arguments,
    refuse_new,
    runs_folder,
    training_settings,
)
from core.errors import ParameterError
from core.figures import MINUS
from core.progress import Reporter

if TYPE_CHECKING:
    from core.crossval_job import CrossvalOutcome, CrossvalSpec
    from core.training.crossval_result import CrossvalResult

ALL = "all"
"""Value of --compare that stands for every way to regularise."""


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", nargs="?", help="the model file; not with --resume")
    parser.add_argument("--recipe", metavar="R.yaml", help="what to do with each layer (default: nothing, only train)")
    add_data_arguments(parser)
    parser.add_argument("--folds", type=int, metavar="K", help="parts that the samples are divided into (default 5)")
    parser.add_argument(
        "--compare", metavar="S=V,S=V", help="also train with these settings, each for itself, on the same folds "
        "(S=V+S=V: together); all: every way to regularise against none",
    )  # fmt: skip
    add_training_arguments(parser)
    add_run_arguments(parser)


def _run(arguments: argparse.Namespace, reporter: Reporter) -> tuple[dict[str, Any], str]:
    from core.crossval_job import crossval_file

    spec = _resumed(arguments) if arguments.resume else _new(arguments)
    outcome = crossval_file(spec, reporter)
    return as_data(outcome), text_of(outcome)


def _new(arguments: argparse.Namespace) -> CrossvalSpec:
    from core.crossval_job import FOLDS, CrossvalSpec
    from core.recipe import read_text
    from core.training.variants import parse

    for name, given in (("MODEL", arguments.model), ("--data", arguments.data)):
        if given is None:
            raise ParameterError(f"{name} is missing", do="give it, or --resume a run")
    every = arguments.compare == ALL
    trial = parse("" if every else arguments.compare or "", training_settings(arguments))
    return CrossvalSpec(
        arguments.model, read_text(arguments.recipe) if arguments.recipe else "", arguments.data, trial.base,
        FOLDS if arguments.folds is None else arguments.folds, trial.variants, every, data_options(arguments),
        runs_folder(arguments),
    )  # fmt: skip


def _resumed(arguments: argparse.Namespace) -> CrossvalSpec:
    from core.crossval_job import spec_of
    from core.runs.store import RunStore

    refuse_new(arguments, "recipe", "data", "folds", "compare")
    store = RunStore(runs_folder(arguments) or "")
    run = store.find(arguments.resume)
    return replace(spec_of(store, run), resume=run.id)


def as_data(outcome: CrossvalOutcome) -> dict[str, Any]:
    """The outcome as the JSON of `crossval --json`."""
    from dataclasses import asdict

    curves = {name: [asdict(point) for point in points] for name, points in outcome.curves.items()}
    return outcome.result.to_dict() | {
        "curves": curves, "seconds": outcome.seconds, "run": outcome.run, "kept": list(outcome.notes),
    }  # fmt: skip


def text_of(outcome: CrossvalOutcome) -> str:
    """What came of it: a row for each variant, a row for each fold, the differences and what follows from them."""
    from core.training.crossval_result import advice

    result = outcome.result
    lines = [f"{result.metric}, {result.notes[0]}", "", _variants(result), "", _folds(result)]
    if result.differences:
        lines += ["", _differences(result), "", advice(result)]
    lines += ["", *result.notes[1:], *outcome.notes]
    return "\n".join([*lines, f"{outcome.seconds:.0f} s of training" + (f", run {outcome.run}" if outcome.run else "")])


def _variants(result: CrossvalResult) -> str:
    """Mean and spread of the original and of each variant."""
    from core.training.crossval_result import spread

    scores = [("the original", [fold.original for fold in result.of(0)])]
    scores += [(v.words, [fold.score for fold in result.of(index)]) for index, v in enumerate(result.variants)]
    rows = []
    for words, values in scores:
        found = spread(values)
        ends = (result.text(min(values)), result.text(max(values)))
        rows.append((words, result.text(found.mean), result.amount(found.deviation), result.amount(found.error), *ends))
    head = ("", "mean", "standard deviation", "standard error", "lowest", "highest")
    return table(head, rows, right=frozenset(range(1, 6)))


def _folds(result: CrossvalResult) -> str:
    """A row for each training."""
    words = [variant.words for variant in result.variants]
    rows = [
        (
            str(fold.fold + 1), words[fold.variant], result.text(fold.original), result.text(fold.score),
            f"{fold.best_epoch} of {fold.epochs}", str(fold.parted or "-"), f"{fold.seconds:.1f} s", fold.stopped,
        )
        for variant in range(len(result.variants)) for fold in result.of(variant)
    ]  # fmt: skip
    head = ("fold", "trained with", "original", "trained", "best epoch", "parted at", "time", "")
    return table(head, rows, right=frozenset({0, 2, 3, 4, 5, 6}))


def _differences(result: CrossvalResult) -> str:
    """A row for each variant against the base."""
    rows = [
        (
            result.variants[d.variant].words, _signed(result, d.mean), result.amount(d.error),
            f"{_signed(result, d.low)} to {_signed(result, d.high)}", f"{d.better} of {len(result.of(d.variant))}",
        )
        for d in result.differences
    ]  # fmt: skip
    head = (f"against {result.variants[0].words}", "better by", "standard error", "95 % bounds", "folds better")
    return table(head, rows, right=frozenset({1, 2, 4}))


def _signed(result: CrossvalResult, value: float) -> str:
    return f"{MINUS if value < 0 else '+'}{result.amount(abs(value))}"


COMMAND = Command("crossval", "train a recipe on folds of the data: how good it is, and how sure", _arguments, _run)
