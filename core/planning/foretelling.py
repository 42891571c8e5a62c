"""The front of plans from a sensitivity table that is kept from before: at once, before anything else is measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from core.analysis.sensitivity.cells import Tier

if TYPE_CHECKING:
    from core.model.model import Model
    from core.planning.plan import Plan
    from core.planning.planner import Wish
    from core.progress import Reporter
    from core.recipe import Recipe


def foretold(model: Model, base: Recipe, wish: Wish, reporter: Reporter) -> Plan | None:
    """A predicted plan with its front, from the table that opening a model leaves behind; None without one.

    base  graph steps that the plan keeps; its layers are all free

    It has the columns of the sensitivity table, fewer than the planner tries, and where no samples were used only the
    errors of the weights. Raises Cancelled.
    """
    from core.analysis.sensitivity.table import Asked, cached_sensitivity
    from core.planning.candidates import candidates
    from core.planning.planner import make_plan

    table = cached_sensitivity(model, None, Asked(Tier.FREE))
    if table is None or base.graph:
        return None

    def first(plan: Plan) -> NoReturn:
        raise _FirstError(plan)

    try:
        make_plan(model, table, candidates(model, table, base), wish, reporter=reporter, on_best=first)
    except _FirstError as told:
        return told.plan
    return None


class _FirstError(Exception):
    """Ends planning with the first plan, which is predicted: all that is wanted."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.plan = plan
