"""A budget as it is typed: what it means, or what is wrong with it, in the core's own words. No Qt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.errors import FeatherweightError
from core.planning.budgets import Goal, Originals, check_budget, parse_budget
from gui.units import count, file_size, milliseconds

if TYPE_CHECKING:
    from gui.session import Session

TITLES = {
    Goal.SIZE: "File size", Goal.LATENCY: "Latency", Goal.MULTIPLY_ADDS: "Multiply-adds", Goal.SQNR: "Output SQNR",
    Goal.DROP: "Metric drop",
}  # fmt: skip
"""How the dialog calls what can be limited."""
EXAMPLES = {
    Goal.SIZE: "25%, 4x, 2MB", Goal.LATENCY: "2x, 50%, 4.9ms", Goal.MULTIPLY_ADDS: "60%, 2x, 1.2G",
    Goal.SQNR: "30", Goal.DROP: "1",
}  # fmt: skip
UNITS = {Goal.SQNR: "dB", Goal.DROP: "points"}
"""Units that stand behind the field; the other limits are written with one."""
_MUCH = 20.0
"""Points from which a loss is told to be large."""
WITHOUT_DATA = (Goal.SIZE, Goal.MULTIPLY_ADDS)
"""What can be limited when there are no samples to measure on."""
PRESETS: tuple[tuple[str, Goal, str], ...] = (
    ("Half the size", Goal.SIZE, "50%"), ("A quarter", Goal.SIZE, "25%"), ("A tenth", Goal.SIZE, "10%"),
    ("At most 1 point lost", Goal.DROP, "1"), ("2\N{MULTIPLICATION SIGN} faster", Goal.LATENCY, "2x"),
)  # fmt: skip


@dataclass(frozen=True)
class Known:
    """What the window knows of the original, and of the plans that were looked at.

    reachable  (smallest, largest) bytes of the plans so far, or None
    metric     (its words, the original's value per cent) or None
    """

    originals: Originals
    data: bool
    reachable: tuple[int, int] | None = None
    metric: tuple[str, float] | None = None


@dataclass(frozen=True)
class Told:
    """A budget explained. `fine`: it can be planned for; `note`: it can, but something is to be said."""

    text: str
    fine: bool
    note: bool = False


def known_of(session: Session) -> Known:
    """What the session knows."""
    comparison, model, plan = session.comparison, session.model, session.plans.plan
    latency = comparison.latency.before.median_ms if comparison is not None and comparison.latency is not None else None
    adds = comparison.multiply_adds_before if comparison is not None else None
    reachable = metric = None
    if plan is not None:
        latency = latency if latency is not None else plan.latency_before_ms
        adds = adds if adds is not None else plan.multiply_adds_before
        if plan.front:
            reachable = plan.front[0].bytes, plan.front[-1].bytes
        measured = next((p.measured for p in plan.front if p.measured is not None), None)
        if measured is not None and measured.unit == "share":
            metric = measured.metric_text, 100 * measured.reference
    file_bytes = model.file_bytes if model is not None else 0
    return Known(Originals(file_bytes, latency, adds), session.samples is not None, reachable, metric)


def explain(goal: Goal, limit: str, known: Known) -> Told:
    """What a limit means for this model, or the core's sentence of why it cannot be used."""
    if not limit.strip():
        return Told(f"for example {EXAMPLES[goal]}", False)
    if goal not in WITHOUT_DATA and not known.data:
        return Told("Load data first: this can only be kept by measuring.", False)
    try:
        check_budget(goal, limit)
        relative = limit.strip()[-1:].lower() in ("%", "x", "\N{MULTIPLICATION SIGN}")
        whole = {Goal.LATENCY: known.originals.milliseconds, Goal.MULTIPLY_ADDS: known.originals.multiply_adds}
        if relative and goal in whole and whole[goal] is None:
            verb = "measured" if goal is Goal.LATENCY else "counted"
            return Told(f"of the original's, which is {verb} first", True)
        value = parse_budget(goal, limit, known.originals).value
    except FeatherweightError as error:
        return Told(_sentence(error), False)
    return _meaning(goal, limit, value, relative, known)


def _sentence(error: FeatherweightError) -> str:
    text = str(error)
    return text[:1].upper() + text[1:]


def _meaning(goal: Goal, limit: str, value: float, relative: bool, known: Known) -> Told:
    if goal is Goal.SQNR:
        return Told(f"the outputs' error is at most {100 * 10 ** (-value / 20):.2g} % of their size", True)
    if goal is Goal.DROP:
        return _loss(value, known)
    whole, write = {
        Goal.SIZE: (float(known.originals.file_bytes), file_size),
        Goal.LATENCY: (known.originals.milliseconds, milliseconds),
        Goal.MULTIPLY_ADDS: (known.originals.multiply_adds, count),
    }[goal]
    if whole is None:
        return Told(f"at most {write(value)}", True)
    share = f"{100 * value / whole:.3g} %"
    text = f"{share} of {write(whole)} = {write(value)}" if relative else f"{write(value)} = {share} of {write(whole)}"
    if value >= whole:
        return Told(f"{text}. The original meets this already.", True, note=True)
    return _within_reach(text, value, known) if goal is Goal.SIZE else Told(text, True)


def _loss(points: float, known: Known) -> Told:
    """Points are shares of a hundred, so that "50" of an accuracy of 97 % leaves 47 %."""
    if known.metric is None:
        text, all_of_it = "points (hundredths) of the metric that fits the data, measured on the samples", 100.0
    else:
        name, all_of_it = known.metric
        text = f"{name} of at least {max(0.0, all_of_it - points):.1f} %, the original has {all_of_it:.1f} %"
    if points >= all_of_it:
        return Told(f"{text}. This allows a model that loses everything.", True, note=True)
    return Told(f"{text}. That is a large loss.", True, note=True) if points >= _MUCH else Told(text, True)


def _within_reach(text: str, value: float, known: Known) -> Told:
    if known.reachable is None:
        return Told(text, True)
    low, high = known.reachable
    if value < low:
        return Told(f"{text}. The smallest plan found so far has {file_size(low)}.", True, note=True)
    return Told(f"{text}; reachable: {file_size(low)} to {file_size(high)}", True)
