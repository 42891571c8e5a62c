"""Drives the real window, in a process of its own, through a fine-tuning and measures how long it stands still.

`python tests/bench/training_driver.py MODEL_FOLDER [--stacks FILE]` prints a JSON object: "gaps" as window_driver does,
by phase, and "times": seconds until a cancelled training has left the window, until its process has stopped or is idle,
and so on. No Qt at module level: the worker processes import this module again.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parent))
from window_driver import Gaps, main, until, wait

if TYPE_CHECKING:
    from gui.main_window import MainWindow

_EPOCHS = 200
_WATCH_MS = 8000


def drive(window: MainWindow, folder: Path, gaps: Gaps, scratch: Path) -> dict[str, Any]:
    from core.recipe import Step
    from core.training.settings import TrainingSettings
    from gui.training.dialog import ask_training
    from gui.training.finetune import Wish, asked_of
    from gui.training.state import Phase

    os.environ["FEATHERWEIGHT_RUNS"] = str(scratch / "runs")
    session, state, times = window.session, window.session.training, {}
    until(lambda: window.workspace.filled and "training" in window.workspace.lenses.keys, "lenses")
    wait(3000)
    session.open_model(folder / "model.onnx")
    until(lambda: session.model is not None and not session.tasks.busy, "model")
    session.load_data(folder / "valid.npz")
    until(lambda: session.samples is not None, "data")
    model = session.model
    if model is None:
        raise RuntimeError("no model")
    steps = [Step.make("prune", ratio=0.8), Step.make("quantize:codebook", bits=4)]
    session.set_steps([layer.name for layer in model.layers], steps)
    until(lambda: session.predicted_bytes is not None and not session.tasks.busy, "plan")
    window.show_lens("training")
    wait(500)
    gaps.phase = "form"
    form = ask_training(window)
    until(lambda: form.trouble.text() != "" or "About" in form.time.text(), "a few steps")
    form.form.more.click()
    wait(500)
    form.reject()
    gaps.phase, started = "begin", time.perf_counter()
    state.start(asked_of(session, Wish(TrainingSettings(epochs=_EPOCHS), folder / "valid.npz")))
    until(lambda: state.phase is Phase.RUNNING, "running")
    times["until the first step"] = time.perf_counter() - started
    gaps.phase = "train"
    wait(_WATCH_MS)
    gaps.phase = "train, other lenses and layers"
    for lens in ("weights", "sensitivity", "training"):
        window.show_lens(lens)
        for layer in model.layers[:4]:
            session.select((layer.name,))
            wait(200)
    gaps.phase, started = "train, and compress beside it", time.perf_counter()
    session.compress()
    until(lambda: session.result is not None, "compressed")
    times["compress beside it"] = time.perf_counter() - started
    gaps.phase, started = "pause", time.perf_counter()
    state.pause(True)
    until(lambda: state.phase is Phase.PAUSED, "paused")
    times["pause"] = time.perf_counter() - started
    state.pause(False)
    until(lambda: state.phase is Phase.RUNNING, "goes on")
    wait(1000)
    times["epochs"] = float(state.series[-1].epochs_done)
    gaps.phase = "cancel"
    times |= _cancel(window)
    gaps.phase = "look at what there is"
    wait(1000)
    return {"gaps": gaps.table(), "times": {k: round(v, 3) for k, v in times.items()}}


def _cancel(window: MainWindow) -> dict[str, float]:
    """Seconds until the window is free, and until the training's process has stopped working or is gone."""
    import psutil

    session = window.session
    process = psutil.Process(session.tasks.training_pid)
    started = time.perf_counter()
    session.training.cancel()
    free = time.perf_counter() - started

    def stopped() -> bool:
        if session.tasks.training_pid != process.pid or not process.is_running():
            return True
        return process.cpu_percent(None) < 5.0 and time.perf_counter() - started > 0.05

    process.cpu_percent(None)
    until_stopped(stopped)
    return {"cancel: window free": free, "cancel: process idle or gone": time.perf_counter() - started}


def until_stopped(stopped: Any) -> None:
    """Look every 50 ms, which is what a share of a core is measured over."""
    for _turn in range(200):
        wait(50)
        if stopped():
            return
    raise TimeoutError("the training does not stop")


if __name__ == "__main__":
    main(drive)
