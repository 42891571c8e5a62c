"""The three panels around an open model: layers, lenses, inspector."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QSplitter, QVBoxLayout, QWidget

from gui.actions import Actions
from gui.layers.panel import LayersPanel
from gui.lens_tabs import LensTabs
from gui.session import Session
from gui.settings import Settings

if TYPE_CHECKING:
    from gui.lenses.base import Lens

LAYERS_WIDTH, INSPECTOR_WIDTH = 540, 308
_LAYERS_MINIMUM, _LENSES_MINIMUM, _INSPECTOR_MINIMUM = 330, 380, 300
LATE_MODULES = ("pyqtgraph", "core.methods.registry", "gui.lenses.base", "gui.inspector.panel")
"""What `fill` needs; imported in a thread after the first paint."""


class Workspace(QWidget):
    """Layers at the left at once; lenses and inspector are filled in by `fill`."""

    def __init__(self, session: Session, settings: Settings, actions: Actions, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session, self._settings, self._actions = session, settings, actions
        self.layers = LayersPanel(session, self)
        self.layers.setMinimumWidth(_LAYERS_MINIMUM)
        self.lenses = LensTabs(self)
        self.lenses.setMinimumWidth(_LENSES_MINIMUM)
        self.inspector: QWidget | None = None
        self._right = QWidget(self)
        self._right.setMinimumWidth(_INSPECTOR_MINIMUM)
        inside = QVBoxLayout(self._right)
        inside.setContentsMargins(0, 0, 0, 0)
        self._splitter = QSplitter(Qt.Orientation.Horizontal, self)
        self._splitter.setHandleWidth(1)
        self._splitter.setChildrenCollapsible(False)
        for number, (widget, stretch) in enumerate(((self.layers, 0), (self.lenses, 1), (self._right, 0))):
            self._splitter.addWidget(widget)
            self._splitter.setStretchFactor(number, stretch)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._splitter)
        state = settings.layout("panels")
        if state is None or not self._splitter.restoreState(state):
            self._splitter.setSizes([LAYERS_WIDTH, 10_000, INSPECTOR_WIDTH])

    @property
    def filled(self) -> bool:
        """Whether lenses and inspector are there."""
        return self.inspector is not None

    def fill(self) -> list[Callable[[], None]]:
        """The steps that build the inspector and the lenses; run one per turn of the event loop."""
        from gui.lenses.base import all_lenses

        steps: list[Callable[[], None]] = [self._add_inspector]
        for number, lens in enumerate(all_lenses(), start=1):
            steps.append(partial(self._add_lens, number, lens))
        return steps

    def _add_inspector(self) -> None:
        from gui.inspector.panel import Inspector

        self.inspector = Inspector(self._session, self._right)
        layout = self._right.layout()
        if layout is not None:
            layout.addWidget(self.inspector)

    def _add_lens(self, number: int, lens_class: type[Lens]) -> None:
        lens = lens_class(self)
        lens.set_session(self._session)
        self.lenses.add(lens)
        key = lens.key
        self._actions.add_lens(number, lens.title, lambda: self._choose(key))
        if key == self._settings.lens:
            self.lenses.show_lens(key)

    def _choose(self, key: str) -> None:
        self.lenses.show_lens(key)

    def save_layout(self) -> None:
        self._settings.set_layout("panels", self._splitter.saveState())
        current = self.lenses.current
        if current is not None:
            self._settings.lens = current.key
