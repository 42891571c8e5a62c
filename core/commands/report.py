"""featherweight-cli report MODEL (--recipe R.yaml [--data D] | COMPRESSED.onnx --data D) -o report.html"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.commands.base import Command, add_seed
from core.commands.data_arguments import add_data_arguments, data_options
from core.errors import ParameterError
from core.figures import db_text, size_text
from core.progress import Reporter

if TYPE_CHECKING:
    from core.reporting.subject import Subject


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="the original model")
    parser.add_argument("compressed", nargs="?", metavar="COMPRESSED.onnx", help="a file to compare with it")
    parser.add_argument("--recipe", metavar="R.yaml", help="compress by this, in a temporary place, and report on it")
    add_data_arguments(parser)
    parser.add_argument(
        "--calib", metavar="C", help="samples for steps that work from them (default: some of --data, set apart)"
    )
    parser.add_argument("-o", "--output", required=True, metavar="REPORT.html", help="the page to write")
    add_seed(parser)


def _run(arguments: argparse.Namespace, reporter: Reporter) -> tuple[dict[str, Any], str]:
    from core.exporting.staging import check_target
    from core.recipe import read_text
    from core.report_job import ReportSpec, report_file

    if (arguments.recipe is None) == (arguments.compressed is None):
        what = "both --recipe and a compressed file are given" if arguments.recipe else "there is nothing to report on"
        raise ParameterError(what, do="give either --recipe R.yaml or a compressed file")
    if arguments.compressed is not None and arguments.data is None:
        raise ParameterError("comparing two files needs samples", do="give --data")
    if arguments.compressed is not None and arguments.calib is not None:
        raise ParameterError("--calib goes with --recipe", do="leave it out")
    text = ""
    if arguments.recipe is not None:
        check_target(Path(arguments.output), also_read=(Path(arguments.recipe),))
        text = read_text(arguments.recipe)
    spec = ReportSpec(
        arguments.model, arguments.output, text, arguments.compressed, arguments.data, arguments.calib, arguments.seed,
        options=data_options(arguments),
    )  # fmt: skip
    subject = report_file(spec, reporter)
    return _data(arguments.output, subject), _text(arguments.output, subject)


def _data(output: str, subject: Subject) -> dict[str, Any]:
    from core.analysis.metrics import json_number

    found = subject.comparison
    return {
        "report": output, "bytes_before": subject.bytes_before, "bytes_after": subject.bytes_after,
        "output_sqnr_db": None if found is None else json_number(found.output_sqnr_db),
        "notes": [] if found is None else list(found.notes),
    }  # fmt: skip


def _text(output: str, subject: Subject) -> str:
    lines = [f"file: {size_text(subject.bytes_before)} -> {size_text(subject.bytes_after)}"]
    if subject.comparison is not None:
        found = subject.comparison
        lines.append(f"output error: {db_text(found.output_sqnr_db)} SQNR (measured on {found.measured_on})")
        lines += [found.score.assumed] if found.score is not None and found.score.assumed else []
        lines += found.notes
    return "\n".join([*lines, f"written: {output}"])


COMMAND = Command("report", "make a page that shows what a compression did and what it costs", _arguments, _run)
