"""The right end of the totals: what runs now, how far it is, and Cancel; else what data is loaded."""

from __future__ import annotations

from PySide6.QtCore import Qt, QTimer
from PySide6.QtWidgets import QFrame, QHBoxLayout, QProgressBar, QPushButton, QVBoxLayout, QWidget

from gui.charts.card import with_role
from gui.runs import COMPRESS, EXPORT
from gui.session import Session
from gui.tasks import TaskState
from gui.totals.card import ElidedLabel
from gui.training.state import TRAIN
from gui.units import time_left

_SHOW_AFTER_MS = 150
"""Tasks that are over sooner are not shown: a flash of a progress bar only disturbs."""
_TICK_MS = 500
"""The time left is looked at this often even when the task tells nothing."""
_STEPS = 1000


class TaskStatus(QFrame):
    """Shows the newest task that has a title."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        with_role(self, "panel")
        self._session = session
        self._finished, self._planned = 0, 0
        self.title, self.text = ElidedLabel(self), ElidedLabel(self, Qt.TextElideMode.ElideMiddle)
        with_role(self.title, "title")
        with_role(self.text, "small")
        self.bar = QProgressBar(self)
        self.bar.setRange(0, _STEPS)
        self.bar.setTextVisible(False)
        self.cancel = QPushButton("Cancel", self)
        with_role(self.cancel, "link")
        self.cancel.setToolTip("Stop this; nothing is lost (Ctrl+.)")
        self.cancel.clicked.connect(session.cancel)
        head = QHBoxLayout()
        head.setSpacing(6)
        head.addWidget(self.title, 1)
        head.addWidget(self.cancel)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(16, 8, 14, 9)
        layout.setSpacing(5)
        layout.addStretch(1)
        layout.addLayout(head)
        layout.addWidget(self.bar)
        layout.addWidget(self.text)
        layout.addStretch(1)
        self._delay = QTimer(self, singleShot=True, interval=_SHOW_AFTER_MS)
        self._delay.timeout.connect(self._show)
        self._tick = QTimer(self, interval=_TICK_MS)
        self._tick.timeout.connect(self._show)
        session.tasks.changed.connect(self._tasks_changed)
        session.training.stateChanged.connect(self._tasks_changed)
        session.runStarted.connect(self._run_started)
        session.layerFinished.connect(self._layer_finished)
        for signal in (session.dataChanged, session.modelChanged, session.resultChanged):
            signal.connect(self._show)
        self._show()

    def _run_started(self) -> None:
        self._finished = 0
        self._planned = len(self._session.model.layers) if self._session.model is not None else 0

    def _layer_finished(self, _result: object) -> None:
        self._finished += 1

    def _tasks_changed(self) -> None:
        if self._session.tasks.states and not self.bar.isVisibleTo(self):
            if not self._delay.isActive():
                self._delay.start()
        else:
            self._show()

    def _show(self) -> None:
        states = self._session.tasks.states
        for widget in (self.bar, self.cancel):
            widget.setVisible(bool(states))
        if states:
            self._show_task(states[-1])
            if not self._tick.isActive():
                self._tick.start()
        else:
            self._tick.stop()
            self._show_idle()

    def _show_task(self, state: TaskState) -> None:
        title = state.title
        if state.key in (COMPRESS, EXPORT) and 0 < self._finished < self._planned:
            title = f"Compressing {self._finished} of {self._planned}"
        self.title.set_whole(title)
        self.bar.setValue(round(_STEPS * state.done))
        self.text.set_whole(self._words(state))

    def _words(self, state: TaskState) -> str:
        """What it does and how long that takes; of a training, what its lens says."""
        if state.key == TRAIN:
            from gui.training.words import status_words  # with the charts' helpers: not before it is needed

            return status_words(self._session.training)
        return " \N{MIDDLE DOT} ".join(filter(None, (state.text, time_left(state.seconds_left))))

    def _show_idle(self) -> None:
        session = self._session
        if session.model is None:
            self.title.set_whole("")
            self.text.set_whole("")
        elif session.samples is None:
            self.title.set_whole("No data loaded")
            self.text.set_whole("Load samples to measure what a plan costs")
        else:
            name = session.data_path.name if session.data_path is not None else ""
            n = session.samples.n
            labels = "no labels" if session.samples.labels is None else "with labels"
            self.title.set_whole(name)
            self.text.set_whole(f"{n:,} sample{'' if n == 1 else 's'}, {labels}")
        if session.samples is not None:
            self.text.setToolTip("\n".join(filter(None, (session.samples.describe(), self._split()))))

    def _split(self) -> str:
        """How the samples were shared between steps that work from them and measuring, or ""."""
        outcome = self._session.compression
        if outcome is None or not outcome.calibrated_on or not self._session.result_current:
            return ""
        return f"Steps worked from {outcome.calibrated_on}."
