"""Data and its options come back with the plan that was kept of a model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from pytestqt.qtbot import QtBot

from core.data import DataOptions
from core.recipe import Step
from gui.layers.rows import is_measured
from gui.main_window import MainWindow
from gui.session import Session

PATIENCE_MS = 60_000


def test_options_come_back_with_the_plan(
    window: MainWindow, opened: Callable[[Session, Path], Session], mlp_path: Path, cnn_path: Path, qtbot: QtBot
) -> None:
    data = mlp_path.with_name("data.npz")
    np.savez(data, x=np.random.default_rng(0).normal(size=(6, 16)).astype(np.float32))
    session = opened(window.session, mlp_path)
    session.load_data(data, DataOptions(metric="kl"))
    qtbot.waitUntil(lambda: session.samples is not None, timeout=PATIENCE_MS)
    session.set_steps(["fc1.weight"], [Step.make("quantize", bits=3)])
    window.open_path(cnn_path)
    qtbot.waitUntil(lambda: session.model is not None and session.model.path == cnn_path, timeout=PATIENCE_MS)
    assert session.samples is None and session.data_options == DataOptions()
    window.open_path(mlp_path)
    qtbot.waitUntil(lambda: session.samples is not None, timeout=PATIENCE_MS)
    assert session.data_path == data and session.data_options == DataOptions(metric="kl")


def test_another_metric_makes_a_result_stale_and_reads_no_number_anew(
    session: Session, opened: Callable[[Session, Path], Session], mlp_path: Path, qtbot: QtBot
) -> None:
    data = mlp_path.with_name("data.npz")
    np.savez(data, x=np.random.default_rng(0).normal(size=(6, 16)).astype(np.float32))
    opened(session, mlp_path)
    session.load_data(data)
    qtbot.waitUntil(lambda: session.samples is not None, timeout=PATIENCE_MS)
    session.set_steps(["fc1.weight"], [Step.make("quantize", bits=3)])
    session.compress()
    qtbot.waitUntil(lambda: session.result is not None, timeout=PATIENCE_MS)
    read_as = session.data.read_as
    assert session.result_current and session.samples is not None
    kl = session.samples.with_options(DataOptions(metric="kl"))
    assert kl is not None
    session.data.take(kl, data)
    assert not session.result_current and session.data.read_as == read_as
    assert is_measured(session, "fc1.weight")  # the layer's own error has nothing to do with the metric
    session.compress()
    qtbot.waitUntil(lambda: session.result_current, timeout=PATIENCE_MS)
    assert session.comparison is not None and session.comparison.score is not None
    assert session.comparison.score.metric == "kl"
