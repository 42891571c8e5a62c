"""The form of one step: a field for each declared parameter, in order, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QVBoxLayout, QWidget

from core.methods.base import Described
from core.methods.params import build, specs, to_dict
from gui.inspector.fields import Field, make_field


class Form(QWidget):
    """Edits one method's parameters.

    edited(params, key)   the person changed a parameter: the whole new parameter object, and a key that is the same
                          during one drag of one slider
    """

    edited = Signal(object, str)

    def __init__(self, method: Described, parent: QWidget | None = None, without: Sequence[str] = ()) -> None:
        """without: names of parameters that are set elsewhere."""
        super().__init__(parent)
        self._method = method
        self._values: dict[str, Any] = {}
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(7)
        self.fields: dict[str, Field] = {}
        for spec in (spec for spec in specs(method.Params) if spec.name not in without):
            field = make_field(spec, self)
            field.edited.connect(lambda value, gesture, name=spec.name: self._take(name, value, gesture))
            layout.addWidget(field)
            self.fields[spec.name] = field
        self.set_params(method.Params())

    def set_params(self, params: Any) -> None:
        """Show a parameter object; tells no one."""
        values = to_dict(params, all_values=True)
        for name, field in self.fields.items():
            if values[name] != self._values.get(name, ...):
                field.set_value(values[name])
        self._values = values
        self._show_active()

    def params(self) -> Any:
        """The parameters shown."""
        return build(self._method.Params, self._values)

    def _take(self, name: str, value: Any, gesture: int) -> None:
        self._values = {**self._values, name: value}
        self._show_active()
        self.edited.emit(self.params(), f"{name}:{gesture}")

    def _show_active(self) -> None:
        for field in self.fields.values():
            no_choice = len(field.spec.choices) == 1
            field.setVisible(field.spec.active(self._values) and not no_choice)
