"""The main job on the sample model, in the real window: python -m gui.demo [--out FOLDER]

Opens the sample, loads its test data, measures which layer hurts, plans to a budget, compresses, compares, exports,
opens the export again and runs it in ONNX Runtime. Prints what was measured and keeps the file, the recipe, the report
and pictures of the window. Works without a screen (QT_QPA_PLATFORM=offscreen). Any failure ends it with one sentence
and a non-zero exit code.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from PySide6.QtCore import QElapsedTimer, QEventLoop, QTimer
from PySide6.QtWidgets import QApplication

from core.errors import FeatherweightError, InternalError
from core.sample import sample_paths
from gui.app import start
from gui.settings import Settings
from gui.theme import theme
from gui.units import decibels, file_size, milliseconds, percent_change

if TYPE_CHECKING:
    from core.analysis.comparison import Comparison
    from core.jobs import CompressOutcome
    from gui.main_window import MainWindow

T = TypeVar("T")

WINDOW = (1440, 900)
PATIENCE_MS = 120_000
LOOK_MS = 20
SETTLE_MS = 400
BUDGET = "12%"
MINUTES = 1.0
"""What the plan may take of the original, and for how long other plans are measured."""
PARITY = 1e-5
"""Largest difference allowed between the figures of two runs of the same file."""


class Demo:
    """Drives one window through the main job; each step waits until the window has done it."""

    def __init__(self, window: MainWindow, folder: Path, pictures: Path) -> None:
        self._window, self._session = window, window.session
        self._folder, self._pictures = folder, pictures
        self._error: FeatherweightError | None = None
        self._session.failed.connect(self._hear_failure)

    def run(self) -> None:
        """Do it all; raises FeatherweightError when a step fails."""
        sample = sample_paths()
        self._wait(lambda: self._window.show_lens("weights"), "the lenses")
        self._open(sample.model)
        self._load(sample.data)
        self._measure()
        self._plan()
        self._picture("tradeoff")
        self._picture("sensitivity")
        self._picture("weights")
        self._picture("activations")
        outcome = self._compress()
        self._picture("compare")
        exported = self._export(sample.model)
        self._write_report(outcome)
        self._reopen(exported, outcome)
        say(f"Kept in {self._folder}: {', '.join(sorted(p.name for p in self._folder.iterdir() if p.is_file()))}")
        say(f"Pictures of the window in {self._pictures}")

    # -- the steps --------------------------------------------------------------------------------------------------

    def _open(self, path: Path) -> None:
        session = self._session
        session.open_model(path)
        self._wait(lambda: session.model is not None and session.model.path == path, f"opening {path.name}")
        model = needed(session.model)
        self._wait(lambda: len(session.statistics) == len(model.layers), f"the statistics of {path.name}")
        size = file_size(model.file_bytes)
        say(f"Opened {path.name}: {size}, {len(model.layers)} layers, opset {model.opset}")

    def _load(self, path: Path) -> None:
        session = self._session
        session.load_data(path)
        self._wait(lambda: session.samples is not None, f"loading {path.name}")
        say(f"Loaded {path.name}: {needed(session.samples).n} samples with labels")

    def _measure(self) -> None:
        """Which layer hurts, measured on the samples."""
        state = self._session.sensitivity
        state.measure()
        self._wait(lambda: state.measured and not self._session.tasks.busy, "measuring the sensitivity")
        hurts = max(needed(self._session.model).layers, key=lambda layer: finite(state.compared(layer.name)[0]))
        say(f"Measured the sensitivity on {state.samples} samples: {hurts.name} hurts most at 4 bits")

    def _plan(self) -> None:
        """The best plan for a share of the size, over all families."""
        from gui.planning.wish import Wish

        session = self._session
        session.plans.start(Wish("size", BUDGET, minutes=MINUTES))
        self._wait(lambda: session.plans.final and session.has_steps, "planning")
        plan, model = needed(session.plans.plan), needed(session.model)
        session.select([max(model.layers, key=lambda layer: layer.n_weights).name])
        self._wait_until_drawn("the plan's preview")
        say(f"Planned for {plan.budget.text}: {plan.evaluations} plans measured in {plan.seconds:.0f} s")
        for layer in plan.layers:
            say(f"  {layer.name}: {', '.join(layer.steps) or 'as it is'}")
        found = needed(plan.measured)
        say(f"  predicted {file_size(plan.bytes_predicted)} and {decibels(needed(plan.sqnr_predicted_db))} SQNR, "
            f"measured {decibels(found.sqnr_db)} on {found.samples} samples")

    def _compress(self) -> CompressOutcome:
        session = self._session
        session.compress()
        self._wait(lambda: session.result is not None and not session.running("compress"), "compressing")
        outcome = needed(session.result).outcome
        skipped = [f"{layer.name} ({layer.skipped})" for layer in outcome.layers if layer.skipped]
        if skipped:
            raise InternalError(f"layers of the sample were skipped: {', '.join(skipped)}")
        report = outcome.report
        say(f"Compressed in {outcome.seconds:.1f} s")
        say(f"  file, measured:   {file_size(report.bytes_before)} -> {file_size(report.bytes_after)} "
            f"({percent_change(report.bytes_before, report.bytes_after)}), "
            f"predicted {file_size(report.bytes_predicted)}")
        for line in measured(needed(outcome.comparison)):
            say(f"  {line}")
        return outcome

    def _export(self, source: Path) -> Path:
        """Export the compressed file and save the recipe beside it."""
        session, target = self._session, self._folder / f"{source.stem}-small.onnx"
        target.unlink(missing_ok=True)
        session.export(target)
        self._wait(lambda: target.is_file() and not session.running("export"), f"exporting {target.name}")
        session.save_recipe(self._folder / "recipe.yaml")
        say(f"Exported {target.name}, {file_size(target.stat().st_size)}; it was checked")
        return target

    def _write_report(self, outcome: CompressOutcome) -> None:
        """The report for people, and the figures as `featherweight-cli compress --json` gives them."""
        from core.cli import plain
        from core.commands.compress import as_data
        from core.report_job import write_report
        from core.reporting.subject import of_outcome

        model, recipe = needed(self._session.model), needed(self._session.recipe)
        write_report(of_outcome(outcome, model.name, recipe.dump()), self._folder / "report.html")
        figures = json.dumps(plain(as_data(outcome)), indent=2, ensure_ascii=False, allow_nan=False)
        (self._folder / "report.json").write_text(figures + "\n", encoding="utf-8")

    def _reopen(self, exported: Path, outcome: CompressOutcome) -> None:
        """Open the export in this window, and run it in ONNX Runtime apart from everything we wrote."""
        samples = needed(self._session.samples)
        labels = needed(samples.labels)
        self._open(exported)
        right = run_in_onnxruntime(exported, sample_paths().data)
        told = needed(needed(outcome.comparison).accuracy_after)
        say(f"Ran {exported.name} in stock ONNX Runtime: {percent(right)} of {len(labels)} answers right")
        if needed(outcome.comparison).n == len(labels) and abs(right - told) > PARITY:
            raise InternalError(f"ONNX Runtime gets {right:.4f} right, the window said {told:.4f}", where=exported.name)

    # -- helpers ----------------------------------------------------------------------------------------------------

    def _picture(self, lens: str) -> None:
        """Save the window with this lens, light and dark."""
        self._window.show_lens(lens)
        for mode in ("light", "dark"):
            theme().set_mode(mode)
            self._wait_until_drawn(f"the lens {lens}")
            file = self._pictures / f"{lens}-{mode}.png"
            if not self._window.grab().save(str(file)):
                raise FeatherweightError("the picture cannot be written", where=str(file), do="check the folder")
        theme().set_mode("light")

    def _hear_failure(self, error: FeatherweightError) -> None:
        self._error = error

    def _wait(self, ready: Callable[[], bool], what: str, hold_ms: int = 0) -> None:
        """Let the window work until `ready` has held for a while.

        Raises what the session reported, or InternalError after two minutes.
        """
        loop, look, clock, held = QEventLoop(), QTimer(interval=LOOK_MS), QElapsedTimer(), QElapsedTimer()

        def check() -> None:
            if not ready():
                held.invalidate()
            elif not held.isValid():
                held.start()
            settled = held.isValid() and held.elapsed() >= hold_ms
            if self._error is not None or settled or clock.elapsed() > PATIENCE_MS:
                loop.exit(0 if settled else 1)

        look.timeout.connect(check)
        clock.start()
        look.start()
        code = loop.exec()
        look.stop()
        if self._error is not None:
            raise self._error
        if code != 0:
            raise InternalError(f"{what} took longer than {PATIENCE_MS // 1000} s")

    def _wait_until_drawn(self, what: str) -> None:
        """Wait until no task has run for as long as the window's own delays take to start the next one."""
        self._wait(lambda: not self._session.tasks.busy, what, SETTLE_MS)


def measured(comparison: Comparison) -> list[str]:
    """A comparison as lines for a person."""
    on = f"on {comparison.n} samples"
    lines = [f"output, measured: {decibels(comparison.output_sqnr_db)} SQNR {on}"]
    if comparison.accuracy_before is not None and comparison.accuracy_after is not None:
        before, after = percent(comparison.accuracy_before), percent(comparison.accuracy_after)
        lines.append(f"accuracy:         {before} -> {after} {on}")
    if comparison.latency is not None:
        times = comparison.latency
        before, after = milliseconds(times.before.median_ms), milliseconds(times.after.median_ms)
        lines.append(f"latency, median:  {before} -> {after} ({times.threads} thread, both models in turn)")
    return lines


def run_in_onnxruntime(model: Path, data: Path) -> float:
    """Share of right answers, without any of our code: numpy and ONNX Runtime only."""
    import numpy as np
    import onnxruntime

    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    with np.load(data, allow_pickle=False) as arrays:
        feed = {port.name: arrays[port.name] for port in session.get_inputs()}
        scores = np.asarray(session.run(None, feed)[0])
        return float((scores.argmax(axis=1) == arrays["labels"]).mean())


def needed(value: T | None) -> T:
    """The value, which the step before has set."""
    if value is None:
        raise InternalError("a step of the demo did not leave what the next one needs")
    return value


def finite(value: float) -> float:
    """The value, or 0 for what is no number."""
    return value if math.isfinite(value) else 0.0


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def run_demo(application: QApplication, settings: Path, folder: Path, pictures: Path) -> None:
    """Open the window and drive it; the window and its processes are gone afterwards, also after an error."""
    window = start(application, Settings(settings))
    theme().set_mode("light")
    window.resize(*WINDOW)
    window.show()
    try:
        Demo(window, folder, pictures).run()
    finally:
        window.close()


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0 done, else that of the error."""
    parser = argparse.ArgumentParser(prog="featherweight demo", description="Do the main job on the sample model.")
    parser.add_argument("--out", type=Path, default=Path("featherweight-demo"), help="folder for what comes out")
    parser.add_argument("--pictures", type=Path, help="folder for the pictures (default: OUT/pictures)")
    arguments = parser.parse_args(argv)
    folder: Path = arguments.out.resolve()
    pictures: Path = (arguments.pictures or folder / "pictures").resolve()
    application = QApplication(sys.argv[:1])
    try:
        for needed_folder in (folder, pictures):
            needed_folder.mkdir(parents=True, exist_ok=True)
        # settings of its own: a person's recent files and session are none of the demo's business
        with tempfile.TemporaryDirectory(prefix="featherweight-demo-") as settings:
            run_demo(application, Path(settings), folder, pictures)
    except FeatherweightError as error:
        sys.stderr.write(f"The demo failed: {error}\n")
        return error.exit_code
    except OSError as error:
        sys.stderr.write(f"The demo failed: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
