"""A form whose acceptance starts a job of the training process and shows its curves: the same for every such form."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from PySide6.QtWidgets import QDialog

from core.errors import FeatherweightError

if TYPE_CHECKING:
    from gui.main_window import MainWindow
    from gui.training.asked import Asked

D = TypeVar("D", bound=QDialog)


def ask(window: MainWindow, dialog: D, asked_of: Callable[[D], Asked | None]) -> D:
    """Open the form over the window; accepting it starts what it asks for and shows the Training lens.

    asked_of  the job that the form asks for, None when it asks for none; what it raises as FeatherweightError is shown
    """

    def start() -> None:
        try:
            asked = asked_of(dialog)
        except FeatherweightError as error:
            window.session.failed.emit(error)
            return
        if asked is not None:
            window.show_lens("training")
            window.session.training.start(asked)

    dialog.accepted.connect(start)
    dialog.open()
    return dialog
