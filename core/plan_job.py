"""The planning job that the command line and the window's worker process both run."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.data.options import DEFAULT_OPTIONS, DataOptions
from core.errors import Cancelled, ModelFileError
from core.progress import SILENT, Reporter

if TYPE_CHECKING:
    from core.analysis.sensitivity.cells import Cell, Sensitivity, Setting
    from core.data.samples import Samples
    from core.model.model import Model
    from core.planning.budgets import Budget
    from core.planning.plan import Plan
    from core.planning.workshop import Workshop
    from core.recipe import Recipe


@dataclass(frozen=True)
class PlanSpec:
    """What to plan.

    goal         "size", "latency", "multiply_adds", "sqnr" or "drop"
    limit        as a person writes it: "25%", "2MB"; "2x", "4.9ms"; "60%", "1.2G"; "30"; "0.5"
    data_path    samples, of which some are set apart to learn from and the others measured on; None: only predictions
    families     names of families of methods; () for all
    minutes      after which no further plan is measured; None: the planner's own limit
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
    from core.exporting.staging import check_target
    from core.model.readers import open_model
    from core.planning.candidates import candidates, check_families, learned_settings, plan_settings
    from core.planning.planner import Wish, make_plan

    budget = _budget(spec, spec.model_path)
    families = check_families(spec.families)
    model = open_model(spec.model_path)
    if spec.target is not None:
        read = [Path(spec.data_path)] if spec.data_path else []
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
        settings = plan_settings(families)
        if calibration is not None:
            settings += learned_settings(settings, sum(layer.n_weights for layer in model.layers))
        table, pinned = _sensitivity(model, settings, spec, base, calibration, reporter.part(0.0, 0.4))
        found = candidates(model, table, base, pinned)
        plan = make_plan(
            model, table, found, Wish(budget, minutes=spec.minutes), calibration=calibration, test=test,
            reporter=reporter.part(0.4, 1.0), on_best=on_best, seed=spec.seed,
        )  # fmt: skip
    except Cancelled as cancelled:
        raise _with_best(cancelled, best, spec.target) from cancelled
    if spec.target is not None:
        plan.recipe.save(spec.target)
    reporter.report(1.0, "Done")
    return plan


def _budget(spec: PlanSpec, path: str) -> Budget:
    from core.errors import ParameterError
    from core.planning.budgets import drop_budget, size_budget, sqnr_budget

    if spec.goal == "size":
        return size_budget(spec.limit, os.stat(path).st_size if os.path.isfile(path) else 0)
    if spec.goal == "sqnr":
        return sqnr_budget(spec.limit)
    if spec.goal == "drop":
        return drop_budget(spec.limit)
    raise ParameterError(f"the budget is for {spec.goal!r}", do="give one for size, sqnr or drop")


def _base(spec: PlanSpec, model: Model) -> Recipe:
    """The recipe that the plan starts from: graph steps, and the steps of pinned layers under their own names."""
    from core.errors import RecipeError
    from core.recipe import Recipe, why_no_layer

    given = Recipe.parse(spec.recipe_text, model=model) if spec.recipe_text else Recipe()
    names = [layer.name for layer in model.layers]
    problems = [reason for name in spec.pinned if (reason := why_no_layer(name, names))]
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


def _sensitivity(
    model: Model, settings: tuple[Setting, ...], spec: PlanSpec, base: Recipe, calibration: Samples | None,
    reporter: Reporter,
) -> tuple[Sensitivity, tuple[Cell, ...]]:  # fmt: skip
    """What each layer costs with each setting, predicted from gradients where there are samples; and pinned layers."""
    from core.analysis.sensitivity.cells import Tier
    from core.analysis.sensitivity.table import Asked, sensitivity
    from core.exporting.sizes import SizeModel
    from core.planning.workshop import Workshop

    tier = Tier.FREE if calibration is None else Tier.FAST
    table = sensitivity(model, calibration, Asked(tier, settings, seed=spec.seed), reporter=reporter)
    if not spec.pinned:
        return table, ()
    workshop = Workshop(model, SizeModel(model), calibration, spec.seed)
    steps = {name: base.steps_for(name) for name in spec.pinned}
    workshop.encodings(steps, reporter)
    return table, tuple(pinned_cell(table, name, setting, workshop) for name, setting in steps.items())


def pinned_cell(table: Sensitivity, name: str, steps: Setting, workshop: Workshop) -> Cell:
    """The only cell of a pinned layer: its error does not matter for the choice, only its bytes do."""
    from core.analysis.sensitivity.cells import Cell

    refused = bool(workshop.refused(name, steps))
    known = next((cell for cell in table.by_layer.get(name, ()) if cell.steps == steps), None)
    if known is not None:
        return known
    kept: Setting = () if refused else steps
    return Cell(name, steps, workshop.layer_bytes(name, kept), 0.0, 0)


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
