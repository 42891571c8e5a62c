"""One call of the planner from the window, and what becomes of its plans. No Qt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from core.planning.plan import Plan, PlanPoint
    from core.recipe import Recipe
    from gui.planning.wish import Wish


@dataclass(frozen=True, eq=False)
class Run:
    """One call of the planner: what it started from, to tell whether its result still fits."""

    wish: Wish
    model: object
    recipe: Recipe


LONGEST = 24 * 60.0
"""Minutes of a plan that is made until it is stopped."""


def of_use(plan: Plan) -> bool:
    """Whether a plan that is still being made may take the place of a finished one of another budget."""
    return plan.met and plan.measured is not None


def own_point(plan: Plan) -> PlanPoint:
    """The plan itself as a point."""
    from core.planning.plan import PlanPoint

    return PlanPoint(
        plan.bytes_predicted, plan.error_predicted, plan.sqnr_predicted_db, plan.measured, "", plan.options
    )
