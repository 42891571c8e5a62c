"""A session with a small model open, and the inspector on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from gui.inspector.panel import Inspector
from gui.session import Session


@pytest.fixture
def session(session: Session, opened: Callable[[Session, Path], Session], cnn_path: Path) -> Session:
    return opened(session, cnn_path)


@pytest.fixture
def panel(qtbot: QtBot, session: Session) -> Inspector:
    panel = Inspector(session)
    qtbot.addWidget(panel)
    panel.resize(288, 800)
    panel.show()
    qtbot.waitExposed(panel)
    return panel
