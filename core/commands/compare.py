"""featherweight-cli compare A B --data D"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from core.commands.base import Command, comparison_text
from core.commands.data_arguments import add_data_arguments, data_options
from core.figures import size_text
from core.progress import Reporter


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("a", metavar="A", help="the original model")
    parser.add_argument("b", metavar="B", help="the model to compare with it")
    add_data_arguments(parser, required=True)
    parser.add_argument("--limit", type=int, metavar="N", help="samples to use (default: all)")


def _run(arguments: argparse.Namespace, reporter: Reporter) -> tuple[dict[str, Any], str]:
    from core.analysis.comparison import compare_models
    from core.data import load_samples
    from core.model.readers import open_model

    a, b = open_model(arguments.a), open_model(arguments.b)
    samples = load_samples(arguments.data, a.inputs, options=data_options(arguments))
    comparison = compare_models(Path(arguments.a), Path(arguments.b), samples, reporter=reporter, limit=arguments.limit)
    data = {
        "a": arguments.a,
        "b": arguments.b,
        "bytes_before": a.file_bytes,
        "bytes_after": b.file_bytes,
    } | comparison.to_dict()
    return data, f"file: {size_text(a.file_bytes)} -> {size_text(b.file_bytes)}\n{comparison_text(comparison)}"


COMMAND = Command("compare", "compare two models on data", _arguments, _run)
