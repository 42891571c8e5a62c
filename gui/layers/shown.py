"""Which layers the filter of the layers panel lets through, for other views that list layers."""

from __future__ import annotations

from PySide6.QtCore import QObject, Signal


class ShownLayers(QObject):
    """Names of the layers that are shown; None while there is no filter. The layers panel sets it.

    changed   other layers are shown
    """

    changed = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._names: frozenset[str] | None = None

    @property
    def names(self) -> frozenset[str] | None:
        return self._names

    def set_names(self, names: frozenset[str] | None) -> None:
        if names != self._names:
            self._names = names
            self.changed.emit()
