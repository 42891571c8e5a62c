"""What follows the first paint: lenses, the worker process, leftovers and saved sessions. Nothing here may block."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QTimer

from core.progress import Reporter
from core.scratch import alive, remove_dead
from gui.loading import WORKER_MODULES, import_late
from gui.workspace import LATE_MODULES

if TYPE_CHECKING:
    from gui.main_window import MainWindow

_WARM_UP_MS = 400
"""Rest after the first paint before the worker process starts: opening a model comes first."""
_OPENING_MODULES = ("core.model.readers", "core.recipe", "core.data.loading", "core.analysis.statistics",
                    "core.analysis.preview", "core.exporting.sizes", "core.pipeline")
"""What opening and planning import; here so that the first click finds it there."""

_PLANNING_MODULES = ("core.model.coupling.groups", "scipy.sparse.csgraph", "core.preparing", "core.rewriting.cuts",
                     "core.analysis.calibration", "core.analysis.spectra", "core.model.activations",
                     "core.exporting.uses", "core.model.evaluate", "onnx.reference.ops._op_list", "scipy.linalg",
                     "scipy.fft")
"""What cuts, spectra and steps from samples import at their first use: half a second of work, in which the window would
answer late, and a hundred thousand objects that the collector would go through time and again."""

_KERNEL_MODULES = ("core.kernels.moments", "core.kernels.histogram", "core.kernels.compare", "core.kernels.uniform",
                   "core.kernels.rounding", "core.kernels.clustering")
"""These load numba, about a second of work in a thread, so that no statistics or slider waits for it."""


class LateStart(QObject):
    """Belongs to a window and does its late start, in this order: modules, panels one by one, saved session, worker."""

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self._window = window
        self._steps: list[Callable[[], None]] = []
        self._turn = QTimer(self, singleShot=True, interval=0)
        self._turn.timeout.connect(self._next)
        self._warm = QTimer(self, singleShot=True, interval=_WARM_UP_MS)
        self._warm.timeout.connect(lambda: window.session.tasks.warm_up(*WORKER_MODULES))
        window.firstPaint.connect(self._begin)

    def _begin(self) -> None:
        tasks = self._window.session.tasks
        tasks.thread("late modules", import_late, LATE_MODULES + _OPENING_MODULES, done=self._fill)

    def _fill(self, _nothing: None) -> None:
        self._steps = [*self._window.workspace.fill(), self._window.offer_saved, self._import_kernels, self._warm.start]
        self._turn.start()

    def _import_kernels(self) -> None:
        """With the clean-up, after the panels: a thread at work makes building them twice as long."""
        settings = self._window.settings
        self._window.session.tasks.thread("leftovers", _clean, settings.folder / "work", settings.export_folders)
        self._window.session.tasks.thread("late kernels", import_late, _KERNEL_MODULES + _PLANNING_MODULES,
                                          done=self._settle)

    def _settle(self, _nothing: None) -> None:
        """All that lives as long as the program is there now."""
        self._window.collector.set_aside()

    def _next(self) -> None:
        """One step a turn, so that clicks and paints come in between."""
        self._steps.pop(0)()
        if self._steps:
            self._turn.start()


def _clean(work_folder: Path, export_folders: tuple[Path, ...], reporter: Reporter) -> None:
    """Remove what killed runs left: unfinished exports, and compressed files that were never exported."""
    from core.exporting.staging import clean_leftovers

    for folder in export_folders:
        reporter.check()
        if folder.is_dir():
            clean_leftovers(folder)
    for run in work_folder.glob("run-*"):
        pid = run.name.removeprefix("run-")
        if pid.isdigit() and not alive(int(pid)):
            shutil.rmtree(run, ignore_errors=True)
    remove_dead()
