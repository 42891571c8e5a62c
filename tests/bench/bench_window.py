"""The window's own times: first paint, opening a large model, longest gap of the event loop. Asserts nothing."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from core.recipe import Step
from gui.app import start
from gui.settings import Settings

ROOT = Path(__file__).parents[2]
PATIENCE_MS = 240_000


class Gaps:
    """The longest time between two turns of the event loop, by phase; and the part of it that this thread worked."""

    def __init__(self) -> None:
        self._last, self._worked = time.perf_counter(), time.thread_time()
        self._phase = ""
        self.longest: dict[str, tuple[float, float]] = {}
        self._timer = QTimer(interval=1)
        self._timer.timeout.connect(self._beat)
        self._timer.start()

    def phase(self, name: str) -> None:
        self._phase = name

    def _beat(self) -> None:
        now, worked = time.perf_counter(), time.thread_time()
        gap = (now - self._last, worked - self._worked)
        self.longest[self._phase] = max(self.longest.get(self._phase, (0.0, 0.0)), gap)
        self._last, self._worked = now, worked


@pytest.mark.bench
def test_first_paint(tmp_path: Path) -> None:
    code = ("import sys, time; t = time.perf_counter(); from pathlib import Path; from gui.app import start;"
            "from gui.settings import Settings; from PySide6.QtWidgets import QApplication; app = QApplication([]);"
            "w = start(app, Settings(Path(sys.argv[1])));"
            "w.firstPaint.connect(lambda: (print(f'{time.perf_counter() - t:.2f} s'), w.close(), app.quit()));"
            "w.show(); app.exec()")
    for run in ("first", "second", "third"):
        done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, capture_output=True, text=True,
                              timeout=60, check=True)
        print(f"first paint, {run} start: {done.stdout.strip()}")


@pytest.mark.bench
@pytest.mark.models
def test_open_and_compress_a_large_model(qapp: QApplication, qtbot: QtBot, tmp_path: Path, models_dir: Path) -> None:
    window = start(qapp, Settings(tmp_path))
    window.resize(1440, 900)
    window.show()
    qtbot.waitUntil(lambda: window.workspace.filled and len(window.workspace.lenses.keys) > 1, timeout=PATIENCE_MS)
    qtbot.waitUntil(lambda: not window.session.tasks.busy, timeout=PATIENCE_MS)
    session, gaps, folder = window.session, Gaps(), models_dir / "minilm"
    gaps.phase("open")
    started = time.perf_counter()
    session.open_model(folder / "model.onnx")
    qtbot.waitUntil(lambda: session.model is not None, timeout=PATIENCE_MS)
    window.workspace.layers.table.viewport().repaint()
    print(f"open and show the table: {time.perf_counter() - started:.2f} s")
    assert session.model is not None
    layers = session.model.layers
    qtbot.waitUntil(lambda: len(session.statistics) == len(layers), timeout=PATIENCE_MS)
    print(f"all statistics: {time.perf_counter() - started:.2f} s")
    gaps.phase("plan")
    session.load_data(folder / "calib.npz")
    session.set_steps([layer.name for layer in layers], [Step.make("quantize", bits=8)])
    qtbot.waitUntil(lambda: session.samples is not None and session.predicted_bytes is not None, timeout=PATIENCE_MS)
    gaps.phase("compress")
    session.compress()
    qtbot.waitUntil(lambda: session.result is not None, timeout=PATIENCE_MS)
    for phase, (gap, worked) in gaps.longest.items():
        print(f"longest gap, {phase}: {gap * 1e3:.0f} ms, of it {worked * 1e3:.0f} ms worked in the window's thread")
    window.close()
