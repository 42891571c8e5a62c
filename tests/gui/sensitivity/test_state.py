"""Sensitivity in the window: comes by itself, is measured on demand, is kept, and says when it is out of date."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pytestqt.qtbot import QtBot

from core.errors import FeatherweightError
from core.recipe import Step
from gui.sensitivity.state import FREE, MEASURE, QUIET_MS, Phase
from gui.session import Session

PATIENCE_MS = 120_000
Opened = Callable[[Session, Path], Session]


@pytest.fixture
def data_path(tmp_path: Path) -> Path:
    return samples(tmp_path / "data.npz", 0)


def samples(path: Path, seed: int) -> Path:
    random = np.random.default_rng(seed)
    np.savez(path, x=random.normal(size=(12, 3, 8, 8)).astype(np.float32))
    return path


def load(session: Session, path: Path, qtbot: QtBot) -> None:
    session.load_data(path)
    qtbot.waitUntil(lambda: session.data_path == path, timeout=PATIENCE_MS)


def wait_made(session: Session, qtbot: QtBot) -> None:
    qtbot.waitUntil(lambda: session.sensitivity.made is not None, timeout=PATIENCE_MS)


def wait_measured(session: Session, qtbot: QtBot) -> None:
    qtbot.waitUntil(lambda: session.sensitivity.measured, timeout=PATIENCE_MS)


def test_the_table_without_data_comes_by_itself_and_another_model_has_its_own(
    session: Session, opened: Opened, cnn_path: Path, mlp_path: Path, qtbot: QtBot
) -> None:
    state = session.sensitivity
    assert state.grid is None and state.phase is Phase.NONE
    told: list[str] = []
    state.changed.connect(told.extend)
    opened(session, cnn_path)
    wait_made(session, qtbot)
    assert session.model is not None and state.grid is not None
    free, fast, measured = state.grid.counts()
    assert free > 20 and (fast, measured) == (0, 0) and state.samples == 0 and not state.stale and not state.measured
    assert set(told) == {layer.name for layer in session.model.layers} and state.phase is Phase.DONE
    opened(session, mlp_path)
    assert state.made is None and state.grid is None
    wait_made(session, qtbot)
    assert session.model is not None and state.grid is not None
    assert state.grid.names == tuple(layer.name for layer in session.model.layers)
    session.close_model()
    assert state.grid is None and state.phase is Phase.NONE


def test_measuring_shows_what_comes_and_is_kept_for_the_next_time(
    session: Session, opened: Opened, cnn_path: Path, data_path: Path, tmp_path: Path, qtbot: QtBot
) -> None:
    state = session.sensitivity
    opened(session, cnn_path)
    load(session, data_path, qtbot)
    state.measure()
    assert state.phase is Phase.RUNNING and session.running(MEASURE)
    assert [task.title for task in session.tasks.states] == ["Measuring sensitivity"]
    wait_measured(session, qtbot)
    assert state.made is not None and state.grid is not None
    _free, fast, measured = state.grid.counts()
    assert measured and fast > 5 and state.samples == 12 and state.made.measure == state.grid.measure != "weight"
    errors = state.grid.errors.copy()
    other = Session(tmp_path / "other")
    other.sensitivity.cache_folder = state.cache_folder
    try:
        opened(other, cnn_path)
        wait_made(other, qtbot)  # without data: the best that is known, and it says of what
        assert other.sensitivity.samples == 12 and other.sensitivity.stale and not other.sensitivity.measured
        load(other, data_path, qtbot)
        wait_measured(other, qtbot)
        grid = other.sensitivity.grid
        assert grid is not None and np.array_equal(grid.errors, errors, equal_nan=True)
        assert other.tasks.worker_pid is None  # nothing was computed
    finally:
        other.close()


def test_other_data_makes_figures_out_of_date(
    session: Session, opened: Opened, cnn_path: Path, data_path: Path, tmp_path: Path, qtbot: QtBot
) -> None:
    state = session.sensitivity
    opened(session, cnn_path)
    load(session, data_path, qtbot)
    state.measure("fast")
    wait_measured(session, qtbot)
    load(session, samples(tmp_path / "others.npz", 1), qtbot)
    assert state.stale and not state.measured and state.grid is not None
    state.measure("fast")
    assert state.grid.counts() == (0, 0, 0)  # nothing of the other samples stays among what comes
    session.cancel()
    wait_made(session, qtbot)  # what was made before is shown again, and says of what it is
    assert not state.measured


def test_without_data_measuring_asks_for_some(
    session: Session, opened: Opened, mlp_path: Path, qtbot: QtBot
) -> None:
    session.sensitivity.measure()  # without a model there is nothing to ask
    opened(session, mlp_path)
    with qtbot.waitSignal(session.sensitivity.dataMissing, timeout=1000):
        session.sensitivity.measure()
    assert not session.running(MEASURE)


def test_cancel_keeps_what_there_is(
    session: Session, opened: Opened, cnn_path: Path, data_path: Path, qtbot: QtBot
) -> None:
    state = session.sensitivity
    opened(session, cnn_path)
    wait_made(session, qtbot)
    load(session, data_path, qtbot)
    state.measure()
    session.cancel()
    assert state.phase is Phase.DONE and state.problem == "Measuring was cancelled." and not session.running(MEASURE)
    assert state.grid is not None and sum(state.grid.counts()) > 20
    state.measure("fast")
    assert state.problem == "" and state.phase is Phase.RUNNING


def test_figures_nobody_asked_for_give_way(
    session: Session, opened: Opened, cnn_path: Path, qtbot: QtBot
) -> None:
    opened(session, cnn_path)
    qtbot.waitUntil(lambda: session.running(FREE), timeout=PATIENCE_MS)
    session.set_steps(("fc.weight",), (Step.make("quantize"),))
    session.compress()
    assert not session.running(FREE)
    qtbot.waitUntil(lambda: session.result is not None, timeout=PATIENCE_MS)
    assert session.sensitivity.made is None
    wait_made(session, qtbot)  # and come later all the same


def test_a_file_that_changed_is_not_measured(
    session: Session, opened: Opened, cnn_path: Path, data_path: Path, qtbot: QtBot
) -> None:
    opened(session, cnn_path)
    load(session, data_path, qtbot)
    qtbot.wait(QUIET_MS // 10)
    cnn_path.write_bytes(cnn_path.read_bytes() + b"\0")
    with qtbot.waitSignal(session.failed, timeout=PATIENCE_MS) as heard:
        session.sensitivity.measure()
    assert isinstance(heard.args[0], FeatherweightError) and not session.running(MEASURE)
