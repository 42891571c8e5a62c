"""From a moved slider to the redrawn histogram, on a layer of a million weights. Prints; asserts nothing on time."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import helper
from PySide6.QtCore import QEventLoop
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from core.recipe import Step
from gui.inspector.fields import NumberField
from gui.inspector.live import LiveLayer
from gui.inspector.panel import Inspector
from gui.lenses.weights import WeightsLens
from gui.session import Session
from gui.theme import theme

SIDE = 1024
MOVES = 20
PLANS = {
    "prune": ((Step.make("prune"),), "ratio"),
    "quantize": ((Step.make("quantize"),), "bits"),
    "prune + int4": ((Step.make("prune"), Step.make("quantize", bits=4)), "ratio"),
    "codebook": ((Step.make("quantize", scheme="codebook"),), "bits"),
}


@pytest.mark.bench
@pytest.mark.parametrize("plan", PLANS)
def test_slider_to_histogram(
    plan: str, qtbot: QtBot, qapp: QApplication, tmp_path: Path, make_model: Callable[..., Path]
) -> None:
    weight = np.random.default_rng(0).normal(0, 0.05, (SIDE, SIDE)).astype(np.float32)
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    path = make_model(nodes, {"w": weight}, {"x": ["n", SIDE]}, {"y": ["n", SIDE]})
    theme().apply(qapp)
    session = Session(tmp_path / "work")
    lens, panel = WeightsLens(), Inspector(session)
    qtbot.addWidget(lens)
    qtbot.addWidget(panel)
    lens.set_session(session)
    lens.resize(632, 700)
    lens.show()
    panel.show()
    session.open_model(path)
    qtbot.waitUntil(lambda: session.model is not None)
    steps, name = PLANS[plan]
    session.set_steps(("w",), steps)
    live = LiveLayer.of(session)
    qtbot.waitUntil(lambda: _arrived(live, steps), timeout=60_000)
    field = panel.step_list.cards[0].form.fields[name]
    assert isinstance(field, NumberField)
    times = [_move(field, position, qtbot, live, session) for position in _positions(field)]
    session.close()
    print(f"\n{plan}: median {np.median(times):.1f} ms, worst {max(times):.1f} ms of {len(times)} moves")
    assert len(times) == MOVES


def _positions(field: NumberField) -> list[int]:
    assert field.slider is not None
    low, high = field.slider.minimum(), field.slider.maximum()
    wanted = np.linspace(low + 0.2 * (high - low), low + 0.9 * (high - low), MOVES).round().astype(int).tolist()
    return [p if p != q else p + 1 for p, q in zip(wanted, [-1, *wanted[:-1]], strict=True)]


def _move(field: NumberField, position: int, qtbot: QtBot, live: LiveLayer, session: Session) -> float:
    """Milliseconds from setting the slider to the painted answer, with nothing else in the way."""
    assert field.slider is not None
    qtbot.waitUntil(lambda: not session.tasks.busy)
    loop = QEventLoop()  # waits as the program does: polling would fight the thread for the interpreter
    live.changed.connect(loop.quit)
    start = time.perf_counter()
    field.slider.setValue(position if position != field.slider.value() else position - 1)
    loop.exec()
    QApplication.processEvents()  # the repaint that the answer asked for
    return 1e3 * (time.perf_counter() - start)


def _arrived(live: LiveLayer, steps: tuple[Step, ...]) -> bool:
    return live.shown is not None and live.shown.steps == steps and live.shown.preview is not None
