"""What has to be asked before a PyTorch file is opened: nothing, where the file or its last conversion tells."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtWidgets import QWidget

if TYPE_CHECKING:
    from core.progress import Reporter
    from core.torch_files.recognise import Format
    from core.torch_files.source import TorchSource
    from gui.session import Session

LOOK = "look at file"
"""Key of the task that looks what a file is."""


def is_torch(path: Path) -> bool:
    """Whether a path is that of a PyTorch file, by its ending."""
    from core.model.readers.torch_file import SUFFIXES

    return path.suffix.lower() in SUFFIXES


def open_torch(window: QWidget, session: Session, path: Path, go: Callable[[TorchSource | None], None]) -> None:
    """Look at a file in a thread, ask what it does not say, and call `go` with what was said; None: nothing is needed.

    `go` is not called when the file cannot be used (the session tells) or the person changes their mind.
    """

    def looked(found: tuple[Format, bool]) -> None:
        from gui.opening.form import TorchForm

        kind, known = found
        if known:
            go(None)
            return
        form = TorchForm(path, kind, window)
        form.chosen.connect(go)
        form.open()

    session.tasks.thread(LOOK, look, path, title=f"Looking at {path.name}", done=looked)


def look(path: Path, reporter: Reporter) -> tuple[Format, bool]:
    """The format, and whether the file can be opened without a word: it tells all, or was opened before."""
    from core.torch_files.kept import file_sha256, newest
    from core.torch_files.recognise import Format, recognise

    kind = recognise(path)
    if kind is Format.EXPORTED:
        return kind, True
    reporter.check()
    found = newest(path, file_sha256(path))
    return kind, found is not None and _has_graph(found)


def _has_graph(graph: Path) -> bool:
    """Weights that were only looked at are asked about again: the person may know more today."""
    from core.torch_files.origin import origin_of

    origin = origin_of(graph)
    return origin is not None and origin.has_graph
