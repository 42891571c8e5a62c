"""The Methods lens: every method at several levels on this model and data, and what that recommends."""

from __future__ import annotations

import math
from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import QFileDialog, QFrame, QPushButton, QScrollArea, QStackedLayout, QVBoxLayout, QWidget

from gui.charts.card import with_role
from gui.charts.empty import EmptyState
from gui.lenses.base import Lens
from gui.methods_study.cards import AdviceCard, ChartCard, TableCard, column_of
from gui.methods_study.chart import Y_AXES, points
from gui.methods_study.state import MethodsState, estimated_seconds
from gui.methods_study.words import DOT, duration, lines
from gui.session import Session

_LEAST_CHART, _LEAST_TABLE = 280, 300
_SHOWN_POINTS = 30.0
"""Points of a metric below the original's that the chart resolves; what is worse is of no use to anybody."""


class MethodsLens(Lens):
    """The recommendation, a chart and a table of all trials."""

    key = "methods"
    title = "Methods"
    order = 40

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session: Session | None = None
        self.empty = EmptyState("compare")
        self.start_button = QPushButton("Compare methods", self)
        with_role(self.start_button, "primary")
        self.advice = AdviceCard(self)
        self.chart = ChartCard(self)
        self.trials = TableCard(self)
        self._stack = QStackedLayout(self)
        self._stack.addWidget(self._empty_page())
        self._stack.addWidget(self._page())
        self.chart.axes_chosen.connect(self._show_chart)
        self.chart.chart.picked.connect(self.trials.table.select)
        self.trials.table.chosen.connect(self._row_chosen)
        self.trials.html_asked.connect(lambda: self._save("html"))
        self.trials.csv_asked.connect(lambda: self._save("csv"))

    def _empty_page(self) -> QWidget:
        page = QWidget(self)
        column = QVBoxLayout(page)
        column.addStretch(1)
        column.addWidget(self.empty)
        column.addWidget(self.start_button, 0, Qt.AlignmentFlag.AlignHCenter)
        column.addStretch(1)
        return page

    def _page(self) -> QScrollArea:
        area = QScrollArea()
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setWidgetResizable(True)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        area.setWidget(column_of(self, (self.advice, 0, 0), (self.chart, _LEAST_CHART, 3),
                                 (self.trials, _LEAST_TABLE, 4)))  # fmt: skip
        return area

    def set_session(self, session: Session) -> None:
        self._session = session
        state = session.methods
        session.modelChanged.connect(self._refresh)
        session.dataChanged.connect(self._refresh)
        session.recipeChanged.connect(lambda _names: self._show_advice())
        state.changed.connect(self._refresh)
        state.stateChanged.connect(self._refresh)
        self.start_button.clicked.connect(lambda _checked=False: state.measure())
        self.trials.run_asked.connect(self._run_or_stop)
        self.trials.use_asked.connect(state.use)
        self.trials.table.used.connect(state.use)
        self.advice.used.connect(state.use)
        self._refresh()

    @property
    def _state(self) -> MethodsState | None:
        return self._session.methods if self._session is not None else None

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._refresh()

    def _run_or_stop(self) -> None:
        state = self._state
        if state is not None:
            (state.cancel if state.running else state.measure)()

    def _save(self, kind: str) -> None:
        session, state = self._session, self._state
        if session is None or session.model is None or state is None:
            return
        proposal = str(session.model.shown_path.with_name(f"{session.model.shown_path.stem}-methods.{kind}"))
        filters = "Web pages (*.html)" if kind == "html" else "Tables (*.csv)"
        path, _ = QFileDialog.getSaveFileName(self, "Save the comparison", proposal, filters)
        if path:
            (state.save_html if kind == "html" else state.save_csv)(Path(path))

    # -- state to widgets ---------------------------------------------------------------------------------------------

    def _refresh(self) -> None:
        session, state = self._session, self._state
        if session is None or state is None or not self.isVisible():
            return
        there = session.model is not None and state.study is not None
        self._stack.setCurrentIndex(1 if there else 0)
        if not there:
            self._show_empty(session, state)
            return
        study, advice = state.study, state.advice
        if study is None or advice is None:
            return
        self.trials.table.show_lines(lines(study), advice.pareto, advice.key)
        self.trials.caption.set_template(self._caption(session, state))
        self.trials.run_button.setText("Stop" if state.running else "Compare again")
        self.trials.use_button.setEnabled(self._usable(self.trials.table.key))
        for button in (self.trials.html_button, self.trials.csv_button):
            button.setEnabled(not state.running)
        self._show_chart()
        self._show_advice()

    def _show_empty(self, session: Session, state: MethodsState) -> None:
        model = session.model
        self.start_button.setVisible(model is not None and not state.running)
        if model is None:
            self.empty.say("No model is open.", "Open an ONNX file, or the sample, to compare methods on it.")
            return
        if state.running:
            self.empty.say("Measuring the original first.", "Rows appear one by one as methods are tried.")
            return
        self.start_button.setEnabled(bool(model.layers))
        if not model.layers:
            self.empty.say("This model has no weights that can be compressed.", "Open a model that stores its weights.")
            return
        samples = session.samples.n if session.samples is not None else 0
        long = duration(estimated_seconds(model, samples))
        what = ("Tries every method at several levels on the whole model, exports each and measures the file: size, "
                f"memory, multiply-adds, latency, output error, metric. That takes {long}; rows appear as they come. "
                "Rows measured before, on this model and data, are taken from then.")  # fmt: skip
        if not samples:
            what += (" No data is loaded: sizes, latencies and memory are measured all the same, but not how much each "
                     "method changes the answers, so nothing can be recommended.")  # fmt: skip
        self.empty.say(state.problem or "Which method, how far, for this model?", what)

    def _caption(self, session: Session, state: MethodsState) -> str:
        study = state.study
        if study is None:
            return ""
        tried = len(study.measured)
        parts = [f"{tried} settings measured" + (f", {len(study.rows) - tried - 1} without figures" if
                                                 len(study.rows) - tried - 1 > 0 else "")]  # fmt: skip
        if study.samples:
            parts.append(f"metric and error on {study.samples:,} samples of {study.source}")
        else:
            parts.append("no data: output error and metric are not known")
        if state.running:
            parts.insert(0, "measuring goes on")
        elif state.stale:
            parts.insert(0, "out of date: the data or the metric changed since")
        elif state.problem:
            parts.insert(0, state.problem.removesuffix("."))
        parts.append("filled shapes: none is both smaller and nearer to the original's outputs")
        return DOT.join(parts)

    def _show_chart(self) -> None:
        state = self._state
        if state is None or state.study is None or state.advice is None:
            return
        study, card = state.study, self.chart
        quality = study.original.quality if study.original is not None else None
        card.up.enable("metric", quality is not None, "There is no data")
        shown = points(study, card.across.key, card.up.key)
        label = Y_AXES[card.up.key]
        reference, low = None, -math.inf
        if quality is not None and card.up.key == "metric":
            percent = quality.unit == "share"
            label = f"{quality.metric}, %" if percent else quality.metric
            reference = 100.0 * quality.value if percent else quality.value
            low = reference - _SHOWN_POINTS if percent else low
        pareto = state.advice.pareto if card.across.key == "size" and card.up.key == "error" else frozenset[str]()
        below = sum(point.y < low for point in shown)
        words = f"{below} below {low:.0f} % lie at the lower edge" if below else ""
        card.caption.set_template(words if shown else "without data there is no error to show")
        card.chart.set_points(shown, state.advice.pareto, state.advice.key, (card.x_label(), label), reference,
                              joined=bool(pareto), low=low)  # fmt: skip
        card.show_families({point.family for point in shown})

    def _show_advice(self) -> None:
        state, session = self._state, self._session
        if state is None or session is None or state.advice is None:
            return
        row = state.row(state.advice.key)
        in_force = row is not None and session.recipe is not None and session.recipe.dump() == row.recipe
        self.advice.show_advice(state.advice, running=state.running, in_force=in_force, unfinished=state.unfinished)

    def _row_chosen(self, key: str) -> None:
        self.chart.chart.select(key)
        self.trials.use_button.setEnabled(self._usable(key))

    def _usable(self, key: str) -> bool:
        state = self._state
        row = state.row(key) if state is not None and key else None
        return row is not None and row.is_trial
