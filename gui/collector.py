"""Garbage collection at moments when nobody waits for the window.

Python collects cyclic garbage in whichever thread allocates, and holds the interpreter meanwhile. Imported modules are
a quarter of a million objects, so a full collection takes 0.15 s, in which the window stands still. Therefore the
automatic collection is off; what start-up made, which lives as long as the program, is set aside for good; and the rest
(some milliseconds) is collected once the session has been quiet for a moment. Reference counts free nearly everything
at once; what waits are the graphs that opening and planning built. Planning a cut leaves some 13,000 objects at every
position where a slider rests: of those the young ones are collected at once, so that they do not add up.
"""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QTimer

if TYPE_CHECKING:
    from gui.session import Session

_QUIET_MS = 1200
"""Longer than the pauses between clicks of a person who is at work."""
_FEW = 2_000
"""New objects that are not worth looking through."""
_MANY = 10_000
"""New objects that are collected without waiting: about 10 ms."""


class Collector(QObject):
    """Turns the automatic collection off while the session lives, and collects in its quiet moments."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._session = session
        self._was_on = gc.isenabled()
        self._quiet = QTimer(self, singleShot=True, interval=_QUIET_MS)
        self._quiet.timeout.connect(self._collect)
        gc.disable()
        for signal in (session.tasks.changed, session.modelChanged, session.selectionChanged, session.recipeChanged):
            signal.connect(self._stir)

    def set_aside(self) -> None:
        """Everything that exists now is kept for good and never looked at again; for the end of start-up."""
        gc.freeze()

    def end(self) -> None:
        """Give the process back its automatic collection, if it had one."""
        self._quiet.stop()
        gc.unfreeze()
        if self._was_on:
            gc.enable()

    def _stir(self, *_what: object) -> None:
        self._quiet.start()
        if gc.get_count()[0] >= _MANY:
            gc.collect(0)

    def _collect(self) -> None:
        if self._session.tasks.busy:
            self._quiet.start()
            return
        if gc.get_count()[0] >= _FEW:
            gc.collect()
