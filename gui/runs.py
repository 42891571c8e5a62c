"""Compressing and exporting on behalf of the session, in the worker process."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import FeatherweightError
from core.exporting.staging import check_target, files_read, staged, target_error
from core.progress import Progress, Reporter
from gui.result import Result
from gui.units import file_size

if TYPE_CHECKING:
    from core.jobs import CompressOutcome
    from core.model.model import Model
    from core.recipe import Recipe
    from core.torch_files.exporting import TorchExport
    from gui.data.state import DataState
    from gui.session import Session

COMPRESS, EXPORT = "compress", "export"
"""Keys of the tasks."""
TORCH_SUFFIXES = (".safetensors", ".pt", ".pth")
"""Endings of an export that goes back to PyTorch."""


class Runs:
    """Starts the compress job and takes its answers.

    Compressing writes into the work folder, through the gate, like every export; exporting the same plan is then only a
    copy, so that the person gets exactly the file that was measured.
    """

    def __init__(self, session: Session, work_folder: Path) -> None:
        self._session = session
        self._folder = work_folder / f"run-{os.getpid()}"
        self._runs, self._trainings = 0, 0
        self._parent: tuple[str, Path] | None = None

    def compress(self, model: Model, recipe: Recipe, data: DataState) -> None:
        """Start compressing. The file of the run before stays until this one has succeeded."""
        self._runs += 1
        folder = self._folder / str(self._runs)
        try:
            model.check_unchanged()
            folder.mkdir(parents=True)
        except FeatherweightError as error:
            self._session.failed.emit(error)
            return
        except OSError as error:
            self._session.failed.emit(target_error(folder, error))
            return
        target = folder / f"{model.shown_path.stem}.onnx"
        self._start(COMPRESS, model, recipe, data, target, f"Compressing {model.name}", None)

    def export(self, model: Model, recipe: Recipe, data: DataState, target: Path) -> None:
        session, result = self._session, self._session.result
        try:
            model.check_unchanged()
            check_target(target, model.path, (*model.data_files, *files_read(data.path, options=data.options)))
        except FeatherweightError as error:
            session.failed.emit(error)
            return
        title = f"Exporting {target.name}"
        if model.origin is not None and target.suffix.lower() in TORCH_SUFFIXES:
            self._export_torch(model, recipe, data, target, title)
            return
        if result is None or result.recipe != recipe or not _can_be_copied(result):
            self._start(EXPORT, model, recipe, data, target, title, target)
            return

        def copied(_nothing: None) -> None:
            self._exported(replace(result, exported=target), target, "it is the same file that was compressed before")

        session.tasks.thread(EXPORT, _copy, Path(result.outcome.path), target, title=title, done=copied,
                             failed=self._failed, cancelled=session.stateChanged.emit)
        session.stateChanged.emit()

    def _export_torch(self, model: Model, recipe: Recipe, data: DataState, target: Path, title: str) -> None:
        """Write the weights as the recipe leaves them, for PyTorch."""
        from core.jobs import TorchSpec, export_torch_file

        spec = TorchSpec(str(model.path), recipe.dump(), str(target), str(data.path) if data.path else None,
                         options=data.options)

        def done(written: TorchExport) -> None:
            self._session.stateChanged.emit()
            self._session.said.emit(written.words)

        self._session.tasks.process(EXPORT, export_torch_file, spec, title=title, done=done, failed=self._failed,
                                    cancelled=self._session.stateChanged.emit)
        self._session.stateChanged.emit()

    def _start(self, key: str, model: Model, recipe: Recipe, data: DataState, target: Path, title: str,
               exported: Path | None) -> None:
        from core.jobs import CompressSpec, compress_file

        spec = CompressSpec(str(model.path), recipe.dump(), str(target), str(data.path) if data.path else None,
                            options=data.options, runs_folder=str(self._session.runs_folder),
                            parent_run=self.parent_of(model) or None, passing=exported is None)
        path, options = data.path, data.options
        self._session.runStarted.emit()

        def done(outcome: CompressOutcome) -> None:
            result = Result(recipe, path, options, outcome, exported)
            self._forget_others(Path(outcome.path).parent)
            if exported is None:
                self._session.put_result(result)
            else:
                self._exported(result, exported)

        self._session.tasks.process(key, compress_file, spec, title=title, done=done, progress=self._hear,
                                    failed=self._failed, cancelled=self._session.stateChanged.emit)
        self._session.stateChanged.emit()

    def branch_from(self, run: str, model: Path) -> None:
        """What is run next of this model stands below this run in the tree of runs; "" below none."""
        self._parent = (run, model) if run else None

    def parent_of(self, model: Model) -> str:
        """Id of the run that runs of this model branch from, or ""."""
        return self._parent[0] if self._parent is not None and self._parent[1] == model.path else ""

    def _forget_others(self, keep: Path) -> None:
        """Remove the files of runs before; a file that was exported elsewhere replaces all of them."""
        for folder in self._folder.glob("[0-9]*"):
            if folder != keep:
                shutil.rmtree(folder, ignore_errors=True)

    def trained_file(self, model: Path) -> Path:
        """Where a training of this model writes what it gives; it stays beside what is compressed later.

        Raises TargetError.
        """
        self._trainings += 1
        folder = self._folder / f"trained-{self._trainings}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise target_error(folder, error) from error
        return folder / f"{model.stem}.onnx"

    def _hear(self, progress: Progress) -> None:
        part = progress.part
        if part is None:
            return
        if hasattr(part, "isolated_sqnr_db"):
            if part.isolated_sqnr_db is not None:
                self._session.liveError.emit(part.name, part.isolated_sqnr_db)
        else:
            self._session.layerFinished.emit(part)

    def _exported(self, result: Result, target: Path, how: str = "") -> None:
        self._session.put_result(result)
        report = result.outcome.report
        words = (f"Exported {target.name}: {file_size(report.bytes_after)}, before {file_size(report.bytes_before)}"
                 f"{f'; {how}' if how else ''}. "
                 "It was checked: ONNX Runtime loads it, and it computes what was compressed.")
        if result.trouble:
            self._session.warned.emit(f"{words} {result.trouble_words}", "\n".join(result.trouble[1:]))
        else:
            self._session.said.emit(words)

    def _failed(self, error: FeatherweightError) -> None:
        self._session.stateChanged.emit()
        self._session.failed.emit(error)

    def remove_file(self) -> None:
        """Remove the compressed file that was not exported."""
        shutil.rmtree(self._folder, ignore_errors=True)


def _can_be_copied(result: Result) -> bool:
    """Whether the compressed file is there, whole, and in one piece: external data is referred to by its name.

    Data that was loaded since does not matter: it measures, and has no part in what is written.
    """
    path = Path(result.outcome.path)
    return path.is_file() and path.stat().st_size == result.outcome.report.bytes_after


def _copy(source: Path, target: Path, reporter: Reporter) -> None:
    """Copy a file so that the target is there whole or not at all."""
    import mmap

    with (source.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
          memoryview(content) as view, staged(target) as stage):
        stage.write(view)
        reporter.check()
        stage.commit()
