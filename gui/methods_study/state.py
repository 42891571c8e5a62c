"""What the window knows of how methods do on the open model, and getting to know it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QTimer, Signal

from core.errors import FeatherweightError

if TYPE_CHECKING:
    from core.method_comparison.recommend import Recommendation
    from core.method_comparison.rows import Row, Study
    from core.model.model import Model
    from core.progress import Progress
    from core.recipe import Recipe
    from gui.session import Session

COMPARE, SAVE_HTML, SAVE_CSV = "methods", "methods page", "methods table"
"""Keys of the tasks."""
PLAN_TITLES = ("The earlier plan", "The plan")
"""What the row of the plan is called, by whether the recipe is still that."""
_TAKE_MS = 250
"""Rows that arrive within this are shown together."""
_LEVELS = 4
"""Settings that a comparison tries of each method, about."""


class MethodsState(QObject):
    """The rows of the open model, as far as they were measured.

    changed       rows arrived, or others are shown
    stateChanged  measuring began or ended, or whether the rows still fit the data
    """

    changed = Signal()
    stateChanged = Signal()

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._session = session
        self.cache_folder: Path | None = None
        self._rows: list[Row] = []
        self._study: Study | None = None
        self._advice: Recommendation | None = None
        self._data: object = None  # what the rows were measured on, as `_data_now`
        self._settings = 0  # that are to be tried, 0 while that is not known
        self._planned: Recipe | None = None  # the recipe that was measured as "the plan"
        self._running = False
        self._problem = ""
        self._take = QTimer(self, singleShot=True, interval=_TAKE_MS)
        self._take.timeout.connect(self._show_rows)
        session.modelChanged.connect(self._model_changed)
        session.dataChanged.connect(self._data_changed)
        session.recipeChanged.connect(lambda _names: self._name_plan())

    # -- what there is ------------------------------------------------------------------------------------------------

    @property
    def rows(self) -> tuple[Row, ...]:
        """The original first, then trials in the order in which they were tried."""
        return self._study.rows if self._study is not None else ()

    @property
    def study(self) -> Study | None:
        """The comparison as far as it came; None before the first row."""
        return self._study

    @property
    def advice(self) -> Recommendation | None:
        """What the rows recommend; None while there are none."""
        return self._advice

    @property
    def running(self) -> bool:
        return self._running

    @property
    def problem(self) -> str:
        """Why the last attempt ended early, a sentence, or ""."""
        return self._problem

    @property
    def stale(self) -> bool:
        """Whether the rows were measured on other data, or another metric, than is loaded now."""
        return self._study is not None and not self._running and self._data != self._data_now()

    @property
    def unfinished(self) -> str:
        """What the rows are of, "20 of 104 settings; stopped", unless all that was to be tried was; then ""."""
        from core.method_comparison.rows import Status

        if self._study is None:
            return ""
        looked_at = sum(row.status is not Status.NOT_TRIED for row in self.rows[1:])
        if not self._running and not self._problem and looked_at >= self._settings:
            return ""
        of = f"{looked_at} of {self._settings}" if self._settings else f"{looked_at}"
        how = "" if self._running else "; stopped" if self._problem else "; the time was over"
        return f"{of} settings{how}"

    def row(self, key: str) -> Row | None:
        """The row of a recipe."""
        return next((row for row in self.rows if row.key == key), None)

    def _data_now(self) -> object:
        return (self._session.data.read_as, self._session.data_options.metric)

    # -- measuring ----------------------------------------------------------------------------------------------------

    def measure(self) -> None:
        """Try every method in the worker process; rows are shown as they come. Rows that are kept come at once."""
        session, model = self._session, self._session.model
        if model is None or self._running:
            return
        try:
            model.check_unchanged()
        except FeatherweightError as error:
            session.failed.emit(error)
            return
        from core.method_comparison.job import MethodsSpec, compare_methods

        plan = session.recipe.dump() if session.recipe is not None and session.has_steps else ""
        spec = MethodsSpec(
            str(model.path), str(session.data_path) if session.data_path is not None else None, plan_text=plan,
            options=session.data_options, cache=str(self.cache_folder) if self.cache_folder is not None else None,
        )  # fmt: skip
        self._rows, self._study, self._advice = [], None, None
        self._planned, self._settings = session.recipe, 0
        self._data, self._running, self._problem = self._data_now(), True, ""
        session.tasks.process(COMPARE, compare_methods, spec, title="Comparing methods", done=self._done,
                              progress=self._hear, failed=self._failed, cancelled=self._cancelled)
        self.changed.emit()
        self._say()

    def cancel(self) -> None:
        """Stop; what was measured stays."""
        self._session.tasks.cancel(COMPARE)

    def _hear(self, progress: Progress) -> None:
        from core.method_comparison.rows import Extent

        if progress.part is None:
            return
        if isinstance(progress.part, Extent):
            self._settings = progress.part.settings
            return
        self._rows.append(progress.part)
        if not self._take.isActive():
            self._take.start()

    def _show_rows(self) -> None:
        """Put the rows that came in force, with what they recommend until now."""
        from core.method_comparison.rows import Study

        model = self._session.model
        if model is None or not self._rows:
            return
        samples = max((row.quality.samples for row in self._rows if row.quality is not None), default=0)
        source = self._session.data_path.name if self._session.data_path is not None else ""
        self._put(Study(model.name, model.sha256, model.file_bytes, tuple(self._rows), samples, source, complete=False))

    def _put(self, study: Study) -> None:
        from core.method_comparison.recommend import recommend

        self._study = self._named(study)
        self._advice = recommend(self._study)
        self.changed.emit()

    def _named(self, study: Study) -> Study:
        """The study with the row of the plan called what it is now: edits since make it an earlier one."""
        from core.method_comparison.rows import Baseline

        title = PLAN_TITLES[self._session.recipe == self._planned]
        rows = tuple(replace(row, method=title) if row.baseline is Baseline.PLAN else row for row in study.rows)
        return study if rows == study.rows else replace(study, rows=rows)

    def _name_plan(self) -> None:
        if self._study is not None and self._named(self._study) is not self._study:
            self._put(self._study)

    def _done(self, study: Study) -> None:
        self._take.stop()
        self._running, self._settings = False, len(study.rows) - 1
        self._put(study)
        self._say()

    def _failed(self, error: FeatherweightError) -> None:
        self._end(str(error))
        self._session.failed.emit(error)

    def _cancelled(self) -> None:
        self._end("Comparing was cancelled.")

    def _end(self, problem: str) -> None:
        self._take.stop()
        self._running, self._problem = False, problem
        self._show_rows()
        self._say()

    def _say(self) -> None:
        self.stateChanged.emit()
        self._session.stateChanged.emit()

    # -- what it is for -----------------------------------------------------------------------------------------------

    def use(self, key: str) -> None:
        """Put the recipe of a row in force, as one undoable edit."""
        from core.recipe import Recipe

        session, row = self._session, self.row(key)
        if row is None or not row.recipe or session.model is None:
            return
        recipe = Recipe.parse(row.recipe, model=session.model)
        session.take_recipe(recipe, text=f"use {row.setting or row.method}")

    def save_html(self, path: Path) -> None:
        """Write the comparison as one HTML file, in the background."""
        self._save(SAVE_HTML, "page", "save_html", path)

    def save_csv(self, path: Path) -> None:
        """Write the table as CSV, in the background."""
        self._save(SAVE_CSV, "tables", "save_csv", path)

    def _save(self, key: str, module: str, name: str, path: Path) -> None:
        session = self._session
        if self._study is None or self._advice is None:
            return
        session.tasks.thread(key, _write, module, name, self._study, self._advice, path, title=f"Saving {path.name}",
                             done=lambda _nothing: session.said.emit(f"Saved the comparison as {path.name}."))

    # -- what follows from elsewhere ----------------------------------------------------------------------------------

    def _model_changed(self) -> None:
        self._session.tasks.cancel(COMPARE)
        self._take.stop()
        self._rows, self._study, self._advice, self._data, self._planned = [], None, None, None, None
        self._running, self._problem = False, ""
        self.changed.emit()
        self.stateChanged.emit()

    def _data_changed(self) -> None:
        if self._running:  # on samples that are no longer the ones loaded
            self._session.tasks.cancel(COMPARE)
        self.stateChanged.emit()


def _write(module: str, name: str, study: Study, advice: Recommendation, path: Path, reporter: object) -> None:
    import importlib

    getattr(importlib.import_module(f"core.method_comparison.{module}"), name)(study, advice, path)


def estimated_seconds(model: Model, samples: int) -> float:
    """About how long a first comparison takes, from the model's size and whether there is data.

    Fitted to timings on two cores: about a second a setting for files, sessions and a process for the memory, and two
    to three for each million weights. It never takes longer than the time that a comparison is given.
    """
    from core.method_comparison.run import DEFAULT_MINUTES
    from core.methods.registry import all_methods

    weights = sum(layer.n_weights for layer in model.layers)
    each = 1.2 + (3e-6 if samples else 2e-6) * weights
    return min(_LEVELS * len(all_methods()) * each, 60.0 * DEFAULT_MINUTES)
