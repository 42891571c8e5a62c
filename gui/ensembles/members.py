"""The list of files that are merged: chosen from disk, or results of earlier runs of the open model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QAbstractItemView,
    QFileDialog,
    QHBoxLayout,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from core.progress import Reporter
from gui.charts.card import with_role
from gui.units import file_size

if TYPE_CHECKING:
    from gui.session import Session
    from gui.settings import Settings

RUNS = "merge: results of runs"
"""Key of the task that looks for results of runs."""
_DOTS = "\N{HORIZONTAL ELLIPSIS}"


class MemberList(QWidget):
    """Files in order; the first one's names are those of the merged file.

    changed()  files were added or removed
    """

    changed = Signal()

    def __init__(self, session: Session, settings: Settings, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session, self._settings = session, settings
        self.list = QListWidget(self)
        self.list.setAccessibleName("Members")
        self.list.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.list.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.add_files = QPushButton(f"Add files{_DOTS}", self)
        self.add_runs = QPushButton("Add results of runs", self)
        self.add_runs.setToolTip("Files that compressions and fine-tunings of the open model gave")
        self.remove = QPushButton("Remove", self)
        line = QHBoxLayout()
        for button in (self.add_files, self.add_runs, self.remove):
            button.setAutoDefault(False)
            line.addWidget(button)
        line.addStretch(1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        layout.addWidget(self.list, 1)
        layout.addLayout(line)
        with_role(self.list, "plain_list")
        self.add_files.clicked.connect(lambda _checked=False: self._ask())
        self.add_runs.clicked.connect(lambda _checked=False: self._look_for_runs())
        self.remove.clicked.connect(lambda _checked=False: self._remove())
        self.list.itemSelectionChanged.connect(self._selected)
        self.add_runs.setEnabled(session.model is not None)
        self._selected()

    @property
    def paths(self) -> tuple[Path, ...]:
        return tuple(self.list.item(row).data(Qt.ItemDataRole.UserRole) for row in range(self.list.count()))

    def add(self, found: list[tuple[Path, str]]) -> None:
        """Add files that are not in the list yet, each with what it is."""
        known = set(self.paths)
        for path, words in found:
            if path in known:
                continue
            known.add(path)
            item = QListWidgetItem(f"{words or path.name}   {_size(path)}")
            item.setData(Qt.ItemDataRole.UserRole, path)
            item.setToolTip(str(path))
            self.list.addItem(item)
        self.changed.emit()

    def stop(self) -> None:
        """The form is closed."""
        self._session.tasks.cancel(RUNS)

    def _ask(self) -> None:
        folder = self._settings.last_folder("model")
        paths, _filter = QFileDialog.getOpenFileNames(
            self, "Members of one ensemble", folder, "Models (*.onnx);;All files (*)"
        )
        if paths:
            self._settings.set_last_folder("model", Path(paths[0]).parent)
            self.add([(Path(path), "") for path in paths])

    def _look_for_runs(self) -> None:
        model = self._session.model
        if model is not None:
            self._session.tasks.thread(RUNS, results_of, Path(self._session.runs_folder), model.path, done=self.add)

    def _remove(self) -> None:
        for item in self.list.selectedItems():
            self.list.takeItem(self.list.row(item))
        self.changed.emit()

    def _selected(self) -> None:
        self.remove.setEnabled(bool(self.list.selectedItems()))


def results_of(folder: Path, model: Path, reporter: Reporter) -> list[tuple[Path, str]]:
    """Files that compressions and fine-tunings of a model gave and that are still there, each with its run's title."""
    from core.runs.run import RunKind
    from core.runs.store import RunStore
    from gui.run_tree.rows import title_of

    store = RunStore(folder)
    found = []
    for run in store.listing().runs:
        reporter.check()
        alike = run.kind in (RunKind.COMPRESS, RunKind.FINETUNE) and Path(run.model_path) == model
        file = store.result_file(run) if alike else None
        if file is not None and file.suffix == ".onnx":
            found.append((file, title_of(run)))
    return found


def _size(path: Path) -> str:
    try:
        return file_size(path.stat().st_size)
    except OSError:
        return "not there"
