"""featherweight-cli finetune MODEL [--recipe R.yaml] --data D [--valid V] [--test T] [settings] -o OUT.onnx"""

from __future__ import annotations

import argparse
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.commands.base import Command, add_torch_argument, comparison_text, table
from core.commands.data_arguments import add_data_arguments, data_options
from core.commands.training_arguments import (
    add_run_arguments,
    add_training_arguments,
    refuse_new,
    runs_folder,
    training_settings,
)
from core.errors import ParameterError
from core.figures import ms_text, size_text
from core.progress import Reporter

if TYPE_CHECKING:
    from core.analysis.comparison import Comparison
    from core.finetune_job import FinetuneOutcome, FinetuneSpec

_SHOWN = 20  # epochs in a terminal


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", nargs="?", help="the model file; not with --resume")
    parser.add_argument("--recipe", metavar="R.yaml", help="what to do with each layer (default: nothing, only train)")
    add_data_arguments(parser)
    parser.add_argument(
        "--valid", metavar="V", help="samples to choose the best state by (default: some of --data, held out)"
    )
    parser.add_argument("--test", metavar="T", help="samples to compare on (default: those that chose the best state)")
    parser.add_argument("-o", "--output", metavar="OUT.onnx", help="the trained model; needed, also with --resume")
    add_torch_argument(parser)
    add_training_arguments(parser)
    add_run_arguments(parser)


def _run(arguments: argparse.Namespace, reporter: Reporter) -> tuple[dict[str, Any], str]:
    from core.finetune_job import finetune_file

    if arguments.output is None:
        raise ParameterError("there is no file to write", do="give -o OUT.onnx")
    outcome = finetune_file(_resumed(arguments) if arguments.resume else _new(arguments), reporter)
    return as_data(outcome), text_of(outcome)


def _new(arguments: argparse.Namespace) -> FinetuneSpec:
    from core.exporting.staging import check_target
    from core.finetune_job import FinetuneSpec
    from core.recipe import read_text

    for name, given in (("MODEL", arguments.model), ("--data", arguments.data)):
        if given is None:
            raise ParameterError(f"{name} is missing", do="give it, or --resume a run")
    text = ""
    if arguments.recipe is not None:
        check_target(Path(arguments.output), also_read=(Path(arguments.recipe),))
        text = read_text(arguments.recipe)
    return FinetuneSpec(
        arguments.model, text, arguments.data, arguments.output, training_settings(arguments), arguments.valid,
        arguments.test, data_options(arguments), runs_folder(arguments), torch_target=arguments.torch,
    )  # fmt: skip


def _resumed(arguments: argparse.Namespace) -> FinetuneSpec:
    from core.finetune_job import spec_of
    from core.runs.store import RunStore

    refuse_new(arguments, "recipe", "data", "valid", "test")
    store = RunStore(runs_folder(arguments) or "")
    spec = spec_of(store.find(arguments.resume), arguments.output, str(store.folder))
    return replace(spec, torch_target=arguments.torch)


def as_data(outcome: FinetuneOutcome) -> dict[str, Any]:
    """The outcome as the JSON of `finetune --json`."""
    latency = outcome.comparison.latency
    return outcome.report.to_dict() | {
        "comparison": outcome.comparison.to_dict(), "compared_on": outcome.compared_on,
        "untrained": None if outcome.untrained is None else outcome.untrained.to_dict(),
        "latency_ms_before": latency.before.median_ms if latency else None,
        "latency_ms_after": latency.after.median_ms if latency else None,
        "curves": [asdict(point) for point in outcome.curves], "best_epoch": outcome.best_epoch,
        "stopped": outcome.stopped, "used": list(outcome.used),
        "frozen": [{"layer": name, "reason": reason} for name, reason in outcome.frozen],
        "notes": list(outcome.notes), "run": outcome.run, "seconds": outcome.seconds,
        "torch": asdict(outcome.torch) if outcome.torch is not None else None,
    }  # fmt: skip


def text_of(outcome: FinetuneOutcome) -> str:
    """The outcome for a person."""
    report, latency = outcome.report, outcome.comparison.latency
    lines = [_curves(outcome), ""]
    lines += [f"{name} keeps its stored values: {reason}" for name, reason in outcome.frozen]
    lines += outcome.used
    lines += [outcome.stopped] if outcome.stopped else []
    lines.append(
        f"file: {size_text(report.bytes_before)} -> {size_text(report.bytes_after)} "
        f"({report.bytes_before / max(report.bytes_after, 1):.1f} times smaller)"
    )
    if outcome.untrained is not None:
        lines.append(f"without training: {_score(outcome.untrained)}")
    lines.append(comparison_text(outcome.comparison))
    if latency is not None:
        lines.append(
            f"latency, median on {latency.threads} thread: {ms_text(latency.before.median_ms)} -> "
            f"{ms_text(latency.after.median_ms)}"
        )
    lines += outcome.notes
    lines += [outcome.torch.words] if outcome.torch is not None else []
    lines += [f"run: {outcome.run}"] if outcome.run else []
    lines.append(f"written: {outcome.path} in {outcome.seconds:.1f} s")
    return "\n".join(lines)


def _score(comparison: Comparison) -> str:
    score = comparison.score
    return "no metric fits" if score is None else f"{score.words} {score.change_text}"


def _curves(outcome: FinetuneOutcome) -> str:
    """Some of the epochs, the best and the last among them."""
    points = outcome.curves
    step = max(1, -(-len(points) // _SHOWN))
    shown = [p for i, p in enumerate(points) if i % step == 0 or i == len(points) - 1 or p.epoch == outcome.best_epoch]
    rows = [
        (str(p.epoch), p.stage, f"{p.train_loss:.4g}", "" if p.valid_loss is None else f"{p.valid_loss:.4g}",
         "" if p.valid_metric is None else f"{p.valid_metric:.4f}",
         "kept" if p.epoch == outcome.best_epoch else "parted" if p.parted else "")
        for p in shown
    ]  # fmt: skip
    return table(("epoch", "stage", "loss", "held out", "metric", ""), rows, right=frozenset({0, 2, 3, 4}))


COMMAND = Command("finetune", "compress a model and recover its accuracy by training", _arguments, _run)
