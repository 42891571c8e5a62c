"""featherweight-cli merge MODEL... --mode average|vote|weights|bag|boost|student [--data D] -o OUT.onnx"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.commands.base import Command, table
from core.commands.data_arguments import add_data_arguments, data_options
from core.commands.training_arguments import (
    add_run_arguments,
    add_training_arguments,
    given_settings,
    refuse_new,
    runs_folder,
    training_settings,
)
from core.errors import ParameterError
from core.figures import size_text
from core.progress import Reporter

if TYPE_CHECKING:
    from core.merge_job import MergeOutcome, MergeSpec

_ONLY_NEW = ("mode", "data", "valid", "test", "recipe", "members", "weights", "soup", "start", "original")
"""Options that a resumed run has from its beginning."""


def _arguments(parser: argparse.ArgumentParser) -> None:
    from core.merge_job import MergeMode

    modes = "; ".join(f"{mode}: {mode.words[:1].lower()}{mode.words[1:].removesuffix('.')}" for mode in MergeMode)
    parser.add_argument("models", metavar="MODEL", nargs="*", help="the members; one model for bag and boost")
    parser.add_argument("--mode", choices=[str(mode) for mode in MergeMode], help=modes.replace("%", "%%"))
    parser.add_argument("-o", "--output", required=True, metavar="OUT.onnx", help="the merged model")
    parser.add_argument("--report", metavar="REPORT.html", help="also write a page that compares all of them")
    parser.add_argument("--original", metavar="MODEL", help="compare with this model (bag, boost: with the given one)")
    parser.add_argument("--weights", metavar="A,B,...", help="what each member counts (average, vote; default: alike)")
    parser.add_argument(
        "--soup", choices=("uniform", "greedy"), help="weights: the mean of all members (default), or only of those "
        "that help on held-out samples",
    )  # fmt: skip
    group = parser.add_argument_group("members that are trained")
    group.add_argument("--recipe", metavar="R.yaml", help="how members and student are compressed (default: not)")
    group.add_argument("--members", type=int, metavar="N", help="how many to train (default 5)")
    group.add_argument(
        "--start", choices=("trained", "anew"), help="where members begin: with the model's weights (default), or with "
        "new ones, trained before they are compressed: more unlike each other, and twice the time",
    )  # fmt: skip
    group.add_argument("--members-to", metavar="FOLDER", help="put the members' files there as well")
    add_data_arguments(parser)
    parser.add_argument("--valid", metavar="V", help="samples to choose the best states by (default: some of --data)")
    parser.add_argument("--test", metavar="T", help="samples to measure on")
    add_training_arguments(parser)
    add_run_arguments(parser)


def _run(arguments: argparse.Namespace, reporter: Reporter) -> tuple[dict[str, Any], str]:
    from core.ensembles.telling import page
    from core.exporting.staging import check_distinct, check_target, files_read, write_atomic
    from core.merge_job import merge_file

    spec = _resumed(arguments) if arguments.resume else _new(arguments)
    check_distinct(arguments.output, arguments.report)
    if arguments.report is not None:
        read = files_read(*spec.model_paths, spec.data_path, spec.valid_path, spec.test_path, options=spec.options)
        check_target(Path(arguments.report), also_read=read)
    outcome = merge_file(spec, reporter)
    if arguments.report is not None:
        title = f"{Path(outcome.path).name}: {outcome.mode}"
        write_atomic(Path(arguments.report), page(outcome, title).encode())
    return as_data(outcome), text_of(outcome)


def _new(arguments: argparse.Namespace) -> MergeSpec:
    from core.merge_job import MergeSpec, check
    from core.recipe import read_text

    for name, missing in (("MODEL", not arguments.models), ("--mode", arguments.mode is None)):
        if missing:
            raise ParameterError(f"{name} is missing", do="give it, or --resume a run")
    spec = MergeSpec(
        tuple(arguments.models), arguments.mode, arguments.output, arguments.data,
        read_text(arguments.recipe) if arguments.recipe else "",
        5 if arguments.members is None else arguments.members, _numbers(arguments.weights),
        arguments.soup == "greedy", arguments.start == "anew", arguments.original, arguments.members_to,
        training_settings(arguments), arguments.valid, arguments.test, data_options(arguments),
    )  # fmt: skip
    mode = check(spec)
    trains = given_settings(arguments) + tuple(
        f"--{name}" for name in ("recipe", "members", "start") if getattr(arguments, name) is not None
    )
    if trains and not mode.trains:
        raise ParameterError(f"{trains[0]} is for members that are trained", do="use the modes bag, boost or student")
    return replace(spec, runs_folder=runs_folder(arguments))


def _resumed(arguments: argparse.Namespace) -> MergeSpec:
    from core.merge_job import spec_of
    from core.runs.store import RunStore

    refuse_new(arguments, *_ONLY_NEW)
    store = RunStore(Path(runs_folder(arguments) or ""))
    run = store.find(arguments.resume)
    return replace(
        spec_of(run, str(store.folder)), resume=run.id, target=arguments.output, members_folder=arguments.members_to
    )


def _numbers(text: str | None) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(",")) if text else ()
    except ValueError:
        raise ParameterError(f"--weights is {text!r}", do="give numbers with commas: 1,1,2") from None


def as_data(outcome: MergeOutcome) -> dict[str, Any]:
    """The outcome as the JSON of `merge --json`."""
    return {"output": outcome.path, "bytes_after": outcome.nbytes} | outcome.to_dict()


def text_of(outcome: MergeOutcome) -> str:
    """What came of it: the verdict, a row for each model, the differences and what a person should know."""
    from core.ensembles.telling import NUMBERS, duels, head, headline, notes, rows

    lines = [headline(outcome), ""]
    found = outcome.standings
    if found is not None:
        lines += [table(head(found), rows(found), right=NUMBERS), "", *duels(found), ""]
    lines += notes(outcome)
    lines += [f"gate: {check.name}: {check.text}" for check in outcome.checks]
    run = f", run {outcome.run}" if outcome.run else ""
    lines.append(f"written: {outcome.path}, {size_text(outcome.nbytes)}, in {outcome.seconds:.1f} s{run}")
    return "\n".join(lines)


COMMAND = Command("merge", "several models as one: ensembles, averaged weights, a student", _arguments, _run)
