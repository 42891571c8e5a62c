"""The Compare lens: honest before a run, live during it, complete after it, and stale when the plan moves on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from core.recipe import Step
from gui.lenses.compare import CompareLens
from gui.lenses.compare_state import ISOLATED
from gui.session import Session

PATIENCE_MS = 120_000
Opened = Callable[[Session, Path], Session]


@pytest.fixture
def lens(qtbot: QtBot, session: Session) -> CompareLens:
    lens = CompareLens()
    qtbot.addWidget(lens)
    lens.set_session(session)
    lens.resize(640, 700)
    lens.show()
    return lens


@pytest.fixture
def data_path(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    path = tmp_path / "data.npz"
    np.savez(path, x=random.normal(size=(12, 3, 8, 8)).astype(np.float32), labels=np.arange(12) % 4)
    return path


def with_data(session: Session, path: Path, qtbot: QtBot) -> None:
    session.load_data(path)
    qtbot.waitUntil(lambda: session.samples is not None, timeout=PATIENCE_MS)


def compressed(session: Session, qtbot: QtBot) -> None:
    session.set_steps(("conv.weight", "fc.weight"), (Step.make("quantize", bits=3),))
    session.compress()
    qtbot.waitUntil(lambda: session.result is not None and not session.tasks.busy, timeout=PATIENCE_MS)


def test_empty_states_say_what_to_do(
    qtbot: QtBot, lens: CompareLens, session: Session, opened: Opened, cnn_path: Path, data_path: Path
) -> None:
    assert lens.empty.isVisible() and lens.empty.words().startswith("No model is open.")
    opened(session, cnn_path)
    assert lens.error_card.empty.words().startswith("There is no data to compare on. Load data")
    with_data(session, data_path, qtbot)
    assert lens.error_card.empty.words().startswith("Nothing is planned yet. Add steps")
    session.set_steps(("conv.weight",), (Step.make("quantize"),))
    assert lens.error_card.empty.words().startswith("Nothing has been compressed yet. Press Compress")
    assert lens.sample_card.empty.isVisible() and lens.accuracy_card.empty.isVisible()


def test_bars_arrive_while_compressing(
    qtbot: QtBot, lens: CompareLens, session: Session, opened: Opened, cnn_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(session, cnn_path)
    session.set_steps(("conv.weight", "fc.weight"), (Step.make("quantize"),))
    monkeypatch.setattr(type(session), "running", lambda self, key: True)
    session.runStarted.emit()
    assert lens.error_card.bars.kinds() == ("pending", "pending")
    session.layerFinished.emit(SimpleNamespace(name="conv.weight", skipped=""))
    session.liveError.emit("conv.weight", 21.0)
    qtbot.waitUntil(lambda: lens.error_card.bars.kinds() == ("over", "pending"))
    assert "compressing: 1 of 2 layers" in lens.error_card.caption.plain_text
    assert "first below 30 dB: conv (21.0 dB)" in lens.error_card.caption.plain_text
    monkeypatch.undo()
    session.stateChanged.emit()  # cancelled: nothing was compressed, and the lens says so
    assert lens.error_card.empty.isVisible()


def test_a_finished_run(
    qtbot: QtBot, lens: CompareLens, session: Session, opened: Opened, cnn_path: Path, data_path: Path
) -> None:
    opened(session, cnn_path)
    with_data(session, data_path, qtbot)
    compressed(session, qtbot)
    assert session.comparison is not None and session.model is not None

    assert len(lens.error_card.values) == len(session.model.layers)
    words = "the whole model compressed, so unlike the table; on 8 samples, the totals on 12"
    assert words in lens.error_card.caption.plain_text
    lens.error_card.choose(ISOLATED)
    assert len(lens.error_card.values) == 2
    assert "each layer alone, as in the table; on up to 8 samples" in lens.error_card.caption.plain_text

    lens.error_card.bars.picked.emit(1)
    assert session.selection == ("fc.weight",)

    worst, samples = lens.sample_card.caption.plain_text, session.comparison.samples
    assert worst.startswith(f"{samples[0].name}, 1 of 12, worst first")
    qtbot.mouseClick(lens.sample_card.forward, Qt.MouseButton.LeftButton)
    assert lens.sample_card.place == 1 and "2 of 12" in lens.sample_card.caption.plain_text
    qtbot.waitUntil(lambda: lens.sample_card.picture.image() is not None, timeout=PATIENCE_MS)
    scores = lens.sample_card.scores
    assert len(scores.pairs()) >= 3
    bottom = scores.mapTo(lens.sample_card, scores.rect().bottomLeft()).y()
    assert bottom < lens.sample_card.height() and scores.height() >= scores.sizeHint().height()
    assert "measured on 12 labelled samples" in lens.accuracy_card.caption.plain_text
    assert [pair.name for pair in lens.accuracy_card.chart.pairs()] == ["0", "1", "2", "3"]

    session.set_steps(("fc.weight",), ())
    assert "of the last run; the plan or the data changed since" in lens.error_card.caption.plain_text


def test_the_budget_moves_the_line(
    qtbot: QtBot, lens: CompareLens, session: Session, opened: Opened, cnn_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(session, cnn_path)
    session.set_steps(("conv.weight",), (Step.make("quantize"),))
    monkeypatch.setattr(type(session), "running", lambda self, key: True)
    session.runStarted.emit()
    session.liveError.emit("conv.weight", 21.0)
    qtbot.waitUntil(lambda: lens.error_card.bars.kinds() == ("over",))
    lens.error_card.budget.setValue(20)
    assert lens.error_card.bars.kinds() == ("fine",)
