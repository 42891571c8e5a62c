"""featherweight-cli sensitivity MODEL --data D [--level free|fast|measured]"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from core.commands.base import Command, add_seed, table
from core.commands.data_arguments import add_data_arguments, data_options
from core.figures import size_text
from core.progress import Reporter
from core.sensitivity_job import LEVELS, SensitivitySpec, measure_sensitivity

if TYPE_CHECKING:
    from core.analysis.sensitivity.cells import Cell, Sensitivity

MARKS = {0: "~", 1: "", 2: "*"}
"""What stands behind a figure of each tier."""


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="the model file")
    add_data_arguments(parser, metric=False)
    parser.add_argument(
        "--level", choices=LEVELS, default="fast",
        help="free: errors of weights; fast (default): of outputs, from gradients; measured: for real, where it is "
        "worth it",
    )  # fmt: skip
    parser.add_argument("--all", action="store_true", help="with --level measured: measure every cell")
    parser.add_argument("--samples", type=int, metavar="N", help="samples to use (default 64)")
    add_seed(parser)


def _run(arguments: argparse.Namespace, reporter: Reporter) -> tuple[dict[str, Any], str]:
    spec = SensitivitySpec(
        arguments.model, arguments.data, arguments.level, everything=arguments.all, samples=arguments.samples,
        seed=arguments.seed, options=data_options(arguments),
    )  # fmt: skip
    found = measure_sensitivity(spec, reporter)
    return found.to_dict(), _text(found)


def _text(found: Sensitivity) -> str:
    columns = list(dict.fromkeys(cell.label for cell in found.cells))
    now = dict(found.layer_bytes)
    rows = []
    for name, cells in found.by_layer.items():
        by_label = {cell.label: cell for cell in cells}
        figures = [_figure(by_label[column]) if column in by_label else "-" for column in columns]
        rows.append((name, size_text(now.get(name, 0)), *figures))
    head = ("layer", "size", *columns)
    lines = [table(head, rows, right=frozenset(range(1, len(head))))] if rows else ["No layer has a setting to try."]
    lines += [f"{layer}: {reason}" for layer, reason in _left_out(found)]
    return "\n".join([*lines, *found.notes, _legend(found)])


def _figure(cell: Cell) -> str:
    return f"{cell.error:.2g}{MARKS[cell.tier]}"


def _left_out(found: Sensitivity) -> Sequence[tuple[str, str]]:
    """Layers that as a whole have no cells or were not measured, and why."""
    return [(skip.layer, skip.reason) for skip in found.skipped if not skip.steps]


def _legend(found: Sensitivity) -> str:
    words = {
        "kl": "KL divergence of the class scores in nats",
        "squared": "squared error of the outputs, relative",
        "weight": "squared error of the weight, relative",
    }
    text = f"the figures are errors: {words[found.measure]}"
    tiers = {cell.tier for cell in found.cells}
    if found.samples:
        text += f", with that layer alone compressed, on {found.samples:,} samples"
        if 1 in tiers:
            text += "; predicted from gradients" + (" unless marked * (measured)" if 2 in tiers else "")
        elif 2 in tiers:
            text += "; * measured"
        if 0 in tiers:
            text += "; ~ relative error of the weight, where no more is known"
    return text


COMMAND = Command("sensitivity", "show what compressing each layer costs", _arguments, _run)
