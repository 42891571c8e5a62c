"""The fourth step: how it is trained, and how small it is to be."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLineEdit, QScrollArea, QVBoxLayout, QWidget

from core.transfer import settings as words
from gui.charts.card import label, with_role
from gui.training.settings_form import SettingsForm
from gui.transfer.fields import Fields

_SIDE = 340


class TrainingPage(QWidget):
    """changed(): the person changed something."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.form = SettingsForm(self)
        self.fields = Fields(("compress", "tune_epochs"), self)
        self.more = Fields(("slower", "compare"), self)
        self.limit = QLineEdit("25%", self)
        self.limit.setAccessibleName("Size of the file")
        self.limit.setToolTip("Of the transferred model, or in bytes: 25%, 30 kB")
        self.plan = label("", "small", self)
        self.plan.setWordWrap(True)
        area = QScrollArea(self)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setWidgetResizable(True)
        inside = with_role(QWidget(), "plain")
        column = QVBoxLayout(inside)
        column.setContentsMargins(0, 0, 12, 0)
        column.addWidget(self.form)
        area.setWidget(inside)
        frame = QFrame(self)
        with_role(frame, "summary")
        frame.setFixedWidth(_SIDE)
        side = QVBoxLayout(frame)
        side.setContentsMargins(14, 10, 14, 12)
        side.setSpacing(8)
        side.addWidget(label("Compression", "title"))
        side.addWidget(self.fields)
        side.addWidget(self.limit)
        side.addWidget(label("Transfer", "title"))
        side.addWidget(self.more)
        side.addWidget(label("What will happen", "title"))
        side.addWidget(self.plan)
        side.addStretch(1)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(16)
        layout.addWidget(area, 1)
        layout.addWidget(frame)
        self.form.edited.connect(self._edited)
        self.fields.edited.connect(self._edited)
        self.more.edited.connect(self._edited)
        self.limit.textEdited.connect(self._edited)
        self.limit.setVisible(False)

    def why_not(self) -> str:
        """Why the training cannot begin, or ""."""
        if self.fields.values["compress"] == words.SIZE and not self.limit.text().strip():
            return "Say how large the file may be: 25%, 30 kB"
        return ""

    def _edited(self, *_: object) -> None:
        self.limit.setVisible(self.fields.values["compress"] == words.SIZE)
        self.changed.emit()
