"""A session with a small model open, and the inspector on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from gui.inspector.panel import Inspector
from gui.session import Session


@pytest.fixture
def session(qtbot: QtBot, tmp_path: Path, cnn_path: Path) -> Iterator[Session]:
    session = Session(tmp_path / "work")
    session.open_model(cnn_path)
    qtbot.waitUntil(lambda: session.model is not None and not session.tasks.busy, timeout=30_000)
    yield session
    session.close()


@pytest.fixture
def panel(qtbot: QtBot, session: Session) -> Inspector:
    panel = Inspector(session)
    qtbot.addWidget(panel)
    panel.resize(288, 800)
    panel.show()
    qtbot.waitExposed(panel)
    return panel
