"""The planning job that the command line and the window's worker process both run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from core.data.options import DEFAULT_OPTIONS, DataOptions
from core.errors import Cancelled, ModelFileError
from core.progress import SILENT, Reporter

if TYPE_CHECKING:
    from core.data.samples import Samples
    from core.model.model import Model
    from core.planning.budgets import Budget, Goal
    from core.planning.latency_check import Ground
    from core.planning.plan import Plan
    from core.recipe import Recipe


@dataclass(frozen=True)
class PlanSpec:
    """What to plan.

    goal         "size", "latency", "multiply_adds", "sqnr" or "drop"
    limit        as a person writes it: "25%", "2MB"; "2x", "4.9ms"; "60%", "1.2G"; "30"; "0.5"
    data_path    samples, of which some are set apart to learn from and the others measured on; None: only predictions
    families     names of families of methods; () for all
    minutes      for all of it: after which no further plan is measured; None: the planner's own limit
    recipe_text  recipe to start from, with its graph steps and the steps of pinned layers; "" for none
    pinned       names of layers that keep the steps that the recipe gives them
    target       recipe file to write, or None. After a cancel the best plan so far is written
    options      how the data is read, and the metric
    also         a second budget: its goal and limit; () for none
    """

    model_path: str
    goal: str
    limit: str
    data_path: str | None = None
    families: tuple[str, ...] = ()
    minutes: float | None = None
    recipe_text: str = ""
    pinned: tuple[str, ...] = ()
    target: str | None = None
    seed: int = 0
    options: DataOptions = DEFAULT_OPTIONS
    also: tuple[tuple[str, str], ...] = ()


def plan_file(spec: PlanSpec, reporter: Reporter = SILENT) -> Plan:
    """Make a plan, and write its recipe if a target is given. Parts of the progress are Plans, the best so far.

    Raises FeatherweightError kinds: bad words in the spec, a model or data that cannot be used, a budget that no plan
    meets. Cancelled says whether a plan was kept.
    """
    from core.exporting.staging import check_target, files_read
    from core.methods.registry import check_families
    from core.model.readers import open_model
    from core.planning.planner import Wish
    from core.planning.whole import Task, grounded, plan_whole

    goals = _goals(spec)
    families = check_families(spec.families)
    model = open_model(spec.model_path)
    if spec.target is not None:
        read = files_read(spec.data_path, options=spec.options)
        check_target(Path(spec.target), model.path, (*model.data_files, *read))
    if not model.layers:
        raise ModelFileError(
            "no weights were found in this model", where=model.name, do="choose a model that stores its weights"
        )
    base = _base(spec, model)
    calibration, test = _samples(spec, model)
    best: list[Plan] = []

    def on_best(plan: Plan) -> None:
        best[:] = [plan]
        reporter.tell(plan)

    try:
        if not spec.pinned and not spec.families and not _measured_first(goals):
            _tell_foretold(spec, model, base, reporter)
        ground = grounded(model, goals, calibration, reporter.part(0.0, 0.05))
        first, *more = _budgets(spec, ground)
        wish = Wish(first, minutes=spec.minutes, also=more[0] if more else None)
        task = Task(model, wish, base, families, ground, spec.pinned, calibration, test, spec.seed)
        plan = plan_whole(task, reporter.part(0.05, 1.0), on_best)
    except Cancelled as cancelled:
        raise _with_best(cancelled, best, spec.target) from cancelled
    if test is not None:
        plan = replace(plan, notes=tuple(dict.fromkeys((*test.notes, *plan.notes))))
    if spec.target is not None:
        plan.recipe.save(spec.target)
    reporter.report(1.0, "Done")
    return plan


def _measured_first(goals: list[Goal]) -> bool:
    """Whether what is limited is known only when the original was measured."""
    return any(goal.is_cost and goal != "size" for goal in goals)


def _tell_foretold(spec: PlanSpec, model: Model, base: Recipe, reporter: Reporter) -> None:
    """What a table from before says, while everything better is still to be found out; no plan that would be kept."""
    from core.planning.foretelling import foretold
    from core.planning.latency_check import Ground
    from core.planning.planner import Wish

    first, *more = _budgets(spec, Ground(model))
    plan = foretold(model, base, Wish(first, also=more[0] if more else None), reporter.part(0.0, 0.0))
    if plan is not None:
        reporter.tell(plan)


def _goals(spec: PlanSpec) -> list[Goal]:
    """What is limited, when every limit can be read. Raises ParameterError."""
    from core.errors import ParameterError
    from core.planning.budgets import check_budget

    goals = [check_budget(goal, limit) for goal, limit in ((spec.goal, spec.limit), *spec.also)]
    if len(goals) > 2:
        raise ParameterError(f"there are {len(goals)} budgets", do="give one or two")
    if len(set(goals)) < len(goals):
        raise ParameterError(f"both budgets are for {goals[0]}", do="give two of different kinds")
    return goals


def _budgets(spec: PlanSpec, ground: Ground) -> list[Budget]:
    from core.planning.budgets import Originals, parse_budget

    original = Originals(ground.original.file_bytes, ground.milliseconds, ground.multiply_adds)
    return [parse_budget(goal, limit, original) for goal, limit in ((spec.goal, spec.limit), *spec.also)]


def _base(spec: PlanSpec, model: Model) -> Recipe:
    """The recipe that the plan starts from: graph steps, and the steps of pinned layers under their own names."""
    from core.errors import RecipeError
    from core.patterns import key_of
    from core.recipe import Recipe, why_no_layer

    given = Recipe.parse(spec.recipe_text, model=model) if spec.recipe_text else Recipe()
    names = [layer.name for layer in model.layers]
    problems = [reason for name in spec.pinned if (reason := why_no_layer(key_of(name), names))]
    if problems:
        raise RecipeError(problems, where="pinned layers")
    kept = {name: given.steps_for(name) for name in spec.pinned}
    fresh = Recipe(model_name=model.path.name, model_sha256=model.sha256, graph=given.graph)
    return fresh.with_steps(kept)


def _samples(spec: PlanSpec, model: Model) -> tuple[Samples | None, Samples | None]:
    """Samples to learn from and samples to measure on: the same split as `jobs.compress_file` makes."""
    from core.data import load_samples
    from core.jobs import CALIBRATION_SAMPLES

    if spec.data_path is None:
        return None, None
    return load_samples(spec.data_path, model.inputs, options=spec.options).split(CALIBRATION_SAMPLES, spec.seed)


def _with_best(cancelled: Cancelled, best: list[Plan], target: str | None) -> Cancelled:
    """The cancel, with what became of the best plan so far."""
    if not best or target is None:
        return cancelled
    from core.figures import size_text

    best[-1].recipe.save(target)
    told = size_text(best[-1].bytes_predicted)
    if best[-1].measured is not None:
        told += f", {best[-1].measured.sqnr_db:.1f} dB measured"
    return Cancelled("cancelled while planning", do=f"the best plan so far ({told}) is kept: {target}")
