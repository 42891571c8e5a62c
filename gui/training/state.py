"""What the window knows of training: one job at a time in the training process, what it has told, what came of it."""

from __future__ import annotations

import time
from dataclasses import replace
from enum import Enum, auto
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, Signal

from core.errors import FeatherweightError
from core.training.events import PAUSE_FILE, EpochDone, Paused, Started, StepDone
from gui.training.asked import Asked, ResultView
from gui.training.curves import Heard, Series

if TYPE_CHECKING:
    from collections.abc import Mapping

    from core.progress import Progress
    from core.runs.run import Run
    from core.training.settings import TrainingSettings
    from gui.session import Session

TRAIN = "training"
"""Key of the task."""


class Phase(Enum):
    """Where a training stands."""

    NONE = auto()
    PREPARING = auto()  # compressing, loading data: no training has begun
    RUNNING = auto()
    PAUSED = auto()
    DONE = auto()
    CANCELLED = auto()
    FAILED = auto()
    INTERRUPTED = auto()  # by the end of the program, earlier

    @property
    def at_work(self) -> bool:
        return self in (Phase.PREPARING, Phase.RUNNING, Phase.PAUSED)


class TrainingState(QObject):
    """The training of a session. It goes on when another model is opened; what it gave can be used on its own.

    changed       curves grew; several times a second while it runs
    stateChanged  the phase, the words, the outcome
    settingsWanted, exportWanted   the person asks for the form, or to save what came of it
    advised       (text, actions) a training of the open model was interrupted: with a button to resume it
    """

    changed = Signal()
    stateChanged = Signal()
    settingsWanted = Signal()
    exportWanted = Signal()
    advised = Signal(str, object)

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._session = session
        self._asked: Asked | None = None
        self._heard = Heard()
        self._phase = Phase.NONE
        self._run = ""
        self._text, self._done = "", 0.0
        self._problem = ""
        self._outcome: Any = None
        self._view: ResultView | None = None
        self._pausing = False
        self._epoch_at = 0.0
        self.offered: TrainingSettings | None = None
        """Settings of a run that was opened; the form begins with them until a fine-tuning starts."""
        self.offered_data: Mapping[str, str] = {}
        """That run's data by role ("train", "valid", "test")."""
        session.modelChanged.connect(self._look_for_interrupted)

    # -- what there is ------------------------------------------------------------------------------------------------

    @property
    def phase(self) -> Phase:
        return self._phase

    @property
    def asked(self) -> Asked | None:
        """What was asked for last; None before the first training."""
        return self._asked

    @property
    def series(self) -> tuple[Series, ...]:
        """Curves, in the order in which their trainings began."""
        return self._heard.series

    @property
    def run(self) -> str:
        """Id of the run that keeps it, "" while none is known."""
        return self._run

    @property
    def text(self) -> str:
        """What the job does now, in its own words."""
        return self._text

    @property
    def done(self) -> float:
        """Share of the whole job that is done, 0 to 1."""
        return self._done

    @property
    def problem(self) -> str:
        """Why it failed, a sentence, or ""."""
        return self._problem

    @property
    def view(self) -> ResultView | None:
        """What came of it; None until it is done."""
        return self._view

    @property
    def pausing(self) -> bool:
        """Whether the person asked to pause, or to go on, and the training has not answered yet."""
        return self._pausing

    @property
    def can_pause(self) -> bool:
        """Whether it can be told to wait: it is at its epochs, and a run keeps it."""
        return self._phase in (Phase.RUNNING, Phase.PAUSED) and bool(self._run)

    @property
    def can_resume(self) -> bool:
        """Whether it stopped on the way and left an epoch to go on from."""
        ended = self._phase in (Phase.CANCELLED, Phase.FAILED, Phase.INTERRUPTED)
        return ended and bool(self._run) and any(series.epochs_done for series in self.series)

    @property
    def can_use(self) -> bool:
        """Whether the outcome can stand as the open model's result, and does not yet."""
        asked, model = self._asked, self._session.model
        if self._outcome is None or asked is None or asked.result is None or model is None:
            return False
        return model.path == asked.model and not self.used

    @property
    def used(self) -> bool:
        """Whether what the Compare lens, the totals and the export work with is this training's outcome."""
        result = self._session.result
        return self._view is not None and result is not None and Path(result.outcome.path) == self._view.file

    def seconds_left(self) -> float | None:
        """Until the last epoch of the series at work; None while there is nothing to go by."""
        series = self.series
        if self._phase is not Phase.RUNNING or not series:
            return None
        return series[-1].seconds_left(time.monotonic() - self._epoch_at)

    # -- verbs --------------------------------------------------------------------------------------------------------

    def start(self, asked: Asked) -> None:
        """Begin; refused, with a sentence, while another training runs."""
        if self._phase.at_work:
            self._session.failed.emit(FeatherweightError(
                "a training runs already", where=self._asked.title if self._asked is not None else "",
                do="wait for it, or cancel it: it can be resumed later"))
            return
        from gui.training.finetune import FINETUNE

        if asked.kind == FINETUNE:  # from now on the form begins with what was asked for last
            self.offered, self.offered_data = None, {}
        self._heard = Heard()
        self._run = ""
        self._begin(asked)

    def resume(self) -> None:
        """Go on from the last whole epoch of the training that stopped."""
        if self._asked is not None and self.can_resume and self._lift_pause():
            self._begin(replace(self._asked, spec=replace(self._asked.spec, resume=self._run)))

    def show_interrupted(self, asked: Asked, run: str, series: tuple[Series, ...]) -> None:
        """Take the place of a training that has ended: one of another time, which stopped on the way."""
        if self._phase.at_work:
            return
        self._asked, self._run, self._phase = asked, run, Phase.INTERRUPTED
        self._outcome, self._view, self._problem = None, None, ""
        self._heard.go_on_with(series)
        self.changed.emit()
        self.stateChanged.emit()

    def _look_for_interrupted(self) -> None:
        """Another model is open: was a training of it cut off when the program ended?"""
        from gui.training.interrupted import KEY, find

        model = self._session.model
        if self._phase is Phase.INTERRUPTED:
            self._phase, self._heard = Phase.NONE, Heard()
            self.stateChanged.emit()
        if model is None or self._phase is not Phase.NONE:
            return
        self._session.tasks.thread(KEY, find, self._session.runs_folder, model.path, done=self._take_interrupted)

    def _take_interrupted(self, found: tuple[Run, Mapping[str, tuple[EpochDone, ...]]] | None) -> None:
        from gui.training.finetune import asked_of_run, series_of_run

        model = self._session.model
        if found is None or model is None or self._phase is not Phase.NONE or str(model.path) != found[0].model_path:
            return
        run, curves = found
        try:
            asked = asked_of_run(self._session, run)
        except FeatherweightError:
            return  # it fits this model no more; the Runs lens has it all the same
        series = series_of_run(run, curves)
        self.show_interrupted(asked, run.id, series)
        done = f"after epoch {series[-1].epochs_done:,} of {series[-1].started.epochs:,}"
        self.advised.emit(f"A fine-tuning of {model.name} was interrupted {done}. Go on with it?",
                          (("Resume", self.resume),))

    def pause(self, on: bool) -> None:
        """Let it wait between two batches, or go on."""
        if not self.can_pause or self._pausing:
            return
        if not on:
            if not self._lift_pause():
                return
        else:
            try:
                self._pause_file().touch()
            except OSError as error:
                self._tell_disk(error)
                return
        self._pausing = True
        self.stateChanged.emit()

    def cancel(self) -> None:
        """Stop; what was trained stays as a run that can be resumed."""
        self._session.tasks.cancel(TRAIN)

    def use_result(self) -> None:
        """Make the outcome the session's result, with the plan that it was made from."""
        asked, outcome = self._asked, self._outcome
        if not self.can_use or asked is None or asked.result is None:
            return
        result = asked.result(outcome)
        self._session.take_recipe(result.recipe, text="go back to the plan that was trained")
        self._session.put_result(result)
        self.stateChanged.emit()

    # -- the job ------------------------------------------------------------------------------------------------------

    def _begin(self, asked: Asked) -> None:
        self._asked, self._phase = asked, Phase.PREPARING
        self._text, self._done, self._problem, self._pausing = "", 0.0, "", False
        self._outcome, self._view = None, None
        self._session.tasks.training(TRAIN, asked.job, asked.spec, title=asked.title, done=self._finished,
                                     failed=self._failed, progress=self._hear, cancelled=self._cancelled)
        self.changed.emit()
        self.stateChanged.emit()

    def _hear(self, progress: Progress) -> None:
        told = progress.part
        self._done, text = max(self._done, progress.done), progress.text or self._text
        if isinstance(told, StepDone):
            self._heard.step(told)
            self.changed.emit()
        elif isinstance(told, EpochDone):
            self._epoch_at = time.monotonic()
            self._heard.epoch(told)
            self.changed.emit()
        elif isinstance(told, Started):
            text = ""  # what was told before is over
            self._run, self._phase, self._epoch_at = told.run, Phase.RUNNING, time.monotonic()
            self._heard.start(told)
            self.changed.emit()
            self.stateChanged.emit()
        elif isinstance(told, Paused):
            self._phase, self._pausing = Phase.PAUSED if told.paused else Phase.RUNNING, False
            self.stateChanged.emit()
        other = _task(text) != _task(self._text) or self._phase is Phase.PREPARING
        said, self._text = self._text, text
        if other and text != said:
            self.stateChanged.emit()

    def _finished(self, outcome: Any) -> None:
        if self._asked is None:
            return
        self._outcome, self._view = outcome, self._asked.view(outcome)
        self._end(Phase.DONE)
        self._session.said.emit(f"{self._asked.title}: done. {self._view.headline}")

    def _failed(self, error: FeatherweightError) -> None:
        self._problem = str(error)
        self._end(Phase.FAILED)
        self._session.failed.emit(error)

    def _cancelled(self) -> None:
        self._end(Phase.CANCELLED)

    def _end(self, phase: Phase) -> None:
        self._phase, self._pausing = phase, False
        self.changed.emit()
        self.stateChanged.emit()
        self._session.stateChanged.emit()

    # -- the pause ----------------------------------------------------------------------------------------------------

    def _pause_file(self) -> Path:
        from core.runs.store import RunStore

        return RunStore(self._session.runs_folder).checkpoints(self._run) / PAUSE_FILE

    def _lift_pause(self) -> bool:
        try:
            self._pause_file().unlink(missing_ok=True)
        except OSError as error:
            self._tell_disk(error)
            return False
        return True

    def _tell_disk(self, error: OSError) -> None:
        from core.exporting.staging import target_error

        self._session.failed.emit(target_error(self._pause_file(), error))


def _task(text: str) -> str:
    """What a text says is being done, without how far it is."""
    return text.partition(" ")[0]
