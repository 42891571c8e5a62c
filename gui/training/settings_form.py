"""The form of a training's settings: basics at once, the rest under headings that open."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QPushButton, QVBoxLayout, QWidget

from core.methods.params import build, specs, to_dict
from core.training.settings import DEFAULT_TRAINING, TrainingSettings
from gui.charts.card import label, with_role
from gui.inspector.fields import Field, make_field
from gui.training.groups import grouped

_MORE, _LESS = "More settings", "Fewer settings"


class SettingsForm(QWidget):
    """Edits `TrainingSettings`.

    edited()   the person changed one
    """

    edited = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._values: dict[str, Any] = {}
        self.fields: dict[str, Field] = {}
        known = {spec.name: spec for spec in specs(TrainingSettings)}
        self.more = QPushButton(_MORE, self)
        self.more.setCheckable(True)
        self.more.setAutoDefault(False)
        with_role(self.more, "link")
        self._rest = QWidget(self)
        basics, rest = QVBoxLayout(self), QVBoxLayout(self._rest)
        for layout in (basics, rest):
            layout.setContentsMargins(0, 0, 0, 0)
            layout.setSpacing(7)
        for title, names in grouped(list(known)).items():
            place = rest if title else basics
            if title:
                heading = label(title, "title", self)
                heading.setContentsMargins(0, 8, 0, 0)
                place.addWidget(heading)
            for name in names:
                field = make_field(known[name], self)
                field.edited.connect(lambda value, _gesture, name=name: self._take(name, value))
                place.addWidget(field)
                self.fields[name] = field
        basics.addWidget(self.more, 0, Qt.AlignmentFlag.AlignLeft)
        basics.addWidget(self._rest)
        basics.addStretch(1)
        self.more.toggled.connect(self._show_rest)
        self._show_rest(False)
        self.show_settings(DEFAULT_TRAINING)

    def show_settings(self, settings: TrainingSettings) -> None:
        """Show these; tells no one."""
        self._values = to_dict(settings, all_values=True)
        for name, field in self.fields.items():
            field.set_value(self._values[name])
        self._show_active()

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
        self._rest.setVisible(on)
        self.more.setText(_LESS if on else _MORE)
