"""The Activations lens: the model's activation functions, how their values are distributed, and what replaces them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtGui import QHideEvent, QShowEvent
from PySide6.QtWidgets import QPushButton, QStackedLayout, QWidget

from core.errors import FeatherweightError
from core.jobs import ActivationFigures, measure_activations
from core.progress import Progress, Reporter
from gui.charts.card import Card
from gui.charts.empty import EmptyState
from gui.charts.value_histogram import ValueHistogram
from gui.lenses.activation_editor import ActivationEditor
from gui.lenses.activation_state import (
    ActivationRow,
    build_rows,
    clip_bounds,
    planned_swaps,
    value_words,
    with_replacement,
    without,
)
from gui.lenses.activation_table import ActivationsTable
from gui.lenses.base import Lens
from gui.lenses.page import CardPage
from gui.session import Session

if TYPE_CHECKING:
    from core.data.options import Preprocessing
    from core.model.activations import Activation
    from core.model.model import Model

FIND, FIGURES = "find activations", "activation figures"
"""Keys of the tasks."""


class ActivationsLens(Lens):
    """Three cards: the table, the selected activation's values, and its replacement."""

    key = "activations"
    title = "Activations"
    order = 30

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session: Session | None = None
        self._model: Model | None = None
        self._there: tuple[Activation, ...] | None = None
        self._figures: ActivationFigures | None = None
        self._measured_on: tuple[Path, Preprocessing] | None = None  # the data that was tried, with or without success
        self._share = 0.0
        self._problem = ""
        self._shown: frozenset[str] = frozenset()
        self.empty = EmptyState("curve")
        self.table = ActivationsTable(self)
        self.chart = ValueHistogram()
        self.chart_empty = EmptyState("histogram")
        self.editor = ActivationEditor(self)
        self.measure_button = QPushButton("Measure", self)
        self._lay_out()
        self.table.chosen.connect(self._show_selection)
        self.editor.wanted.connect(self._replace)
        self.editor.unwanted.connect(self._keep)
        self.editor.changed.connect(lambda _params: self._show_values(self.table.selected_rows()))
        self.measure_button.clicked.connect(self._measure_again)

    def _lay_out(self) -> None:
        self.table_card = Card("Activation functions", self)
        self.table_card.corner.addWidget(self.measure_button)
        self.table_card.body.addWidget(self.table)
        self.value_card = Card("Values", self)
        self._values = QStackedLayout()
        self._values.addWidget(self.chart_empty)
        self._values.addWidget(self.chart)
        self.value_card.body.addLayout(self._values)
        self.page = CardPage(self.table_card, self.value_card, self.editor, (55, 45))
        self._stack = QStackedLayout(self)
        self._stack.addWidget(self.empty)
        self._stack.addWidget(self.page)

    def set_session(self, session: Session) -> None:
        self._session = session
        session.modelChanged.connect(self._start_anew)
        session.dataChanged.connect(self._refresh)
        session.recipeChanged.connect(lambda _names: self._refresh())
        session.preparedChanged.connect(self._refresh)
        self.editor.layer_wanted.connect(lambda name: session.select((name,)))
        self._start_anew()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._refresh()

    def hideEvent(self, event: QHideEvent) -> None:
        super().hideEvent(event)
        if self._session is not None and self._session.running(FIGURES):
            self._session.tasks.cancel(FIGURES)  # nobody looks; it starts again when somebody does
            self._measured_on = None

    # -- getting what is shown ---------------------------------------------------------------------------------------

    def _start_anew(self) -> None:
        session = self._session
        if session is None:
            return
        for key in (FIND, FIGURES):
            session.tasks.cancel(key)
        self._model, self._there, self._problem = session.model, None, ""
        self._forget_figures()
        self._refresh()

    def _forget_figures(self) -> None:
        self._figures, self._measured_on, self._share = None, None, 0.0

    def _refresh(self) -> None:
        session = self._session
        if session is None or not self.isVisible():
            return
        if self._measured_on is not None and self._measured_on != session.data.read_as:
            session.tasks.cancel(FIGURES)
            self._forget_figures()
        self._find(session)
        self._measure(session)
        self._show(session)

    def _find(self, session: Session) -> None:
        model = self._model
        if model is None or self._there is not None or self._problem or session.running(FIND):
            return

        def done(found: tuple[Activation, ...]) -> None:
            self._there = found
            self._refresh()

        def failed(error: FeatherweightError) -> None:
            self._problem = str(error)
            self._refresh()

        session.tasks.thread(FIND, _find, model, done=done, failed=failed)

    def _measure(self, session: Session) -> None:
        """Run the samples, once for each data, while somebody looks."""
        data, model = session.data.read_as, self._model
        if data is None or model is None or not self._there or self._measured_on is not None:
            return
        self._measured_on, self._problem, self._share = data, "", 0.0

        def done(found: ActivationFigures) -> None:
            self._figures = found
            self._refresh()

        def progress(told: Progress) -> None:
            self._share = max(self._share, told.done)
            self._show_caption(session)

        def failed(error: FeatherweightError) -> None:
            self._problem = str(error)
            self._refresh()

        session.tasks.process(FIGURES, measure_activations, str(model.path), str(data[0]), session.data_options,
                              title="Running samples for the activations", done=done, progress=progress, failed=failed,
                              cancelled=self._cancelled)

    def _cancelled(self) -> None:
        self._problem = "Measuring was cancelled."
        if self._session is not None:
            self._show_caption(self._session)

    def _measure_again(self) -> None:
        self._forget_figures()
        self._problem = ""
        self._refresh()

    # -- state to widgets --------------------------------------------------------------------------------------------

    def _show(self, session: Session) -> None:
        there, recipe = self._there, session.recipe
        self._stack.setCurrentIndex(1 if there else 0)
        if self._model is None or recipe is None:
            self.empty.say("No model is open.", "Open an ONNX file, or the sample, to see its activation functions.")
        elif there is None and self._problem:
            self.empty.say("The activation functions could not be found.", self._problem)
        elif there is None:
            self.empty.say("Looking for activation functions\N{HORIZONTAL ELLIPSIS}")
        elif not there:
            self.empty.say("This model has no activation functions.", "There is nothing to replace.")
        else:
            ranges = self._figures.ranges if self._figures is not None else {}
            rows = build_rows(self._model, there, recipe, session.prepared, session.prepared_fits, ranges)
            if self.table.rows.set_rows(rows):
                self.table.select(frozenset({rows[0].key}))
            self._show_caption(session)
            self._show_selection()

    def _show_caption(self, session: Session) -> None:
        there = self._there or ()
        words = f"{len(there)} activation{'' if len(there) == 1 else 's'}"
        again = False
        if self._figures is not None and self._measured_on is not None:
            n = self._figures.samples
            words += f" · zeros measured on {n} sample{'' if n == 1 else 's'} of {self._measured_on[0].name}"
        elif session.data_path is None:
            words += " · load data to measure their values"
        elif self._problem:
            words += f" · {self._problem}"
            again = True
        else:
            words += f" · samples are being run: {100 * self._share:.0f} %"
        self.measure_button.setVisible(again)
        self.table_card.caption.set_template(words)

    def _show_selection(self) -> None:
        session = self._session
        if session is None or session.recipe is None:
            return
        rows = self.table.selected_rows()
        keys = frozenset(row.key for row in rows)
        self.editor.show_rows(rows, self.table.rows.rows, session.recipe.graph, new=keys != self._shown)
        self.editor.form.setEnabled(bool(rows))
        self._shown = keys
        self._show_values(rows)

    def _show_values(self, rows: tuple[ActivationRow, ...]) -> None:
        first = rows[0] if rows else None
        self.value_card.title.setText("Values" if first is None else f"Values of {first.name}")
        found = self._figures.ranges.get(first.key) if self._figures is not None and first is not None else None
        before, after = found or (None, None)
        if first is None or before is None or after is None:
            self._values.setCurrentIndex(0)
            self.value_card.caption.set_template("")
            self.chart_empty.say(*self._why_no_values(first))
            return
        swap = planned_swaps(self._session.prepared).get(first.key) if self._session is not None else None
        clips = clip_bounds(first.activation, after, self.editor.params, swap if first.state == "done" else None)
        self._values.setCurrentIndex(1)
        self.value_card.caption.set_template(value_words(before, after, clips, planned=first.state == "done"))
        self.chart.set_ranges(before, after, clips)

    def _why_no_values(self, first: ActivationRow | None) -> tuple[str, str]:
        if first is None:
            return "No activation is selected.", "Pick one in the table to see its values."
        if self._session is None or self._session.data_path is None:
            return "There is no data to measure on.", "Load data (.npz, .npy or a folder of images)."
        if self._figures is not None:
            return "Its values cannot be measured.", "It runs in a loop, or no sample reaches it."
        if self._problem:
            return "Its values were not measured.", self._problem
        return "Samples are being run\N{HORIZONTAL ELLIPSIS}", ""

    # -- the person's edits to the session ---------------------------------------------------------------------------

    def _replace(self, keys: frozenset[str], params: Any, key: str) -> None:
        session = self._session
        if session is not None and session.recipe is not None and self._there is not None:
            after = with_replacement(session.recipe, keys, self._there, params)
            session.set_recipe(after, (), text="replace activations", merge_key=f"activations:{key}" if key else "")

    def _keep(self, keys: frozenset[str]) -> None:
        session = self._session
        if session is not None and session.recipe is not None and self._there is not None:
            after = replace(session.recipe, graph=without(session.recipe.graph, keys, self._there))
            session.set_recipe(after, (), text="keep activations")


def _find(model: Model, reporter: Reporter) -> tuple[Activation, ...]:
    from core.model.activations import find_activations

    found = find_activations(model.graph())
    reporter.check()
    return found
