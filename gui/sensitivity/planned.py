"""What the plan does to a layer where no column of the table fits: its words, and the planner's figures. No Qt."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gui.sensitivity.words import full_figure, shares, tier_words
from gui.theme import HEAT_LEVELS
from gui.units import file_size

if TYPE_CHECKING:
    from core.analysis.sensitivity.cells import Cell
    from gui.session import Session

OWN = -2
"""Column of the plan's own setting in the curves: a click on it changes nothing, it is in force."""


def planned_cell(session: Session, name: str) -> Cell | None:
    """The planner's cell of a layer's steps; None without a plan, or when the steps are none of those it weighed.

    What rounding learns from samples is not in its error: such steps have none.
    """
    plan, steps = session.plans.plan, session.steps(name)
    if plan is None or not steps or name not in plan.candidates.names:
        return None
    cells = plan.candidates.cells[plan.candidates.names.index(name)]
    return next((cell for cell in cells if cell.steps == steps and np.isfinite(cell.error)), None)


def other_mark(session: Session, name: str, title: str, measure: str) -> tuple[str, str, int]:
    """(short words, words for the tool tip, level of colour or -1) of a layer's steps."""
    label = " \N{MIDDLE DOT} ".join(step.label() for step in session.steps(name))
    words = [f"{title}: {label}", "in the plan; no column is for this setting"]
    cell = planned_cell(session, name)
    if cell is None:
        return label, "\n".join([*words, "its error is not known until it is measured"]), -1
    words.append(f"{full_figure(cell.error, cell.tier, measure)}, {tier_words(cell.tier, 0)}; {file_size(cell.bytes)}")
    found = shares(np.array([cell.error]), np.array([cell.tier]), measure)[0]
    return label, "\n".join(words), -1 if np.isnan(found) else round(float(found) * (HEAT_LEVELS - 1))
