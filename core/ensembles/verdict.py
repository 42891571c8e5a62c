"""Whether a merged model is worth its bytes, said plainly."""

from __future__ import annotations

from dataclasses import dataclass

from core.analysis.task_metrics.base import Unit
from core.ensembles.measuring import Duel, Role, Standing, Standings
from core.figures import percent_text, size_text

CHANCE = 0.05
"""A difference that chance alone makes more often than this is no difference."""
ALIKE_BYTES = 1.05
"""A file of up to so many times the bytes counts as no larger."""
SLOWER, FASTER = 1.5, 0.67
"""Ratios of times from which on they are told; smaller differences are mostly those of a busy machine."""


@dataclass(frozen=True)
class Verdict:
    """Whether it is worth it, in one word for programs (None: not known) and in sentences for a person.

    instead  title of the smaller file that is as good, or ""
    """

    worth: bool | None
    text: str
    instead: str = ""


def judge(standings: Standings) -> Verdict:
    """The merged model (the ensemble, else the average) against every file of no more bytes.

    As good is a file whose metric is no worse, or worse by less than chance makes more often than one time in twenty.
    """
    merged = standings.row(Role.ENSEMBLE) or standings.row(Role.AVERAGE)
    if merged is None:
        return Verdict(None, "There is no merged model to judge.")
    if merged.value is None or not standings.duels:
        return Verdict(None, "Whether it is worth its bytes is not known: there is no metric to judge it by.")
    rivals = [row for row in standings.rows if row is not merged and row.nbytes <= ALIKE_BYTES * merged.nbytes]
    equals = [row for row in rivals if _as_good(standings, row)]
    if equals:
        return _not_worth(standings, merged, min(equals, key=lambda row: row.nbytes))
    return _worth(standings, merged)


def _as_good(standings: Standings, row: Standing) -> bool:
    duel = standings.duel(row.title)
    if duel is None or row.value is None:
        return False
    return lead(standings, duel) <= 0 or duel.p >= CHANCE


def lead(standings: Standings, duel: Duel) -> float:
    """How much better the merged model is, in the metric; negative when it is worse."""
    return duel.difference if standings.higher_is_better else -duel.difference


def _not_worth(standings: Standings, merged: Standing, rival: Standing) -> Verdict:
    duel = standings.duel(rival.title)
    said = f"Not worth its bytes: {rival.title} has {_of(standings, rival)} with {size_text(rival.nbytes)}"
    said += f", {merged.title} {_of(standings, merged)} with {size_text(merged.nbytes)}"
    if duel is not None and lead(standings, duel) > 0:
        said += f"; the difference is no more than chance ({_p(duel)})"
    return Verdict(False, f"{said}.{_slower(merged, rival)}", rival.title)


def _worth(standings: Standings, merged: Standing) -> Verdict:
    original = standings.row(Role.ORIGINAL)
    best = _best(standings, [row for row in standings.rows if row is not merged and row.value is not None])
    said = [f"Worth its bytes: {merged.title} has {_of(standings, merged)} with {size_text(merged.nbytes)}"]
    if best is None:
        return Verdict(True, f"{said[0]}.")
    duel = standings.duel(best.title)
    if duel is not None and lead(standings, duel) > 0:
        how = f"{_points(standings, duel)} better than {best.title} ({_p(duel)})"
        said.append(how if duel.p < CHANCE else f"{how}, which may be chance")
    elif duel is not None:
        worse = f"{_points(standings, duel)} worse than {best.title}, the larger file" if duel.difference else ""
        said.append(f"{worse} ({_p(duel)})" if worse else f"as good as {best.title}, the larger file")
    if original is not None and merged.nbytes < original.nbytes:
        said.append(f"{percent_text(merged.nbytes / original.nbytes)} of the original's bytes")
    elif original is not None:
        said.append(f"but {merged.nbytes / original.nbytes:.1f} times the original's bytes")
    return Verdict(True, f"{'; '.join(said)}.{_slower(merged, original or best)}")


def _best(standings: Standings, rows: list[Standing]) -> Standing | None:
    sign = 1.0 if standings.higher_is_better else -1.0
    return max(rows, key=lambda row: sign * (row.value or 0.0), default=None)


def _of(standings: Standings, row: Standing) -> str:
    return f"{standings.text(row.value)} {standings.metric}"


def _points(standings: Standings, duel: Duel) -> str:
    if standings.unit is Unit.SHARE:
        return f"{100 * abs(duel.difference):.2f} points"
    return f"{abs(duel.difference):.3g}"


def _p(duel: Duel) -> str:
    return f"{duel.test}, p = {duel.p:.2g}"


def _slower(merged: Standing, other: Standing) -> str:
    if merged.latency is None or other.latency is None or not other.latency.median_ms:
        return ""
    ratio = merged.latency.median_ms / other.latency.median_ms
    if ratio >= SLOWER:
        return f" It takes {ratio:.1f} times as long as {other.title}."
    return f" It takes {percent_text(ratio)} of the time of {other.title}." if ratio <= FASTER else ""
