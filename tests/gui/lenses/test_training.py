"""The Training lens in each of its states, and a real fine-tuning that becomes the plan's result."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtWidgets import QFileDialog
from pytestqt.qtbot import QtBot

from core.errors import InternalError
from core.progress import Progress
from core.training.events import Paused, Started
from core.training.settings import TrainingSettings
from gui.lenses.training import TrainingLens
from gui.main_window import MainWindow
from gui.session import Session
from gui.training.asked import Asked, ResultView
from gui.training.finetune import Wish, asked_of
from gui.training.state import Phase
from gui.training.words import status_words

sys.path.insert(0, str(Path(__file__).parents[1]))
import jobs
from made import write_clusters, write_planned_model

PATIENCE_MS = 60_000
STARTED = Started("20260101-000000-abcdef", "lenet5.onnx", 9, "accuracy (top-1)")
VIEW = ResultView("97.9 % in 43 kB.", ("", "File", "Accuracy"), (("Original", "1.73 MB", "98.0 %"),
                  ("Trained", "43 kB", "97.9 %")), 1, ("Measured on 1,000 samples.",))


class FakeTrainer:
    """Takes the place of the training process: a test decides what it tells."""

    def __init__(self, session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answers: dict[str, Callable[..., None]] = {}
        self.cancelled = False
        cancel = session.tasks.cancel
        monkeypatch.setattr(session.tasks, "training", lambda key, job, spec, **words: self.answers.update(words))

        def stop(key: str) -> None:
            cancel(key)
            if key == "training":
                self.cancelled = True
                self.answers["cancelled"]()

        monkeypatch.setattr(session.tasks, "cancel", stop)

    def tell(self, part: object, done: float = 0.0, text: str = "") -> None:
        self.answers["progress"](Progress(done, text, part))


@pytest.fixture
def lens(session: Session, qtbot: QtBot) -> TrainingLens:
    made = TrainingLens()
    made.set_session(session)
    qtbot.addWidget(made)
    made.resize(600, 800)
    made.show()
    return made


@pytest.fixture
def trainer(session: Session, monkeypatch: pytest.MonkeyPatch) -> FakeTrainer:
    return FakeTrainer(session, monkeypatch)


@pytest.fixture
def training(session: Session, trainer: FakeTrainer, lens: TrainingLens) -> FakeTrainer:
    """One that is at its epochs."""
    session.training.start(Asked("finetune", "Fine-tuning lenet5.onnx", jobs.train, None, lambda _outcome: VIEW))
    trainer.tell(STARTED)
    return trainer


def buttons(lens: TrainingLens) -> list[str]:
    run = lens.run
    return [button.text() for button in (run.pause, run.resume, run.cancel, run.again) if button.isVisible()]


def test_empty_states_say_what_to_do(session: Session, lens: TrainingLens, qtbot: QtBot, tmp_path: Path,
                                     opened: Callable[..., Session]) -> None:
    assert "No model is open." in lens.empty.words() and not lens.start_button.isVisible()
    opened(session, write_planned_model(tmp_path / "planned.onnx"))
    assert "Training needs samples." in lens.empty.words() and lens.start_button.isVisible()
    session.load_data(write_clusters(tmp_path / "train.npz", 30))
    qtbot.waitUntil(lambda: session.samples is not None, timeout=PATIENCE_MS)
    assert "fine-tune the model as it is" in lens.empty.words()
    with qtbot.waitSignal(session.training.settingsWanted, timeout=PATIENCE_MS):
        lens.start_button.click()


def test_preparing_then_the_first_epoch_then_curves(session: Session, trainer: FakeTrainer, lens: TrainingLens,
                                                    qtbot: QtBot) -> None:
    session.training.start(Asked("finetune", "Fine-tuning lenet5.onnx", jobs.train, None, lambda _outcome: VIEW))
    trainer.tell(None, 0.02, "Compressing conv1")
    assert lens.run.title.text() == "Fine-tuning lenet5.onnx"
    assert lens.run.caption.plain_text == "Compressing conv1" and buttons(lens) == ["Cancel"]
    qtbot.waitUntil(lambda: "being prepared" in lens.losses.empty.words(), timeout=PATIENCE_MS)
    trainer.tell(STARTED, 0.05)
    assert buttons(lens) == ["Pause", "Cancel"] and lens.run.caption.plain_text == "0 of 9 epochs"
    qtbot.waitUntil(lambda: "first epoch is under way" in lens.judged.empty.words(), timeout=PATIENCE_MS)
    for epoch in range(1, 10):
        trainer.tell(jobs.fake_epoch(epoch, 9), epoch / 10, f"Epoch {epoch} of 9")
    qtbot.waitUntil(lambda: len(lens.losses.chart.picture.tips) == 9, timeout=PATIENCE_MS)
    assert lens.judged.title.text() == "Accuracy (top-1)"
    assert "best: epoch 6" in lens.losses.caption.plain_text
    assert lens.run.advice.isVisible() and "learns these samples by heart" in lens.run.advice.text()
    lens.judged.choice.choose("rate")
    qtbot.waitUntil(lambda: lens.judged.title.text() == "Learning rate", timeout=PATIENCE_MS)


@pytest.mark.parametrize(("kind", "ending"), [("finetune", "s left"), ("merge", "s left in this training")])
def test_time_left_is_that_of_the_training_at_work(
    session: Session, trainer: FakeTrainer, lens: TrainingLens, kind: str, ending: str
) -> None:
    session.training.start(Asked(kind, "Training", jobs.train, None, lambda _outcome: VIEW))
    trainer.tell(STARTED)
    trainer.tell(jobs.fake_epoch(1, 9), 0.1, "Epoch 1 of 9")
    assert status_words(session.training).endswith(ending)


def test_pause_waits_for_the_answer(session: Session, training: FakeTrainer, lens: TrainingLens,
                                    runs_folder: Path) -> None:
    (runs_folder / STARTED.run / "checkpoints").mkdir(parents=True)
    lens.run.pause.click()
    assert not lens.run.pause.isEnabled() and "Pauses after this batch" in lens.run.caption.plain_text
    training.tell(Paused(True))
    assert session.training.phase is Phase.PAUSED and lens.run.caption.plain_text.startswith("Paused")
    assert buttons(lens) == ["Go on", "Cancel"]
    lens.run.pause.click()
    training.tell(Paused(False))
    assert buttons(lens) == ["Pause", "Cancel"]


def test_a_disk_that_takes_no_pause_file_is_told(session: Session, training: FakeTrainer, lens: TrainingLens) -> None:
    errors: list[Any] = []
    session.failed.connect(errors.append)
    lens.run.pause.click()  # the run's folder is not there
    assert len(errors) == 1 and lens.run.pause.isEnabled() and session.training.phase is Phase.RUNNING


def test_cancelled_before_an_epoch_leaves_nothing_to_resume(training: FakeTrainer, lens: TrainingLens) -> None:
    lens.run.cancel.click()
    assert training.cancelled and buttons(lens) == ["Fine-tune\N{HORIZONTAL ELLIPSIS}"]
    assert "no epoch was done" in lens.run.caption.plain_text


def test_failed_says_why_and_offers_to_resume(training: FakeTrainer, lens: TrainingLens) -> None:
    training.tell(jobs.fake_epoch(1, 9))
    training.answers["failed"](InternalError("the training process stopped (signal 9)", do="resume it"))
    assert lens.run.problem.text() == "The training process stopped (signal 9); resume it."
    assert buttons(lens) == ["Resume", "Fine-tune\N{HORIZONTAL ELLIPSIS}"]


def test_members_have_a_choice_that_follows_the_one_at_work(training: FakeTrainer, lens: TrainingLens,
                                                            qtbot: QtBot) -> None:
    assert not lens.series.isVisible()
    training.tell(replace(STARTED, title="member 2"))
    qtbot.waitUntil(lambda: lens.series.currentText() == "member 2", timeout=PATIENCE_MS)
    lens.series.setCurrentIndex(0)
    lens.series.activated.emit(0)  # the person picks another
    training.tell(replace(STARTED, title="member 3"))
    qtbot.waitUntil(lambda: lens.series.count() == 3, timeout=PATIENCE_MS)
    assert lens.series.currentIndex() == 0
    assert lens.run.caption.plain_text.startswith("member 3: 0 of 9 epochs")


def test_done_shows_the_result_as_a_table(training: FakeTrainer, lens: TrainingLens) -> None:
    training.tell(jobs.fake_epoch(1, 9))
    assert not lens.result.isVisible()
    training.answers["done"](object())
    assert lens.result.isVisible() and lens.result.headline.text() == VIEW.headline
    assert lens.result.texts()[3:] == ["Original", "1.73 MB", "98.0 %", "Trained", "43 kB", "97.9 %"]
    assert not lens.result.use.isVisible()  # it is no result of an open model
    assert buttons(lens) == ["Fine-tune\N{HORIZONTAL ELLIPSIS}"] and not lens.run.bar.isVisible()


def test_a_file_that_is_no_result_of_the_plan_is_saved_under_any_name(
    training: FakeTrainer, session: Session, lens: TrainingLens, qtbot: QtBot, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made, proposed, target = tmp_path / "work.onnx", [], tmp_path / "mine.onnx"
    made.write_bytes(b"a model")
    asked = Asked("merge", "Merging", jobs.train, None, lambda _outcome: replace(VIEW, file=made))

    def name(_parent: object, _title: str, proposal: str, _filters: str) -> tuple[str, str]:
        proposed.append(Path(proposal).name)
        return str(target), ""

    monkeypatch.setattr(QFileDialog, "getSaveFileName", name)
    training.answers["done"](object())
    assert not lens.result.export.isVisible()  # nothing was written
    session.training.start(asked)
    training.answers["done"](object())
    assert lens.result.export.isVisible() and not lens.result.use.isVisible()
    lens.result.export.click()
    qtbot.waitUntil(target.exists, timeout=PATIENCE_MS)
    assert target.read_bytes() == b"a model" and proposed == ["work-merged.onnx"]
    made.unlink()
    failed: list[str] = []
    session.failed.connect(lambda error: failed.append(str(error)))
    lens.result.export.click()
    qtbot.waitUntil(lambda: bool(failed), timeout=PATIENCE_MS)
    assert "not there any more" in failed[0] and "Runs lens" in failed[0]


@pytest.mark.models  # tens of seconds: torch is imported in the training process, and all is measured
def test_a_real_fine_tuning_becomes_the_result(window: MainWindow, qtbot: QtBot, tmp_path: Path,
                                               opened: Callable[..., Session]) -> None:
    from core.recipe import Step

    session, state = window.session, window.session.training
    opened(session, write_planned_model(tmp_path / "planned.onnx"))
    data = write_clusters(tmp_path / "train.npz", 120)
    session.load_data(data)
    qtbot.waitUntil(lambda: session.samples is not None, timeout=PATIENCE_MS)
    assert session.model is not None
    session.set_steps([layer.name for layer in session.model.layers], [Step.make("quantize", bits=3)])
    window.show_lens("training")
    state.start(asked_of(session, Wish(TrainingSettings(epochs=2, batch=16), data)))
    qtbot.waitUntil(lambda: not state.phase.at_work, timeout=PATIENCE_MS)
    assert state.phase is Phase.DONE, state.problem
    assert [point.epoch for point in state.series[0].points] == [1, 2]
    lens = window.workspace.lenses.current
    assert isinstance(lens, TrainingLens) and lens.result.use.isVisible()
    assert lens.result.texts()[5] == "Original" and "Trained" in lens.result.texts()
    session.set_steps([session.model.layers[0].name], None)  # another plan since
    lens.result.use.click()
    assert session.result is not None and session.result_current and session.result.trained
    assert len(session.steps(session.model.layers[0].name)) == 1  # the plan that was trained is back
    session.export(tmp_path / "out.onnx")
    qtbot.waitUntil(lambda: (tmp_path / "out.onnx").exists() and not session.tasks.busy, timeout=PATIENCE_MS)
    assert (tmp_path / "out.onnx").read_bytes() == Path(session.result.outcome.path).read_bytes()
    assert state.used and not lens.result.use.isVisible()
