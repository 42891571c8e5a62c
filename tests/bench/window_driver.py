"""Drives the real window, in a process of its own, through the main job and measures how long it stands still.

`python tests/bench/window_driver.py MODEL_FOLDER [--stacks FILE]` prints a JSON object: phase -> [longest time between
two turns of the event loop, the part of it that the window's own thread worked, how many such times were over 50 ms],
in milliseconds; and "slider": what was changed -> [median, longest] time from the edit to the painted histogram. With
`--stacks`, what all threads were doing 45 ms into each stand-still is written to FILE.

No Qt at module level: the worker process imports this module again.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gui.main_window import MainWindow

sys.path.insert(0, str(Path(__file__).parents[2]))
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

LIMIT, WATCH, BEAT_MS = 0.050, 0.045, 5
PATIENCE = 240.0
SLIDES = 25
WEIGHTS = 1_000_000


class Gaps:
    """Follows the event loop with a timer."""

    def __init__(self, stacks: IO[str] | None) -> None:
        from PySide6.QtCore import Qt, QTimer

        self._stacks = stacks
        self.phase = "late start"
        self.longest: dict[str, tuple[float, float]] = {}
        self.over: dict[str, int] = {}
        self._last, self._worked = time.perf_counter(), time.thread_time()
        self._timer = QTimer(interval=BEAT_MS)
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._beat)
        self._timer.start()

    def _beat(self) -> None:
        now, worked = time.perf_counter(), time.thread_time()
        gap = (now - self._last, worked - self._worked)
        self.longest[self.phase] = max(self.longest.get(self.phase, (0.0, 0.0)), gap)
        if gap[0] > LIMIT:
            self.over[self.phase] = self.over.get(self.phase, 0) + 1
            if self._stacks is not None:
                self._stacks.write(f"^^^ {self.phase}: {gap[0] * 1e3:.0f} ms, {gap[1] * 1e3:.0f} ms worked\n\n")
                self._stacks.flush()
        self._last, self._worked = now, worked
        if self._stacks is not None:
            faulthandler.dump_traceback_later(WATCH, file=self._stacks)

    def table(self) -> dict[str, tuple[float, float, int]]:
        return {phase: (round(gap * 1e3, 1), round(worked * 1e3, 1), self.over.get(phase, 0))
                for phase, (gap, worked) in self.longest.items()}


def until(condition: Callable[[], bool], what: str) -> None:
    """Run the event loop until the condition holds."""
    from PySide6.QtCore import QEventLoop, QTimer

    loop, end = QEventLoop(), time.monotonic() + PATIENCE

    def look() -> None:
        if condition() or time.monotonic() > end:
            loop.quit()

    timer = QTimer(interval=BEAT_MS)
    timer.timeout.connect(look)
    timer.start()
    loop.exec()
    if not condition():
        raise TimeoutError(what)


def wait(milliseconds: int) -> None:
    """Run the event loop for a while, as it runs when the person looks at the window."""
    from PySide6.QtCore import QEventLoop, QTimer

    loop = QEventLoop()
    QTimer.singleShot(milliseconds, loop.quit)
    loop.exec()


def drive(window: MainWindow, folder: Path, gaps: Gaps, scratch: Path) -> dict[str, Any]:
    from core.recipe import Step

    session, times = window.session, {}
    until(lambda: window.workspace.filled and len(window.workspace.lenses.keys) > 1, "lenses")
    wait(3000)
    gaps.phase, started = "open", time.perf_counter()
    session.open_model(folder / "model.onnx")
    until(lambda: session.model is not None, "model")
    times["open and show the table"] = time.perf_counter() - started
    model = session.model
    if model is None:
        raise RuntimeError("no model")
    until(lambda: len(session.statistics) == len(model.layers) and not session.tasks.busy, "statistics")
    times["all statistics"] = time.perf_counter() - started
    gaps.phase = "select"
    for layer in model.layers[:: max(1, len(model.layers) // 20)]:
        session.select((layer.name,))
        wait(150)
    until(lambda: not session.tasks.busy, "selected")
    gaps.phase = "select all"
    window.select_all()
    wait(300)
    gaps.phase = "data"
    session.load_data(folder / "calib.npz")
    until(lambda: session.samples is not None, "data")
    gaps.phase = "plan"
    session.set_steps([layer.name for layer in model.layers], [Step.make("quantize", bits=8)])
    until(lambda: session.predicted_bytes is not None and not session.tasks.busy, "plan")
    slider = slide(window, gaps)
    gaps.phase = "plan again"
    session.set_steps([layer.name for layer in model.layers], [Step.make("quantize", bits=8)])
    until(lambda: session.predicted_bytes is not None and not session.tasks.busy, "plan")
    gaps.phase, started = "compress", time.perf_counter()
    window.show_lens("compare")
    session.compress()
    until(lambda: session.result is not None, "compressed")
    times["compress"] = time.perf_counter() - started
    gaps.phase = "look at the result"
    wait(500)
    window.show_lens("weights")
    wait(500)
    gaps.phase = "export"
    session.export(scratch / "out.onnx")
    until(lambda: not session.tasks.busy and (scratch / "out.onnx").exists(), "exported")
    gaps.phase = "open again"
    session.open_model(folder / "model.onnx")
    until(lambda: session.model is not model, "model")
    until(lambda: not session.tasks.busy, "statistics")
    return {"gaps": gaps.table(), "slider": slider, "times": {k: round(v, 2) for k, v in times.items()}}


def slide(window: MainWindow, gaps: Gaps) -> dict[str, tuple[float, float]]:
    """Time from an edit of the layer nearest to a million weights to its painted histogram, by what is edited."""
    from core.recipe import Step

    session, model = window.session, window.session.model
    if model is None:
        raise RuntimeError("no model")
    window.show_lens("weights")
    matrices = [layer for layer in model.layers if not layer.locked and len(layer.shape) == 2]
    layer = min(matrices or model.layers, key=lambda one: abs(one.n_weights - WEIGHTS))
    session.select((layer.name,))
    until(lambda: not session.tasks.busy, "selected")
    ways: dict[str, Callable[[int], list[Step]]] = {
        "prune": lambda i: [Step.make("prune", ratio=0.3 + 0.02 * i)],
        "int4": lambda i: [Step.make("quantize", bits=4 if i % 2 else 3)],
        "prune + int4": lambda i: [Step.make("prune", ratio=0.3 + 0.02 * i), Step.make("quantize", bits=4)],
        "codebook": lambda i: [Step.make("quantize", scheme="codebook", bits=3 + i % 2)],
        "low rank": lambda i: [Step.make("low_rank", rank=20 + i)],
    }
    found: dict[str, tuple[float, float]] = {}
    for way, steps in ways.items():
        gaps.phase = f"drag, {way}"
        seen = [_edit(window, layer.name, steps(i)) for i in range(SLIDES)][1:]
        found[way] = (round(statistics.median(seen) * 1e3, 1), round(max(seen) * 1e3, 1))
        session.finish_edit()
        until(lambda: not session.tasks.busy, "settled")
    return {f"{layer.name} ({layer.n_weights:,} weights)": (0.0, 0.0), **found}


def _edit(window: MainWindow, name: str, steps: list[Any]) -> float:
    """One position of a slider: seconds from the edit until its histogram is painted."""
    from gui.inspector.live import LiveLayer
    from gui.lenses.weights import WeightsLens

    live = LiveLayer.of(window.session)
    before = live.shown.preview if live.shown is not None else None
    started = time.perf_counter()
    window.session.set_steps([name], steps, merge_key="bench")
    until_turn(lambda: live.shown is not None and live.shown.preview is not before)
    lens = window.workspace.lenses.current
    if isinstance(lens, WeightsLens):
        lens.histogram.viewport().repaint()  # what the next turn of the loop would paint, now
    seconds = time.perf_counter() - started
    wait(30)
    return seconds


def until_turn(condition: Callable[[], bool]) -> None:
    """Like `until`, without the timer's grain: looks after every event."""
    from PySide6.QtCore import QCoreApplication, QEventLoop

    end = time.monotonic() + PATIENCE
    while not condition():
        QCoreApplication.processEvents(QEventLoop.ProcessEventsFlag.WaitForMoreEvents, 20)
        if time.monotonic() > end:
            raise TimeoutError("no preview")


def main(drive: Callable[[MainWindow, Path, Gaps, Path], dict[str, Any]]) -> None:
    """Let `drive(window, model folder, gaps, scratch folder)` loose on a fresh window and print what it gives."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--stacks", type=Path)
    arguments = parser.parse_args()
    from PySide6.QtCore import QTimer

    from gui.app import make_application, start
    from gui.settings import Settings

    app = make_application([])
    stacks = arguments.stacks.open("w") if arguments.stacks is not None else None
    with tempfile.TemporaryDirectory() as scratch:
        window = start(app, Settings(Path(scratch)))
        window.resize(1440, 900)
        gaps: list[Gaps] = []
        window.firstPaint.connect(lambda: gaps.append(Gaps(stacks)))

        def run() -> None:
            code = 1
            try:
                print(json.dumps(drive(window, arguments.folder, gaps[0], Path(scratch))), flush=True)
                code = 0
            finally:
                faulthandler.cancel_dump_traceback_later()
                window.close()
                app.exit(code)

        window.firstPaint.connect(lambda: QTimer.singleShot(0, run))
        window.show()
        code = app.exec()
    raise SystemExit(code)


if __name__ == "__main__":
    main(drive)
