"""Jobs for the worker process; they must be importable there."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from pathlib import Path

from core.errors import DataError
from core.progress import Reporter
from core.training.events import PAUSE_FILE, EpochDone, Paused, Started, StepDone


def add(a: int, b: int, reporter: Reporter) -> int:
    reporter.report(0.5, "adding", part=a)
    return a + b


def refuse(reporter: Reporter) -> None:
    raise DataError("there is nothing in it", where="empty.npz", do="give another file")


def divide(a: int, b: int, reporter: Reporter) -> float:
    return a / b


def die(reporter: Reporter) -> None:
    os._exit(7)


def obey(reporter: Reporter) -> None:
    """Runs until it is cancelled, and asks all the time."""
    reporter.report(0.1, "waiting")
    while True:
        reporter.check()


def stubborn(reporter: Reporter) -> None:
    """Never asks whether to stop."""
    reporter.report(0.1, "waiting")
    threading.Event().wait()


def count(n: int, reporter: Reporter) -> None:
    """Tells n parts as fast as it can."""
    for part in range(n):
        reporter.report(part / n, "counting", part)


def conduct(reporter: Reporter) -> tuple[int, int]:
    """This process's nice value and how many threads libraries may start in it (0: as many as they like)."""
    return os.nice(0), int(os.environ.get("OMP_NUM_THREADS", 0))


@dataclass(frozen=True)
class FakeTraining:
    """What `train` pretends to train: its epochs take no time, and it waits where it is told to.

    hold_after  epochs after which it waits until it is cancelled, killed or was paused; None: it does not
    fail_after  epochs after which it raises
    members     trainings one after the other
    """

    epochs: int = 3
    hold_after: int | None = None
    fail_after: int | None = None
    members: int = 1
    run: str = "20260101-000000-abcdef"
    runs_folder: str = ""
    resume: str | None = None
    done: int = 0


def train(spec: FakeTraining, reporter: Reporter) -> int:
    """Tells what a fine-tuning of `spec.epochs` epochs tells, and waits while its run holds a pause file."""
    reporter.report(0.0, "Compressing")
    done = spec.done if spec.resume is not None else 0
    folder = Path(spec.runs_folder) / spec.run / "checkpoints"
    if spec.runs_folder:
        folder.mkdir(parents=True, exist_ok=True)
    for member in range(spec.members):
        title = f"member {member + 1} of {spec.members}" if spec.members > 1 else "lenet5.onnx"
        reporter.tell(Started(spec.run, title, spec.epochs, "accuracy (top-1)", done=done))
        for epoch in range(done + 1, spec.epochs + 1):
            reporter.report(epoch / (spec.epochs + 1), f"Epoch {epoch} of {spec.epochs}")
            reporter.tell(StepDone(epoch - 0.5, 1.2 / epoch))
            reporter.tell(fake_epoch(epoch, spec.epochs))
            if epoch == spec.fail_after:
                raise DataError("the labels are gone", where="train.npz", do="give others")
            while epoch == spec.hold_after and not _waited(folder / PAUSE_FILE, reporter):
                reporter.check()
    reporter.report(1.0, "Done")
    return spec.epochs


def fake_epoch(epoch: int, epochs: int, *, stage: str = "") -> EpochDone:
    """An epoch of a training that gets better up to two thirds and then learns its samples by heart."""
    turn = epochs * 2 / 3
    valid = 1.0 / epoch if epoch <= turn else 1.0 / turn + 0.02 * (epoch - turn)
    return EpochDone(
        epoch, stage, 0.9 / epoch, valid, min(1.0, 0.9 + 0.01 * epoch), min(0.97, 0.9 + 0.01 * epoch),
        1e-3 * (1 - (epoch - 1) / epochs), epoch <= turn, epoch > turn, 0.5, 40_000,
    )


def _waited(pause: Path, reporter: Reporter) -> bool:
    """Wait while there is a pause file; whether there was one."""
    if not pause.exists():
        return False
    reporter.tell(Paused(True))
    while pause.exists():
        reporter.check()
    reporter.tell(Paused(False))
    return True
