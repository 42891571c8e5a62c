"""Parts of a report about what a recipe was chosen from: the front of whole plans, and each layer's sensitivity."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from core.analysis.sensitivity.cells import setting_label
from core.figures import db_text, size_text
from core.reporting.heat import heat_map
from core.reporting.markup import bullets, paragraph
from core.reporting.svg import Series, xy_chart
from core.reporting.tables import table
from core.reporting.ticks import Axis

if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.analysis.sensitivity.cells import Cell, Sensitivity
    from core.planning.plan import Plan, PlanPoint

MOST_ROWS = 60
MEASURES = {
    "kl": "how far the answers' probabilities moved (KL divergence, nats)",
    "squared": "squared error of the outputs, relative to their power",
    "weight": "squared error of the weights, relative to their power",
}
TIERS = ("of the weights alone", "predicted", "measured")

_USUAL = ("fp16", "int8", "int4")


def plan_section(plan: Plan, chosen: PlanPoint | None = None) -> str:
    """The budget, the front with its measured points and the uniform settings, and what holds the plan back.

    chosen  the point that was compressed, where it is not the plan itself
    """
    wanted = " and ".join(budget.text for budget in plan.budgets)
    met = "met" if plan.met else "not met by what was measured"
    text = paragraph(
        f"Budget: {wanted}; {met}. {plan.evaluations} whole plans were measured in {plan.seconds:.0f} s. "
        f"Error: {MEASURES.get(plan.measure, plan.measure)}."
    )
    if chosen is not None:
        text += paragraph(
            f"Compressed was another plan of the same front: {size_text(chosen.bytes)}"
            f"{f', predicted output SQNR {db_text(chosen.sqnr_db)}' if chosen.sqnr_db is not None else ''}."
        )
    text += _front(plan, chosen)
    text += table(
        ("layer", "share of the plan's error", "now", "the next better setting", "takes", "gains"),
        [
            (b.layer, f"{100 * b.share:.0f} %", b.now, b.better, size_text(b.extra_bytes), f"{b.gain_db:.1f} dB")
            for b in plan.binding
        ],
        (1, 4, 5), caption="Layers that hold the plan back",
    )  # fmt: skip
    return text + bullets([*plan.structure, *plan.notes])


def _front(plan: Plan, chosen: PlanPoint | None) -> str:
    """Whole plans as points: predicted hollow, measured solid, the plan itself and uniform settings beside them."""
    front = [(p.bytes, p.sqnr_db) for p in plan.front]
    series = [
        Series("other plans, predicted", _finite(front), "line rings", 1),
        _measured("other plans, measured", plan.front, "dots", 1, names=False),
        _uniform_predicted(plan.uniform),
        _measured("one setting for all layers, measured", plan.uniform, "dots", 2, names=True),
    ]
    if plan.measured is not None:
        own = (float(plan.bytes_predicted), plan.measured.sqnr_db)
        name = "the plan for the budget"
        series.append(Series(f"{name}, measured", _finite([own]), "dots", 3, (name,)))
    if chosen is not None:
        known = chosen.measured.sqnr_db if chosen.measured is not None else chosen.sqnr_db
        series.append(Series("chosen", _finite([(chosen.bytes, known)]), "dots", 4, ("chosen",), ("chosen",)))
    shown = [one for one in series if one.points]
    return xy_chart(
        "Whole plans: file size against output error",
        f"{len(plan.front)} plans on the front, {len(plan.uniform)} uniform settings",
        Axis("bytes of the file", size_text, log=True), Axis("output SQNR in dB, higher is better"), shown,
    )  # fmt: skip


def _uniform_predicted(points: Sequence[PlanPoint]) -> Series:
    found = [p for p in points if p.measured is None and p.sqnr_db is not None and math.isfinite(p.sqnr_db)]
    values = _finite([(p.bytes, p.sqnr_db) for p in found])
    labels = [p.label for p in found]
    return Series("one setting for all layers, predicted", values, "rings", 2, labels, [_written(p) for p in found])


def _written(point: PlanPoint) -> str:
    """The label of a uniform setting that a person would try first; the others have theirs in the tool tip alone."""
    return point.label if point.label in _USUAL else ""


def _finite(points: Sequence[tuple[float, float | None]]) -> list[tuple[float, float]]:
    return [(float(x), y) for x, y in points if y is not None and math.isfinite(y)]


def _measured(name: str, points: Sequence[PlanPoint], style: str, colour: int, *, names: bool) -> Series:
    found = [p for p in points if p.measured is not None and math.isfinite(p.measured.sqnr_db)]
    values = [(float(p.bytes), p.measured.sqnr_db) for p in found if p.measured is not None]
    notes = [
        f"{p.label or 'plan'}: {size_text(p.bytes)}, {db_text(p.measured.sqnr_db)}, {p.measured.change_text}"
        for p in found
        if p.measured is not None
    ]
    return Series(name, values, style, colour, notes, [_written(p) for p in found] if names else ())


def sensitivity_section(table_of: Sensitivity) -> str:
    """Layers against settings; the most sensitive layers when there are many."""
    settings = list(dict.fromkeys(cell.label for cell in table_of.cells))
    layers = list(table_of.by_layer)
    if len(layers) > MOST_ROWS:
        worst = sorted(layers, key=lambda name: -max(_sizes(table_of.by_layer[name]), default=0.0))[:MOST_ROWS]
        layers = [name for name in layers if name in set(worst)]
    cells = {(cell.layer, setting_label(cell.steps)): cell for cell in table_of.cells}
    grid = [[cells.get((layer, setting)) for setting in settings] for layer in layers]
    measure = MEASURES.get(table_of.measure, table_of.measure)
    kept = len(table_of.by_layer)
    some = f", the {len(layers)} most sensitive of {kept} layers" if len(layers) < kept else ""
    tiers = {cell.tier for cell in table_of.cells}
    chart = heat_map(
        f"Error when one layer alone gets a setting: {measure}{some}",
        f"{len(layers)} layers, {len(settings)} settings",
        layers, settings, [[None if c is None else c.error for c in row] for row in grid],
        [["\N{EN DASH}" if c is None else _short(c.error) for c in row] for row in grid],
    )  # fmt: skip
    on = f" on {table_of.samples:,} samples" if table_of.samples else ""
    said = f"Values are {' or '.join(TIERS[tier] for tier in sorted(tiers))}{on}. Orange costs most, blue least."
    return chart + paragraph(said, "note") if chart else ""


def _sizes(cells: Sequence[Cell]) -> list[float]:
    return [cell.error for cell in cells if math.isfinite(cell.error)]


def _short(error: float) -> str:
    return (
        "\N{INFINITY}"
        if math.isinf(error)
        else "0"
        if error == 0
        else f"{error:.1e}"
        if error < 1e-3
        else f"{error:.2g}"
    )
