"""The Runs lens: every compression and training that was made, as a tree, a chart, and one of them closely."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

from PySide6.QtCore import QPoint, Qt, QTimer
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import QFileDialog, QFrame, QMenu, QMessageBox, QScrollArea, QVBoxLayout, QWidget

from core.runs.run import Run
from gui.charts.card import Card
from gui.charts.empty import EmptyState
from gui.lenses.base import Lens
from gui.methods_study.cards import column_of
from gui.run_tree.chart import RunsChart, scene_of
from gui.run_tree.detail import DetailCard
from gui.run_tree.rows import Row
from gui.run_tree.state import RunsState
from gui.run_tree.verbs import RunVerbs
from gui.run_tree.view import RunsCard
from gui.session import Session

if TYPE_CHECKING:
    from core.training.events import EpochDone
    from gui.main_window import MainWindow
    from gui.training.curves import Series

_LEGEND = "{series_1} compressed, {series_2} fine-tuned, {series_3} merged, {series_4} transferred; + the original"
_LEAST_TABLE, _LEAST_CHART, _LEAST_DETAIL = 230, 200, 345


class RunsLens(Lens):
    """Table, chart, and the selected run."""

    key = "runs"
    title = "Runs"
    order = 60

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session: Session | None = None
        self._state: RunsState | None = None
        self._verbs: RunVerbs | None = None
        self._curves: tuple[str, tuple[Series, ...]] = "", ()  # of the run that is shown
        self.table = RunsCard(self)
        self.chart_card = Card("Size and quality", self)
        self.chart = RunsChart(self)
        self.no_chart = EmptyState("curve")
        self.detail = DetailCard(self)
        self.chart_card.body.addWidget(self.chart, 1)
        self.chart_card.body.addWidget(self.no_chart, 1)
        area = QScrollArea(self)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setWidgetResizable(True)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        area.setWidget(column_of(self, (self.table, _LEAST_TABLE, 4), (self.detail, _LEAST_DETAIL, 3),
                                 (self.chart_card, _LEAST_CHART, 3)))  # fmt: skip
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(area)
        self.table.view.chosen.connect(self._show_chosen)
        self.table.view.opened.connect(lambda _key: self._open())
        self.table.view.menu_asked.connect(self._show_menu)
        self.table.everything.toggled.connect(lambda _on: self._refresh())
        self.chart.picked.connect(lambda key: self.table.view.select([key]))
        self.detail.open.clicked.connect(lambda _checked=False: self._open())
        self.detail.branch.clicked.connect(lambda _checked=False: self._open(branch=True))
        self.detail.compare.clicked.connect(lambda _checked=False: self.compare())
        self.detail.resume.clicked.connect(lambda _checked=False: self._resume())
        self.detail.export.clicked.connect(lambda _checked=False: self._export())
        self.detail.reveal.clicked.connect(lambda _checked=False: self._reveal())
        self.detail.delete.clicked.connect(lambda _checked=False: self.ask_delete())

    def set_session(self, session: Session) -> None:
        self._session = session
        self._state = RunsState(session, self)
        self._verbs = RunVerbs(session, self._state, self)
        self._state.changed.connect(self._refresh)
        self._state.curvesRead.connect(self._take_curves)
        self._verbs.lens_wanted.connect(self._show_lens)
        self._verbs.training_wanted.connect(self._ask_training)
        session.modelChanged.connect(self._refresh)
        self._refresh()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        if self._state is not None:
            self._state.read()
        QTimer.singleShot(0, self, self._refresh)

    # -- state to widgets ---------------------------------------------------------------------------------------------

    @property
    def chosen(self) -> tuple[Row, ...]:
        """The selected runs, the current one first."""
        state = self._state
        if state is None:
            return ()
        found = (state.row(key) for key in self.table.view.keys)
        return tuple(row for row in found if row is not None)

    def _refresh(self) -> None:
        state, session = self._state, self._session
        if state is None or session is None or not self.isVisible():
            return
        everything = self.table.everything.isChecked()
        rows = state.rows(all_models=everything)
        self.table.view.show_rows(rows)
        self.table.caption.set_template(self._caption(state, rows))
        self.table.show_empty(*self._why_empty(state, session, rows))
        scene = scene_of(rows)
        self.chart.set_scene(scene)
        self.chart.setVisible(bool(scene.points))
        self.no_chart.setVisible(not scene.points)
        if not scene.points:
            self.no_chart.say("No run has both a size and a metric.", "Compress with data loaded, or fine-tune.")
        self.chart_card.caption.set_template(_LEGEND if scene.points else "")
        self._show_chosen()

    def _caption(self, state: RunsState, rows: tuple[Row, ...]) -> str:
        n = len(state.loaded.damaged)
        damaged = f"{n} {'entry' if n == 1 else 'entries'} could not be read. " if n else ""
        self.table.caption.setToolTip("\n".join(f"{run_id}: {why}" for run_id, why in state.loaded.damaged))
        hidden = len(state.loaded.rows) - len(rows)
        more = f"{hidden} of other models. " if hidden else ""
        return f"{damaged}{more}Kept until you delete them; copies of results go first when they take 2 GB."

    def _why_empty(self, state: RunsState, session: Session, rows: tuple[Row, ...]) -> tuple[str, str]:
        if rows:
            return "", ""
        if not state.was_read:
            return "Reading the runs.", ""
        if session.model is None and not self.table.everything.isChecked():
            return "No model is open.", "Open one to see its runs, or tick `All models`."
        return "Nothing was run yet.", "Compress, fine-tune or cross-validate: every run is kept here with its recipe."

    def _show_chosen(self) -> None:
        rows = self.chosen
        self.chart.select([row.key for row in rows])
        if not rows:
            self.detail.show_row(None)
            return
        key = rows[0].key
        self.detail.show_row(rows[0], self._curves[1] if self._curves[0] == key else None, others=len(rows) - 1)
        if self._state is not None:
            self._state.fetch_curves(key)

    def _take_curves(self, key: str, curves: dict[str, tuple[EpochDone, ...]]) -> None:
        from gui.training.finetune import series_of_run

        rows = self.chosen
        if rows and rows[0].key == key:
            series = series_of_run(rows[0].run, curves)
            if self._curves != (key, series):
                self._curves = key, series
                self.detail.show_row(rows[0], series, others=len(rows) - 1)

    def _series(self, row: Row) -> tuple[Series, ...]:
        from gui.training.finetune import series_of_run

        return series_of_run(row.run, self._state.curves(row.key)) if self._state is not None else ()

    # -- verbs --------------------------------------------------------------------------------------------------------

    def _show_menu(self, at: QPoint) -> None:
        menu = QMenu(self)
        for button in self.detail.buttons:
            action = menu.addAction(button.text())
            action.setEnabled(button.isEnabled())
            action.setToolTip(button.toolTip())
            action.triggered.connect(button.click)
        menu.exec(at)

    def _open(self, *, branch: bool = False) -> None:
        if self._verbs is not None and len(self.chosen) == 1:
            self._verbs.open(self.chosen[0], branch=branch)

    def compare(self) -> None:
        """The two selected runs side by side."""
        from gui.run_tree.compare_dialog import CompareDialog

        if len(self.chosen) != 2:
            return
        a, b = sorted(self.chosen, key=lambda row: row.key)
        longest = [max(found, key=lambda one: len(one.points)) for row in (a, b) if (found := self._series(row))]
        CompareDialog(a, b, longest, self.window()).open()

    def _resume(self) -> None:
        if self._verbs is not None and self.chosen:
            self._verbs.resume(self.chosen[0])

    def _reveal(self) -> None:
        if self._verbs is not None and self.chosen:
            self._verbs.reveal(self.chosen[0])

    def _export(self) -> None:
        if self._verbs is None or not self.chosen:
            return
        run = self.chosen[0].run
        proposal = Path(run.model_path).with_name(f"{Path(run.model_path).stem}-{run.id[-6:]}.onnx")
        path, _ = QFileDialog.getSaveFileName(self, "Save the result of a run", str(proposal), "Models (*.onnx)")
        if path:
            self._verbs.save(self.chosen[0], Path(path))

    def ask_delete(self) -> None:
        """Delete the selected runs when the person confirms it."""
        rows = tuple(row for row in self.chosen if not row.run.state.at_work)
        if self._verbs is None or not rows:
            return
        what = f"the run “{rows[0].texts[0]}”" if len(rows) == 1 else f"{len(rows)} runs"
        box = QMessageBox(QMessageBox.Icon.Warning, "Delete", f"Delete {what}?", parent=self.window())
        box.setInformativeText("Recipe, figures, curves, checkpoints and the kept copy of the result are removed from "
                               "the disk. This cannot be undone. Files that were saved elsewhere stay.")
        delete = box.addButton("Delete", QMessageBox.ButtonRole.DestructiveRole)
        box.addButton(QMessageBox.StandardButton.Cancel)
        box.setDefaultButton(QMessageBox.StandardButton.Cancel)
        verbs = self._verbs
        delete.clicked.connect(lambda _checked=False: verbs.delete(rows))
        box.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        box.open()

    def _show_lens(self, key: str) -> None:
        cast("MainWindow", self.window()).show_lens(key)

    def _ask_training(self, _run: Run) -> None:
        from gui.training.dialog import ask_training

        ask_training(self.window())
