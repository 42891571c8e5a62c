"""What the Compare lens shows, worked out from the session's frozen values. No Qt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from core.encoding.base import Array
from gui.charts.pairs import Pair
from gui.units import decibels, without_names

if TYPE_CHECKING:
    from core.analysis.comparison import Answer, Comparison, SampleResult
    from core.pipeline import LayerResult
    from gui.result import Result

_MOST_ANSWERS = 3
"""Of the original; what the compressed model answers is added when it is not among them."""
_ROUNDING = 1e-3
"""By how much float16 probabilities may add up to more than one."""
ACCUMULATED, ISOLATED = "accumulated", "isolated"


@dataclass(frozen=True)
class LiveRun:
    """What a running compression has told so far.

    planned   layers with steps, in the order of the graph
    finished  layer results by name
    errors    dB at a layer's own output, by name
    """

    planned: tuple[str, ...]
    finished: Mapping[str, LayerResult] = field(default_factory=dict)
    errors: Mapping[str, float] = field(default_factory=dict)

    def with_layer(self, result: LayerResult) -> LiveRun:
        return LiveRun(self.planned, {**self.finished, result.name: result}, self.errors)

    def with_error(self, name: str, db: float) -> LiveRun:
        return LiveRun(self.planned, self.finished, {**self.errors, name: db})

    @property
    def done(self) -> int:
        """How many of the planned layers are finished."""
        return sum(name in self.finished for name in self.planned)


@dataclass(frozen=True, eq=False)
class ErrorView:
    """Bars of one kind of error.

    names    one per bar
    db       NaN where there is none (yet), inf where nothing changed
    reasons  why a bar has no value, by name
    """

    names: tuple[str, ...]
    db: Array
    reasons: Mapping[str, str] = field(default_factory=dict)

    def over(self, budget: float) -> tuple[int, ...]:
        """Indices of the bars below the budget, in order."""
        return tuple(int(i) for i in np.flatnonzero(self.db < budget))


def live_view(run: LiveRun) -> ErrorView:
    """Isolated errors while compressing."""
    reasons = {name: f"left as it is: {r.skipped}" for name, r in run.finished.items() if r.skipped}
    return _view(run.planned, run.errors, reasons)


def isolated_view(result: Result, order: Sequence[str]) -> ErrorView:
    """Isolated errors of a finished run, for the layers that had steps."""
    reasons = {one.name: one.reason for one in result.outcome.live if one.reason}
    reasons |= {layer.name: f"left as it is: {layer.skipped}" for layer in result.outcome.layers if layer.skipped}
    names = tuple(name for name in order if result.recipe.steps_for(name))
    return _view(names, result.live, reasons)


def accumulated_view(result: Result) -> ErrorView:
    """Errors at the outputs of all layers when the whole model is compressed."""
    errors = {e.name: e.accumulated_sqnr_db for e in result.outcome.accumulated if e.accumulated_sqnr_db is not None}
    reasons = {e.name: e.reason for e in result.outcome.accumulated if e.reason}
    return _view(tuple(e.name for e in result.outcome.accumulated), errors, reasons)


def _view(names: Sequence[str], errors: Mapping[str, float], reasons: Mapping[str, str]) -> ErrorView:
    return ErrorView(tuple(names), np.array([errors.get(name, np.nan) for name in names], np.float64), dict(reasons))


def budget_words(view: ErrorView, budget: float, titles: Mapping[str, str]) -> str:
    """Which layers are below the budget: how many, and the first. `titles` are the names to show, where they differ."""
    over = view.over(budget)
    if not len(view.names) or np.isnan(view.db).all():
        return ""
    if not over:
        return f"no layer is below {_budget(budget)}"
    first = over[0]
    rest = f", {len(over) - 1} more" if len(over) > 1 else ""
    name = titles.get(view.names[first], view.names[first])
    return f"first below {_budget(budget)}: {name} ({decibels(float(view.db[first]))}){rest}"


def missing_words(view: ErrorView) -> str:
    """How many layers have no value and never will, and why."""
    reasons = Counter(without_names(reason) for reason in missing_reasons(view).values()).most_common()
    if not reasons:
        return ""
    often = "mostly " if len(reasons) > 1 else ""
    return f"{sum(count for _reason, count in reasons)} cannot be measured ({often}{reasons[0][0]})"


def missing_reasons(view: ErrorView) -> dict[str, str]:
    """Why layers have no value and never will, by name."""
    missing = zip(view.names, view.db, strict=True)
    return {name: view.reasons[name] for name, db in missing if np.isnan(db) and name in view.reasons}


def _budget(db: float) -> str:
    return f"{db:g} dB"


def answer_pairs(before: Answer | None, after: Answer | None, names: Sequence[str]) -> tuple[Pair, ...]:
    """Both models' best answers, the original's first, each with the scores that are known of it."""
    scores = [dict(zip(a.classes, a.scores, strict=True)) if a is not None else {} for a in (before, after)]
    classes = list(dict.fromkeys([*scores[0], *scores[1]]))[:_MOST_ANSWERS]
    if after is not None and after.best not in classes:
        classes.append(after.best)
    unknown = f"not in its top {max(map(len, scores))}"
    return tuple(Pair(class_name(c, names), scores[0].get(c), scores[1].get(c), unknown=unknown) for c in classes)


def score_word(samples: Sequence[SampleResult]) -> str:
    """What scores are: "probability" when all of them could be shares of one, else "score"."""
    answers = [answer for sample in samples for answer in (sample.before, sample.after) if answer is not None]
    shares = all(min(a.scores) >= 0 and sum(a.scores) <= 1 + _ROUNDING for a in answers)
    return "probability" if answers and shares else "score"


def class_name(number: int, names: Sequence[str]) -> str:
    """A class as the data names it, else its number."""
    return names[number] if 0 <= number < len(names) else str(number)


def class_pairs(comparison: Comparison) -> tuple[Pair, ...]:
    """Accuracy by class, with counts for the read-out."""
    return tuple(
        Pair(c.name, c.before, c.after,
             f"{round(c.before * c.count)} of {c.count} right before, {round(c.after * c.count)} after")
        for c in comparison.classes
    )


def accuracy_words(comparison: Comparison) -> str:
    """The line above the classes: on how many samples, and what changed."""
    n = f"{comparison.n:,} labelled sample{'' if comparison.n == 1 else 's'}"
    changed = comparison.changed or 0
    worse = " · worse {warn}" if any(c.after < c.before for c in comparison.classes) else ""
    right = f", {comparison.newly_right} newly right" if comparison.newly_right else ""
    return (f"measured on {n} · {changed} answer{'' if changed == 1 else 's'} changed, "
            f"{comparison.newly_wrong or 0} newly wrong{right} · before {{before}} · after {{after}}{worse}")


def agreement_words(comparison: Comparison) -> str:
    """What can be said of the answers without class labels."""
    score = comparison.score
    if score is not None and score.metric not in ("accuracy", "agreement"):
        words = score.words[:1].upper() + score.words[1:]
        return (f"{words}: {score.reference_text} \N{RIGHTWARDS ARROW} {score.value_text} ({score.drop_text}), "
                f"on {comparison.n:,} samples.")
    if comparison.agreement is None:
        return f"The SQNR over all outputs is {decibels(comparison.output_sqnr_db)}, on {comparison.n:,} samples."
    return f"Both models give the same answer in {100 * comparison.agreement:.1f} % of {comparison.n:,} samples."


def sample_words(sample: SampleResult, place: int, count: int, scores: str) -> str:
    """The line above a sample: which, how far the models are apart there, and what its bars are (`score_word`)."""
    parts = [f"{sample.name}, {place + 1} of {count:,}, worst first", f"output SQNR {decibels(sample.sqnr_db)}"]
    if sample.changed is not None:
        parts.append("the answers differ" if sample.changed else "same answer")
    if sample.before is not None:
        parts.append(f"{scores} before {{before}} after {{after}}")
    return " · ".join(parts)
