"""The Compare lens: original against compressed, live while compressing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QTimer
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import QStackedLayout, QWidget

from gui.charts.empty import EmptyState
from gui.layers.rows import short_name
from gui.lenses.accuracy_card import AccuracyCard
from gui.lenses.base import Lens
from gui.lenses.compare_state import (
    ISOLATED,
    ErrorView,
    LiveRun,
    accumulated_view,
    isolated_view,
    live_view,
)
from gui.lenses.error_card import ErrorCard
from gui.lenses.page import CardPage
from gui.lenses.sample_card import SampleCard
from gui.runs import COMPRESS, EXPORT
from gui.session import Session

if TYPE_CHECKING:
    from core.model.model import Model
    from core.pipeline import LayerResult

_REDRAW_MS = 33
_LOAD_DATA = "Load data (.npz, .npy or a folder of images), then compress."
_STALE = "of the last run; the plan or the data changed since"


class CompareLens(Lens):
    """Error at each layer's output, samples with both models' answers, accuracy by class."""

    key = "compare"
    title = "Compare"
    order = 50

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session: Session | None = None
        self._run: LiveRun | None = None
        self.empty = EmptyState("compare")
        self.error_card = ErrorCard(self)
        self.sample_card = SampleCard(self)
        self.accuracy_card = AccuracyCard(self)
        # Small layers finish faster than the eye: collect what arrived and draw at most 30 times a second.
        self._redraw = QTimer(self, singleShot=True, interval=_REDRAW_MS)
        self._redraw.timeout.connect(self._show_errors)
        self.page = CardPage(self.error_card, self.sample_card, self.accuracy_card, (1, 1))
        self._stack = QStackedLayout(self)
        self._stack.addWidget(self.empty)
        self._stack.addWidget(self.page)

    def set_session(self, session: Session) -> None:
        self._session = session
        session.modelChanged.connect(self._reset)
        session.dataChanged.connect(self._refresh)
        session.resultChanged.connect(self._refresh)
        session.recipeChanged.connect(self._recipe_changed)
        session.stateChanged.connect(self._check_run)
        session.selectionChanged.connect(self._show_errors)
        session.runStarted.connect(self._start_run)
        session.layerFinished.connect(self._layer_finished)
        session.liveError.connect(self._live_error)
        self.error_card.picked.connect(lambda name: session.select((name,)))
        self.error_card.view_chosen.connect(self._show_errors)
        self._refresh()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._refresh()

    # -- a run ---------------------------------------------------------------------------------------------------------

    def _start_run(self) -> None:
        session = self._session
        if session is None or session.model is None:
            return
        self._run = LiveRun(tuple(layer.name for layer in session.model.layers if session.steps(layer.name)))
        self._refresh()

    def _layer_finished(self, result: LayerResult) -> None:
        if self._run is not None:
            self._run = self._run.with_layer(result)
            self._draw_soon()

    def _live_error(self, name: str, db: float) -> None:
        if self._run is not None:
            self._run = self._run.with_error(name, db)
            self._draw_soon()

    def _draw_soon(self) -> None:
        if not self._redraw.isActive():
            self._redraw.start()

    def _check_run(self) -> None:
        """The run is over, finished or not: show the last result again."""
        session = self._session
        if self._run is not None and session is not None and not (session.running(COMPRESS) or session.running(EXPORT)):
            self._run = None
            self._refresh()

    def _reset(self) -> None:
        self._run = None
        self._refresh()

    # -- state to widgets ----------------------------------------------------------------------------------------------

    def _refresh(self) -> None:
        session = self._session
        if session is None or not self.isVisible():
            return
        self._stack.setCurrentIndex(0 if session.model is None else 1)
        if session.model is None:
            self.empty.say("No model is open.", "Open an ONNX file, or the sample, to compare before and after.")
            return
        comparison = session.comparison
        self.sample_card.show_comparison(session, comparison, ("Samples will be here, the worst first.", ""))
        self.accuracy_card.show_comparison(comparison, ("Accuracy by class will be here.", ""))
        self._show_errors()

    def _recipe_changed(self) -> None:
        if self._session is not None and self._session.result is None and self._run is None:
            self._show_errors()  # only the advice depends on the plan

    def _why_nothing(self) -> tuple[str, str]:
        session = self._session
        if session is None or session.samples is None:
            if session is not None and session.result is not None:
                return "Compressed without data: nothing was measured.", _LOAD_DATA
            return "There is no data to compare on.", _LOAD_DATA
        if session.result is not None:
            return "The last run was made without data.", "Compress again to compare."
        if session.recipe is None or not (session.recipe.defaults or session.recipe.layers):
            return "Nothing is planned yet.", "Add steps to layers in the inspector, then press Compress."
        return "Nothing has been compressed yet.", "Press Compress to run both models on the loaded samples."

    def _show_errors(self) -> None:
        session = self._session
        if session is None or session.model is None or not self.isVisible():
            return
        if self._run is not None:
            self.error_card.show_kind(False)
            self._show_live(session, self._run)
            return
        result = session.result
        view = self._finished_view(session)
        self.error_card.show_kind(result is not None and bool(result.outcome.accumulated))
        if result is None or view is None:
            self.error_card.show_empty(*self._why_nothing())
            return
        stale = "" if session.result_current else _STALE
        self.error_card.show_view(view, self._source_words(stale), session.selection, _titles(session.model))

    def _show_live(self, session: Session, run: LiveRun) -> None:
        words = f"compressing: {run.done} of {len(run.planned)} layers"
        if session.samples is None:
            words += " · no data is loaded, so no error is measured"
        else:
            words += f" · each layer alone, measured on up to {_few(session.samples.n)} samples"
        self.error_card.show_view(live_view(run), words, session.selection, _titles(session.model))

    def _finished_view(self, session: Session) -> ErrorView | None:
        result, model = session.result, session.model
        if result is None or model is None or not result.outcome.accumulated:
            return None
        if self.error_card.kind == ISOLATED:
            return isolated_view(result, [layer.name for layer in model.layers])
        return accumulated_view(result)

    def _source_words(self, stale: str) -> str:
        session = self._session
        comparison = session.comparison if session is not None else None
        n = _few(comparison.n) if comparison is not None else 0
        if self.error_card.kind == ISOLATED:
            words = f"each layer alone, as in the table; on up to {n} samples"
        else:
            words = f"the whole model compressed, so unlike the table; on {n} samples"
        if comparison is not None and comparison.n > n:
            words += f", the totals on {comparison.n:,}"
        outcome = session.compression if session is not None else None
        worked = f"steps worked from {outcome.calibrated_on}" if outcome is not None and outcome.calibrated_on else ""
        return " · ".join(filter(None, (words, worked, stale)))


def _titles(model: Model | None) -> dict[str, str]:
    """How layers are called, as in the table."""
    return {} if model is None else {layer.name: short_name(layer) for layer in model.layers}


def _few(n: int) -> int:
    from core.analysis.layer_error import FEW

    return min(FEW, n)
