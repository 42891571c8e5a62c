"""The Training lens: live curves of a training, what can be done about it, and what came of it."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Qt, QTimer
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import QFileDialog, QFrame, QPushButton, QScrollArea, QStackedLayout, QVBoxLayout, QWidget

from gui.charts.card import with_role
from gui.charts.empty import EmptyState
from gui.lenses.base import Lens
from gui.saving import save_copy
from gui.session import Session
from gui.training.cards import LOSS_CHOICES, METRIC_CHOICES, CurveCard, ResultCard, RunCard, SeriesBox, column
from gui.training.curves import Series
from gui.training.pictures import Picture, What, loss_picture, metric_picture, metric_text, rate_picture
from gui.training.state import Phase, TrainingState
from gui.training.words import advice, best_words, empty_words, status_words

_REDRAW_MS = 100
"""Events that arrive within this are drawn together."""
_TICK_MS = 1000
_LEAST_CHART = 215
_TRAIN = "Fine-tune\N{HORIZONTAL ELLIPSIS}"
_FIRST = ("The first epoch is under way.", "Its figures appear when it is done.")
_PREPARING = ("The training is being prepared.", "The model is compressed and the samples are read first.")
_UNTRAINED = ("Nothing had to be trained.", "The files were put together as they are.")
_NO_EPOCH = ("No epoch was finished.", "")
_NO_METRIC = ("Nothing to judge answers by.", "With labels, or class scores of the original, the metric appears here.")
_EXPORT_RESULT = "Save the trained model (Ctrl+E)"
_EXPORT_FILE = "Save this file under a name of your choice"
_DONE = {"finetune": "trained", "merge": "merged", "transfer": "transferred"}
"""What a file that came of each kind of job is called."""
_LOG = {"auto": None, "linear": False, "log": True}


class TrainingLens(Lens):
    """How it stands, loss and metric over epochs, and the result."""

    key = "training"
    title = "Training"
    order = 50

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session: Session | None = None
        self.empty = EmptyState("curve")
        self.start_button = QPushButton(_TRAIN, self)
        with_role(self.start_button, "primary")
        self.run = RunCard(self)
        self.series = SeriesBox(self.run)
        self.run.corner.insertWidget(0, self.series)
        self.losses = CurveCard("Loss", LOSS_CHOICES, "Axis of the loss:", self)
        self.judged = CurveCard("Metric", METRIC_CHOICES, "Show", self)
        self.result = ResultCard(self)
        self._stack = QStackedLayout(self)
        self._stack.addWidget(self._empty_page())
        self._stack.addWidget(self._page())
        self._redraw = QTimer(self, singleShot=True, interval=_REDRAW_MS)
        self._redraw.timeout.connect(self._show_curves)
        self._tick = QTimer(self, interval=_TICK_MS)
        self._tick.timeout.connect(self._show_status)
        self.losses.chosen.connect(self._show_curves)
        self.judged.chosen.connect(self._show_curves)
        self.series.picked.connect(self._show_curves)

    def _empty_page(self) -> QWidget:
        page = QWidget(self)
        lines = QVBoxLayout(page)
        lines.addStretch(1)
        lines.addWidget(self.empty)
        lines.addWidget(self.start_button, 0, Qt.AlignmentFlag.AlignHCenter)
        lines.addStretch(1)
        return page

    def _page(self) -> QScrollArea:
        area = QScrollArea()  # a small window scrolls instead of cutting the charts
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setWidgetResizable(True)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        area.setWidget(column((self.run, 0, 0), (self.result, 0, 0), (self.losses, _LEAST_CHART, 1),
                              (self.judged, _LEAST_CHART, 1)))
        return area

    def set_session(self, session: Session) -> None:
        self._session = session
        state = session.training
        for signal in (session.modelChanged, session.dataChanged, session.resultChanged, session.recipeChanged):
            signal.connect(self._refresh)
        state.changed.connect(self._curves_came)
        state.stateChanged.connect(self._refresh)
        for button in (self.start_button, self.run.again):
            button.clicked.connect(lambda _checked=False: state.settingsWanted.emit())
        self.run.pause.clicked.connect(lambda _checked=False: state.pause(state.phase is not Phase.PAUSED))
        self.run.resume.clicked.connect(lambda _checked=False: state.resume())
        self.run.cancel.clicked.connect(lambda _checked=False: state.cancel())
        self.result.use.clicked.connect(lambda _checked=False: state.use_result())
        self.result.export.clicked.connect(lambda _checked=False: self._export(state))
        self._refresh()

    @property
    def _state(self) -> TrainingState | None:
        return self._session.training if self._session is not None else None

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._refresh()

    def _export(self, state: TrainingState) -> None:
        """Save what came of it: as the plan's result where it is one, else as the file that was written."""
        if state.can_use or state.used:
            state.use_result()
            state.exportWanted.emit()
            return
        asked, session, file = state.asked, self._session, state.view.file if state.view is not None else None
        if asked is None or session is None or file is None:
            return
        beside = asked.model if asked.model is not None else file
        proposal = beside.with_name(f"{beside.stem}-{_DONE.get(asked.kind, 'result')}.onnx")
        path, _filter = QFileDialog.getSaveFileName(self, "Save the result", str(proposal), "Models (*.onnx)")
        if path:
            save_copy(session, file, Path(path))

    # -- state to widgets ---------------------------------------------------------------------------------------------

    def _curves_came(self) -> None:
        if self.isVisible() and not self._redraw.isActive():
            self._redraw.start()

    def _refresh(self, *_what: object) -> None:
        """Everything but the curves, which follow together with what else has come."""
        state, session = self._state, self._session
        if state is None or session is None or not self.isVisible():
            return
        there = state.phase is not Phase.NONE
        self._stack.setCurrentIndex(1 if there else 0)
        if not there:
            self.empty.say(*empty_words(session))
            self.start_button.setVisible(session.model is not None)
            return
        self._show_status()
        self._show_buttons(state)
        self.result.show_view(state.view)
        self.result.use.setVisible(state.can_use)
        as_result = state.can_use or state.used
        self.result.export.setVisible(as_result or (state.view is not None and state.view.file is not None))
        self.result.export.setToolTip(_EXPORT_RESULT if as_result else _EXPORT_FILE)
        self._curves_came()

    def _show_status(self) -> None:
        state = self._state
        if state is None or not self.isVisible():
            return
        if state.phase is Phase.RUNNING and not self._tick.isActive():
            self._tick.start()
        elif state.phase is not Phase.RUNNING:
            self._tick.stop()
        self.run.title.setText(state.asked.title if state.asked is not None else "")
        self.run.caption.set_template(status_words(state))
        self.run.show_progress(state.done, at_work=state.phase.at_work)
        self.run.say(self.run.problem, state.problem[:1].upper() + state.problem[1:])

    def _show_buttons(self, state: TrainingState) -> None:
        run, paused = self.run, state.phase is Phase.PAUSED
        run.pause.setVisible(state.phase in (Phase.RUNNING, Phase.PAUSED))
        run.pause.setEnabled(state.can_pause and not state.pausing)
        run.pause.setText("Go on" if paused else "Pause")
        run.pause.setToolTip("Train on" if paused else "Wait between two batches; nothing is lost")
        run.cancel.setVisible(state.phase.at_work)
        run.resume.setVisible(state.can_resume)
        run.again.setVisible(not state.phase.at_work)

    def _show_curves(self, *_what: object) -> None:
        state = self._state
        if state is None or not self.isVisible() or state.phase is Phase.NONE:
            return
        series = state.series
        self.series.set_titles([one.title for one in series])
        if not series:
            why = _PREPARING if state.phase.at_work else _UNTRAINED if state.phase is Phase.DONE else _NO_EPOCH
            self.losses.show_picture(Picture(What.LOSS), "", "", why)
            self.judged.show_picture(Picture(What.METRIC), "", "", (why[0], ""))
            self.run.say(self.run.advice, "")
            return
        at = max(min(self.series.currentIndex(), len(series) - 1), 0) if len(series) > 1 else 0
        mine = series[at]
        spec = state.asked.spec if state.asked is not None else None
        self.run.say(self.run.advice, advice(mine, getattr(spec, "settings", None)))
        self._show_loss(series, at)
        self._show_metric(series, at)

    def _show_loss(self, series: tuple[Series, ...], at: int) -> None:
        mine = series[at]
        picture = loss_picture(series, at, logarithmic=_LOG[self.losses.choice.key])
        best = best_words(mine)
        caption = "train {series_2} \N{MIDDLE DOT} validation {series_1}" + (f" \N{MIDDLE DOT} {best}" if best else "")
        self.losses.show_picture(picture, caption, "loss, log" if picture.logarithmic else "loss", _FIRST)

    def _show_metric(self, series: tuple[Series, ...], at: int) -> None:
        mine, card = series[at], self.judged
        name = mine.started.metric
        rate = card.choice.key == "rate"
        card.title.setText("Learning rate" if rate else name[:1].upper() + name[1:] if name else "Metric")
        if rate:
            card.show_picture(rate_picture(series, at), "of each epoch's end", "learning rate", _FIRST)
            return
        caption = "train {series_2} \N{MIDDLE DOT} validation {series_1}"
        last = mine.points[-1] if mine.points else None
        if last is not None and last.valid_metric is not None:
            at_work = self._state is not None and self._state.phase.at_work
            caption += f" \N{MIDDLE DOT} {'now' if at_work else 'last'} {metric_text(last.valid_metric, mine.started)}"
        known = not mine.points or any(point.valid_metric is not None for point in mine.points)
        why = _FIRST if known else _NO_METRIC
        card.show_picture(metric_picture(series, at, self._reference(mine)), caption, "", why)

    def _reference(self, series: Series) -> tuple[float, str] | None:
        """What the original reaches by the same measure on the data that is loaded, once a comparison has told it."""
        session, state = self._session, self._state
        comparison = session.comparison if session is not None else None
        if session is None or state is None or state.asked is None or comparison is None or comparison.score is None:
            return None
        of_it = session.model is not None and session.model.path == state.asked.model
        if not of_it or comparison.score.words != series.started.metric:
            return None
        return comparison.score.reference, f"original, on {comparison.measured_on}"
