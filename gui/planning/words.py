"""Plans in words: what was asked for, what came of it, what a point of the front is. No Qt."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from gui.units import NONE, decibels, file_size, signed

if TYPE_CHECKING:
    from core.planning.evaluation import Measured
    from core.planning.plan import Binding, Plan, PlanPoint

_SHARE = "share"
_NAMED = 2
"""Layers that the message names as those which hold a plan back."""
_WORTH_NAMING = 0.1
_WISHES = {
    "size": "{} of the size", "latency": "{} of the time", "multiply_adds": "{} of the multiply-adds",
    "sqnr": "an output SQNR of {}", "drop": "a loss of {}",
}  # fmt: skip


def wish_words(goal: str, limit: str) -> str:
    """A budget as it was asked for: "25 % of the size", "at most 2 MB", "2× faster"."""
    limit = limit.strip()
    number, unit = limit.rstrip("%x\N{MULTIPLICATION SIGN}pointsdB "), limit[-1:]
    if goal == "sqnr":
        return f"an output SQNR of {number} dB"
    if goal == "drop":
        return f"at most {number} point{'' if number == '1' else 's'} lost"
    if unit == "%":
        return _WISHES[goal].format(f"{number} %")
    if unit in ("x", "\N{MULTIPLICATION SIGN}"):
        word = {"size": "smaller", "latency": "faster"}.get(goal, "fewer multiply-adds")
        return f"{number}\N{MULTIPLICATION SIGN} {word}"
    return f"at most {limit}" + (" multiply-adds" if goal == "multiply_adds" else "")


def metric_words(found: Measured) -> str:
    """The metric of a measured plan, with that of the original: "accuracy 97.8 % → 97.6 %"."""
    before, after = (metric_value(found.unit, value) for value in (found.reference, found.value))
    if found.reference == 1.0 and found.unit == _SHARE:
        return f"{found.metric_text} {after}"
    return f"{found.metric_text} {before} \N{RIGHTWARDS ARROW} {after}"


def metric_value(unit: str, value: float) -> str:
    """A metric's value in its unit; shares per cent with one decimal."""
    if math.isnan(value):
        return NONE
    if unit == _SHARE:
        return f"{100 * value:.1f} %"
    from core.analysis.task_metrics.base import Unit, value_text

    return value_text(Unit(unit), value)


def finished_words(plan: Plan) -> tuple[str, bool]:
    """What the message says of a finished plan, and whether all is well with it."""
    parts = [f"Plan: {file_size(plan.bytes_predicted)}, {_share(plan)} of the file"]
    quality = quality_words(plan)
    if quality:
        parts.append(quality)
    also = getattr(plan, "also", None)
    budgets = " and ".join(budget.text for budget in (plan.budget, also) if budget is not None)
    met = "the budget is met already" if plan.recipe.does_nothing else "the budget is met"
    parts.append(f"{met} ({budgets})" if plan.met else f"the budget ({budgets}) is not met")
    return "; ".join(parts) + "." + _held_back(plan.binding), plan.met


def _share(plan: Plan) -> str:
    return f"{100 * plan.bytes_predicted / max(plan.bytes_before, 1):.0f} %"


def quality_words(plan: Plan) -> str:
    """Predicted and measured side by side: "output SQNR 32.3 dB predicted, 31.9 dB measured on 224 samples; ..."."""
    predicted = "" if plan.sqnr_predicted_db is None else f"{decibels(plan.sqnr_predicted_db)} predicted"
    found = plan.measured
    if found is None:
        return f"output SQNR {predicted}, nothing measured" if predicted else "errors are predicted, nothing measured"
    measured = f"{decibels(found.sqnr_db)} measured on {_samples(found.samples)}"
    return f"output SQNR {', '.join(filter(None, (predicted, measured)))}; {metric_words(found)}"


def kept_words(plan: Plan) -> str:
    """What is said after planning was stopped."""
    found = plan.measured
    told = f", {decibels(found.sqnr_db)} measured on {_samples(found.samples)}" if found is not None else ", predicted"
    return f"Stopped. The best plan so far is kept: {file_size(plan.bytes_predicted)}{told}."


def _held_back(binding: tuple[Binding, ...]) -> str:
    if not binding:
        return ""
    most = [b for b in binding[:_NAMED] if b.share >= _WORTH_NAMING]
    if not most:
        return ""
    from gui.layers.rows import short_title  # it imports the session, which imports this

    named = ", ".join(f"{short_title(b.layer)} ({100 * b.share:.0f} % of the error)" for b in most)
    return f" Held back most by {named}."


def _samples(n: int) -> str:
    return f"{n:,} sample{'' if n == 1 else 's'}"


def point_words(point: PlanPoint, before: int) -> str:
    """A point for the read-out, in lines: what it is, its size, what is known of its quality and how."""
    name = f"all layers {point.label}" if point.label else "plan"
    lines = [f"{name}: {file_size(point.bytes)}, {100 * point.bytes / max(before, 1):.0f} % of the file"]
    found = point.measured
    if found is None:
        told = "" if point.sqnr_db is None else f"output SQNR {decibels(point.sqnr_db)}"
        lines.append(f"predicted: {told or f'error {point.error:.2g}'}")
        return "\n".join(lines)
    lines.append(f"measured on {_samples(found.samples)}: {decibels(found.sqnr_db)}, {metric_words(found)}")
    if point.sqnr_db is not None and math.isfinite(point.sqnr_db):
        lines.append(f"predicted: {decibels(point.sqnr_db)}")
    return "\n".join(lines)


def binding_words(binding: Binding) -> str:
    """What relaxing a layer takes and gains: "int4 → int5: +14 kB, +1.2 dB"."""
    gain = "all of the error" if math.isinf(binding.gain_db) else f"{signed(binding.gain_db, 1)} dB"
    return (f"{binding.now} \N{RIGHTWARDS ARROW} {binding.better}: {_more(binding.extra_bytes)}, {gain}")


def _more(nbytes: int) -> str:
    return f"+{file_size(nbytes)}" if nbytes >= 0 else f"\N{MINUS SIGN}{file_size(-nbytes)}"
