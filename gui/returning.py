"""Brings unsaved plans back: after a crash, at the next start, and when their model is opened again."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, cast

from PySide6.QtCore import QObject
from PySide6.QtWidgets import QWidget

from gui.autosave import Autosave, SavedSession, find_kept, find_saved, forget_saved
from gui.message_bar import MessageBar
from gui.opening.opener import is_torch, open_torch
from gui.places import short_path
from gui.session import Session

if TYPE_CHECKING:
    from core.torch_files.source import TorchSource


class Returning(QObject):
    """Opens models on behalf of the window, so that leaving one never loses its plan."""

    def __init__(self, session: Session, autosave: Autosave, messages: MessageBar, parent: QObject) -> None:
        super().__init__(parent)
        self._session, self._autosave, self._messages = session, autosave, messages
        self._expected: SavedSession | None = None
        session.restored.connect(self._came_back)

    def open_model(self, path: Path, *, recipe_path: Path | None = None, data: Path | None = None) -> None:
        """Open a model; of a PyTorch file, ask first what it does not say itself. See `_open`."""
        if is_torch(path):
            window = cast(QWidget, self.parent())
            open_torch(window, self._session, path, lambda source: self._open(path, recipe_path, data, source))
        else:
            self._open(path, recipe_path, data, None)

    def _open(self, path: Path, recipe_path: Path | None, data: Path | None, source: TorchSource | None) -> None:
        """Open a model. An unsaved plan that was kept of it comes back at once, as an edit that can be undone.

        A recipe that is opened along goes before; the kept plan then waits for the next time.
        """
        self._autosave.leave()
        kept = find_kept(self._autosave.folder, path) if recipe_path is None else None
        self._expected = None
        if kept is None:
            self._session.open_model(path, recipe_path=recipe_path, data=data, torch_source=source)
        else:
            self._open_saved(kept, data, source)

    def offer(self) -> None:
        """Ask, in the message bar, whether to go on with a session that was cut off or closed with unsaved edits."""
        saved = find_saved(self._autosave.folder)
        if saved is None:
            return
        name = short_path(Path(saved.model))
        text = (f"Featherweight did not close properly. Go on with {name} as it was?" if saved.crashed
                else f"There is an unsaved plan of {name} from {_when(saved.file)}. Go on with it?")
        self._messages.say(text, actions=(("Restore", lambda: self._restore(saved)),
                                          ("Delete it", lambda: forget_saved(saved))), dismiss="Ask next time")

    def _restore(self, saved: SavedSession) -> None:
        self._autosave.leave()
        self._open_saved(saved, None)

    def _open_saved(self, saved: SavedSession, data: Path | None, source: TorchSource | None = None) -> None:
        self._expected = saved
        options = None
        if data is None and saved.data is not None and Path(saved.data).exists():
            data, options = Path(saved.data), saved.data_options
        self._session.open_model(saved.model, recipe=saved.recipe, data=data, data_options=options,
                                 selection=saved.selection, torch_source=source)

    def _came_back(self) -> None:
        """The plan is in the session again, and from now on followed there."""
        saved, self._expected = self._expected, None
        if saved is None:
            return
        if saved.crashed:
            forget_saved(saved)
            return
        text = f"Your unsaved plan of {short_path(Path(saved.model))} from {_when(saved.file)} is back."
        self._autosave.adopt(saved)
        self._messages.say(text, actions=(("Start afresh", self._session.start_afresh),))


def _when(file: Path) -> str:
    """When a file was written: "15:02" today, else with the date."""
    written = datetime.fromtimestamp(file.stat().st_mtime)
    return f"{written:%H:%M}" if written.date() == datetime.now().date() else f"{written:%Y-%m-%d %H:%M}"
