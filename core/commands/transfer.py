"""featherweight-cli transfer MODEL --data D [--at LAYER] [--freeze F] [--cut C] [--recipe R | --size S] -o OUT.onnx"""

from __future__ import annotations

import argparse
from dataclasses import asdict, replace
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
from core.figures import percent_text, size_text
from core.methods.params import build, specs
from core.progress import Reporter
from core.transfer import settings as words
from core.transfer.settings import RECIPES, TransferSettings

if TYPE_CHECKING:
    from core.transfer_job import Proposal, Row, TransferOutcome, TransferSpec


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", nargs="?", help="the trained model file; not with --resume")
    add_data_arguments(parser, metric=False)
    parser.add_argument("--valid", metavar="V", help="samples to choose the best state by (default: some of --data)")
    parser.add_argument("--test", metavar="T", help="samples to compare on (default: some of --data)")
    parser.add_argument("-o", "--output", metavar="OUT.onnx", help="the new model; not with --resume")
    group = parser.add_argument_group("transfer")
    group.add_argument("--at", metavar="LAYER", help="cut the head before this layer (default: the recommended place)")
    group.add_argument("--list-cuts", action="store_true", help="only list where the head can be cut")
    group.add_argument("--classes", type=int, metavar="N", help="classes of the new head (default: as the labels say)")
    group.add_argument("--hidden", metavar="N", help="units of a hidden layer in the new head (default 0: none)")
    group.add_argument("--freeze", metavar="F", help="layers that are not trained: auto (those whose features fit, as "
                       "measured), none, all, or names with commas (default auto)")  # fmt: skip
    group.add_argument("--cut", metavar="C", help="channels that go: unused (those that hardly change on the new "
                       "data), a share of all such as 25%%, or none (default unused)")  # fmt: skip
    group.add_argument("--recipe", metavar="R", help="then compress: R.yaml, int8, small (pruned, 16 shared levels) or "
                       "none (default int8)")  # fmt: skip
    group.add_argument("--size", metavar="S", help="then compress to this size: 25%% of the transferred model, 30kB")
    for name in ("head_epochs", "slower", "tune_epochs"):
        group.add_argument(f"--{name.replace('_', '-')}", metavar="N", help=_help(name))
    group.add_argument("--no-comparison", action="store_true", help="do not also train the network from nothing")
    add_training_arguments(parser)
    add_run_arguments(parser)


def _help(name: str) -> str:
    spec = next(spec for spec in specs(TransferSettings) if spec.name == name)
    said = spec.description.split(". ")[0].removesuffix(".")
    return f"{spec.title.lower()}: {said[:1].lower()}{said[1:]} (default {spec.default:g})".replace("%", "%%")


def _run(arguments: argparse.Namespace, reporter: Reporter) -> tuple[dict[str, Any], str]:
    from core.transfer_job import look_at_transfer, transfer_file

    if arguments.list_cuts:
        cuts = look_at_transfer(_new(arguments, "unwritten.onnx"), reporter).cuts
        return {"cuts": [asdict(cut) for cut in cuts]}, _cuts_text(cuts)
    outcome = transfer_file(_resumed(arguments) if arguments.resume else _new(arguments), reporter)
    return as_data(outcome), text_of(outcome)


def _new(arguments: argparse.Namespace, target: str | None = None) -> TransferSpec:
    from core.recipe import read_text
    from core.transfer_job import TransferSpec

    target = arguments.output or target
    for name, value in (("MODEL", arguments.model), ("--data", arguments.data), ("--output", target)):
        if value is None:
            raise ParameterError(f"{name} is missing", do="give it, or --resume a run")
    recipe = arguments.recipe
    text = read_text(recipe) if recipe is not None and recipe not in (*RECIPES, words.NONE) else ""
    settings, keep = transfer_settings(arguments)
    return TransferSpec(
        arguments.model, arguments.data, str(target), arguments.at or "", arguments.classes, keep, text,
        arguments.size or "", settings, training_settings(arguments), arguments.valid, arguments.test,
        data_options(arguments), runs_folder(arguments),
    )  # fmt: skip


def transfer_settings(arguments: argparse.Namespace) -> tuple[TransferSettings, tuple[str, ...]]:
    """The settings that were given and the layers named with --freeze. Raises ParameterError."""
    known = {spec.name: spec for spec in specs(TransferSettings)}
    values = {name: known[name].read(text) for name in ("hidden", "head_epochs", "slower", "tune_epochs")
              if (text := getattr(arguments, name)) is not None}  # fmt: skip
    keep: tuple[str, ...] = ()
    if arguments.freeze in (words.AUTO, words.NONE, words.ALL):
        values["freeze"] = arguments.freeze
    elif arguments.freeze is not None:
        keep = tuple(name.strip() for name in arguments.freeze.split(",") if name.strip())
        values["freeze"] = words.LISTED
    if arguments.cut in (words.UNUSED, words.NONE):
        values["cut"] = arguments.cut
    elif arguments.cut is not None:
        values |= {"cut": words.SHARE, "share": known["share"].read(arguments.cut)}
    if arguments.size is not None and arguments.recipe is not None:
        raise ParameterError("--recipe and --size both say how to compress", do="give one of them")
    if arguments.size is not None:
        values["compress"] = words.SIZE
    elif arguments.recipe is not None:
        values["compress"] = arguments.recipe if arguments.recipe in (*RECIPES, words.NONE) else words.OWN
    if arguments.no_comparison:
        values["compare"] = False
    return build(TransferSettings, values), keep


def _resumed(arguments: argparse.Namespace) -> TransferSpec:
    from core.runs.store import RunStore
    from core.transfer_job import spec_of

    refuse_new(
        arguments, "data", "valid", "test", "output", "at", "classes", "hidden", "freeze", "cut", "recipe", "size"
    )
    store = RunStore(runs_folder(arguments) or "")
    run = store.find(arguments.resume)
    return replace(spec_of(store, run), resume=run.id)


def as_data(outcome: TransferOutcome) -> dict[str, Any]:
    """The outcome as the JSON of `transfer --json`."""
    proposal = outcome.proposal
    gain = outcome.gain
    return {
        "output": outcome.path, "bytes_original": outcome.bytes_original, "metric": outcome.metric,
        "rows": [asdict(row) for row in outcome.rows], "chosen": outcome.chosen, "compared_on": outcome.compared_on,
        "gain": None if gain is None else {"value": gain[0], "standard_error": gain[1]}, "verdict": outcome.verdict,
        "cut": asdict(proposal.cut), "cuts": [asdict(cut) for cut in proposal.cuts], "outputs": proposal.outputs,
        "kept": list(proposal.keep), "removed": list(proposal.removed), "threshold": proposal.threshold,
        "use": [
            {"layer": one.title, "channels": one.units, "silent": one.silent, "unused": one.below(proposal.threshold),
             "least": float(one.use.min()), "most": float(one.use.max())} for one in proposal.usage.channels
        ],
        "relative_gradients": [{"layer": one.title, "value": one.pull} for one in proposal.usage.pulls],
        "curves": {title: [asdict(point) for point in points] for title, points in outcome.curves},
        "used": list(outcome.used), "notes": list(outcome.notes), "seconds": outcome.seconds, "run": outcome.run,
    }  # fmt: skip


def text_of(outcome: TransferOutcome) -> str:
    """The outcome for a terminal."""
    proposal = outcome.proposal
    lines = [f"cut {proposal.cut.title}: {proposal.cut.features:,} features for {proposal.outputs}. "
             f"{proposal.cut.reason}", *_usage_lines(proposal)]  # fmt: skip
    head = ("model", outcome.metric, "standard error", "file", "weights")
    lines.append(table(head, [_row(row, outcome) for row in outcome.rows], right=frozenset({1, 2, 3, 4})))
    lines.append(f"compared on {outcome.compared_on}; the original's file has {size_text(outcome.bytes_original)}")
    lines += [outcome.verdict] if outcome.verdict else []
    lines += [*outcome.used, *outcome.notes]
    checks = outcome.report.checks if outcome.report is not None else ()
    lines += [f"gate: {check.name}: {check.text}" for check in checks]
    lines.append(f"written: {outcome.path} in {outcome.seconds:.1f} s")
    return "\n".join(lines)


def _usage_lines(proposal: Proposal) -> list[str]:
    usage, lines = proposal.usage, []
    if usage.channels:
        rows = [(one.title, f"{one.units:,}", f"{one.silent:,}", f"{one.below(proposal.threshold):,}",
                 f"{one.use.min():.3f}") for one in usage.channels]  # fmt: skip
        head = ("channels of", "all", "never change", f"use < {proposal.threshold:.3g}", "least use")
        lines.append(table(head, rows, right=frozenset({1, 2, 3, 4})))
    lines += [f"cut: {line}" for line in proposal.removed]
    if usage.pulls:
        most = max(one.pull for one in usage.pulls) or 1.0
        pulls = [(one.title, percent_text(one.pull / most), "kept" if one.layer in proposal.keep else "")
                 for one in usage.pulls]  # fmt: skip
        lines.append(table(("layer", "relative gradient", ""), pulls, right=frozenset({1})))
    elif proposal.keep:
        lines.append(f"kept as they are: {len(proposal.keep)} layers")
    return lines


def _row(row: Row, outcome: TransferOutcome) -> tuple[str, ...]:
    share = outcome.higher_is_better
    exact = (f"{row.value:.4g}", f"{row.error:.2g}")
    value, error = (percent_text(row.value, 2), percent_text(row.error, 2)) if share else exact
    mark = " *" if row.name == outcome.chosen else ""
    return f"{row.name}{mark}", value, error, size_text(row.nbytes), f"{row.weights:,}"


def _cuts_text(cuts: Any) -> str:
    rows = [("*" if cut.recommended else "", cut.layer or cut.key, cut.title, f"{cut.features:,}",
             f"{cut.kept_weights:,}", cut.reason) for cut in cuts]  # fmt: skip
    return table(("", "--at", "where", "features", "weights kept", ""), rows, right=frozenset({3, 4}))


COMMAND = Command("transfer", "give a trained model a new head and train it on other data", _arguments, _run)
