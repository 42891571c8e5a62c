"""featherweight-cli plan MODEL [--data D] (--size 25% | --sqnr 30 | --drop 0.5) [--families a,b] -o R.yaml"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from core.commands.base import Command, table
from core.commands.data_arguments import add_data_arguments, data_options
from core.errors import ParameterError
from core.figures import db_text, size_text
from core.progress import Reporter

if TYPE_CHECKING:
    from core.planning.plan import Plan

_SHOWN = 12  # points of the front in a terminal


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="the model file")
    add_data_arguments(parser)
    budget = parser.add_mutually_exclusive_group(required=True)
    budget.add_argument("--size", metavar="25%", help="largest file: a share of the original, or 2MB, 300kB")
    budget.add_argument("--sqnr", metavar="DB", help="smallest output SQNR in dB; the smallest file is looked for")
    budget.add_argument("--drop", metavar="POINTS", help="points of the metric that may be lost, likewise")
    parser.add_argument("--families", metavar="A,B", default="", help="families of methods (default: all)")
    parser.add_argument("--minutes", type=float, metavar="N", help="measure no further plan after so long")
    parser.add_argument("--recipe", metavar="P.yaml", help="plan to start from, with the steps of pinned layers")
    parser.add_argument("--pin", action="append", default=[], metavar="LAYER", help="keep this layer as in --recipe")
    parser.add_argument("-o", "--output", required=True, metavar="R.yaml", help="the recipe to write")
    parser.add_argument("--seed", type=int, default=0, help="for the choice of samples (default 0)")


def _run(arguments: argparse.Namespace, reporter: Reporter) -> tuple[dict[str, Any], str]:
    from core.plan_job import PlanSpec, plan_file
    from core.recipe import read_text

    if arguments.minutes is not None and not arguments.minutes > 0:
        raise ParameterError(f"--minutes is {arguments.minutes:g}", do="give a number above 0")
    goal = next(name for name in ("size", "sqnr", "drop") if getattr(arguments, name) is not None)
    spec = PlanSpec(
        arguments.model, goal, getattr(arguments, goal), arguments.data,
        tuple(name for name in arguments.families.split(",") if name.strip()), arguments.minutes,
        read_text(arguments.recipe) if arguments.recipe else "", tuple(arguments.pin), arguments.output, arguments.seed,
        options=data_options(arguments),
    )  # fmt: skip
    plan = plan_file(spec, reporter)
    return {"recipe": arguments.output} | plan.to_dict(), plan_text(plan) + f"\nwritten: {arguments.output}"


def plan_text(plan: Plan) -> str:
    """A plan for a person: layer by layer, the front, what holds it back, the totals."""
    rows = [
        (layer.name, " + ".join(layer.steps) or "as it is", size_text(layer.bytes_before), size_text(layer.bytes_after),
         f"{layer.share:.1%}")
        for layer in plan.layers
    ]  # fmt: skip
    lines = [table(("layer", "steps", "before", "after", "of the error"), rows, right=frozenset({2, 3, 4}))]
    lines += ["", "other plans", _points(plan)]
    if plan.binding:
        lines += ["", "what holds the plan back"]
        lines += [
            f"{b.layer}: {b.share:.0%} of the error at {b.now}; {b.better} would gain {b.gain_db:.1f} dB for "
            f"{size_text(b.extra_bytes)}"
            for b in plan.binding
        ]
    share = plan.bytes_predicted / plan.bytes_before
    lines += ["", f"file: {size_text(plan.bytes_before)} -> {size_text(plan.bytes_predicted)} ({share:.1%}, predicted)"]
    if plan.sqnr_predicted_db is not None:
        lines.append(f"output SQNR, predicted: {db_text(plan.sqnr_predicted_db)}")
    if plan.measured is not None:
        found = plan.measured
        lines.append(f"output SQNR, measured: {db_text(found.sqnr_db)} on {found.samples:,} samples")
        lines.append(f"{found.metric_text}: {found.change_text}, measured on the same")
        lines += [found.assumed] if found.assumed else []
    if not plan.met:
        lines.append(f"the budget ({plan.budget.text}) is not met on all samples")
    return "\n".join([*lines, *plan.notes, f"{plan.evaluations} plans measured in {plan.seconds:.1f} s"])


def _points(plan: Plan) -> str:
    """Some of the front, and the uniform settings that were measured."""
    measured = [point for point in plan.front if point.measured is not None]
    step = max(1, len(plan.front) // _SHOWN)
    shown = {id(point): point for point in (*plan.front[::step], *measured[:: max(1, len(measured) // _SHOWN)])}
    uniform = [point for point in plan.uniform if point.measured is not None]
    points = sorted((*shown.values(), *uniform), key=lambda point: point.bytes)
    rows = [
        (point.label and f"all layers {point.label}", size_text(point.bytes), db_text(point.sqnr_db),
         db_text(point.measured.sqnr_db) if point.measured else "",
         point.measured.value_text if point.measured else "")
        for point in points
    ]  # fmt: skip
    head = ("", "file", "SQNR predicted", "measured", "metric")
    return table(head, rows, right=frozenset({1, 2, 3, 4}))


COMMAND = Command("plan", "make the best plan for a budget", _arguments, _run)
