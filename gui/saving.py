"""A model that lies in a place of our own, saved under a name that the person chose."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import DataError

if TYPE_CHECKING:
    from core.progress import Reporter
    from gui.session import Session

SAVE = "save a copy"
"""Key of the task."""


def save_copy(session: Session, source: Path, target: Path) -> None:
    """Copy a file in the background: whole or not at all. What goes wrong is told by `session.failed`."""
    session.tasks.thread(SAVE, copy_file, source, target, title=f"Saving {target.name}",
                         done=lambda _nothing: session.said.emit(f"Saved {target.name}."))


def copy_file(source: Path, target: Path, reporter: Reporter) -> None:
    """Raises TargetError for a target that cannot be written, DataError when the source is gone."""
    from core.exporting.staging import check_target, staged

    if not source.is_file():
        raise DataError("this file is not there any more", where=source.name, do="save it from the Runs lens")
    check_target(target, source)
    with staged(target) as stage:
        shutil.copyfile(source, stage.path)
        reporter.check()
        stage.commit()
