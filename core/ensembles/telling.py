"""A merge's outcome as the table and the sentences that the command line, the page and the window all show."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from core.figures import ms_text, percent_text, signed_text, size_text

if TYPE_CHECKING:
    from core.ensembles.measuring import Standing, Standings
    from core.merge_job import MergeOutcome

NUMBERS = frozenset({1, 2, 3, 4, 5, 6})
"""Columns that hold numbers."""


def head(standings: Standings) -> tuple[str, ...]:
    """Heads of the table's columns."""
    return ("", "file", f"of {standings.reference}", standings.metric or "metric", "standard error",
            f"as {standings.reference}", "one run")  # fmt: skip


def rows(standings: Standings) -> list[tuple[str, ...]]:
    """A row for each model; "" where nothing is known."""
    return [_row(standings, row) for row in standings.rows]


def _row(standings: Standings, row: Standing) -> tuple[str, ...]:
    first = standings.rows[0].nbytes
    return (
        row.title, size_text(row.nbytes), f"{100 * row.nbytes / first:.1f} %" if first else "",
        standings.text(row.value), _error(standings, row),
        "" if row.agreement is None else f"{100 * row.agreement:.2f} %",
        "" if row.latency is None else ms_text(row.latency.median_ms),
    )  # fmt: skip


def _error(standings: Standings, row: Standing) -> str:
    if row.error is None:
        return ""
    return f"±{100 * row.error:.2f} points" if standings.unit == "share" else f"±{row.error:.2g}"


def duels(standings: Standings) -> list[str]:
    """What the merged model gains over each other one, a sentence each."""
    told = []
    for duel in standings.duels:
        share = standings.unit == "share"
        amount = f"{signed_text(100 * duel.difference, '.2f')} points" if share else signed_text(duel.difference, ".3g")
        pairs = ""
        if duel.only_first is not None and duel.only_second is not None:
            pairs = f"; {duel.only_first} samples that it alone answers right, {duel.only_second} the other alone"
        first = duel.first[:1].upper() + duel.first[1:]
        told.append(f"{first} against {duel.second}: {amount} (p = {duel.p:.2g}, {duel.test}{pairs}).")
    return told


def headline(outcome: MergeOutcome) -> str:
    """What was written and whether it is worth its bytes."""
    if outcome.verdict is not None:
        return outcome.verdict.text
    return f"{Path(outcome.path).name} has {size_text(outcome.nbytes)}. Without data nothing was measured."


def notes(outcome: MergeOutcome) -> list[str]:
    """What a person should know, a sentence each."""
    said = [outcome.how if outcome.how.endswith(".") else f"{outcome.how}."]
    if outcome.shared is not None and (outcome.shared.tensors or outcome.shared.nodes):
        shared = outcome.shared
        tensors, operators = _count(shared.tensors, "tensor"), _count(shared.nodes, "operator")
        said.append(f"Common to the members and kept once: {size_text(shared.nbytes)} in {tensors}, {operators}.")
    if len(set(outcome.member_weights)) > 1:
        pairs = zip(outcome.chosen, outcome.member_weights, strict=True)
        shares = ", ".join(f"{name} {percent_text(weight, 1)}" for name, weight in pairs)
        said.append(f"Weights: {shares}.")
    said += [*outcome.used, *outcome.notes]
    found = outcome.standings
    if found is not None:
        said.append(f"Measured on {found.n:,} samples of {Path(found.source).name}; times of one run on one thread, in "
                    f"turns.")  # fmt: skip
        said += [found.assumed] if found.assumed else []
    return said


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def page(outcome: MergeOutcome, title: str) -> str:
    """The outcome as one HTML page."""
    from core.reporting.markup import escaped
    from core.reporting.page import Section, page
    from core.reporting.tables import table

    def listed(lines: Sequence[str]) -> str:
        return "".join(f"<p>{escaped(line)}</p>" for line in lines)

    found = outcome.standings
    sections = [] if found is None else [
        Section("Side by side", table(head(found), rows(found), NUMBERS, caption=f"{found.n:,} samples")),
        Section("Differences", listed(duels(found))),
    ]  # fmt: skip
    checks = [f"{check.name}: {check.text}" for check in outcome.checks]
    sections += [Section("What it is", listed(notes(outcome))), Section("Checks", listed(checks))]
    return page(title, sections, lead=headline(outcome))
