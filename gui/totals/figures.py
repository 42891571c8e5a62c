"""What the totals show, as plain values: one function a card, no Qt. Every figure says how it is known."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gui.planning.words import metric_value
from gui.runs import COMPRESS, EXPORT
from gui.units import MINUS, NONE, TIMES, count, decibels, file_size, milliseconds, percent_change, signed

if TYPE_CHECKING:
    from core.analysis.comparison import Comparison
    from core.analysis.latency import Timing
    from core.analysis.task_metrics.base import Score
    from core.planning.evaluation import Measured
    from gui.session import Session

SAME_MEMORY = 0.15
"""Share of change in memory below which it is called the same: fresh processes of one model differ by that much."""


@dataclass(frozen=True)
class Figure:
    """One card.

    before, after   texts; "" where there is nothing to put
    note            the line below: the change, and how the figure is known
    role            theme role of the note
    stale           the figures belong to an earlier plan
    detail          for the tool tip
    """

    title: str
    before: str
    after: str
    note: str
    role: str = "muted"
    stale: bool = False
    detail: str = ""


def figures(session: Session) -> tuple[Figure | None, ...]:
    """All cards, in the order of the bar; None for one that is not to be shown."""
    rest: tuple[Figure | None, ...] = (
        latency_figure(session), memory_figure(session), work_figure(session), answer_figure(session),
        error_figure(session),
    )  # fmt: skip
    if session.comparison is not None and (session.running(COMPRESS) or session.running(EXPORT)):
        rest = tuple(_of_before(session, figure) for figure in rest)
    return (file_figure(session), *rest)


def _of_before(session: Session, figure: Figure | None) -> Figure | None:
    """While a run goes on, what was measured is of the run before it; a plan's own figures are not."""
    if figure is None or not (figure.stale or session.result_current):
        return figure
    return replace(figure, note="of the run before", role="muted", stale=True)


def file_figure(session: Session) -> Figure:
    """Bytes on disk: measured after an export of this very plan, else predicted."""
    title, model = "File size", session.model
    if model is None:
        return Figure(title, NONE, "", "")
    before, result = model.file_bytes, session.result
    if result is not None and session.result_current:
        after = result.outcome.report.bytes_after
        how = f"\ntrained: {result.trained}" if result.trained else ""
        return Figure(title, file_size(before), file_size(after),
                      f"{percent_change(before, after)}, measured{', trained' if how else ''}",
                      "good" if after < before else "warn", detail=f"{before:,} bytes before, {after:,} after{how}")
    if not session.has_steps:
        return Figure(title, file_size(before), "", "no steps yet")
    predicted = session.predicted_bytes
    if predicted is None:
        return Figure(title, file_size(before), "", "being predicted")
    return Figure(title, file_size(before), file_size(predicted), f"{percent_change(before, predicted)}, predicted",
                  "good" if predicted < before else "warn",
                  detail=f"{before:,} bytes before, {predicted:,} predicted; clean-up of the graph included")


def latency_figure(session: Session) -> Figure:
    """Time of one run: median of both models measured in turn, with the spread of the middle 80 %."""
    title, comparison = "Latency, median", session.comparison
    if comparison is None or comparison.latency is None:
        return _unknown(title, session)
    found = comparison.latency
    before, after = found.before, found.after
    detail = (f"before {_spread(before)}\nafter {_spread(after)}\n"
              f"medians of {after.n} rounds, the middle 80 % in brackets; one sample at a time, models in turn, "
              f"threads: {found.threads}\n"
              f"loading: {milliseconds(before.load_ms)} before, {milliseconds(after.load_ms)} after")
    within = found.within_spread
    if within:
        detail = f"no difference beyond the spread (10 to 90 %)\n{detail}"
    note, role = _speed(found.ratio, within)
    return _stale_or(session, Figure(title, milliseconds(before.median_ms), milliseconds(after.median_ms),
                                     f"{note}, measured", role, detail=detail))


def _spread(timing: Timing) -> str:
    return f"{milliseconds(timing.median_ms)} ({milliseconds(timing.low_ms)} to {milliseconds(timing.high_ms)})"


def _speed(ratio: float, within_spread: bool) -> tuple[str, str]:
    if within_spread:
        return "within spread", "muted"
    if abs(ratio - 1) < 0.05:
        return "same speed", "muted"
    word, role, times = ("faster", "good", 1 / max(ratio, 1e-9)) if ratio < 1 else ("slower", "warn", ratio)
    return f"{times:.1f}{TIMES} {word}" if times >= 1.1 else f"{100 * abs(ratio - 1):.0f} % {word}", role


def memory_figure(session: Session) -> Figure:
    """Memory that a fresh process needs to load and run the model."""
    title, comparison = "Memory", session.comparison
    if comparison is None or comparison.memory_before is None or comparison.memory_after is None:
        return _unknown(title, session)
    before, after = comparison.memory_before, comparison.memory_after
    change = percent_change(before, after)
    if before and abs(after / before - 1) < SAME_MEMORY:
        change, role = "about the same", "muted"
    else:
        role = "good" if after < before else "warn"
    return _stale_or(session, Figure(title, file_size(before), file_size(after), f"{change}, measured", role,
                                     detail="growth of a fresh process that loads the model and runs one sample"))


def work_figure(session: Session) -> Figure | None:
    """Multiply-adds of one run, counted in the graph; None while they are not known."""
    comparison = session.comparison
    if comparison is None or comparison.multiply_adds_before is None or comparison.multiply_adds_after is None:
        return None
    before, after = comparison.multiply_adds_before, comparison.multiply_adds_after
    change = "unchanged" if after == before else f"{percent_change(before, after)}, counted"
    role = "muted" if after == before else "good" if after < before else "warn"
    detail = f"{before:,} before, {after:,} after; counted in the graph, for the first sample"
    return _stale_or(session, Figure("Multiply-adds", count(before), count(after), change, role, detail=detail))


def answer_figure(session: Session) -> Figure:
    """Accuracy where there are labels, else how often both models answer alike."""
    comparison = session.comparison
    planned = None if session.result_current else session.plans.measured
    if planned is not None:
        return _planned_answer(planned)
    if comparison is None:
        return _unknown("Accuracy", session)
    score = comparison.score
    if score is not None and score.metric not in ("accuracy", "agreement"):  # those two have more to tell, below
        return _stale_or(session, _score_figure(score, comparison.n, score.assumed))
    if comparison.accuracy_before is not None and comparison.accuracy_after is not None:
        before, after = 100 * comparison.accuracy_before, 100 * comparison.accuracy_after
        change = after - before
        note = "unchanged" if abs(change) < 0.005 else f"{signed(change, 2)} points"
        role = "good" if change >= -0.5 else "warn" if change >= -2 else "bad"
        detail = f"{comparison.changed or 0} answers changed, {comparison.newly_wrong or 0} newly wrong, " \
                 f"{comparison.newly_right or 0} newly right"
        note = f"{note} \N{MIDDLE DOT} {_samples(comparison)}"
        return _stale_or(session, Figure("Accuracy", f"{before:.2f} %", f"{after:.2f} %", note, role, detail=detail))
    if comparison.agreement is not None:
        share = 100 * comparison.agreement
        role = "good" if share >= 99.5 else "warn" if share >= 98 else "bad"
        figure = Figure("Agreement of answers", "", f"{share:.2f} %", _measured(comparison), role,
                        detail=comparison.no_accuracy)
        return _stale_or(session, figure)
    return _stale_or(session, Figure("Accuracy", NONE, "", comparison.no_accuracy or "the outputs are no class scores",
                                     detail=comparison.no_accuracy))


def error_figure(session: Session) -> Figure:
    """Signal to noise of all float outputs."""
    title, comparison = "Output SQNR", session.comparison
    planned = None if session.result_current else _planned_error(title, session)
    if planned is not None:
        return planned
    if comparison is None:
        return _unknown(title, session)
    db = comparison.output_sqnr_db
    role = "good" if db >= 30 else "warn" if db >= 15 else "bad"
    text = "no change" if math.isinf(db) and db > 0 else decibels(db)
    detail = f"largest difference {comparison.max_relative:.2g} of the largest output value"
    return _stale_or(session, Figure(title, "", text, _measured(comparison), role, detail=detail))


def _planned_answer(found: Measured) -> Figure:
    """The metric of the plan that was taken, as measured while planning."""
    return _score_figure(found.score, found.samples, f"measured while planning, on {_count(found.samples)}")


def _score_figure(score: Score, samples: int, detail: str) -> Figure:
    """A metric of both models, and what was lost of it."""
    title = score.words[:1].upper() + score.words[1:]
    role = "good" if score.drop <= 0.5 else "warn" if score.drop <= 2 else "bad"
    note = f"{score.drop_text} \N{MIDDLE DOT} {_count(samples)}".replace("-", MINUS)
    alike = score.reference == 1.0 and score.unit == "share"  # how often both agree: the original always does
    before = "" if alike else _value(score.unit, score.reference)
    return Figure(title, before, _value(score.unit, score.value), note, role, detail=detail)


def _value(unit: str, value: float) -> str:
    """A metric's value; shares always with two decimals, so that the same share reads the same everywhere here."""
    return f"{100 * value:.2f} %" if unit == "share" and math.isfinite(value) else metric_value(unit, value)


def _planned_error(title: str, session: Session) -> Figure | None:
    """Output SQNR of the plan that was taken: measured while planning, else predicted."""
    point, found = session.plans.current, session.plans.measured
    db = found.sqnr_db if found is not None else point.sqnr_db if point is not None else None
    if db is None or not math.isfinite(db):
        return None
    role = "good" if db >= 30 else "warn" if db >= 15 else "bad"
    how = "predicted" if found is None else f"measured on {_count(found.samples)}"
    return Figure(title, "", decibels(db), how, role, detail=f"{how}, while planning")


def _measured(comparison: Comparison) -> str:
    return f"measured on {_samples(comparison)}"


def _samples(comparison: Comparison) -> str:
    return _count(comparison.n)


def _count(n: int) -> str:
    return f"{n:,} sample{'' if n == 1 else 's'}"


def _unknown(title: str, session: Session) -> Figure:
    """Nothing measured yet: say what to do."""
    if session.model is None:
        return Figure(title, NONE, "", "")
    if session.samples is None:
        return Figure(title, NONE, "", "load data to measure it")
    if session.result is not None and session.result_current:
        return Figure(title, NONE, "", "could not be measured")
    return Figure(title, NONE, "", "compress to measure it")


def _stale_or(session: Session, figure: Figure) -> Figure:
    if session.result_current:
        return figure
    note = "edited since; compress again" if session.has_steps else "measured with steps, now none"
    return replace(figure, note=note, role="warn", stale=True)
