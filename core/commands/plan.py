"""featherweight-cli plan MODEL [--data D] --size 25% | --latency 2x | --sqnr 30 ... [--families a,b] -o R.yaml"""

from __future__ import annotations

import argparse
import math
from typing import TYPE_CHECKING, Any

from core.commands.base import Command, add_seed, family_names, table
from core.commands.data_arguments import add_data_arguments, data_options
from core.errors import ParameterError
from core.figures import count_text, db_text, ms_text, size_text
from core.progress import Reporter

if TYPE_CHECKING:
    from core.planning.plan import Binding, Plan, PlanPoint

GOALS = ("size", "latency", "multiply_adds", "sqnr", "drop")
_SHOWN = 12  # points of the front in a terminal


class _Once(argparse.Action):
    """An option that may be given once: of two values one would be dropped without a word."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any,
        option_string: str | None = None,
    ) -> None:  # fmt: skip
        if getattr(namespace, self.dest) is not None:
            parser.error(f"{option_string} is given twice; give it once")
        setattr(namespace, self.dest, values)


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="the model file")
    add_data_arguments(parser)
    budget = parser.add_argument_group("budgets", "one or two of them")
    budget.add_argument(
        "--size", action=_Once, metavar="25%", help="largest file: a share of the original, 4x, 2MB, 300kB"
    )
    budget.add_argument("--latency", action=_Once, metavar="2x", help="longest run: 2x faster, 50%% of the time, 4.9ms")
    budget.add_argument(
        "--multiply-adds", action=_Once, metavar="60%", help="most multiply-adds of a run: a share, 2x fewer, 1.2G"
    )
    budget.add_argument(
        "--sqnr", action=_Once, metavar="DB", help="smallest output SQNR in dB; the smallest file is looked for"
    )
    budget.add_argument(
        "--drop", action=_Once, metavar="POINTS", help="points of the metric that may be lost, likewise"
    )
    parser.add_argument("--families", metavar="A,B", help="families of methods (default: all)")
    parser.add_argument("--minutes", type=float, metavar="N", help="stop looking for better plans after so long")
    parser.add_argument("--recipe", metavar="P.yaml", help="plan to start from, with the steps of pinned layers")
    parser.add_argument("--pin", action="append", default=[], metavar="LAYER", help="keep this layer as in --recipe")
    parser.add_argument("-o", "--output", required=True, metavar="R.yaml", help="the recipe to write")
    add_seed(parser, "for the choice of samples")


def _run(arguments: argparse.Namespace, reporter: Reporter) -> tuple[dict[str, Any], str]:
    from core.plan_job import PlanSpec, plan_file
    from core.recipe import read_text

    if arguments.minutes is not None and not arguments.minutes > 0:
        raise ParameterError(f"--minutes is {arguments.minutes:g}", do="give a number above 0")
    if arguments.output.lower().endswith(".onnx"):
        raise ParameterError(f"{arguments.output}: a plan is a recipe, not a model", do="name it .yaml")
    budgets = [(goal, given) for goal in GOALS if (given := getattr(arguments, goal)) is not None]
    if not budgets:
        raise ParameterError("no budget is given", do="give one or two of --size, --latency, --multiply-adds, --sqnr, "
                             "--drop")  # fmt: skip
    (goal, limit), *also = budgets
    spec = PlanSpec(
        arguments.model, goal, limit, arguments.data,
        family_names(arguments.families), arguments.minutes,
        read_text(arguments.recipe) if arguments.recipe else "", tuple(arguments.pin), arguments.output, arguments.seed,
        options=data_options(arguments), also=tuple(also),
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
            f"{b.layer}: {b.share:.0%} of the error at {b.now}; {b.better} would {_gain(b)} for "
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
    lines += _runs(plan)
    if not plan.met:
        lines.append(f"the budget ({' and '.join(b.text for b in plan.budgets)}) is not met by what was measured")
    return "\n".join([*lines, *plan.notes, f"{plan.evaluations} plans measured in {plan.seconds:.1f} s"])


def _gain(binding: Binding) -> str:
    return "remove all of the error" if math.isinf(binding.gain_db) else f"gain {binding.gain_db:.1f} dB"


def _runs(plan: Plan) -> list[str]:
    """What runs take, and what was changed before the weights."""
    lines = []
    if plan.latency_before_ms is not None and plan.latency_predicted_ms is not None:
        before, after = ms_text(plan.latency_before_ms), ms_text(plan.latency_predicted_ms)
        ratio = plan.latency_predicted_ms / plan.latency_before_ms
        lines.append(f"latency, predicted: {before} -> {after} (x{ratio:.2f})")
    if plan.latency is not None:
        old, new = plan.latency.before, plan.latency.after
        lines.append(
            f"latency, measured in turns: {ms_text(old.median_ms)} -> {ms_text(new.median_ms)} "
            f"({ms_text(new.low_ms)} to {ms_text(new.high_ms)}; x{plan.latency.ratio:.2f}, "
            f"{plan.latency.threads} thread)"
        )
    if plan.multiply_adds_before and plan.multiply_adds_after is not None:
        share = plan.multiply_adds_after / plan.multiply_adds_before
        counts = f"{count_text(plan.multiply_adds_before)} -> {count_text(plan.multiply_adds_after)}"
        lines.append(f"multiply-adds: {counts} ({share:.1%})")
    lines += plan.structure
    for other in plan.variants:
        told = "" if other.measured is None else f"{db_text(other.measured.sqnr_db)}, {other.measured.value_text}"
        lines.append(f"looked at {other.label}: {', '.join(filter(None, (told, other.left_out)))}")
    return lines


def _points(plan: Plan) -> str:
    """Some of the front, and the uniform settings that were measured."""
    measured = [point for point in plan.front if point.measured is not None]
    step = max(1, len(plan.front) // _SHOWN)
    shown = {id(point): point for point in (*plan.front[::step], *measured[:: max(1, len(measured) // _SHOWN)])}
    uniform = [point for point in plan.uniform if point.measured is not None]
    found: dict[tuple[str, float | None], PlanPoint] = {}
    for point in (*uniform, *measured, *shown.values()):  # a size once, with what was measured of it and its name
        if id(point) in shown or point.label:
            key = size_text(point.bytes), None if point.measured is None else round(point.measured.sqnr_db, 1)
            found.setdefault(key, point)
    points = sorted(found.values(), key=lambda point: point.bytes)
    known = {key[0] for key, point in found.items() if point.measured is not None}
    points = [point for point in points if point.measured is not None or size_text(point.bytes) not in known]
    rows = [
        (point.label and f"all layers {point.label}", size_text(point.bytes), db_text(point.sqnr_db),
         db_text(point.measured.sqnr_db) if point.measured else "",
         point.measured.value_text if point.measured else "")
        for point in points
    ]  # fmt: skip
    head = ("", "file", "SQNR predicted", "measured", "metric")
    return table(head, rows, right=frozenset({1, 2, 3, 4}))


COMMAND = Command("plan", "make the best plan for a budget", _arguments, _run)
