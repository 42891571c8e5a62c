"""What a comparison recommends, and why: in words that name the figures they rest on, and how sure these are."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from core.figures import db_text, size_text
from core.method_comparison.rows import Baseline, Row, Status, Study

LOSSLESS = 0.1
"""Of the metric, in the measure of its unit: a loss up to this counts as none."""
WITHIN = 1.0
"""Likewise: the loss that most people bear."""
FEW = 100
"""Samples below which one answer is more than a point."""
FAR_DB = 10.0
"""Outputs with more error than this are far from the original's even where all answers stay: no loss is not luck."""
SAFE_DB = 30.0
"""Without a metric: outputs with less error than this are taken for as good as the original's."""
WORTH = 0.98
"""Share of a file's size from which on another is called smaller."""
FASTER, LESS_MEMORY = 0.95, 0.95
"""Shares of the original's time and memory that count as a gain, where the runs scatter less than that."""


class Aim(StrEnum):
    """What a pick is the best at."""

    LOSSLESS = "lossless"
    SMALL = "small"
    FAST = "fast"
    MEMORY = "memory"


AIM_TITLES = {
    Aim.LOSSLESS: "Smallest without a measurable loss", Aim.SMALL: "Smallest within {within}",
    Aim.FAST: "Fastest within {within}", Aim.MEMORY: "Least memory within {within}",
}  # fmt: skip


@dataclass(frozen=True)
class Pick:
    """The best row for one aim.

    key   of the row, or "" when none serves the aim
    title, text  the aim, and what the row gives or why there is none, for a person
    """

    aim: Aim
    key: str
    title: str
    text: str


@dataclass(frozen=True)
class Recommendation:
    """What to use.

    key       of the recommended row, or "" when nothing can be recommended
    headline  one sentence
    reasons   sentences that say why
    picks     the best for each aim
    losing    a sentence a family that does worse, and why
    cautions  sentences on how sure all this is
    pareto    keys of the rows than which none is both smaller and nearer to the original's outputs
    """

    key: str
    headline: str
    reasons: tuple[str, ...] = ()
    picks: tuple[Pick, ...] = ()
    losing: tuple[str, ...] = ()
    cautions: tuple[str, ...] = ()
    pareto: frozenset[str] = frozenset()


def recommend(study: Study) -> Recommendation:
    """The recommendation for what was found until now; without data it says what is not known and picks nothing."""
    rows = study.measured
    if not rows:
        return Recommendation("", "Nothing has been measured yet.")
    judged = [row for row in rows if row.quality is not None]
    if not judged:
        return _without_data(study, rows)
    good = _Judge(judged)
    lossless, small = (_smallest(filter(test, judged)) for test in (good.lossless, good.within))
    picks = tuple(_picks(study, good, lossless, small))
    best = lossless or small
    cautions = tuple(_cautions(study, good, best))
    if best is None:
        nearest = min(judged, key=lambda row: (_drop(row), _of(row)))
        headline = (
            f"No setting for the whole model stays within {good.limit}; the nearest is {nearest.title} "
            f"({nearest.quality.drop_text if nearest.quality else ''}). Plan layer by layer instead."
        )
        return Recommendation("", headline, (), picks, tuple(_losing(study, good, None)), cautions, pareto(judged))
    headline = f"Use {best.title}: {_share(study, best)} of the file, {good.loss_text(best)}."
    return Recommendation(
        best.key, headline, tuple(_reasons(study, good, best, small)), picks, tuple(_losing(study, good, best)),
        cautions, pareto(judged),
    )  # fmt: skip


def pareto(rows: Iterable[Row]) -> frozenset[str]:
    """Keys of the rows than which no other is smaller at no more output error, nor as small with less."""
    found, best = [], -math.inf
    known = [row for row in rows if row.quality is not None and row.nbytes is not None]
    for row in sorted(known, key=lambda row: (_of(row), -_sqnr(row))):
        if _sqnr(row) > best:
            best = _sqnr(row)
            found.append(row.key)
    return frozenset(found)


class _Judge:
    """Which rows are good enough: by the metric, or by the error of the outputs where the metric says nothing."""

    def __init__(self, rows: Sequence[Row]) -> None:
        qualities = [row.quality for row in rows if row.quality is not None]
        self.unit, self.metric, self.samples = qualities[0].unit, qualities[0].metric, qualities[0].samples
        self.counted = qualities[0].counted
        self.constant = all(q.value == q.reference for q in qualities) and len(qualities) > 2
        """Whether the metric is the same for all, however far they go: it tells nothing here."""
        self.by_error = self.samples < 2 or self.constant
        self.limit = f"{SAFE_DB:g} dB" if self.by_error else _WITHIN_TEXT.get(self.unit, "1 %")

    def lossless(self, row: Row) -> bool:
        """Whether nothing measurable is lost: of the metric, and the outputs are near as well."""
        return _sqnr(row) >= SAFE_DB if self.by_error else _drop(row) <= LOSSLESS and _sqnr(row) >= FAR_DB

    def within(self, row: Row) -> bool:
        """Whether no more is lost than most people bear."""
        return _sqnr(row) >= SAFE_DB if self.by_error else _drop(row) <= WITHIN and _finite(row)

    def loss_text(self, row: Row) -> str:
        """What the row costs, for a sentence."""
        quality = row.quality
        if quality is None:
            return "its error is not known"
        error = f"output SQNR {db_text(quality.sqnr_db)}"
        return error if self.by_error else f"{self.metric} {quality.value_text} ({quality.drop_text}), {error}"


_WITHIN_TEXT = {"share": "1 point", "error": "1 % more error", "nats": "0.01 nats", "dB": "1 % error power"}


def _drop(row: Row) -> float:
    return math.inf if row.quality is None else row.quality.drop


def _sqnr(row: Row) -> float:
    return -math.inf if row.quality is None or math.isnan(row.quality.sqnr_db) else row.quality.sqnr_db


def _finite(row: Row) -> bool:
    return _sqnr(row) > -math.inf


def _of(row: Row) -> int:
    return row.nbytes or 0


def _share(study: Study, row: Row) -> str:
    return f"{size_text(_of(row))}, {100 * _of(row) / max(study.bytes_before, 1):.1f} %"


def _smallest(rows: Iterable[Row]) -> Row | None:
    """The smallest; of equally small ones that with the least output error."""
    return min(rows, key=lambda row: (_of(row), -_sqnr(row)), default=None)


def _picks(study: Study, good: _Judge, lossless: Row | None, small: Row | None) -> Iterable[Pick]:
    def pick(aim: Aim, row: Row | None, text: str) -> Pick:
        return Pick(aim, row.key if row else "", AIM_TITLES[aim].format(within=good.limit), text)

    if not good.by_error:
        yield pick(Aim.LOSSLESS, lossless, _pick_text(study, good, lossless, "no setting keeps every answer"))
    yield pick(Aim.SMALL, small, _pick_text(study, good, small, f"no setting stays within {good.limit}"))
    usable = [row for row in study.measured if good.within(row)]
    fast = min((row for row in usable if _is_faster(row)), key=lambda row: row.times.ratio if row.times else 1.0,
               default=None)  # fmt: skip
    text = "none is measurably faster: most forms are turned back into floats when the file loads"
    if fast is not None and fast.times is not None:
        text = (f"{fast.title}: {fast.times.median:.3g} ms against {fast.times.original_median:.3g} ms "
                f"({100 * fast.times.ratio:.0f} % of the time)")  # fmt: skip
    yield pick(Aim.FAST, fast, text)
    yield _memory_pick(study, usable, pick)


def _memory_pick(study: Study, usable: Sequence[Row], pick: Callable[[Aim, Row | None, str], Pick]) -> Pick:
    original = study.original.memory if study.original is not None else None
    if original is None:
        return pick(Aim.MEMORY, None, "not measured")
    lean = min((row for row in usable if row.memory is not None and row.memory < LESS_MEMORY * original),
               key=lambda row: row.memory or 0, default=None)  # fmt: skip
    if lean is None or lean.memory is None:
        return pick(Aim.MEMORY, None, "none takes less memory: weights are rebuilt as floats on loading")
    return pick(Aim.MEMORY, lean, f"{lean.title}: {size_text(lean.memory)} against {size_text(original)}")


def _is_faster(row: Row) -> bool:
    return row.times is not None and row.times.faster and row.times.ratio < FASTER


def _pick_text(study: Study, good: _Judge, row: Row | None, otherwise: str) -> str:
    if row is None:
        return otherwise
    far = "; its outputs are far from the original's all the same" if _is_far(good, row) else ""
    return f"{row.title}: {_share(study, row)}, {good.loss_text(row)}{far}"


def _is_far(good: _Judge, row: Row) -> bool:
    return not good.by_error and _sqnr(row) < FAR_DB


def _reasons(study: Study, good: _Judge, best: Row, small: Row | None) -> Iterable[str]:
    """Why this one."""
    bound = "keeps the outputs that near" if good.by_error else "loses as little"
    if len(study.measured) > 1:
        yield f"Of {len(study.measured)} settings for the whole model, none that {bound} gives a smaller file."
    int8 = next((row for row in study.measured if row.baseline is Baseline.INT8), None)
    if int8 is not None and int8.key != best.key and _of(best) < _of(int8):
        yield (f"Uniform int8, the usual choice, takes {_share(study, int8)} ({good.loss_text(int8)}): "
               f"{_of(int8) / max(_of(best), 1):.1f} times as much.")  # fmt: skip
    if small is not None and _of(small) < WORTH * _of(best):
        yield f"Whoever bears a loss of {good.limit} gets {_share(study, small)} with {small.title}."
    plan = next((row for row in study.measured if row.baseline is Baseline.PLAN), None)
    if plan is not None and plan.key != best.key:
        side = "smaller than that" if _of(plan) < _of(best) else "no smaller"
        yield f"{plan.title} takes {_share(study, plan)} ({good.loss_text(plan)}): {side}."
    yield _time_reason(best)


def _time_reason(best: Row) -> str:
    times = best.times
    if times is None:
        return "Its time was not measured."
    if _is_faster(best):
        return f"It is faster as well: {100 * times.ratio:.0f} % of the original's time."
    if times.slower and times.ratio > 1 / FASTER:
        return f"It is slower: {times.ratio:.2f} times the original's time."
    return "It is as fast as the original, as far as the runs tell: it saves disk and download, not time."


def _losing(study: Study, good: _Judge, best: Row | None) -> Iterable[str]:
    """The best that each other family does, and what it lacks."""
    winner = best.family if best is not None else ""
    for family in dict.fromkeys(row.family for row in study.rows if row.family and row.family != winner):
        rows = [row for row in study.measured if row.family == family and row.quality is not None]
        if not rows:
            reasons = [row.reason for row in study.rows if row.family == family and row.reason]
            became = {row.status for row in study.rows if row.family == family}
            what = next((s for s in (Status.FAILED, Status.NOT_TRIED) if s in became), Status.NOT_APPLICABLE)
            yield f"{family}: {what} ({reasons[0] if reasons else 'no trial'})."
            continue
        usable = _smallest(filter(good.within, rows))
        if usable is None:
            mildest = max(rows, key=_sqnr) if good.by_error else min(rows, key=_drop)
            yield f"{family}: even {mildest.title} costs too much ({good.loss_text(mildest)})."
        elif best is not None and _of(usable) > _of(best):
            yield (f"{family}: within {good.limit} its smallest is {usable.title} at {_share(study, usable)}, "
                   f"{_of(usable) / max(_of(best), 1):.1f} times the recommended file.")  # fmt: skip


def _cautions(study: Study, good: _Judge, best: Row | None) -> Iterable[str]:
    """How sure the figures are.

    What never happens on n samples may still happen on up to 3 / n of all (95 % sure): the rule of three, Hanley and
    Lippman-Hand, "If nothing goes wrong, is everything all right?", JAMA 249, 1983.
    """
    n = good.samples
    if n < 2:
        yield "There is one sample only: a metric says nothing on it, so settings are judged by the output error alone."
    elif good.constant:
        yield f"The {good.metric} is the same for every setting, so settings are judged by the output error alone."
    elif not good.counted:
        yield f"Measured on {n:,} samples.{' Load more before relying on it.' if n < FEW else ''}"
    else:
        about = f"up to {300 / n:.1f} points" if n > 3 else "any number of points"
        tail = " Load more samples before relying on it." if n < FEW else ""
        yield f"Measured on {n:,} samples: what loses nothing on them may lose {about} elsewhere (95 % sure).{tail}"
    if best is not None and _is_far(good, best):
        yield (f"The recommended file's outputs are far from the original's ({db_text(_sqnr(best))}) although the "
               f"{good.metric} stays: try it on more samples.")  # fmt: skip
    if any(row.times is not None for row in study.measured):
        original = study.original.times if study.original is not None else None
        if original is not None and original.original_high > 1.3 * original.original_low:
            yield ("Times scatter on this machine: the original itself ran between "
                   f"{original.original_low:.3g} and {original.original_high:.3g} ms.")  # fmt: skip
    missing = sum(row.status is Status.NOT_TRIED for row in study.rows)
    if missing:
        were = "setting was" if missing == 1 else "settings were"
        yield f"{missing} {were} not tried; a better one may be among them."
    yield from study.notes


def _without_data(study: Study, rows: Sequence[Row]) -> Recommendation:
    """Sizes alone recommend nothing: the smallest file is always the worst."""
    small = _smallest(rows)
    least = "" if small is None else f" The smallest file is {small.title} at {_share(study, small)}."
    headline = "Without data no setting can be recommended: how much each changes the answers is not known."
    return Recommendation("", headline, (f"Load samples and compare again.{least}",), cautions=study.notes)
