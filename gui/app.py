"""The start: shows the window first, then does the rest, a little at a time.

No Qt at module level: the worker process imports the program's main module again and must stay small.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from core import __version__

if TYPE_CHECKING:
    from PySide6.QtWidgets import QApplication

    from gui.main_window import MainWindow
    from gui.settings import Settings

SWITCH_INTERVAL = 0.0005
"""Seconds after which a thread passes on the interpreter's lock. Most calls of Qt give the lock back for a moment, and
the window's thread waits this long to have it again, many times in one turn of its loop."""


def main(argv: Sequence[str] | None = None) -> int:
    """The `featherweight` command. Returns the exit code."""
    multiprocessing.freeze_support()
    arguments = _parse(argv)
    app = make_application(sys.argv[:1])
    window = start(app)
    window.firstPaint.connect(partial(_first_painted, window, arguments))
    window.show()
    return app.exec()


def _first_painted(window: MainWindow, arguments: argparse.Namespace) -> None:
    if arguments.quit_after_first_paint:
        sys.stdout.write(f"The window is there, {window.width()} x {window.height()}\n")
        window.close()
    else:
        window.open_paths([path.absolute() for path in arguments.files])


def make_application(arguments: list[str]) -> QApplication:
    """Prepare the process for a window that stays alive beside working threads, and make its QApplication."""
    sys.setswitchinterval(SWITCH_INTERVAL)
    _import_numpy_with_one_thread()
    from PySide6.QtWidgets import QApplication

    app = QApplication(arguments)
    app.setApplicationName("Featherweight")
    app.setApplicationVersion(__version__)
    return app


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


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="featherweight",
                                     description="Make neural networks smaller and see what it costs.")
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE",
                        help="a model, and data (.npz, .npy, folder of images) or a recipe (.yaml) for it")
    parser.add_argument("--version", action="version", version=f"Featherweight {__version__}")
    parser.add_argument("--quit-after-first-paint", action="store_true",
                        help="say that the window came up, and close it: whether it can start here")
    return parser.parse_args(argv)


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
