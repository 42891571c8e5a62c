"""The totals: honest before anything is measured, predicted while planning, measured after compressing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pytestqt.qtbot import QtBot

from core.recipe import Step
from gui.session import Session
from gui.totals.bar import TotalsBar
from gui.totals.figures import Figure

PATIENCE_MS = 60_000
Opened = Callable[[Session, Path], Session]


@pytest.fixture
def bar(session: Session, qtbot: QtBot) -> TotalsBar:
    made = TotalsBar(session)
    qtbot.addWidget(made)
    made.resize(1440, 76)
    made.show()
    return made


def by_title(bar: TotalsBar) -> dict[str, Figure]:
    return {figure.title.split(",")[0]: figure for figure in bar.shown}


def test_nothing_is_claimed_without_a_model(bar: TotalsBar) -> None:
    assert {figure.before for figure in bar.shown} == {"—"}
    assert {figure.after for figure in bar.shown} == {""}


def test_says_what_to_do_before_data_and_before_compressing(bar: TotalsBar, session: Session, opened: Opened,
                                                            sample_files: tuple[Path, Path], qtbot: QtBot) -> None:
    model, data = sample_files
    opened(session, model)
    assert by_title(bar)["Latency"].note == "load data to measure it"
    assert by_title(bar)["File size"].note == "no steps yet"
    session.load_data(data)
    qtbot.waitUntil(lambda: session.samples is not None, timeout=PATIENCE_MS)
    assert by_title(bar)["Accuracy"].note == "compress to measure it"


def test_predicted_then_measured_then_stale(bar: TotalsBar, session: Session, opened: Opened,
                                            sample_files: tuple[Path, Path], qtbot: QtBot) -> None:
    model, data = sample_files
    opened(session, model)
    session.load_data(data)
    session.set_steps([layer.name for layer in session.model.layers] if session.model else [],
                      [Step.make("quantize", bits=8)])
    qtbot.waitUntil(lambda: session.samples is not None and session.predicted_bytes is not None, timeout=PATIENCE_MS)
    assert by_title(bar)["File size"].note.endswith("predicted")
    session.compress()
    qtbot.waitUntil(lambda: session.result is not None, timeout=PATIENCE_MS)
    shown = by_title(bar)
    assert shown["File size"].note.endswith("measured")
    assert "measured on 12 samples" in shown["Output error"].note
    assert "points" in shown["Accuracy"].note or "unchanged" in shown["Accuracy"].note
    assert shown["Latency"].before and shown["Latency"].after
    session.set_steps(["fc1.weight"], None)
    stale = by_title(bar)["Output error"]
    assert stale.stale and "edited since" in stale.note
    qtbot.waitUntil(lambda: session.predicted_bytes is not None, timeout=PATIENCE_MS)
    assert by_title(bar)["File size"].note.endswith("predicted")


def test_status_tells_the_running_task_and_cancels_it(bar: TotalsBar, session: Session, opened: Opened,
                                                      sample_files: tuple[Path, Path], qtbot: QtBot) -> None:
    opened(session, sample_files[0])
    session.set_steps(["fc1.weight"], [Step.make("quantize", bits=8)])
    session.compress()
    qtbot.waitUntil(bar.status.cancel.isVisible, timeout=PATIENCE_MS)
    assert bar.status.title.whole.startswith("Compressing")
    bar.status.cancel.click()
    assert not session.running("compress") and not bar.status.bar.isVisible()
    assert bar.status.title.whole == "No data loaded"


@pytest.fixture
def sample_files(mlp_path: Path, tmp_path: Path) -> tuple[Path, Path]:
    random = np.random.default_rng(0)
    data = tmp_path / "data.npz"
    np.savez(data, x=random.normal(size=(12, 16)).astype(np.float32), labels=np.arange(12) % 4)
    return mlp_path, data
