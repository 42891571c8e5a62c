"""Parts of a report about single layers: what was done to each, where the bytes went, where the error comes from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from core.figures import db_text, size_text
from core.reporting.markup import paragraph
from core.reporting.svg import bars
from core.reporting.tables import table
from core.reporting.ticks import Axis

if TYPE_CHECKING:
    from core.reporting.subject import Subject

MOST_BARS = 40
"""Layers in a chart; the table has all."""


def layers_table(subject: Subject) -> str:
    """Every layer with its steps, bytes, errors and what became of it."""
    alone = {one.name: one.isolated_sqnr_db for one in subject.live}
    whole = {one.name: one.accumulated_sqnr_db for one in subject.accumulated}
    rows = [
        (
            r.name,
            str(r.kind),
            " + ".join(r.steps) or "left as it was",
            f"{r.bytes_before:,}",
            f"{r.bytes_after:,}",
            db_text(r.weight_sqnr_db),
            _error(alone.get(r.name)),
            _error(whole.get(r.name)),
            "; ".join(filter(None, (f"not compressed: {r.skipped}" if r.skipped else "", r.note))),
        )
        for r in subject.layers
    ]
    head = ("layer", "kind", "steps", "bytes before", "after", "weight SQNR", "output alone", "output in all", "notes")
    words = "Output alone: SQNR at the layer's output with it alone compressed. Output in all: in the compressed model."
    return table(head, rows, (3, 4, 5, 6, 7), caption=words)


def _error(value: float | None) -> str:
    return "" if value is None else db_text(value)


def bytes_chart(subject: Subject) -> str:
    """Bytes of weights by layer, before and after; the largest layers first when there are many."""
    largest = sorted(subject.layers, key=lambda layer: -layer.bytes_before)[:MOST_BARS]
    kept = {layer.name for layer in largest}
    shown = [layer for layer in subject.layers if layer.name in kept]
    return bars(
        f"Bytes of weights by layer{_of(len(shown), len(subject.layers), 'largest')}",
        f"{size_text(sum(x.bytes_before for x in shown))} before, {size_text(sum(x.bytes_after for x in shown))} after",
        Axis("bytes", size_text, zero=True), [layer.name for layer in shown],
        [("before", [float(x.bytes_before) for x in shown]), ("after", [float(x.bytes_after) for x in shown])],
        first=0,
    )  # fmt: skip


def error_chart(subject: Subject) -> str:
    """SQNR at each layer's output, alone and in the whole model; the worst layers when there are many."""
    alone = {one.name: one.isolated_sqnr_db for one in subject.live if _shown(one.isolated_sqnr_db)}
    whole = {one.name: one.accumulated_sqnr_db for one in subject.accumulated if _shown(one.accumulated_sqnr_db)}
    names = list(dict.fromkeys([*whole, *alone]))
    worst = sorted(names, key=lambda name: _worst(whole.get(name), alone.get(name)))[:MOST_BARS]
    shown = [name for name in names if name in set(worst)]
    series: list[tuple[str, Sequence[float | None]]] = []
    if alone:
        series.append(("this layer alone (isolated)", [alone.get(name) for name in shown]))
    if whole:
        series.append(("in the whole compressed model (accumulated)", [whole.get(name) for name in shown]))
    chart = bars(
        f"Error at each layer's output, SQNR in dB: longer is better{_of(len(shown), len(names), 'worst')}",
        "; ".join(f"{name} {db_text(whole.get(name))}" for name in shown[:12]),
        Axis("dB", lambda value: f"{value:.0f}"), shown, series,
    )  # fmt: skip
    unmeasured = [one for one in subject.accumulated if one.accumulated_sqnr_db is None and one.reason]
    if chart and unmeasured:
        chart += paragraph(
            f"{len(unmeasured)} not measured; the first, {unmeasured[0].name}: {unmeasured[0].reason}.", "note"
        )
    return chart


def _shown(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _worst(*values: float | None) -> float:
    return min((value for value in values if value is not None), default=math.inf)


def _of(shown: int, total: int, which: str) -> str:
    return f", the {shown} {which} of {total:,}" if shown < total else ""
