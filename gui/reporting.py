"""The report of the last compression, written as one HTML page in a thread."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import FeatherweightError

if TYPE_CHECKING:
    from core.data.options import DataOptions
    from core.jobs import CompressOutcome
    from core.planning.plan import Plan, PlanPoint
    from core.progress import Reporter
    from gui.session import Session

REPORT = "report"
"""Key of the task."""


def save_report(session: Session, target: Path) -> None:
    """Write the report of what was compressed last; says so when done, or why not.

    A compression of an earlier plan is not reported as if it were of this one: the person is told to compress first.
    """
    result, model = session.result, session.model
    if model is None or result is None:
        session.failed.emit(FeatherweightError(
            "there is nothing to report on yet", do="compress first: a report shows what was measured"))
        return
    if not session.result_current:
        session.failed.emit(FeatherweightError(
            "the plan or the data has changed since what was compressed last",
            do="compress again, then save the report"))
        return
    plans = session.plans
    point = plans.current  # of the front, wherever the person dragged to
    fits = point is not None and plans.chosen is not None and plans.recipe_of(plans.chosen) == result.recipe
    plan = plans.plan if fits else None
    chosen = point if fits and plans.chosen != plans.own else None

    def saved(path: Path) -> None:
        session.said.emit(f"Saved the report as {path}.")
        session.stateChanged.emit()

    def failed(error: FeatherweightError) -> None:
        session.stateChanged.emit()
        session.failed.emit(error)

    session.tasks.thread(
        REPORT, _write, target, str(model.path), result.outcome, result.recipe.dump(), plan, chosen,
        str(result.data_path) if result.data_path else "", result.options, title=f"Writing {target.name}",
        done=saved, failed=failed, cancelled=session.stateChanged.emit,
    )  # fmt: skip
    session.stateChanged.emit()


def _write(target: Path, model_path: str, outcome: CompressOutcome, recipe: str, plan: Plan | None,
           chosen: PlanPoint | None, data_path: str, options: DataOptions, reporter: Reporter) -> Path:
    from core.report_job import report_of_outcome

    return report_of_outcome(target, model_path, outcome, recipe, plan, data_path, options, reporter, chosen)
