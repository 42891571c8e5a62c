"""The form of a training's settings: basics at once, the rest under headings that open."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtWidgets import QFrame, QPushButton, QScrollArea, QVBoxLayout, QWidget

from core.methods.params import build, specs, to_dict
from core.training.settings import DEFAULT_TRAINING, TrainingSettings
from gui.charts.card import label, with_role
from gui.inspector.fields import Field, make_field
from gui.training.groups import grouped

_MORE, _LESS = "More settings", "Fewer settings"
_TURN_MS = 30


def scroll_area(parent: QWidget) -> QScrollArea:
    """A part of a form that scrolls up and down, without a frame; the keyboard goes to what is in it."""
    area = QScrollArea(parent)
    area.setFrameShape(QFrame.Shape.NoFrame)
    area.setWidgetResizable(True)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    return area


class SettingsForm(QWidget):
    """Edits `TrainingSettings`.

    edited()   the person changed one
    """

    edited = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._values: dict[str, Any] = to_dict(DEFAULT_TRAINING, all_values=True)
        self.fields: dict[str, Field] = {}
        self._specs = {spec.name: spec for spec in specs(TrainingSettings)}
        self._waiting = list(grouped(list(self._specs)).items())  # groups without fields yet
        self.more = QPushButton(_MORE, self)
        self.more.setCheckable(True)
        self.more.setAutoDefault(False)
        with_role(self.more, "link")
        self._rest = QWidget(self)
        self._basics, self._more = QVBoxLayout(self), QVBoxLayout(self._rest)
        for layout in (self._basics, self._more):
            layout.setContentsMargins(0, 0, 0, 0)
            layout.setSpacing(7)
        self._add_group()
        self._basics.addWidget(self.more, 0, Qt.AlignmentFlag.AlignLeft)
        self._basics.addWidget(self._rest)
        self._basics.addStretch(1)
        self.more.toggled.connect(self._show_rest)
        self._rest.hide()
        self._turn = QTimer(self, interval=_TURN_MS)
        self._turn.timeout.connect(self._add_group)
        self._turn.start()

    def complete(self) -> None:
        """Make all fields now; otherwise they follow one group at a time, as making all takes longer than a click."""
        while self._waiting:
            self._add_group()

    def _add_group(self) -> None:
        if not self._waiting:
            self._turn.stop()
            return
        title, names = self._waiting.pop(0)
        place = self._more if title else self._basics
        if title:
            heading = label(title, "title", self._rest)
            heading.setContentsMargins(0, 8, 0, 0)
            place.addWidget(heading)
        for name in names:
            field = make_field(self._specs[name], self._rest if title else self)
            field.set_value(self._values[name])
            field.setVisible(field.spec.active(self._values))
            field.edited.connect(lambda value, _gesture, name=name: self._take(name, value))
            place.addWidget(field)
            self.fields[name] = field

    def show_settings(self, settings: TrainingSettings) -> None:
        """Show these; tells no one."""
        self._values = to_dict(settings, all_values=True)
        for name, field in self.fields.items():
            field.set_value(self._values[name])
        self._show_active()

    def scrolled(self, parent: QWidget) -> QScrollArea:
        """The form in an area that scrolls, for a dialog."""
        area = scroll_area(parent)
        inside = with_role(QWidget(), "plain")
        column = QVBoxLayout(inside)
        column.setContentsMargins(0, 0, 12, 0)  # the scroll bar covers nothing
        column.addWidget(self)
        area.setWidget(inside)
        return area

    def settings(self) -> TrainingSettings:
        """What is shown."""
        return build(TrainingSettings, self._values)

    def _take(self, name: str, value: Any) -> None:
        self._values = {**self._values, name: value}
        self._show_active()
        self.edited.emit()

    def _show_active(self) -> None:
        for field in self.fields.values():
            field.setVisible(field.spec.active(self._values))

    def _show_rest(self, on: bool) -> None:
        self.complete()
        self._rest.setVisible(on)
        self.more.setText(_LESS if on else _MORE)
