"""What a command is, and how tables and comparisons read in a terminal."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import ParameterError
from core.figures import count_text, db_text, size_text
from core.progress import Reporter

if TYPE_CHECKING:
    from core.analysis.comparison import Comparison


@dataclass(frozen=True)
class Command:
    """One command.

    arguments  adds the command's own options to its parser
    run        does the work; returns the data for --json and the text for a person
    """

    name: str
    help: str
    arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace, Reporter], tuple[dict[str, Any], str]]


def add_torch_argument(parser: argparse._ActionsContainer) -> None:
    """--torch: write the weights back for PyTorch."""
    parser.add_argument(
        "--torch", metavar="OUT.safetensors", help="for a model from a PyTorch file: also its weights, as decoded "
        "floats under their names in the state_dict (.safetensors, .pt)",
    )  # fmt: skip


def add_seed(parser: argparse._ActionsContainer, what: str = "for methods that draw random numbers") -> None:
    """--seed, which is refused at once when no generator takes it."""
    parser.add_argument("--seed", type=_seed, default=0, metavar="N", help=f"{what} (default 0)")


def _seed(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = -1
    if not 0 <= value < 2**63:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 0 to {2**63 - 1}")
    return value


def family_names(text: str | None) -> tuple[str, ...]:
    """The names given with --families, () without the option. Raises ParameterError when it names none."""
    names = tuple(name.strip() for name in (text or "").split(",") if name.strip())
    if text is not None and not names:
        raise ParameterError(f"--families {text!r} names no family", do="give names with commas, or leave it out")
    return names


def table(head: Sequence[str], rows: Iterable[Sequence[str]], right: frozenset[int] = frozenset()) -> str:
    """A plain table; `right` names the columns that hold numbers."""
    lines = [list(head), *(list(row) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    return "\n".join(
        "  ".join(
            cell.rjust(w) if i in right else cell.ljust(w) for i, (cell, w) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def comparison_text(comparison: Comparison) -> str:
    """What a comparison measured, a figure a line."""
    on = f"measured on {comparison.measured_on} of {Path(comparison.source).name}"
    lines = [f"output error: {db_text(comparison.output_sqnr_db)} SQNR ({on})"]
    score = comparison.score
    shown = score is not None and score.metric not in ("accuracy", "agreement")
    if score is not None and shown:
        lines.append(f"{score.words}: {score.change_text}; {on}")
        lines += [score.assumed] if score.assumed else []
    if comparison.accuracy_before is not None and comparison.accuracy_after is not None:
        change = 100 * (comparison.accuracy_after - comparison.accuracy_before)
        lines.append(
            f"accuracy: {comparison.accuracy_before:.2%} -> {comparison.accuracy_after:.2%} "
            f"({change:+.2f} points; {on})"
        )
    elif comparison.no_accuracy and not shown:
        lines.append(f"accuracy: not measured, {comparison.no_accuracy}")
    if comparison.agreement is not None:
        lines.append(f"same answer as the original: {comparison.agreement:.2%}")
    if comparison.memory_before is not None and comparison.memory_after is not None:
        lines.append(
            f"memory when loaded: {size_text(comparison.memory_before)} -> {size_text(comparison.memory_after)}"
        )
    if comparison.multiply_adds_before is not None and comparison.multiply_adds_after is not None:
        before, after = count_text(comparison.multiply_adds_before), count_text(comparison.multiply_adds_after)
        lines.append(f"multiply-adds of one run: {before} -> {after}")
    return "\n".join([*lines, *comparison.notes])
