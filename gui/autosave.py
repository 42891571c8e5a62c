"""Keeps the session on disk, so that a crash, a power cut or a hasty close loses nothing.

While the program runs, `session-PID.json` beside a lock file follows every change within a second. A normal end removes
it. Unsaved edits are kept beside it as `kept-HASH.json`, by their model's path, when their model is closed. A kept plan
is only written over by the session that took it up; until then a later one of the same model gets a number. A session
file whose lock is free belongs to a program that died.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QLockFile, QObject, QTimer

from core.data.keeping import options_dict, options_from
from core.errors import TargetError
from core.exporting.staging import target_error, write_atomic
from core.progress import Reporter

if TYPE_CHECKING:
    from core.data.options import DataOptions
    from core.recipe import Recipe
    from gui.session import Session

DELAY_MS = 1000
KEY = "autosave"
_VERSION = 1


@dataclass(frozen=True)
class SavedSession:
    """What it takes to go on. `crashed`: the program that wrote it, as `file`, did not end properly.

    `edited`: it holds edits that are in no other file.
    """

    file: Path
    model: str
    recipe: str
    data: str | None
    selection: tuple[str, ...]
    data_options: DataOptions | None = None
    crashed: bool = False
    edited: bool = True


class Autosave(QObject):
    """Follows a session and writes it into a folder."""

    def __init__(self, session: Session, folder: Path, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._session, self.folder = session, folder
        self._path = folder / f"session-{os.getpid()}.json"
        self._lock: QLockFile | None = None
        self._kept: Path | None = None  # this model's kept plan that this session continues
        self._writing = threading.Lock()
        self._ended = False
        self._timer = QTimer(self, singleShot=True, interval=DELAY_MS)
        self._timer.timeout.connect(self._write)
        for signal in (session.modelChanged, session.recipeChanged, session.dataChanged, session.selectionChanged):
            signal.connect(self._schedule)
        session.modelChanged.connect(self._disown)

    def _schedule(self, *_ignored: Any) -> None:
        self._timer.start()

    def _write(self) -> None:
        state = self._state()
        if state is None:
            self._path.unlink(missing_ok=True)
            return
        try:
            self._own()
        except OSError as error:
            self._session.failed.emit(target_error(self.folder, error))
            return
        self._session.tasks.thread(KEY, self._save_while_alive, *state, coalesce=True)

    def _save_while_alive(self, recipe: Recipe, values: dict[str, Any], reporter: Reporter) -> None:
        """In a thread: a save that is late must not bring the file back after a normal end has removed it."""
        with self._writing:
            if not self._ended:
                _save(self._path, recipe, values)

    def _state(self) -> tuple[Recipe, dict[str, Any]] | None:
        session = self._session
        if session.model is None or session.recipe is None:
            return None
        data = str(session.data_path) if session.data_path else None
        values: dict[str, Any] = {"model": str(session.model.shown_path), "data": data}
        values |= {"selection": list(session.selection), "edited": session.edited}
        return session.recipe, values | {"data_options": options_dict(session.data_options)}

    def _own(self) -> None:
        """Take the lock that tells others that this file's program lives."""
        if self._lock is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = _lock(self._path)
            self._lock.tryLock(0)

    def leave(self) -> None:
        """The model is about to be closed or replaced: keep unsaved edits; without any, nothing of it is kept."""
        try:
            self._leave()
        except OSError as error:
            self._session.failed.emit(target_error(self.folder, error))
        except TargetError as error:
            self._session.failed.emit(error)

    def _leave(self) -> None:
        state = self._state()
        if state is None:
            return
        if self._session.edited:
            self.folder.mkdir(parents=True, exist_ok=True)
            if self._kept is None:
                self._kept = _free_name(self.folder, Path(state[1]["model"]))
            _save(self._kept, *state)
        elif self._kept is not None:
            self._kept.unlink(missing_ok=True)
            self._kept = None

    def adopt(self, saved: SavedSession) -> None:
        """The session has taken up this kept plan and continues it: `leave` writes over it, or removes it."""
        self._kept = saved.file

    def _disown(self) -> None:
        self._kept = None

    def end(self) -> None:
        """A normal end: nothing to restore, but for unsaved edits, which are kept."""
        self._timer.stop()
        self.leave()
        with self._writing:
            self._ended = True
            with contextlib.suppress(OSError):  # a folder that cannot be written holds no file of ours
                self._path.unlink(missing_ok=True)
        if self._lock is not None:
            self._lock.unlock()
            self._lock = None


def find_saved(folder: Path) -> SavedSession | None:
    """The session to offer at the start: the newest of those that died, else of those that were kept. None if neither.

    Those with edits go before those without.

    Files that cannot be read, or whose model is gone, are passed over.
    """
    died = [path for path in folder.glob("session-*.json") if _is_free(path)]
    for paths, crashed in ((died, True), (list(folder.glob("kept-*.json")), False)):
        newest_first = sorted(paths, key=lambda p: p.stat().st_mtime, reverse=True)
        found = [saved for path in newest_first if (saved := _load(path, crashed=crashed)) is not None]
        if found:  # a model that was merely looked at since must not hide a plan whose offer was put off
            return max(found, key=lambda saved: saved.edited)
    return None


def find_kept(folder: Path, model: Path) -> SavedSession | None:
    """The newest plan that was kept of the model at this path, or None."""
    found = sorted(folder.glob(f"kept-{_key(model)}*.json"), key=lambda p: p.stat().st_mtime, reverse=True)
    saved = (_load(path, crashed=False) for path in found)
    return next((one for one in saved if one is not None and Path(one.model).absolute() == model.absolute()), None)


def forget_saved(saved: SavedSession) -> None:
    """Remove a saved session: it was restored or declined."""
    saved.file.unlink(missing_ok=True)
    _lock_path(saved.file).unlink(missing_ok=True)


def _save(path: Path, recipe: Recipe, values: dict[str, Any]) -> None:
    content = {"featherweight": _VERSION, **values, "recipe": recipe.dump()}
    write_atomic(path, json.dumps(content, ensure_ascii=False, indent=1).encode())


def _load(path: Path, *, crashed: bool) -> SavedSession | None:
    """The saved session, or None when there is none, or none that this version can use."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["featherweight"] != _VERSION or not Path(content["model"]).exists():
            return None
        data = content["data"]
        return SavedSession(path, str(content["model"]), str(content["recipe"]), None if data is None else str(data),
                            tuple(map(str, content["selection"])), options_from(content.get("data_options")), crashed,
                            bool(content.get("edited", True)))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _key(model: Path) -> str:
    return hashlib.sha256(str(model.absolute()).encode()).hexdigest()[:12]


def _free_name(folder: Path, model: Path) -> Path:
    """A name for a kept plan that no other has yet."""
    names = (f"kept-{_key(model)}{f'-{number}' if number else ''}.json" for number in itertools.count())
    return next(path for name in names if not (path := folder / name).exists())


def _lock_path(path: Path) -> Path:
    return path.with_suffix(".lock")


def _lock(path: Path) -> QLockFile:
    lock = QLockFile(str(_lock_path(path)))
    lock.setStaleLockTime(0)  # age alone does not make a lock stale; a dead owner does
    return lock


def _is_free(path: Path) -> bool:
    lock = _lock(path)
    if not lock.tryLock(0):
        return False
    lock.unlock()
    return True
