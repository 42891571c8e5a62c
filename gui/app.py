"""The start: shows the window first, then does the rest, a little at a time.

No Qt at module level: the worker process imports the program's main module again and must stay small.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from core import __version__

if TYPE_CHECKING:
    from gui.main_window import MainWindow
    from gui.settings import Settings

SWITCH_INTERVAL = 0.002
"""Seconds after which a thread passes on the interpreter's lock: work in threads must not make the window stutter."""


def main(argv: Sequence[str] | None = None) -> int:
    """The `featherweight` command. Returns the exit code."""
    multiprocessing.freeze_support()
    arguments = _parse(argv)
    sys.setswitchinterval(SWITCH_INTERVAL)
    _import_numpy_with_one_thread()
    from PySide6.QtWidgets import QApplication

    app = QApplication(sys.argv[:1])
    app.setApplicationName("Featherweight")
    app.setApplicationVersion(__version__)
    window = start(app)
    window.firstPaint.connect(lambda: window.open_paths(arguments))
    window.show()
    return app.exec()


def _import_numpy_with_one_thread() -> None:
    """Keep numpy's linear algebra in this process to one thread.

    Its threads wait for each other by spinning, and beside a busy window a 384 x 384 eigenvalue problem then takes 1 s
    instead of 0.03 s, in which the window stands still. OpenBLAS reads the setting only while it is loaded; it is put
    back at once, so that the worker process computes with as many threads as the command line and gives the same bytes.
    """
    name = "OPENBLAS_NUM_THREADS"
    before = os.environ.get(name)
    os.environ[name] = before or "1"
    import numpy  # noqa: F401  for its side effect

    if before is None:
        del os.environ[name]


def _parse(argv: Sequence[str] | None) -> list[Path]:
    parser = argparse.ArgumentParser(prog="featherweight",
                                     description="Make neural networks smaller and see what it costs.")
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE",
                        help="a model, and data (.npz, .npy, folder of images) or a recipe (.yaml) for it")
    parser.add_argument("--version", action="version", version=f"Featherweight {__version__}")
    files: list[Path] = parser.parse_args(argv).files
    return [path.absolute() for path in files]


def start(app: object, settings: Settings | None = None) -> MainWindow:
    """The window, styled and ready to show; what it does not need for its first paint follows by itself after it."""
    from PySide6.QtWidgets import QApplication

    from gui.late import LateStart
    from gui.main_window import MainWindow
    from gui.settings import Settings, user_folder
    from gui.theme import theme

    if not isinstance(app, QApplication):
        raise TypeError("the window needs the QApplication")
    settings = settings if settings is not None else Settings(user_folder())
    theme().set_mode(settings.mode)
    theme().apply(app)  # before any widget: one made earlier would keep the system's font
    window = MainWindow(settings)
    LateStart(window)
    return window
