"""The totals: honest before anything is measured, predicted while planning, measured after compressing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from pytestqt.qtbot import QtBot

from core.analysis.comparison import Comparison
from core.analysis.latency import LatencyComparison, Timing
from core.analysis.metrics import Task
from core.recipe import Step
from gui.session import Session
from gui.totals.bar import TotalsBar
from gui.totals.figures import Figure, answer_figure, latency_figure, memory_figure, work_figure

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
    assert "measured on 12 samples" in shown["Output SQNR"].note
    assert "points" in shown["Accuracy"].note or "unchanged" in shown["Accuracy"].note
    assert shown["Latency"].before and shown["Latency"].after
    session.set_steps(["fc1.weight"], None)
    stale = by_title(bar)["Output SQNR"]
    assert stale.stale and "edited since" in stale.note
    qtbot.waitUntil(lambda: session.predicted_bytes is not None, timeout=PATIENCE_MS)
    assert by_title(bar)["File size"].note.endswith("predicted")
    session.start_afresh()  # nothing is left to compress, so nothing asks to
    shown = by_title(bar)
    assert shown["File size"].note == "no steps yet"
    assert shown["Output SQNR"].stale and shown["Output SQNR"].note == "measured with steps, now none"


def test_a_plan_of_graph_steps_alone_has_a_predicted_size(bar: TotalsBar, session: Session, opened: Opened,
                                                          sample_files: tuple[Path, Path], qtbot: QtBot) -> None:
    opened(session, sample_files[0])
    step = Step.make("replace_activation")
    session.set_recipe(replace(session.recipe, graph=(step,)), (), text="replace")
    assert by_title(bar)["File size"].note == "being predicted"
    qtbot.waitUntil(lambda: session.predicted_bytes is not None, timeout=PATIENCE_MS)
    assert by_title(bar)["File size"].note != "no steps yet"


@pytest.mark.parametrize(("before", "after", "note", "role"), [
    ((1.0, 0.9, 1.3), (0.8, 0.7, 0.95), "within spread", "muted"),
    ((1.0, 0.9, 1.1), (0.5, 0.45, 0.6), "2.0× faster", "good"),
    ((1.0, 0.99, 1.01), (1.03, 1.02, 1.04), "same speed", "muted"),
    ((1.0, 0.9, 1.1), (1.5, 1.4, 1.6), "1.5× slower", "warn"),
])
def test_speed_within_the_spread_is_the_same(before: tuple[float, float, float], after: tuple[float, float, float],
                                             note: str, role: str) -> None:
    latency = LatencyComparison(timing(*before), timing(*after), 1, 20)
    figure = latency_figure(measured(latency=latency))
    assert figure.note.startswith(note) and figure.role == role
    assert figure.detail.startswith("no difference beyond the spread") == ("within spread" in note)


@pytest.mark.parametrize(("after", "note", "role"), [
    (114, "about the same", "muted"), (88, "about the same", "muted"), (70, "−30 %, measured", "good"),
    (150, "+50 %, measured", "warn"),
])
def test_memory_within_what_processes_differ_by_is_the_same(after: int, note: str, role: str) -> None:
    figure = memory_figure(measured(memory_before=100_000_000, memory_after=after * 1_000_000))
    assert figure.note.startswith(note) and figure.role == role


@pytest.mark.parametrize(("before", "after", "note"), [
    (1_610_000_000, 1_610_000_000, "unchanged"), (1_000_000, 250_000, "−75 %, counted"),
])
def test_multiply_adds_are_counted(before: int, after: int, note: str) -> None:
    figure = work_figure(measured(multiply_adds_before=before, multiply_adds_after=after))
    assert figure is not None and figure.note == note


def test_multiply_adds_that_cannot_be_counted_have_no_card() -> None:
    assert work_figure(measured()) is None


def test_accuracy_says_points_and_samples_in_few_words() -> None:
    figure = answer_figure(measured(accuracy_before=0.9, accuracy_after=0.296))
    assert figure.note == "−60.40 points · 512 samples"
    assert (figure.before, figure.after) == ("90.00 %", "29.60 %")
    near = answer_figure(measured(accuracy_before=0.9862, accuracy_after=0.9858))
    assert (near.before, near.after) == ("98.62 %", "98.58 %") and near.note.startswith("−0.04 points")


def timing(median: float, low: float, high: float) -> Timing:
    return Timing(median, low, high, 20, 1.0)


def measured(**figures: Any) -> Any:
    """What the figures ask of a session, with a comparison of these figures."""
    comparison = Comparison(512, "test.npz", Task.CLASSES, "", 30.0, 0.01, (), (), **figures)
    return SimpleNamespace(comparison=comparison, result_current=True)


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
