"""The real window on a fresh settings folder; afterwards no thread, timer, process or widget of it may be left."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from gui.app import start
from gui.main_window import MainWindow
from gui.session import Session
from gui.settings import Settings
from gui.theme import theme

PATIENCE_MS = 30_000


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of a person who has never started the program."""
    return Settings(tmp_path / "person")


@pytest.fixture
def session(qtbot: QtBot, tmp_path: Path) -> Iterator[Session]:
    """A session without a window."""
    made = Session(tmp_path / "work")
    made.sensitivity.cache_folder = tmp_path / "cache"
    yield made
    made.close()
    assert not leftover_threads()


@pytest.fixture
def window(qapp: QApplication, qtbot: QtBot, settings: Settings, tmp_path: Path) -> Iterator[MainWindow]:
    """The whole window, shown and complete."""
    theme().set_mode("light")
    settings.mode = "light"
    made = start(qapp, settings)
    made.session.sensitivity.cache_folder = tmp_path / "cache"
    made.resize(1440, 900)
    made.show()
    qtbot.waitUntil(lambda: made.workspace.filled and bool(made.workspace.lenses.keys), timeout=PATIENCE_MS)
    yield made
    made.close()
    made.deleteLater()
    assert not leftover_threads()
    assert not leftover_processes()


@pytest.fixture
def opened(qtbot: QtBot) -> Callable[[Session, Path], Session]:
    """opened(session, path) opens a model and waits for all its statistics."""

    def open_and_wait(session: Session, path: Path) -> Session:
        session.open_model(path)
        qtbot.waitUntil(lambda: session.model is not None and session.model.path == path, timeout=PATIENCE_MS)
        assert session.model is not None
        layers = len(session.model.layers)
        qtbot.waitUntil(lambda: len(session.statistics) == layers, timeout=PATIENCE_MS)
        return session

    return open_and_wait


def leftover_threads() -> list[str]:
    """Names of living threads that a session started."""
    return [t.name for t in threading.enumerate() if t.name.startswith(("featherweight", "worker answers"))]


def leftover_processes() -> list[str]:
    """Command lines of living worker processes of this test run."""
    lines = (" ".join(child.cmdline()) for child in psutil.Process().children() if child.status() != "zombie")
    return [line for line in lines if "spawn_main" in line]
