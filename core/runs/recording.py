"""Recording a run: a block of work whose beginning, curves, figures and end are kept in a run store.

    with recording(store, kind=RunKind.FINETUNE, title="lenet5: 16 levels", model_path=path, ...) as run:
        result = train(..., folder=run.checkpoints, resume=run.resumed, run=run.id, reporter=run.reporter(reporter))
        run.figures(*report_figures(report, comparison))
        run.result(target)

A run ends as its block does: done, cancelled (`Cancelled`, `KeyboardInterrupt`) or failed, with the error's sentence.
Keeping a run never stops the work: what could not be written is in `trouble`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from core import __version__
from core.errors import Cancelled, DataError, FeatherweightError, TargetError
from core.progress import Reporter
from core.runs import events, owner
from core.runs.run import Figure, Run, RunKind, RunState
from core.runs.store import RunStore
from core.training.events import EpochDone, Paused

LIBRARIES = ("torch", "numpy", "onnx", "onnx_ir", "onnxruntime", "numba")
"""Whose versions may decide a result."""


class Recorder:
    """What a job tells of the run that it is. Without a store nothing is kept, and the job need not ask.

    id           "" when nothing is kept
    folder       of the run; None when nothing is kept
    resumed      whether the run goes on after an interruption; `before` is the state that it was in then
    trouble      sentences: what could not be kept, and why
    """

    def __init__(self, store: RunStore | None, run: Run | None, *, resumed: bool = False) -> None:
        self._store, self._run = store, run
        self.resumed = resumed
        self.before = RunState.INTERRUPTED
        self.trouble: tuple[str, ...] = ()
        self._began = time.monotonic()
        self._before = run.seconds if run is not None else 0.0

    @property
    def id(self) -> str:
        return self._run.id if self._run is not None else ""

    @property
    def run(self) -> Run | None:
        """As it stands now; None when nothing is kept."""
        return self._run

    @property
    def folder(self) -> Path | None:
        return None if self._store is None or self._run is None else self._store.path(self._run.id)

    @property
    def checkpoints(self) -> Path | None:
        """A folder of the run for checkpoints, removed when it is done; None when nothing is kept."""
        folder = self.folder
        if folder is None:
            return None
        return self._tried(lambda: _made(folder / "checkpoints"))

    def reporter(self, reporter: Reporter, series: str = "") -> Reporter:
        """Passes everything on and keeps the `EpochDone` and `Paused` among it.

        series  name of the curve that the epochs are points of, where a run has several ("fold 2")
        """
        return reporter.heard_by(lambda progress: self.hear(progress.part, series))

    def hear(self, part: Any, series: str = "") -> None:
        """Keep a part of a training's progress; parts of other kinds are nothing to keep."""
        folder = self.folder
        if folder is None:
            return
        if isinstance(part, EpochDone):
            self._tried(lambda: events.append(folder / events.FILE, part, series))
        elif isinstance(part, Paused):
            self._change(state=RunState.PAUSED if part.paused else RunState.RUNNING)

    def figures(self, *figures: Figure) -> None:
        """Add figures; one of the same name is replaced."""
        if self._run is not None:
            named = {figure.name: figure for figure in (*self._run.figures, *figures)}
            self._change(figures=tuple(named.values()))

    def details(self, **details: Any) -> None:
        """Add plain values that only views of this kind of run know."""
        if self._run is not None:
            self._change(details={**self._run.details, **details})

    def note(self, why: str) -> None:
        """Why it stopped early, though it is done: a sentence."""
        self._change(why=why)

    def result(self, target: str | os.PathLike[str], *, keep: bool = True, written: bool = True) -> None:
        """The file that came out.

        keep     keep a copy in the run's folder, so that the run can be opened after the file was moved
        written  whether it was written for the person; False: it lies in a passing place that is not worth naming
        """
        path, folder = Path(target).absolute(), self.folder
        if self._run is None or folder is None:
            return
        if written:
            self._change(target=str(path))
        if keep and self._tried(lambda: _copy(path, folder / f"result{path.suffix}")) is not None:
            self._change(kept=f"result{path.suffix}")

    def _change(self, **values: Any) -> None:
        if self._run is not None and self._store is not None:
            run, store = replace(self._run, **values), self._store
            self._run = run
            self._tried(lambda: store.put(run))

    def end(self, state: RunState, why: str = "") -> None:
        """Only for `recording`: the last that is written."""
        folder = self.folder
        if self._run is None or folder is None or self._store is None:
            return
        seconds = self._before + time.monotonic() - self._began
        self._change(state=state, ended=time.time(), seconds=seconds, why=why or self._run.why)
        if state is RunState.DONE:
            shutil.rmtree(folder / "checkpoints", ignore_errors=True)
        self._tried(lambda: owner.release(folder))
        if self._run.kept:
            self._tried(self._store.make_room)

    def _tried(self, action: Any) -> Any:
        """The action's result; None when it failed, which is told once a reason."""
        try:
            return action()
        except (OSError, TargetError) as error:
            reason = error.what if isinstance(error, TargetError) else str(error.strerror or error)
            told = f"This run is not kept as a whole: {reason} ({self.folder})."
            if told not in self.trouble:
                self.trouble += (told,)
            return None


@contextlib.contextmanager
def recording(
    store: RunStore | None,
    *,
    kind: RunKind,
    title: str,
    model_path: str | os.PathLike[str],
    model_sha256: str = "",
    recipe_text: str = "",
    settings: Mapping[str, Any] | None = None,
    data: Mapping[str, str] | None = None,
    options: Mapping[str, Any] | None = None,
    seed: int = 0,
    parent: str | None = None,
    resume: str | None = None,
    details: Mapping[str, Any] | None = None,
) -> Iterator[Recorder]:
    """Keep what the block does as a run of `store`; None keeps nothing. What the values mean: `core.runs.run.Run`.

    settings  plain values, of `TrainingSettings` as `params.to_dict(settings, all_values=True)`
    data      paths by what they are for; they are made absolute
    resume    id of a run of this store to go on with instead of beginning one; what it is stays as it was

    Raises DataError when there is no run to go on with: none of this id, a run that is done or of another kind, a model
    that has changed; and FeatherweightError when a process works on it.
    """
    if store is None:
        yield Recorder(None, None)
        return
    if resume is not None:
        recorder = _gone_on(store, resume, kind, model_sha256)
    else:
        recorder = _begun(
            store,
            Run(
                id="", kind=kind, title=title, model_path=str(Path(model_path).absolute()), state=RunState.RUNNING,
                started=time.time(), model_sha256=model_sha256, parent=parent or "", recipe_text=recipe_text,
                settings=dict(settings or {}), options=dict(options or {}), seed=seed, details=dict(details or {}),
                data={role: str(Path(path).absolute()) for role, path in (data or {}).items() if path},
                versions=versions(),
            ),
        )  # fmt: skip
    try:
        yield recorder
    except (Cancelled, KeyboardInterrupt):
        recorder.end(RunState.CANCELLED)
        raise
    except BaseException as error:
        refused = recorder.resumed and isinstance(error, DataError)  # nothing was done: it can still be gone on with
        recorder.end(recorder.before if refused else RunState.FAILED, _sentence(error))
        raise
    recorder.end(RunState.DONE)


def _begun(store: RunStore, run: Run) -> Recorder:
    """A recorder of a new run. Where it cannot be kept, one that keeps nothing and says why."""
    try:
        run = replace(run, id=store.new_id(run.started))
        owner.claim(store.path(run.id))
        store.put(run)
    except (OSError, TargetError) as error:
        reason = str(error).removesuffix(".") if isinstance(error, TargetError) else str(error.strerror or error)
        if run.id:
            shutil.rmtree(store.path(run.id), ignore_errors=True)
        silent = Recorder(None, None)
        silent.trouble = (f"This run is not kept: {reason}.",)
        return silent
    return Recorder(store, run)


def _gone_on(store: RunStore, run_id: str, kind: RunKind, model_sha256: str) -> Recorder:
    run = store.get(run_id)
    if run.kind is not kind:
        raise DataError(f"it is a {run.kind.words.lower()}, not a {kind.words.lower()}", where=run_id)
    if run.state is RunState.DONE:
        raise DataError("this run is done, so there is nothing to go on with", where=run_id, do="begin a new one")
    if run.model_sha256 and model_sha256 and run.model_sha256 != model_sha256:
        raise DataError("the model has changed since this run began", where=run.model_path, do="begin a new one")
    before = run.state
    owner.claim(store.path(run_id))
    run = replace(run, state=RunState.RUNNING, ended=None, why="", versions=versions())
    recorder = Recorder(store, run, resumed=True)
    recorder.before = before
    recorder._change(state=RunState.RUNNING)
    return recorder


def versions() -> dict[str, str]:
    """Versions of the program and of the libraries that may decide a result."""
    return {"featherweight": __version__, **_library_versions()}


@cache
def _library_versions() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for name in LIBRARIES:
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def _sentence(error: BaseException) -> str:
    if isinstance(error, FeatherweightError):
        return str(error)
    return f"{type(error).__name__}: {error}".rstrip(": ") + "."


def _made(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return folder


def _copy(source: Path, target: Path) -> Path:
    """A copy that is there whole or not at all; external data beside the source is not part of it."""
    from core.exporting.staging import staged

    with staged(target) as stage:
        shutil.copyfile(source, stage.path)
        stage.commit()
    return target
