"""What the Runs lens knows: the runs on disk, read in a thread, and read again when another process adds some."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QFileSystemWatcher, QObject, QTimer, Signal

from core.runs.store import RunStore
from gui.run_tree.rows import Loaded, Row, load

if TYPE_CHECKING:
    from core.progress import Reporter
    from core.training.events import EpochDone
    from gui.session import Session

READ = "runs"
"""Key of the task that reads all runs."""
CURVES = "curves of a run"
QUIET_MS = 1_000
"""Changes on disk are gathered for so long before they are read."""
AT_WORK_MS = 5_000
"""While a run is at work its process may die, which no file tells."""


class RunsState(QObject):
    """The runs of a store.

    changed       other runs, or other figures
    curvesRead    (id, curves by series) that `fetch_curves` was asked for
    """

    changed = Signal()
    curvesRead = Signal(str, dict)

    def __init__(self, session: Session, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._loaded = Loaded()
        self._read = False
        self._watcher = QFileSystemWatcher(self)
        self._soon = QTimer(self, singleShot=True, interval=QUIET_MS)
        self._soon.timeout.connect(self.read)
        self._again = QTimer(self, singleShot=True, interval=AT_WORK_MS)
        self._again.timeout.connect(self.read)
        for told in (self._watcher.directoryChanged, self._watcher.fileChanged):
            told.connect(lambda _path: self._come_soon())
        session.modelChanged.connect(self.read)
        session.resultChanged.connect(self._come_soon)
        session.training.stateChanged.connect(self._come_soon)

    @property
    def store(self) -> RunStore:
        return RunStore(self._session.runs_folder)

    @property
    def loaded(self) -> Loaded:
        """As read last."""
        return self._loaded

    @property
    def was_read(self) -> bool:
        """Whether the disk was looked at yet."""
        return self._read

    def rows(self, *, all_models: bool) -> tuple[Row, ...]:
        """Runs of the open model (the same file, wherever it lies), or of all."""
        return self._loaded.rows if all_models else self._loaded.of_model()

    def row(self, key: str) -> Row | None:
        return next((row for row in self._loaded.rows if row.key == key), None)

    def curves(self, key: str) -> dict[str, tuple[EpochDone, ...]]:
        """The learning curves of a run, at once."""
        return dict(self.store.curves(key))

    def fetch_curves(self, key: str) -> None:
        """Read the learning curves of a run in a thread: long trainings of many folds take a while."""
        self._session.tasks.thread(CURVES, _read_curves, self.store, key, coalesce=True,
                                   done=lambda found: self.curvesRead.emit(key, found))

    def read(self) -> None:
        """Look at the disk."""
        known = {row.key: row for row in self._loaded.rows}
        self._session.tasks.thread(READ, load, Path(self._session.runs_folder), known, self._session.model,
                                   coalesce=True, done=self._take)

    def _come_soon(self) -> None:
        if not self._soon.isActive():
            self._soon.start()

    def _take(self, loaded: Loaded) -> None:
        differs = loaded != self._loaded or not self._read
        self._loaded, self._read = loaded, True
        self._watch()
        if differs:
            self.changed.emit()

    def _watch(self) -> None:
        """The store's folder tells of new and deleted runs, the folders of runs at work of new figures."""
        folder = Path(self._session.runs_folder)
        wanted = {str(folder)} if folder.is_dir() else set()
        at_work = [row.key for row in self._loaded.rows if row.run.state.at_work]
        unread = [key for key, _ in self._loaded.damaged]  # one that is being made has no file yet
        wanted |= {str(folder / key) for key in (*at_work, *unread) if (folder / key).is_dir()}
        watched = set(self._watcher.directories())
        if watched - wanted:
            self._watcher.removePaths(sorted(watched - wanted))
        if wanted - watched:
            self._watcher.addPaths(sorted(wanted - watched))
            self._come_soon()  # what changed between reading and watching is told by nobody
        if at_work or not wanted:
            self._again.start()


def _read_curves(store: RunStore, key: str, reporter: Reporter) -> dict[str, tuple[EpochDone, ...]]:
    reporter.check()
    return dict(store.curves(key))
