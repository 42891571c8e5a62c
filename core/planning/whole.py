"""The best plan over all families: weights planned for the model as it is, and for what structural changes make."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from core.analysis.sensitivity.cells import Cell, Sensitivity, Setting, Tier
from core.errors import Cancelled, FeatherweightError
from core.planning.budgets import Budget, Goal
from core.planning.candidates import Candidates, candidates, learned_settings, plan_settings, run_settings
from core.planning.evaluation import Evaluator, Measured
from core.planning.knapsack import Unreachable
from core.planning.latency_check import Ground, timed_files
from core.planning.plan import Plan, VariantFigures
from core.planning.planner import MINUTES, Wish, apart, make_plan
from core.planning.run_costs import measured_alone, run_costs
from core.planning.smallest import kept
from core.planning.structures import SAVED_BY, Built, Structure, build, combined, structures
from core.planning.workshop import Workshop
from core.progress import SILENT, Reporter
from core.recipe import Recipe, Step
from core.scratch import scratch_folder

if TYPE_CHECKING:
    from core.analysis.calibration import Calibration
    from core.data.samples import Samples
    from core.model.model import Model

FEEDS = 4
"""Samples that runs are timed on."""
CHECKED = 64
"""Samples that a structure is measured on before any weight is planned for it."""
ALONE = 16
"""Samples for layers that round what enters them, each measured alone."""
SHORT = 0.25
"""Minutes below which layers are told apart by their weights alone."""
PLANNED = 2
"""Structures that weights are planned for, beside the model as it is."""


@dataclass(frozen=True)
class Task:
    """What to plan.

    base      recipe that the plan starts from; its entries are those of pinned layers, and its graph steps stay
    families  by their proper names
    pinned    names of layers that keep the steps that `base` gives them
    """

    model: Model
    wish: Wish
    base: Recipe
    families: Collection[str]
    ground: Ground
    pinned: tuple[str, ...] = ()
    calibration: Samples | None = field(default=None, repr=False)
    test: Samples | None = field(default=None, repr=False)
    seed: int = 0

    @property
    def budgets(self) -> tuple[Budget, ...]:
        return (self.wish.budget,) if self.wish.also is None else (self.wish.budget, self.wish.also)

    @property
    def goals(self) -> frozenset[Goal]:
        return frozenset(budget.goal for budget in self.budgets)


@dataclass(frozen=True)
class _Looked:
    """A structure that was looked at with its weights as they are."""

    built: Built
    figures: VariantFigures
    error: float
    """In the plan's measure; inf when it does not run."""


def plan_whole(task: Task, reporter: Reporter = SILENT, on_best: Callable[[Plan], None] | None = None) -> Plan:
    """The best plan over the model as it is and the structures that could beat it.

    Each structure is first measured with float weights, which takes seconds; what already loses more than the plan so
    far is dropped, and weights are planned for the few that are left. Raises as `make_plan` does.
    """
    return _Whole(task, reporter, on_best).plan()


class _Whole:
    def __init__(self, task: Task, reporter: Reporter, on_best: Callable[[Plan], None] | None) -> None:
        self.task, self.reporter, self.on_best = task, reporter, on_best
        self.best: Plan | None = None
        self.measure = ""
        minutes = task.wish.minutes  # a person's limit is for all of it; else counted from when plans can be made
        self.until = math.inf if minutes is None else time.monotonic() + 60.0 * minutes
        self._calibration: Calibration | None = None

    def plan(self) -> Plan:
        """Carry it out."""
        task = self.task
        built = build(task.model, Structure("", task.base), self._calibrated(bool(task.base.graph)), seed=task.seed)
        missed: Unreachable | None = None
        others = structures(
            task.model, task.base, task.families, task.goals, pinned=task.pinned, samples=task.calibration is not None
        )
        share = 0.6 if others else 1.0
        try:
            self._try(built, 0.0, self.reporter.part(0.0, share))
        except Unreachable as error:
            missed = error
        looked = self._look(others, self.reporter.part(share, 0.8)) if self._worth_looking else []
        promising = self._promising(looked)
        for number, one in enumerate(promising):
            at = 0.8 + 0.2 * number / len(promising)
            if self._over:
                break
            try:
                self._try(one.built, one.error, self.reporter.part(at, at + 0.2 / len(promising)), one.figures)
            except Unreachable as error:
                missed = error if missed is None or error.cost < missed.cost else missed
        if self.best is None:
            raise missed or Unreachable("no plan was found", math.inf, math.inf, where=task.model.name)
        return replace(self.best, variants=tuple(one.figures for one in looked))

    @property
    def _worth_looking(self) -> bool:
        """Whether structures could still help, and there is something to measure them on and time for it."""
        met_by_nothing = self.best is not None and self.best.met and self.best.recipe.does_nothing
        return not met_by_nothing and self.task.test is not None and not self._over

    @property
    def _over(self) -> bool:
        """Whether the time is over; while nothing keeps the budget, structures are the last resort."""
        return self.best is not None and time.monotonic() > self.until

    @property
    def _short(self) -> bool:
        """Whether the time that a person gave leaves none for running the model once for each setting."""
        return self.task.wish.minutes is not None and self.task.wish.minutes < SHORT

    # ---- weights

    def _try(self, built: Built, shared: float, reporter: Reporter, figures: VariantFigures | None = None) -> None:
        """Plan weights for a structure; keep the plan when it is the best so far."""
        task = self.task
        settings = self._settings()
        table, pinned = self._table(built, settings, reporter.part(0.0, 0.4))
        self.measure = table.measure
        found = candidates(built.model, table, built.structure.recipe, pinned)
        if not settings:  # the chosen families leave weights alone
            found = replace(found, cells=tuple(cells[:1] for cells in found.cells))
        found = replace(found, before=built.structure.before, shared=shared)
        if task.goals & {Goal.LATENCY, Goal.MULTIPLY_ADDS}:
            found, notes = self._with_costs(built, table, found, reporter.part(0.4, 0.6), figures)
            table = replace(table, notes=(*table.notes, *notes))

        def better(plan: Plan) -> None:
            if self.on_best is not None and (self.best is None or _is_better(plan, self.best)):
                self.on_best(self._with_structure(plan, built))

        if self.until == math.inf:
            self.until = time.monotonic() + 60.0 * MINUTES
        wish = replace(task.wish, minutes=max(0.0, (self.until - time.monotonic()) / 60.0))
        plan = make_plan(
            built.model, table, found, wish, calibration=task.calibration, test=task.test,
            reporter=reporter.part(0.6, 1.0), on_best=better, seed=task.seed, ground=task.ground,
        )  # fmt: skip
        plan = self._with_structure(plan, built)
        if self.best is None or _is_better(plan, self.best):
            self.best = plan
            if self.on_best is not None:  # what a cancel keeps, should it come while other structures are looked at
                self.on_best(plan)

    def _with_structure(self, plan: Plan, built: Built) -> Plan:
        return replace(plan, structure=built.lines) if built.lines else plan

    def _settings(self) -> tuple[Setting, ...]:
        """What layers may have: forms for the file where its size or a quality counts, others where runs do."""
        task = self.task
        runs = task.goals & {Goal.LATENCY, Goal.MULTIPLY_ADDS}
        file = task.goals - {Goal.LATENCY, Goal.MULTIPLY_ADDS}
        weights = sum(layer.n_weights for layer in task.model.layers)
        settings: tuple[Setting, ...] = ()
        if file or not runs:
            settings = plan_settings(task.families, weights, self.until - time.monotonic())
        if settings and task.calibration is not None and not self._short:
            settings += learned_settings(settings, weights)
        if runs:
            settings += run_settings(task.families, [SAVED_BY[goal] for goal in runs], also_small=bool(file))
        return tuple(dict.fromkeys(settings))

    def _table(
        self, built: Built, settings: tuple[Setting, ...], reporter: Reporter
    ) -> tuple[Sensitivity, tuple[Cell, ...]]:
        """What each layer costs with each setting, predicted from gradients where there are samples; pinned layers."""
        from core.analysis.sensitivity.table import Asked, sensitivity
        from core.exporting.sizes import SizeModel

        task, model = self.task, built.model
        runs = task.goals & {Goal.LATENCY, Goal.MULTIPLY_ADDS}  # what factors lose is too much for a gradient to tell
        tier = Tier.MEASURED if runs else Tier.FREE if self._short else Tier.FAST
        tier = Tier.FREE if task.calibration is None else tier
        settings = settings or ((Step.make("float16"),),)  # of which no cell is taken: a table has one column at least
        asked = Asked(tier, settings, everything=bool(runs), seed=task.seed)
        table = sensitivity(model, task.calibration, asked, reporter=reporter, cache=_cache(built))
        there = {layer.name for layer in model.layers}
        names = [name for name in task.pinned if name in there]
        if not names:
            return table, ()
        workshop = Workshop(model, SizeModel(model), task.calibration, task.seed)
        steps = {name: task.base.steps_for(name) for name in names}
        workshop.encodings(steps, reporter)
        return table, tuple(pinned_cell(table, name, setting, workshop) for name, setting in steps.items())

    def _with_costs(
        self, built: Built, table: Sensitivity, found: Candidates, reporter: Reporter, figures: VariantFigures | None
    ) -> tuple[Candidates, tuple[str, ...]]:
        """The candidates with milliseconds and multiply-adds, and with the errors of layers that round their inputs."""
        from core.exporting.sizes import SizeModel

        task = self.task
        workshop = Workshop(built.model, SizeModel(built.model), task.calibration, task.seed)
        count, took = task.ground.multiply_adds, task.ground.milliseconds
        if figures is not None:
            count, took = figures.multiply_adds, figures.milliseconds
        with scratch_folder() as folder:
            costs = run_costs(
                built.model, table, workshop, task.ground.feeds[0], milliseconds=took, count=count,
                whole=self._file(built, Path(folder)) if Goal.LATENCY in task.goals else None,
                reporter=reporter.part(0.0, 0.6),
            )  # fmt: skip
        found = costs.filled(found)
        checked, _ = apart(task.test, task.ground.original)
        if checked is not None:
            evaluator = Evaluator(task.ground.original, built.model, checked, limit=ALONE)
            found = measured_alone(found, workshop, evaluator, table.measure, reporter.part(0.6, 1.0))
        return found, costs.notes

    def _file(self, built: Built, folder: Path) -> Path:
        """The structure with float weights as a file."""
        import onnx_ir as ir

        from core.exporting.writer import assemble

        if built.model is self.task.ground.original:
            return built.model.path
        path = folder / "structure.onnx"
        ir.save(assemble(built.model, {}).graph, path, external_data="structure.data")
        return path

    def _milliseconds(self, built: Built, reporter: Reporter) -> float:
        """Of the structure's run with float weights, timed in turns with the original."""
        ground = self.task.ground
        with scratch_folder() as folder:
            path = self._file(built, Path(folder))
            found = timed_files(ground.original.path, path, ground.feeds, reporter.part(0.0, 0.0))
        return (ground.milliseconds or found.before.median_ms) * found.ratio

    # ---- structures

    def _look(self, others: tuple[Structure, ...], reporter: Reporter) -> list[_Looked]:
        """Each structure with its weights as they are, and the two best of a kind together."""
        task, found = self.task, []
        _, test = apart(task.test, task.ground.original)
        if test is None or not others:
            return []
        evaluator = Evaluator(task.ground.original, task.model, test, limit=CHECKED)
        for number, structure in enumerate(others):
            if self._over:
                break
            reporter.report(number / len(others), f"Looking at {structure.label}")
            found += self._looked(structure, evaluator, reporter.part(number / len(others), (number + 1) / len(others)))
        survivors = [one for one in found if not one.figures.left_out]
        kinds = {bool(one.built.structure.before): one for one in reversed(survivors)}
        if len(kinds) == 2:
            both = combined(kinds[True].built.structure, kinds[False].built.structure)
            found += self._looked(both, evaluator, reporter)
        return found

    def _looked(self, structure: Structure, evaluator: Evaluator, reporter: Reporter) -> list[_Looked]:
        from core.exporting.sizes import SizeModel

        task = self.task
        try:
            built = build(task.model, structure, self._calibrated(True), reporter, seed=task.seed)
            if built.rewriting is None or not built.rewriting.changes:
                return []
            measured = evaluator.of(built.model).measure({}, reporter.part(0.0, 0.0))
        except Cancelled:
            raise
        except FeatherweightError as trouble:
            figures = VariantFigures(structure.label, 0, None, left_out=f"it does not run: {trouble.what}")
            return [_Looked(Built(structure, task.model), figures, math.inf)]
        count = None
        if Goal.MULTIPLY_ADDS in task.goals:
            from core.analysis.operations import multiply_adds

            count = multiply_adds(built.model, task.ground.feeds[0]).total
        took = self._milliseconds(built, reporter) if Goal.LATENCY in task.goals else None
        error = measured.error(self.measure)
        figures = VariantFigures(
            structure.label, SizeModel(built.model).base, measured, took, count, self._why_not(measured, error)
        )
        return [_Looked(built, figures, error)]

    def _why_not(self, measured: Measured, error: float) -> str:
        """Why no plan with this structure can be the best (one clause), or ""."""
        if not error < math.inf:
            return "its outputs are not finite"
        lost = [b for b in self.task.budgets if not b.goal.is_cost and not kept(b, measured, error)]
        if lost:
            return f"it does not keep {lost[0].text} even with float weights"
        known = None if self.best is None or not self.best.met else self.best.error_measured
        if known is not None and not any(not b.goal.is_cost for b in self.task.budgets) and error >= known:
            return "it loses more by itself than the plan without it"
        return ""

    def _promising(self, looked: list[_Looked]) -> list[_Looked]:
        """The structures to plan weights for: those that could be on the front, the least harmful first."""
        able = [one for one in looked if not one.figures.left_out]
        if self.best is None:  # nothing else reaches the budget: those that save most may
            able.sort(key=lambda o: (o.figures.milliseconds or 0.0, o.figures.multiply_adds or 0, o.figures.bytes))
            return able[: PLANNED + 1]
        return sorted(able, key=lambda one: one.error)[:PLANNED]

    def _calibrated(self, wanted: bool) -> Calibration | None:
        """Statistics of the original for steps that decide from samples, measured once."""
        if not wanted or self.task.calibration is None:
            return None
        if self._calibration is None:
            from core.analysis.calibration import Calibration

            self._calibration = Calibration(self.task.model, self.task.calibration, seed=self.task.seed)
        return self._calibration


def _is_better(plan: Plan, other: Plan) -> bool:
    """Whether a plan beats another for the same budgets: kept before not, then by what the budgets leave open."""
    if plan.met != other.met:
        return plan.met
    if any(not budget.goal.is_cost for budget in plan.budgets):
        return plan.bytes_predicted < other.bytes_predicted
    return _error(plan) < _error(other)


def _error(plan: Plan) -> float:
    return plan.error_predicted if plan.error_measured is None else plan.error_measured


def _cache(built: Built) -> Path | None:
    """Where tables of a rewritten model are kept: a name for what was changed, as its file is the original's."""
    from core.analysis.sensitivity.cache import cache_folder

    if not built.lines:
        return None
    told = hashlib.sha256(built.structure.recipe.dump().encode()).hexdigest()[:16]
    return cache_folder() / "structures" / told


def pinned_cell(table: Sensitivity, name: str, steps: Setting, workshop: Workshop) -> Cell:
    """The only cell of a pinned layer: its error does not matter for the choice, only its bytes do."""
    refused = bool(workshop.refused(name, steps))
    known = next((cell for cell in table.by_layer.get(name, ()) if cell.steps == steps), None)
    if known is not None:
        return known
    stays: Setting = () if refused else steps
    return Cell(name, steps, workshop.layer_bytes(name, stays), 0.0, 0)


def grounded(
    model: Model, goals: Collection[Goal], samples: Samples | None, reporter: Reporter = SILENT
) -> Ground:
    """What plans are compared with: the original timed and its multiply-adds counted, as far as the goals ask.

    Without samples, runs take made-up inputs. Raises DataError where the model takes none.
    """
    from core.exporting.export import parity_feeds

    if not set(goals) & {Goal.LATENCY, Goal.MULTIPLY_ADDS}:
        return Ground(model)
    feeds = tuple(samples.feeds(min(FEEDS, samples.n))) if samples is not None else tuple(parity_feeds(model, None)[0])
    took = None
    count = None
    if Goal.LATENCY in goals:
        from core.analysis.latency import time_model

        took = time_model(model.path, feeds, reporter=reporter).median_ms
    if feeds:
        from core.analysis.operations import multiply_adds

        count = multiply_adds(model, feeds[0]).total
    return Ground(model, feeds, took, count)


