"""The window's own times: first paint, opening a large model, longest gap of the event loop. Asserts nothing."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from core.recipe import Step
from gui.app import SWITCH_INTERVAL, start
from gui.inspector.live import LiveLayer
from gui.session import Session
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


@pytest.mark.bench
@pytest.mark.models
@pytest.mark.parametrize(("name", "layer"), [("ppocr_rec", "conv2d_175.w_0"), ("vit_digits", "val_268")])
def test_plan_steps_that_change_the_graph(
    qapp: QApplication, qtbot: QtBot, tmp_path: Path, models_dir: Path, name: str, layer: str
) -> None:
    """Cuts, steps from samples and replaced activations: gaps, and how soon the shown layer follows a cut's slider."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_INTERVAL)  # as in the program
    window = start(qapp, Settings(tmp_path))
    window.resize(1440, 900)
    window.show()
    qtbot.waitUntil(lambda: window.workspace.filled and len(window.workspace.lenses.keys) > 1, timeout=PATIENCE_MS)
    session = window.session
    session.open_model(models_dir / name / "model.onnx")
    qtbot.waitUntil(lambda: session.model is not None and not session.tasks.busy, timeout=PATIENCE_MS)
    session.load_data(models_dir / name / "calib.npz")
    qtbot.waitUntil(lambda: session.samples is not None, timeout=PATIENCE_MS)
    assert session.model is not None and session.recipe is not None
    names, empty = [one.name for one in session.model.layers if not one.locked], session.recipe
    session.select((layer,))
    settle(qtbot, session)
    gaps, live, seconds = Gaps(), LiveLayer.of(session), []
    gaps.phase("drag a cut")
    for position in range(10):
        before, started = session.prepared, time.perf_counter()
        session.set_steps([layer], [Step.make("prune_channels", ratio=0.2 + 0.05 * position)], merge_key="bench")
        assert session.predicted_bytes is None  # the totals say that they are being worked out
        qtbot.waitUntil(lambda before=before: session.prepared is not before, timeout=PATIENCE_MS)  # type: ignore[misc]
        shown = live.shown
        qtbot.waitUntil(lambda shown=shown: live.shown is not shown, timeout=PATIENCE_MS)  # type: ignore[misc]
        seconds.append(time.perf_counter() - started)
        settle(qtbot, session)
    print(f"{name}, cut's slider to picture: {statistics.median(seconds):.2f} s, longest {max(seconds):.2f} s")
    plans = {
        "feedback": empty.with_steps(dict.fromkeys(names, (Step.make("quantize", bits=4, rounding="feedback"),))),
        "static int8": empty.with_steps(dict.fromkeys(names, (Step.make("quantize", scheme="static"),))),
        "activations": replace(empty, graph=(Step.make("replace_activation", to="Relu"),)),
    }
    for phase, plan in plans.items():
        gaps.phase(phase)
        session.set_recipe(plan, tuple(names), text="bench")
        settle(qtbot, session)
        gaps.phase(f"compress, {phase}")
        before_run = session.result
        session.compress()
        qtbot.waitUntil(lambda old=before_run: session.result is not old, timeout=PATIENCE_MS)  # type: ignore[misc]
    gaps.phase("activations lens")
    window.show_lens("activations")
    settle(qtbot, session)
    for phase, (gap, worked) in gaps.longest.items():
        print(f"{name}, {phase}: {gap * 1e3:.0f} ms, of it {worked * 1e3:.0f} ms worked in the window's thread")
    window.close()
    sys.setswitchinterval(interval)


def settle(qtbot: QtBot, session: Session) -> None:
    """The plan is worked out and nothing runs any more."""
    qtbot.waitUntil(lambda: session.predicted_bytes is not None and session.prepared_fits and not session.tasks.busy,
                    timeout=PATIENCE_MS)
