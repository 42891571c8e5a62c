"""featherweight-cli compare A B --data D; featherweight-cli compare MODEL --methods [--data D]"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from core.commands.base import Command, add_seed, comparison_text, family_names
from core.commands.data_arguments import add_data_arguments, data_options
from core.errors import ParameterError
from core.figures import size_text
from core.progress import Reporter


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("a", metavar="A", help="the original model")
    parser.add_argument("b", metavar="B", nargs="?", help="the model to compare with it; none with --methods")
    add_data_arguments(parser)
    parser.add_argument("--limit", type=int, metavar="N", help="samples to use for A and B (default: all)")
    group = parser.add_argument_group("methods")
    group.add_argument("--methods", action="store_true", help="try every method at several levels on A, and recommend")
    group.add_argument("--families", metavar="A,B", help="families of methods (default: all)")
    group.add_argument("--minutes", type=float, metavar="N", help="try no further setting after so long (default 10)")
    group.add_argument("--calib", metavar="C", help="samples to learn from (default: some of --data, set apart)")
    group.add_argument("--plan", metavar="P.yaml", help="a recipe to measure beside them")
    group.add_argument("--html", metavar="F", help="write the comparison as one HTML file")
    group.add_argument("--csv", metavar="F", help="write the table as CSV")
    add_seed(group)


def _run(arguments: argparse.Namespace, reporter: Reporter) -> tuple[dict[str, Any], str]:
    if arguments.methods:
        if arguments.b is not None:
            raise ParameterError("--methods takes one model", do=f"leave {arguments.b} out, or leave --methods out")
        return _methods(arguments, reporter)
    if arguments.b is None:
        raise ParameterError("there is nothing to compare with", do="give a second model, or --methods")
    if arguments.data is None:
        raise ParameterError("comparing two models needs data", do="give --data")
    for name in ("families", "minutes", "calib", "plan", "html", "csv"):
        if getattr(arguments, name) is not None:
            raise ParameterError(f"--{name} goes with --methods", do="add --methods, and give one model")
    return _models(arguments, reporter)


def _models(arguments: argparse.Namespace, reporter: Reporter) -> tuple[dict[str, Any], str]:
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


def _methods(arguments: argparse.Namespace, reporter: Reporter) -> tuple[dict[str, Any], str]:
    from core.exporting.staging import check_target, files_read
    from core.method_comparison.job import MethodsSpec, compare_methods
    from core.method_comparison.recommend import recommend
    from core.method_comparison.tables import study_data, terminal_text
    from core.recipe import read_text

    for target in filter(None, (arguments.html, arguments.csv)):
        check_target(Path(target), also_read=files_read(arguments.plan))
    spec = MethodsSpec(
        arguments.a, arguments.data, arguments.calib,
        family_names(arguments.families), arguments.minutes,
        read_text(arguments.plan) if arguments.plan else "", arguments.html, arguments.csv, arguments.seed,
        data_options(arguments),
    )  # fmt: skip
    study = compare_methods(spec, reporter)
    advice = recommend(study)
    written = [f"written: {path}" for path in (arguments.html, arguments.csv) if path]
    return study_data(study, advice), "\n".join([terminal_text(study, advice), *written])


COMMAND = Command("compare", "compare two models on data, or all methods on one model", _arguments, _run)
