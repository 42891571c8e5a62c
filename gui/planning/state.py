"""The plan that was made for a budget: started in the worker process, kept as it grows, walked along by hand."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QTimer, Signal

from core.errors import FeatherweightError
from gui.planning.runs import LONGEST, Run, of_use, own_point
from gui.planning.wish import Wish
from gui.planning.words import finished_words, kept_words

if TYPE_CHECKING:
    from core.plan_job import PlanSpec
    from core.planning.evaluation import Measured
    from core.planning.plan import Binding, Plan, PlanPoint
    from core.progress import Progress
    from core.recipe import Recipe
    from gui.derived import Derived
    from gui.session import Session

PLAN = "plan"
"""Key of the task."""
Action = tuple[str, Callable[[], None]]


class PlanState(QObject):
    """The plan of a session.

    changed        another plan, more measured points, running or not, out of date or not
    chosenChanged  another point of the plan is in force, or none is
    advised        (text, actions) a sentence with buttons: a budget that cannot be met, a plan that waits to be used
    """

    changed = Signal()
    chosenChanged = Signal()
    advised = Signal(str, object)

    def __init__(self, session: Session, derived: Derived) -> None:
        super().__init__(session)
        self._session, self._derived = session, derived
        self._drags = itertools.count(1)
        self._drag = next(self._drags)
        self._clear()
        session.modelChanged.connect(self._forget)
        session.dataChanged.connect(self._data_changed)
        session.recipeChanged.connect(self._recipe_changed)

    def _clear(self) -> None:
        self._run: Run | None = None
        self._plan: Plan | None = None
        self._points: tuple[PlanPoint, ...] = ()
        self._recipes: dict[int, Recipe] = {}  # of points, as far as they were in force
        self._chosen: int | None = None
        self._own = 0  # the plan's own point
        self._final = False
        self._heard = False  # whether this run has told a plan
        self._outdated = ""
        self._trouble: FeatherweightError | None = None
        self._before: tuple[Plan, bool, str] | None = None  # the plan of an earlier budget, and how it stood

    # -- what there is ----------------------------------------------------------------------------------------------

    @property
    def plan(self) -> Plan | None:
        """The best plan so far of the last budget; None before one was asked for."""
        return self._plan

    @property
    def final(self) -> bool:
        """Whether the plan is finished, and measured on samples that no plan was compared on."""
        return self._final

    @property
    def wish(self) -> Wish | None:
        """What was asked for last."""
        return self._run.wish if self._run is not None else None

    @property
    def running(self) -> bool:
        return self._session.running(PLAN)

    @property
    def points(self) -> tuple[PlanPoint, ...]:
        """Whole plans: the front by size, then uniform settings (those have a label)."""
        return self._points

    @property
    def chosen(self) -> int | None:
        """The point that the session's recipe is; None when the recipe was edited since."""
        return self._chosen

    @property
    def current(self) -> PlanPoint | None:
        """The chosen point, while what is known of it holds: the data is the same."""
        if self._chosen is None or self._outdated:
            return None
        return self._points[self._chosen]

    @property
    def measured(self) -> Measured | None:
        """What was measured of the recipe in force, as a whole plan; None when it was only predicted or edited."""
        point = self.current
        if point is None or self._plan is None:
            return None
        return self._plan.measured if self._final and self._chosen == self._own else point.measured

    @property
    def dragging(self) -> bool:
        """Whether the front is being dragged along: what is not looked at meanwhile can wait."""
        return self._derived.held

    @property
    def own(self) -> int:
        """The place of the plan itself among its points."""
        return self._own

    @property
    def outdated(self) -> str:
        """Why the plan no longer fits, as a clause, or ""."""
        return self._outdated

    @property
    def trouble(self) -> FeatherweightError | None:
        """Why the last budget gave no plan."""
        return self._trouble

    # -- making a plan ----------------------------------------------------------------------------------------------

    def start(self, wish: Wish) -> None:
        """Look for the best plan, in the worker process. What is there stays until the first prediction arrives."""
        from core.plan_job import plan_file

        model, recipe = self._session.model, self._session.recipe
        if model is None or recipe is None:
            return
        try:
            model.check_unchanged()
        except FeatherweightError as error:
            self._session.failed.emit(error)
            return
        self._drop_task()
        run = Run(wish, model, recipe)
        if self._before is None and self._plan is not None:  # until then what was there is shown, as it was
            self._before = (self._plan, self._final, self._outdated)
        self._run, self._trouble, self._final, self._heard = run, None, False, False
        self._session.tasks.process(
            PLAN, plan_file, self._spec(wish, recipe), title=f"Planning for {wish.text}",
            progress=lambda progress: self._hear(run, progress), done=lambda plan: self._finish(run, plan),
            failed=lambda error: self._fail(run, error), cancelled=lambda: self._stopped(run),
        )  # fmt: skip
        self.changed.emit()
        self._session.stateChanged.emit()

    def cancel(self) -> None:
        """Stop planning and keep the best plan so far."""
        self._session.tasks.cancel(PLAN)

    def _spec(self, wish: Wish, recipe: Recipe) -> PlanSpec:
        from core.plan_job import PlanSpec

        session = self._session
        kept = recipe.dump() if wish.pinned or recipe.graph else ""
        return PlanSpec(
            str(session.model.path) if session.model is not None else "", wish.goal, wish.limit,
            str(session.data_path) if session.data_path is not None else None, wish.families,
            LONGEST if wish.minutes is None else wish.minutes, kept, wish.pinned, options=session.data_options,
            also=wish.also,
        )  # fmt: skip

    def _drop_task(self) -> None:
        """End what runs without taking its plan."""
        if self._run is not None:
            self._run = replace(self._run)  # another run: answers of the old one no longer fit
        self._session.tasks.cancel(PLAN)

    def _fits(self, run: Run) -> bool:
        """Whether answers of this run are still of use."""
        return self._run is run and self._session.model is run.model

    def _hear(self, run: Run, progress: Progress) -> None:
        if not self._fits(run) or not hasattr(progress.part, "front"):  # cells of the sensitivity are told as well
            return
        if self._before is None or of_use(progress.part):
            self._put(progress.part)

    def _restore(self) -> None:
        """Show the plan of the budget before again, when this one's gave nothing that could take its place."""
        if self._before is None:
            return
        plan, final, outdated = self._before
        self._before = None
        self._final = final
        self._put(plan)
        self._outdated = outdated

    def _put(self, plan: Plan) -> None:
        """Hold a plan. The points move, so what was chosen is found again by its options."""
        self._heard = True
        known = {self._points[i].options + self._points[i].learned: recipe for i, recipe in self._recipes.items()}
        self._plan, self._outdated, self._chosen = plan, "", None
        own = self._place_of(plan)
        extra = () if own is not None else (own_point(plan),)  # on no front, such as a plan that was never measured
        self._points = (*plan.front, *extra, *plan.uniform)
        keys = ((i, point.options + point.learned) for i, point in enumerate(self._points))
        self._recipes = {i: known[key] for i, key in keys if key in known}
        self._own = len(plan.front) if own is None else own
        self._recipes[self._own] = plan.recipe
        if self._session.recipe is not None:
            self._find_chosen(self._session.recipe)
        self.changed.emit()

    def _place_of(self, plan: Plan) -> int | None:
        same = (i for i, point in enumerate(plan.front) if point.options == plan.options)
        return next((i for i in same if plan.recipe_of(plan.front[i]) == plan.recipe), None)

    def _finish(self, run: Run, plan: Plan) -> None:
        if not self._fits(run):
            return
        self._final, self._before = True, None
        self._put(plan)
        text, fine = finished_words(plan)
        if self._session.recipe == run.recipe:
            self._use(run, plan)
            self._session.said.emit(text) if fine else self._session.warned.emit(text, "\n".join(plan.notes))
        else:
            words = f"{text} You have edited the steps meanwhile."
            self.advised.emit(words, (("Use the plan", lambda: self._use(run, plan)),))
        self._session.stateChanged.emit()

    def _use(self, run: Run, plan: Plan) -> None:
        """Put the plan's recipe into the session."""
        if self._fits(run) and self._plan is plan:
            self.choose(self._own)

    def _fail(self, run: Run, error: FeatherweightError) -> None:
        self._session.stateChanged.emit()
        if not self._fits(run):
            return
        self._trouble = error
        self._restore()
        self.changed.emit()
        if self.smallest is not None:
            self.advised.emit(str(error), (self.smallest_action(),))
        else:
            self._session.failed.emit(error)

    @property
    def smallest(self) -> int | None:
        """Bytes of the smallest file, after a size that cannot be reached."""
        run, cost = self._run, getattr(self._trouble, "cost", None)
        if run is None or cost is None or run.wish.goal != "size" or run.wish.also:
            return None
        return math.ceil(cost)

    def smallest_action(self) -> Action:
        """The button for a budget that cannot be met."""
        return "Plan for the smallest", self.plan_smallest

    def plan_smallest(self) -> None:
        """Ask for the smallest file that the planner can reach."""
        if self.smallest is not None and self._run is not None:
            self.start(replace(self._run.wish, limit=f"{self.smallest} B"))

    def _stopped(self, run: Run) -> None:
        """Cancelled: a moment later, when it is clear whether it was for another plan or with the model."""
        self._session.stateChanged.emit()
        QTimer.singleShot(0, self, lambda: self._keep_best(run))

    def _keep_best(self, run: Run) -> None:
        if not self._fits(run) or self.running:
            return
        if not self._heard:
            self._restore()
            self._heard = False
        self._before = None
        self.changed.emit()
        plan = self._plan
        if plan is None or not self._heard or plan.recipe.does_nothing:
            return
        if plan.measured is None and self._session.samples is not None:
            self._session.said.emit("Stopped before any plan was measured. The steps are as they were.")
            return
        if self._session.recipe == run.recipe:
            self._use(run, plan)
        self._session.said.emit(kept_words(plan))

    def foretold_bytes(self, name: str) -> int | None:
        """What a layer takes by the plan that was just taken, until its preview is there."""
        return self._derived.foretold_bytes(name)

    # -- walking along it -------------------------------------------------------------------------------------------

    def recipe_of(self, index: int) -> Recipe | None:
        """The recipe of a point; None without a plan."""
        if self._plan is None or not 0 <= index < len(self._points):
            return None
        known = self._recipes.get(index)
        if known is None:
            known = self._recipes[index] = self._plan.recipe_of(self._points[index])
        return known

    def choose(self, index: int, *, dragging: bool = False) -> None:
        """Take a point's recipe into the session, as one undoable edit; while dragging they merge.

        Figures are those of the plan at once; the real previews follow when the drag is over (`finish_drag`).
        """
        recipe, plan = self.recipe_of(index), self._plan
        if recipe is None or plan is None or self._session.model is None:
            return
        point, current = self._points[index], self._session.recipe
        if current is not None and recipe == current:
            recipe = self._recipes[index] = current
        sizes = {name: cells[option].bytes for name, cells, option in zip(
            plan.candidates.names, plan.candidates.cells, point.options, strict=True)}
        self._chosen = index
        self._derived.foretell(recipe, point.bytes, sizes, hold=dragging)
        if current is not None and recipe is not current:
            names = (layer.name for layer in self._session.model.layers)
            differing = tuple(n for n in names if recipe.steps_for(n) != current.steps_for(n))
            key = f"plan:{self._drag}" if dragging else ""
            self._session.set_recipe(recipe, differing, text="choose a plan", merge_key=key)
        self.chosenChanged.emit()
        if not dragging:
            self.finish_drag()

    def finish_drag(self) -> None:
        """The person let go: the next drag is another edit, and previews are computed."""
        self._drag = next(self._drags)
        self._derived.release()

    def relax(self, binding: Binding) -> None:
        """Give a layer that holds the plan back its better setting, as one undoable edit."""
        from core.analysis.sensitivity.cells import setting_label
        from core.planning.candidates import refined

        plan, session = self._plan, self._session
        if plan is None or binding.layer not in plan.candidates.names:
            return
        place = plan.candidates.names.index(binding.layer)
        cells = plan.candidates.cells[place]
        wanted = cells[plan.options[place]].bytes + binding.extra_bytes
        fitting = [cell for cell in cells if (setting_label(cell.steps) or "as it is") == binding.better]
        cell = min(fitting, key=lambda cell: abs(cell.bytes - wanted), default=None)
        if cell is None:
            return
        own = self.current
        learned = own is not None and place in own.learned
        steps = refined(cell.steps) if learned else cell.steps
        session.set_steps((binding.layer,), steps or None, text=f"relax {binding.layer}")

    # -- following the session --------------------------------------------------------------------------------------

    def _forget(self) -> None:
        """Another model, or none."""
        self._drop_task()
        self._clear()
        self.changed.emit()
        self.chosenChanged.emit()

    def _data_changed(self) -> None:
        if self._plan is not None and not self._outdated:
            self._outdated = "the data changed since"
            self.changed.emit()

    def _recipe_changed(self, names: Sequence[str]) -> None:
        run, recipe = self._run, self._session.recipe
        if run is None or recipe is None or self._plan is None:
            return
        before = self._chosen
        self._find_chosen(recipe)
        if self._chosen != before:
            self.chosenChanged.emit()
        pinned = self._plan.candidates.pinned
        moved = any(recipe.steps_for(name) != run.recipe.steps_for(name) for name in names if name in pinned)
        if (moved or recipe.graph != self._plan.recipe.graph) and not self._outdated:
            self._outdated = "steps that were to be kept changed since"
            self.changed.emit()

    def _find_chosen(self, recipe: Recipe) -> None:
        """The point that the session's recipe is, among those that were in force once."""
        known = self._recipes
        if self._chosen is not None and known.get(self._chosen) is recipe:
            return
        self._chosen = next((i for i, found in known.items() if found is recipe or found == recipe), None)
