"""The Sensitivity lens: what each layer costs at each setting, as a table that sets the plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PySide6.QtCore import Qt, QTimer
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import QFrame, QScrollArea, QStackedLayout, QVBoxLayout, QWidget

from gui.charts.card import with_role
from gui.charts.empty import EmptyState
from gui.layers.rows import short_name
from gui.lenses.base import Lens
from gui.sensitivity.caption import answer_words, caption_words, title_words, why_empty
from gui.sensitivity.cards import BY_MODEL, BY_SIZE, CURVES_LEAST, CurveCard, HeatCard
from gui.sensitivity.curve_chart import Spot
from gui.sensitivity.heat_view import HeatView, Marks
from gui.sensitivity.planned import OWN, other_mark, planned_cell
from gui.sensitivity.state import MEASURE, Phase, SensitivityState
from gui.sensitivity.words import FREE, MEASURED, cell_words, column_names, family_of, in_nats, shares
from gui.session import Session

if TYPE_CHECKING:
    from core.model.model import Model
    from gui.sensitivity.figures import Array, Grid

_REDRAW_MS = 80
"""Figures that arrive one after the other are drawn together."""
_CANCEL = ("Cancel", "Stop measuring; what has come is kept")
_MEASURE = ("Measure", "Predict every cell on the samples, then measure those that a plan would choose from")
_LOAD = ("Load data\N{HORIZONTAL ELLIPSIS}", "Load samples to measure what the outputs lose")


class SensitivityLens(Lens):
    """A heat map of layers and settings above the curves of the selected layer."""

    key = "sensitivity"
    title = "Sensitivity"
    order = 20

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session: Session | None = None
        self._titles: tuple[str, ...] = ()
        self._families: tuple[str, ...] = ()
        self._heads: tuple[str, ...] = ()
        self._names: tuple[str, ...] = ()
        self._order: str | int = BY_MODEL  # a key of ORDERS, or a column
        self._falling = True
        self._filled = 0  # layers with cells when rows were laid out last
        self.empty = EmptyState("layers")
        self.heat = HeatCard(self)
        self.curves = CurveCard(self)
        page = with_role(QWidget(), "plain")
        column = QVBoxLayout(page)
        column.setContentsMargins(12, 12, 12, 12)
        column.setSpacing(12)
        column.addWidget(self.heat, 62)
        column.addWidget(self.curves, 38)
        self.curves.setMinimumHeight(CURVES_LEAST)
        area = QScrollArea(self)  # a small window scrolls instead of cutting the table
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setWidgetResizable(True)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        area.setWidget(page)
        self._stack = QStackedLayout(self)
        self._stack.addWidget(self.empty)
        self._stack.addWidget(area)
        self._redraw = QTimer(self, singleShot=True, interval=_REDRAW_MS)
        self._redraw.timeout.connect(self._show_figures)
        self.heat.map.tips = self._tip
        self.heat.map.used.connect(self._use)
        self.heat.map.row_chosen.connect(self._select_row)
        self.heat.map.sort_asked.connect(self._sort_by_column)
        self.heat.order_chosen.connect(self._sort_by)
        self.heat.families.changed.connect(self._arrange)
        self.heat.button.clicked.connect(self._pressed)
        self.curves.chart.picked.connect(self._use_column)

    def set_session(self, session: Session) -> None:
        self._session = session
        state = session.sensitivity
        session.modelChanged.connect(self._model_changed)
        session.dataChanged.connect(self._show_words)
        session.recipeChanged.connect(lambda _names: self._show_marks())
        session.selectionChanged.connect(self._selection_changed)
        session.shown.changed.connect(self._arrange)
        state.changed.connect(self._figures_came)
        state.stateChanged.connect(self._refresh)
        self._model_changed()

    @property
    def _state(self) -> SensitivityState | None:
        return self._session.sensitivity if self._session is not None else None

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._refresh()

    # -- state to widgets ---------------------------------------------------------------------------------------------

    def _model_changed(self) -> None:
        model = self._session.model if self._session is not None else None
        self._titles = tuple(short_name(layer) for layer in model.layers) if model is not None else ()
        self._order, self._falling = BY_MODEL, True
        self.heat.show_order(BY_MODEL)
        self._refresh()

    def _refresh(self) -> None:
        """Everything, in the order asked for."""
        state, session = self._state, self._session
        if state is None or session is None or not self.isVisible():
            return
        grid, model = state.grid, session.model
        there = grid is not None and model is not None and bool(grid.filled.any())
        self._stack.setCurrentIndex(1 if there else 0)
        if not there or grid is None:
            self.empty.say(*why_empty(session))
            return
        if len(self._names) != len(grid.settings):
            self._families = tuple(family_of(steps) for steps in grid.settings)
            self._heads, self._names = column_names(grid.settings)
            self.heat.families.set_names(self._families)
        self._arrange()

    def _figures_came(self, _names: tuple[str, ...]) -> None:
        if self.isVisible() and not self._redraw.isActive():
            self._redraw.start()

    def _show_figures(self) -> None:
        """Figures changed in place; rows keep their order until the table is finished, so that nothing jumps about."""
        state = self._state
        view = self.heat.map.view
        if state is None or state.grid is None or not self.isVisible():
            return
        if view is None or view.grid is not state.grid or state.grid.filled.sum() != self._filled:
            self._refresh()
            return
        self.heat.map.refresh()
        self._show_words()
        self._show_curves()

    def _arrange(self) -> None:
        """Rows and columns: which, and in which order."""
        state, session = self._state, self._session
        if state is None or session is None or state.grid is None or session.model is None or not self.isVisible():
            return
        if len(self._names) != len(state.grid.settings):
            return
        wanted = [at for at, family in enumerate(self._families) if self.heat.families.shows(family)]
        columns = np.array(wanted, np.int64)
        rows = self._ordered(state.grid, session.model, state.reference)
        shown = session.shown.names
        if shown is not None:
            rows = np.array([row for row in rows if state.grid.names[row] in shown], np.int64)
        sorted_by = self._order if isinstance(self._order, int) else -1
        view = HeatView(state.grid, rows, columns, self._titles, self._heads, self._names, sorted_by, self._falling)
        self._filled = int(state.grid.filled.sum())
        self.heat.map.set_view(view)
        self._show_marks()
        self._show_words()

    def _ordered(self, grid: Grid, model: Model, reference: int) -> Array:
        rows = np.flatnonzero(grid.filled)
        if self._order == BY_MODEL:
            return rows
        if self._order == BY_SIZE:
            keys = np.array([-model.layers[row].nbytes for row in rows], np.float64)
        else:
            found = shares(grid.errors, grid.tiers, grid.measure)[rows]
            # the worst first is by the setting that layers are compared by
            column = self._order if isinstance(self._order, int) else reference
            # the errors themselves break ties beyond the ends of the colours
            worst = found[:, column] + 1e-3 * np.log10(np.maximum(grid.errors[rows, column], 1e-12))
            keys = -worst if self._falling else worst
        return np.asarray(rows[np.argsort(np.where(np.isnan(keys), np.inf, keys), kind="stable")])

    def _show_marks(self) -> None:
        state, session = self._state, self._session
        if state is None or session is None or state.grid is None or not self.isVisible():
            return
        column = {steps: at for at, steps in enumerate(state.grid.settings)}
        chosen = {
            row: column[steps]
            for row, name in enumerate(state.grid.names)
            if (steps := session.steps(name)) and steps in column
        }
        selected = frozenset(state.grid.row(name) for name in session.selection)
        others = {row: other_mark(session, name, self._titles[row], state.grid.measure)
                  for row, name in enumerate(state.grid.names) if session.steps(name) and row not in chosen}
        self.heat.map.set_marks(Marks(chosen, selected, others))
        self.heat.fit_rows(len(self._rows_shown()))
        self._show_curves()

    def _show_words(self) -> None:
        state, session = self._state, self._session
        if state is None or session is None or state.grid is None or not self.isVisible():
            return
        self.heat.title.setText(title_words(state.grid))
        words, more = caption_words(session, state.grid, len(self._rows_shown()))
        self.heat.caption.set_template(words)
        self.heat.caption.setToolTip(more)
        self.heat.say_answer(answer_words(session, state.grid, self._titles))
        self.heat.key.say(state.grid.measure, state.grid.counts())
        running, data = state.phase is Phase.RUNNING, session.samples is not None
        self.heat.button.setVisible(running or not (state.measured and state.grid.counts()[MEASURED]))
        text, hint = _CANCEL if running else _MEASURE if data else _LOAD
        self.heat.button.setText(text)
        self.heat.button.setToolTip(hint)

    def _rows_shown(self) -> Array:
        view = self.heat.map.view
        return view.rows if view is not None else np.zeros(0, np.int64)

    def _show_curves(self) -> None:
        session, state = self._session, self._state
        if session is None or state is None or state.grid is None or session.model is None:
            return
        if not session.selection:
            self.curves.show_empty("", "No layer is selected.", "Pick one in the table to see its curves.")
            return
        grid, row = state.grid, state.grid.row(session.selection[0])
        if row < 0 or not (grid.tiers[row] >= 0).any():
            reason = grid.reason(row, -1) if row >= 0 else ""
            self.curves.show_empty(self._titles[row] if row >= 0 else "", "This layer has no setting.", reason)
            return
        layer = session.model.layers[row]
        best = int(grid.tiers[row].max())
        comparable = (grid.tiers[row] > FREE) if best > FREE else (grid.tiers[row] == FREE)
        spots = [
            Spot(column, self._families[column], 100 * float(grid.nbytes[row, column]) / (4 * max(layer.n_weights, 1)),
                 float(grid.errors[row, column]), bool(grid.tiers[row, column] == MEASURED), self._tip(row, column))
            for column in np.flatnonzero(comparable & np.isfinite(grid.errors[row])).tolist()
            if self.heat.families.shows(self._families[column])
        ]
        chosen = self.heat.map.chosen(row)
        own = planned_cell(session, state.grid.names[row]) if chosen < 0 else None
        if own is not None and (own.tier > FREE) == (best > FREE):
            share = 100 * own.bytes / (4 * max(layer.n_weights, 1))
            words = self.heat.map.words_of_other(row)
            spots.append(Spot(OWN, family_of(own.steps), share, own.error, own.tier == MEASURED, words))
            chosen = OWN
        families = tuple(dict.fromkeys(self._families))
        self.curves.show_spots(self._titles[row], spots, families, chosen, nats=in_nats(best, grid.measure))

    def _tip(self, row: int, column: int) -> str:
        """Words for a cell, a name (column −1) or a heading (row −1)."""
        session, state = self._session, self._state
        if session is None or state is None or state.grid is None or session.model is None:
            return ""
        if row < 0:
            from core.analysis.sensitivity.cells import setting_label

            label = setting_label(state.grid.settings[column])
            return f"{self._families[column]}: {label}\nClick to sort the layers by its error"
        layer = session.model.layers[row]
        if column < 0:
            return layer.title
        words = cell_words(state.grid, row, column, self._titles[row], state.samples, 4 * layer.n_weights)
        if state.grid.tiers[row, column] < FREE:
            return words
        here = self.heat.map.chosen(row) == column
        return f"{words}\n{'The plan has this; click to leave the layer alone' if here else 'Click to use it'}"

    # -- what the person does -----------------------------------------------------------------------------------------

    def _pressed(self) -> None:
        state, session = self._state, self._session
        if state is None or session is None:
            return
        if state.phase is Phase.RUNNING:
            session.tasks.cancel(MEASURE)
        elif session.samples is None:
            state.dataWanted.emit()
        else:
            state.measure()

    def _use(self, row: int, column: int) -> None:
        """The cell's setting becomes the layer's steps; the one that is there already is taken out."""
        session, state = self._session, self._state
        if session is None or state is None or state.grid is None:
            return
        name, steps = state.grid.names[row], state.grid.settings[column]
        if session.steps(name) == steps:
            session.set_steps((name,), None, text=f"leave {self._titles[row]} alone")
        else:
            label = ", ".join(step.label() for step in steps)
            session.set_steps((name,), steps, text=f"use {label} for {self._titles[row]}")

    def _use_column(self, column: int) -> None:
        session, state = self._session, self._state
        if session is not None and state is not None and state.grid is not None and session.selection and column >= 0:
            self._use(state.grid.row(session.selection[0]), column)

    def _select_row(self, row: int) -> None:
        session, state = self._session, self._state
        if session is not None and state is not None and state.grid is not None:
            session.select((state.grid.names[row],))

    def _selection_changed(self) -> None:
        session, state = self._session, self._state
        if session is None or state is None or state.grid is None or not self.isVisible():
            return
        if session.selection:
            self.heat.map.show_row(state.grid.row(session.selection[0]))
        self._show_marks()

    def _sort_by(self, key: str) -> None:
        self._order, self._falling = key, True
        self.heat.show_order(key)
        self._arrange()
        self.heat.map.verticalScrollBar().setValue(0)

    def _sort_by_column(self, column: int) -> None:
        """First click: the worst first; second: the best first; third: back to the order of the model."""
        if column < 0:
            self._sort_by(BY_MODEL)
            return
        if self._order != column:
            self._order, self._falling = column, True
        elif self._falling:
            self._falling = False
        else:
            self._order, self._falling = BY_MODEL, True
        by_column = isinstance(self._order, int)
        self.heat.show_order("" if by_column else str(self._order), self._names[column])
        self._arrange()
        self.heat.map.verticalScrollBar().setValue(0)
