"""featherweight-cli compress MODEL --recipe R.yaml [--data D] -o OUT.onnx"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.commands.base import Command, add_seed, add_torch_argument, comparison_text, table
from core.commands.data_arguments import add_data_arguments, data_options
from core.commands.training_arguments import add_run_arguments, runs_folder
from core.figures import db_text, size_text
from core.progress import Reporter

if TYPE_CHECKING:
    from core.jobs import CompressOutcome, CompressSpec

LARGER = 1.01
"""Of the predicted size, from which on a file is said to be larger."""


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="the model file")
    parser.add_argument("--recipe", required=True, metavar="R.yaml", help="what to do with each layer")
    add_data_arguments(parser)
    parser.add_argument(
        "--calib", metavar="C", help="samples for steps that work from them (default: some of --data, set apart)"
    )
    parser.add_argument("-o", "--output", required=True, metavar="OUT.onnx", help="the compressed model")
    add_torch_argument(parser)
    parser.add_argument("--report", metavar="REPORT.html", help="also write a page that shows what it did and costs")
    add_seed(parser)
    add_run_arguments(parser, resume=False)


def _run(arguments: argparse.Namespace, reporter: Reporter) -> tuple[dict[str, Any], str]:
    from core.exporting.staging import check_distinct, check_target, files_read
    from core.jobs import CompressSpec, compress_file
    from core.model.readers import open_model
    from core.recipe import read_text

    options = data_options(arguments)
    check_distinct(arguments.output, arguments.report, arguments.torch)
    check_target(Path(arguments.output), also_read=(Path(arguments.recipe),))
    if arguments.report is not None:
        read = files_read(arguments.recipe, arguments.data, arguments.calib, options=options)
        model = open_model(arguments.model)
        check_target(Path(arguments.report), model.path, (*model.data_files, *read))
    spec = CompressSpec(
        arguments.model, read_text(arguments.recipe), arguments.output, arguments.data, arguments.seed,
        arguments.calib, live=arguments.report is not None, options=options, torch_target=arguments.torch,
        runs_folder=runs_folder(arguments),
    )  # fmt: skip
    outcome = compress_file(spec, reporter)
    if arguments.report is not None:
        _write_report(spec, outcome, arguments.report)
    return as_data(outcome), _text(outcome)


def _write_report(spec: CompressSpec, outcome: CompressOutcome, target: str) -> None:
    from core.report_job import kept_sensitivity, write_report
    from core.reporting.subject import of_outcome
    from core.torch_files.origin import shown_name

    table = kept_sensitivity(spec.model_path, spec.data_path or "", spec.options)
    write_report(of_outcome(outcome, shown_name(spec.model_path), spec.recipe_text, sensitivity=table), Path(target))


def as_data(outcome: CompressOutcome) -> dict[str, Any]:
    """The outcome as the JSON of `compress --json`."""
    from core.analysis.metrics import json_number

    latency = outcome.latency
    data = outcome.report.to_dict() | {
        "layers": [
            {
                "name": r.name,
                "kind": str(r.kind),
                "steps": list(r.steps),
                "skipped": r.skipped,
                "bytes_before": r.bytes_before,
                "bytes_after": r.bytes_after,
                "weight_sqnr_db": json_number(r.weight_sqnr_db),
                "note": r.note,
            }
            for r in outcome.layers
        ],
        "output_sqnr_db": json_number(outcome.comparison.output_sqnr_db) if outcome.comparison else None,
        "latency_ms_before": latency.before.median_ms if latency else None,
        "latency_ms_after": latency.after.median_ms if latency else None,
        "latency_on": outcome.latency_on,
        "calibrated_on": outcome.calibrated_on,
        "run": outcome.run,
        "seconds": outcome.seconds,
        "torch": asdict(outcome.torch) if outcome.torch is not None else None,
    }
    if outcome.comparison:
        data["comparison"] = outcome.comparison.to_dict()
    return data


def _text(outcome: CompressOutcome) -> str:
    report, rows = outcome.report, []
    for r in outcome.layers:
        note = "; ".join(filter(None, (r.skipped, r.note))) or ("" if r.steps else "left as it was")
        rows.append(
            (
                r.name,
                str(r.kind),
                " + ".join(r.steps),
                size_text(r.bytes_before),
                size_text(r.bytes_after),
                db_text(r.weight_sqnr_db),
                note,
            )
        )
    head = ("layer", "kind", "steps", "before", "after", "weight SQNR", "")
    lines = [table(head, rows, right=frozenset({3, 4, 5}))]
    lines += [f"graph: {line}" for line in report.changes]
    lines += [f"graph: not done: {line}" for line in report.trouble]
    if outcome.calibrated_on:
        lines.append(f"calibrated on {outcome.calibrated_on}")
    lines += [f"clean-up: {s.what}, {size_text(s.nbytes)} saved" for s in report.savings]
    lines.append(
        f"file: {size_text(report.bytes_before)} -> {size_text(report.bytes_after)} ({report.ratio:.1%}), "
        f"predicted {size_text(report.bytes_predicted)}"
    )
    if report.bytes_after > LARGER * report.bytes_predicted:
        more = report.bytes_after / report.bytes_predicted - 1
        lines.append(f"the file is {more:.1%} larger than predicted; a plan made for a size may exceed it")
    if outcome.comparison:
        lines.append(comparison_text(outcome.comparison))
    if outcome.latency:
        before, after = outcome.latency.before, outcome.latency.after
        lines.append(
            f"latency, median on {outcome.latency.threads} thread: {before.median_ms:.3g} ms -> "
            f"{after.median_ms:.3g} ms (10-90 %: {before.low_ms:.3g}-{before.high_ms:.3g}, "
            f"{after.low_ms:.3g}-{after.high_ms:.3g}; {outcome.latency_on})"
        )
    lines += [f"gate: {c.name}: {c.text}" for c in report.checks]
    lines += outcome.not_kept
    if outcome.torch is not None:
        lines.append(outcome.torch.words)
    lines.append(f"written: {report.target} in {outcome.seconds:.1f} s")
    return "\n".join(lines)


COMMAND = Command("compress", "compress a model by a recipe", _arguments, _run)
