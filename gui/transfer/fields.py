"""Fields of some of a transfer's settings, which are shown while the others make them mean something."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QVBoxLayout, QWidget

from core.methods.params import specs
from core.transfer.settings import LISTED, OWN, TransferSettings
from gui.inspector.fields import Field, make_field

_ELSEWHERE = {"freeze": LISTED, "compress": OWN}
"""Choices that only the command line has: layers by name, a recipe for layers that are not there yet."""


class Fields(QWidget):
    """edited(values)   the person changed one: the values of these fields by name"""

    edited = Signal(object)

    def __init__(self, names: Sequence[str], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(7)
        self.fields: dict[str, Field] = {}
        self.values: dict[str, Any] = {}
        for spec in specs(TransferSettings):
            if spec.name not in names:
                continue
            left_out = _ELSEWHERE.get(spec.name)
            if left_out is not None:
                kept = [place for place, choice in enumerate(spec.choices) if choice != left_out]
                spec = replace(spec, choices=tuple(spec.choices[p] for p in kept),
                               choice_titles=tuple(spec.choice_titles[p] for p in kept))  # fmt: skip
            field = make_field(spec, self)
            field.set_value(spec.default)
            field.edited.connect(lambda value, _gesture, name=spec.name: self._take(name, value))
            layout.addWidget(field)
            self.fields[spec.name], self.values[spec.name] = field, spec.default
        self._show_active()

    def show_values(self, values: Mapping[str, Any]) -> None:
        """Show these; tells no one."""
        for name, field in self.fields.items():
            if name in values:
                field.set_value(values[name])
                self.values[name] = values[name]
        self._show_active()

    def _take(self, name: str, value: Any) -> None:
        self.values[name] = value
        self._show_active()
        self.edited.emit(dict(self.values))

    def _show_active(self) -> None:
        for field in self.fields.values():
            others = all(other in self.values for other, _ in field.spec.when)
            field.setVisible(not others or field.spec.active(self.values))
