"""The training loop: phases, validation, best state, checkpoints; it knows nothing of files and recipes."""

from __future__ import annotations

import contextlib
import json
import math
import time
import warnings
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.optim import Optimizer

from core.encoding.base import Encoding
from core.errors import Cancelled, DataError, ParameterError
from core.progress import SILENT, Reporter
from core.training import checkpoints
from core.training.curves import parted_at
from core.training.events import PAUSE_FILE, EpochDone, Started, StepDone
from core.training.metric import Evaluator, Figures, Measure, better
from core.training.optimising import carried_over, make_optimiser
from core.training.passes import NotFiniteError, Passes
from core.training.plain_encodings import from_plain, to_plain
from core.training.schedule import Phase, Restage
from core.training.settings import TrainingSettings
from core.training.teacher import Teacher
from core.training.trainable import Trainable

if TYPE_CHECKING:
    from core.data.samples import Samples

Array = np.ndarray[Any, np.dtype[Any]]
State = dict[str, Any]

__all__ = ["PAUSE_FILE", "TrainingResult", "train"]

TOLD_APART = 16
"""Samples whose inputs a checkpoint must agree with."""


@dataclass(frozen=True)
class TrainingResult:
    """What a training gave; the student is left in its best state.

    curves       one point an epoch, also of epochs before an interruption
    best_epoch   as in `EpochDone.epoch`; 0 when the state before the first epoch was the best
    stopped      why it ended before the last epoch: "" (it did not), "early", "the loss was not finite at step 31 of
                 epoch 2"
    do           what the person can do about it, a clause, or ""
    metric       of the held-out samples, in words; valid_metric its value in the best state, None without labels
    seconds      of training, those before an interruption included
    replaced     encodings that the schedule gave layers, as they are now (structure; values are the student's)
    notes        sentences a person should know ("The last checkpoint could not be written: the disk is full.")
    """

    curves: tuple[EpochDone, ...]
    best_epoch: int
    stopped: str = ""
    do: str = ""
    metric: str = ""
    valid_metric: float | None = None
    valid_loss: float | None = None
    seconds: float = 0.0
    replaced: Mapping[str, Encoding] = field(default_factory=dict, repr=False)
    notes: tuple[str, ...] = ()


def train(
    student: Trainable,
    samples: Samples,
    held_out: Samples | None,
    settings: TrainingSettings,
    *,
    teacher: Teacher | None = None,
    sample_weights: Array | None = None,
    restage: Restage | None = None,
    metadata: Mapping[str, str] | None = None,
    folder: Path | None = None,
    resume: bool = False,
    title: str = "",
    stage: str = "training",
    run: str = "",
    reporter: Reporter = SILENT,
) -> TrainingResult:
    """Train a student and leave it in its best state by the held-out samples (ties: by the loss).

    samples         trained on; `held_out` never is. Without held-out samples the last state is the best
    teacher         needed by every loss but that of labels
    sample_weights  (n,) weights of the training samples, for boosting; None: all alike
    restage         changes of encodings while training; None: one phase of all epochs
    metadata        of the model file, for metrics and losses that read it (an alphabet)
    folder          where checkpoints go after each epoch, and where `PAUSE_FILE` is looked for; None: neither
    resume          go on from the folder's checkpoint; the result equals that of an uninterrupted training
    title, run      for the `Started` event; `stage`: of the one phase without a schedule

    Tells `Started`, `StepDone`, `EpochDone` and `Paused` (core/training/events.py) as parts of its progress.

    Raises DataError for data that cannot be learned from (labels out of range, one class only, too few samples),
    ParameterError for settings that do not fit it, and Cancelled within a second; then the student has its best state
    so far and the folder the checkpoint of the last whole epoch. A loss that is not finite ends the training instead
    (`TrainingResult.stopped`).
    """
    from core.training.setup import set_up

    with _repeatable():
        ready = set_up(
            student, samples, held_out, settings, teacher, sample_weights, metadata or {}, folder, reporter
        )
        phases = (Phase(stage, settings.epochs),) if restage is None else restage.phases
        training = _Training(student, ready.passes, ready.valid, ready.again, ready.measure, settings, phases,
                             restage, folder, reporter)  # fmt: skip
        training.notes += ready.notes
        return training.run(resume, title, run)


@contextlib.contextmanager
def _repeatable() -> Iterator[None]:
    """Inside, torch computes the same each time on one machine, with one rule for the number of threads."""
    from core.analysis.runtime import spare_threads

    memory: Any = torch.utils.deterministic

    threads, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    warns, fills = torch.is_deterministic_algorithms_warn_only_enabled(), memory.fill_uninitialized_memory
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*deterministic implementation")  # the seed is kept where it can be
        torch.set_num_threads(spare_threads())
        torch.use_deterministic_algorithms(True, warn_only=True)
        memory.fill_uninitialized_memory = False  # costs time, and we read no memory that was not written
        try:
            yield
        finally:
            torch.set_num_threads(threads)
            torch.use_deterministic_algorithms(strict, warn_only=warns)
            memory.fill_uninitialized_memory = fills


@dataclass
class _Best:
    """The best state of a phase so far.

    state   None where it is the student's own
    lowest  the lowest loss so far, which need not be the best state's
    waited  epochs since neither metric nor loss became better
    """

    figures: Figures | None = None
    epoch: int = 0
    state: State | None = None
    lowest: float = math.inf
    waited: int = 0


class _Training:
    """Where a training stands."""

    def __init__(
        self, student: Trainable, passes: Passes, valid: Evaluator | None, again: Evaluator | None,
        measure: Measure | None, settings: TrainingSettings, phases: tuple[Phase, ...], restage: Restage | None,
        folder: Path | None, reporter: Reporter,
    ) -> None:  # fmt: skip
        self._student, self._passes, self._valid, self._again = student, passes, valid, again
        self._measure, self._settings, self._phases, self._restage = measure, settings, phases, restage
        self._folder, self._reporter = folder, reporter
        self._epochs = sum(phase.epochs for phase in phases)
        self._curves: list[EpochDone] = []
        self._structure: dict[str, Any] = {}
        self._best = _Best()
        self._seconds = 0.0
        self._fingerprint = self._of_this()
        self.notes: list[str] = []

    def _of_this(self) -> str:
        """What a checkpoint must agree with."""
        shapes = {name: list(value.shape) for name, value in self._student.state_dict().items()
                  if isinstance(value, torch.Tensor)}  # fmt: skip
        data = [_of_samples(self._passes.samples), None if self._valid is None else _of_samples(self._valid.samples)]
        return json.dumps([asdict(self._settings), data, [asdict(p) for p in self._phases], shapes])

    def run(self, resume: bool, title: str, run: str) -> TrainingResult:
        """All phases, from the start or from the last checkpoint."""
        found = checkpoints.load(self._folder, self._fingerprint) if resume and self._folder is not None else None
        optimiser_state = None if found is None else self._restore(found)
        measure = self._measure
        self._reporter.tell(
            Started(
                run, title, self._epochs, "loss" if measure is None else measure.words,
                False if measure is None else measure.higher_is_better, measure is not None and measure.share,
                len(self._curves), self._student.frozen, self._phases[-1].title if len(self._phases) > 1 else "",
            )
        )  # fmt: skip
        stopped, do = ("", "") if found is None else (found.stopped, "")
        first, epoch = (0, 0) if found is None else (found.phase, found.epoch)
        number = first
        try:
            while number < len(self._phases) and not stopped:
                self._phase(number, epoch, optimiser_state if number == first else None)
                number, epoch = number + 1, 0
        except NotFiniteError as error:
            stopped, do = self._not_finite(error)
            self._finish(number)
        except Cancelled:
            self._take_best()
            raise
        return self._result(stopped, do)

    def _result(self, stopped: str, do: str) -> TrainingResult:
        figures = self._best.figures
        early = len(self._curves) < self._epochs
        return TrainingResult(
            tuple(self._curves), self._best.epoch, stopped or ("early" if early else ""), do,
            "" if self._measure is None else self._measure.words,
            None if figures is None else figures.metric, None if figures is None else figures.loss, self._seconds,
            {name: from_plain(plain) for name, plain in self._structure.items()}, tuple(self.notes),
        )  # fmt: skip

    def _phase(self, number: int, first: int, optimiser_state: Mapping[str, Any] | None) -> None:
        """One phase from its epoch `first` on; leaves the student in the phase's best state."""
        phase = self._phases[number]
        if first == 0:
            self._best = _Best(epoch=len(self._curves))
            self._change(number, 0)
            if phase.settles == 0 and self._valid is not None:
                self._judge(self._valid(self._student, self._reporter), len(self._curves))
        optimiser = make_optimiser(self._student, self._settings)
        if optimiser_state is not None:
            optimiser.load_state_dict(dict(optimiser_state))
        steps = self._passes.steps
        for epoch in range(first, phase.epochs):
            began = time.perf_counter()
            if epoch > 0:
                optimiser = self._changed(number, epoch, 0.0, optimiser)
            rate = phase.rate * self._settings.learning_rate
            loss, optimiser = self._passes.run(
                optimiser, len(self._curves), epoch * steps, phase.epochs * steps, rate, self._reporter, self._told,
                phase.changes if epoch < phase.settles else 1, partial(self._changed, number, epoch),
            )  # fmt: skip
            self._done(phase, epoch, loss, optimiser.param_groups[0]["lr"], began)
            patience = self._settings.patience
            last = epoch == phase.epochs - 1 or (0 < patience <= self._best.waited)
            self._save(number, epoch + 1, last, optimiser.state_dict())
            if last:
                break
        self._take_best()

    def _told(self, share: float, loss: float) -> None:
        done = len(self._curves) + share
        self._reporter.report(
            done / self._epochs, f"Epoch {int(done) + 1} of {self._epochs}: loss {loss:.3g}", StepDone(done, loss)
        )

    def _changed(self, phase: int, epoch: int, share: float, optimiser: Optimizer) -> Optimizer:
        """Let the schedule change encodings; the optimiser to go on with."""
        if not self._change(phase, epoch + share):
            return optimiser
        return carried_over(optimiser, make_optimiser(self._student, self._settings))

    def _change(self, phase: int, epoch: float) -> bool:
        """Let the schedule change encodings; whether it did."""
        if self._restage is None:
            return False
        replaced = self._restage(self._student, phase, epoch, self._reporter)
        self._structure |= {name: to_plain(encoding) for name, encoding in replaced.items()}
        return bool(replaced)

    def _done(self, phase: Phase, epoch: int, loss: float, rate: float, began: float) -> None:
        """Measure the state after an epoch, keep it when it is the best, and tell the point of the curves."""
        valid = None if self._valid is None else self._valid(self._student, self._reporter)
        again = None if self._again is None else self._again(self._student, self._reporter)
        number = len(self._curves) + 1
        best = epoch >= phase.settles and self._judge(valid, number)
        seconds = time.perf_counter() - began
        self._seconds += seconds
        point = EpochDone(
            number, phase.title, loss, None if valid is None else valid.loss, None if again is None else again.metric,
            None if valid is None else valid.metric, rate, best, False, seconds,
        )  # fmt: skip
        self._curves.append(replace(point, parted=parted_at([*self._curves, point]) is not None))
        self._reporter.report(number / self._epochs, f"Epoch {number} of {self._epochs}", self._curves[-1])

    def _judge(self, figures: Figures | None, epoch: int) -> bool:
        """Keep the student's state when it is the best so far; whether it is."""
        if figures is None:  # nothing is held out: the last is the best
            self._best = _Best(None, epoch)
            return True
        last, self._best.lowest = self._best.lowest, min(self._best.lowest, figures.loss)
        if not better(figures, self._best.figures, self._measure):
            self._best.waited = 0 if figures.loss < last else self._best.waited + 1
            return False
        self._best = _Best(figures, epoch, _copied(self._student.state_dict()), self._best.lowest)
        return True

    def _take_best(self) -> None:
        if self._best.state is not None:
            self._student.load_state_dict(self._best.state)
        self._student.eval()

    def _save(self, phase: int, epoch: int, last: bool, optimiser: Mapping[str, Any]) -> None:
        """Write the checkpoint; of a phase that is done, its best state as the student's. Trouble is told, no end."""
        if self._folder is None:
            return
        best, state = self._best, self._student.state_dict()
        if last:
            phase, epoch, state = phase + 1, 0, best.state or state
        figures = best.figures
        checkpoint = checkpoints.Checkpoint(
            self._fingerprint, phase, epoch, state, self._structure, None if last else optimiser, best.state,
            best.epoch, float("nan") if figures is None else figures.loss, None if figures is None else figures.metric,
            best.lowest, best.waited, tuple(self._curves), self._seconds,
        )  # fmt: skip
        try:
            checkpoints.save(checkpoint, self._folder)
        except OSError as error:
            told = f"The checkpoint could not be written: {checkpoints.why_not_written(error)}. The training went on."
            if told not in self.notes:
                self.notes.append(told)
            self._reporter.report(0.0, told)

    def _restore(self, found: checkpoints.Checkpoint) -> Mapping[str, Any] | None:
        """Stand where a checkpoint was written; the optimiser's state."""
        for name, plain in found.structure.items():
            self._student.replace(name, from_plain(plain))
        self._structure = dict(found.structure)
        try:
            self._student.load_state_dict(found.student)
        except RuntimeError as error:
            raise DataError(
                "the checkpoint is of another model or recipe", where=str(self._folder), do="train from the start"
            ) from error
        self._curves, self._seconds = list(found.curves), found.seconds
        figures = None if found.best is None else Figures(found.best_loss, found.best_metric)
        state = None if found.best is None else dict(found.best)
        self._best = _Best(figures, found.best_epoch, state, found.lowest_loss, found.waited)
        return found.optimiser

    def _not_finite(self, error: NotFiniteError) -> tuple[str, str]:
        """Why the training stops, and what to do about it."""
        epoch = len(self._curves) + 1
        stopped = f"{error.what} was not finite at step {error.step} of epoch {epoch}"
        if not error.batch_is_finite:
            return stopped, "look for NaN or infinite values in the samples"
        if epoch == 1 and error.step == 1:
            raise ParameterError(f"{error.what} is not finite before anything was trained", do="check that the "
                                 "compressed model's answers on these samples are finite")  # fmt: skip
        return stopped, f"lower the learning rate (it was {self._settings.learning_rate:g}) or clip gradients shorter"

    def _finish(self, phase: int) -> None:
        """After a stop: the best state, and every encoding that the recipe still asks for, though not trained."""
        self._take_best()
        if self._restage is None:
            return
        for number in range(phase, len(self._phases)):
            if number > phase or self._best.state is None:
                self._change(number, self._phases[number].settles)
        self._student.eval()


def _of_samples(samples: Samples) -> list[Any]:
    """Tells samples from others of the same number: by all labels, and by the means of some inputs, rounded, as inputs
    that another model computed may differ in the last bits."""
    feeds = [samples.feed(place) for place in samples.spread(TOLD_APART)]
    means = [f"{float(np.mean(value, dtype=np.float64)):.3g}" for feed in feeds for value in feed.values()]
    return [samples.n, None if samples.labels is None else zlib.crc32(samples.labels.tobytes()), means]


def _copied(state: Mapping[str, Any]) -> State:
    return {name: value.detach().clone() if isinstance(value, torch.Tensor) else value
            for name, value in state.items()}  # fmt: skip
