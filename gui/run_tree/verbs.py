"""What can be done with a run: open it, branch from it, go on with it, save its result, delete it."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, QUrl, Signal
from PySide6.QtGui import QDesktopServices

from core.errors import DataError, FeatherweightError
from core.runs.run import Run, RunKind
from gui.run_tree.rows import Row
from gui.run_tree.state import RunsState
from gui.saving import save_copy

if TYPE_CHECKING:
    from core.progress import Reporter
    from core.training.settings import TrainingSettings
    from gui.session import Session
    from gui.training.asked import Asked

DELETE = "delete runs"
"""Key of the task."""
_RESUMED_BY = {
    RunKind.FINETUNE: "gui.training.finetune", RunKind.CROSSVAL: "gui.run_tree.crossval",
    RunKind.MERGE: "gui.ensembles.wish", RunKind.TRANSFER: "gui.transfer.asked",
}  # fmt: skip
"""Modules with `asked_of_run(session, run) -> Asked`."""


class RunVerbs(QObject):
    """Carries the verbs out; what cannot be done is told by `session.failed`.

    training_wanted(run)   the form of a training with these settings is wanted, to branch from it
    lens_wanted(key)       the work goes on in this lens
    """

    training_wanted = Signal(object)
    lens_wanted = Signal(str)

    def __init__(self, session: Session, state: RunsState, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._session, self._state = session, state

    def open(self, row: Row, *, branch: bool = False) -> None:
        """Take the recipe of a run, as one undoable edit, and offer its settings for the next training.

        branch  what is run next stands below it
        """
        run, session = row.run, self._session
        try:
            if not self._is_open(run):
                self._open_model(run)
            elif _has_plan(run):
                session.take_recipe(_recipe(session, run), text="take the plan of a run")
            settings = _settings(run)
        except FeatherweightError as error:
            session.failed.emit(error)
            return
        if settings is not None:
            session.training.offered, session.training.offered_data = settings, run.data
        session.runs.branch_from(run.id if branch else "", Path(run.model_path))
        where = "What is run next stands below it." if branch else ""
        session.said.emit(" ".join(filter(None, (_opened_words(row), where))))
        if branch and run.kind is RunKind.FINETUNE and self._is_open(run):
            self.training_wanted.emit(run)

    def _is_open(self, run: Run) -> bool:
        model = self._session.model
        return model is not None and bool(run.model_sha256) and self._state.loaded.model == run.model_sha256

    def _open_model(self, run: Run) -> None:
        """Open the run's model with its recipe; a file that is gone or another by now is refused or told."""
        path = Path(run.model_path)
        if not path.exists():
            raise DataError("the model of this run is not there any more", where=str(path),
                            do="open it where it is now: its runs are found by its content")  # fmt: skip
        self._session.open_model(path, recipe=run.recipe_text or None)

    def resume(self, row: Row) -> None:
        """Go on with a run that stopped on the way, in the training process."""
        session, run = self._session, row.run
        try:
            asked = asked_of_run(session, run)
        except FeatherweightError as error:
            session.failed.emit(error)
            return
        from gui.training.finetune import series_of_run
        from gui.training.state import Phase

        self.lens_wanted.emit("training")
        if session.training.phase is Phase.NONE:  # its curves so far are shown, and go on
            session.training.show_interrupted(asked, run.id, series_of_run(run, self._state.curves(run.id)))
            if session.training.can_resume:
                session.training.resume()
                return
        session.training.start(asked)

    def save(self, row: Row, target: Path) -> None:
        """Save the kept copy of a run's result."""
        store, session = self._state.store, self._session
        source = store.result_file(row.run)
        if source is None:
            session.failed.emit(DataError("no copy of its result is kept", where=row.texts[0], do="run it again"))
            return
        save_copy(session, source, target)

    def delete(self, rows: tuple[Row, ...]) -> None:
        """Remove runs from the disk. The person was asked."""
        store, session = self._state.store, self._session

        def told(failed: tuple[FeatherweightError, ...]) -> None:
            self._state.read()
            for error in failed[:1]:
                session.failed.emit(error)

        session.tasks.thread(DELETE, _delete, store, tuple(row.key for row in rows), done=told)

    def reveal(self, row: Row) -> None:
        """Show the folder of the file that a run wrote."""
        QDesktopServices.openUrl(QUrl.fromLocalFile(str(Path(row.run.target).parent)))


def asked_of_run(session: Session, run: Run) -> Asked:
    """The job that goes on with a run. Raises FeatherweightError when it cannot."""
    place = _RESUMED_BY.get(run.kind)
    try:
        make = getattr(importlib.import_module(place), "asked_of_run", None) if place else None
    except ModuleNotFoundError:
        make = None
    if make is None:
        raise DataError(
            f"a {run.kind.words.lower()} is resumed on the command line", where=run.title,
            do=f"use `featherweight-cli {run.kind} --resume {run.id}`",
        )  # fmt: skip
    asked: Asked = make(session, run)
    return replace(asked, spec=replace(asked.spec, resume=run.id))


def _recipe(session: Session, run: Run) -> Any:
    from core.recipe import Recipe

    model = session.model
    if run.recipe_text.strip():
        return Recipe.parse(run.recipe_text, model=model)
    return Recipe(model_name=model.name if model is not None else "")


def _has_plan(run: Run) -> bool:
    """Whether a run was made by a plan: merges and transfers may have had none, which is no reason to drop one."""
    return bool(run.recipe_text.strip()) or run.kind not in (RunKind.MERGE, RunKind.TRANSFER)


def _opened_words(row: Row) -> str:
    """What is in force now, and what of the run is not: what it trained is in its file alone."""
    run, when = row.run, row.texts[-1]
    said = f"The plan of the run of {when} is in force"
    if run.kind in (RunKind.COMPRESS, RunKind.CROSSVAL):
        return f"{said}."
    if not _has_plan(run):
        said = f"The run of {when} had no plan, so yours stays"
    file = {RunKind.MERGE: "merged", RunKind.TRANSFER: "transferred"}.get(run.kind, "trained")
    trained = ", without its training" if run.kind is RunKind.FINETUNE else ""
    return f"{said}{trained}." + (f" Its {file} file is under Export\N{HORIZONTAL ELLIPSIS}" if row.kept else "")


def _settings(run: Run) -> TrainingSettings | None:
    """The training's settings; None for a compression, and for settings of another kind."""
    from core.methods.params import build, specs
    from core.training.settings import TrainingSettings

    known = {spec.name for spec in specs(TrainingSettings)}
    given = {name: value for name, value in run.settings.items() if name in known}
    return build(TrainingSettings, given) if given else None


def _delete(store: Any, keys: tuple[str, ...], reporter: Reporter) -> tuple[FeatherweightError, ...]:
    """Delete all that can be; why the others cannot."""
    failed = []
    for key in keys:
        reporter.check()
        try:
            store.delete(key)
        except FeatherweightError as error:
            failed.append(error)
    return tuple(failed)
