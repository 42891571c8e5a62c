"""The state of a training: started, heard, paused, cancelled, killed, resumed, done."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psutil
from pytestqt.qtbot import QtBot

from gui.session import Session
from gui.totals.status import TaskStatus
from gui.training.asked import Asked
from gui.training.state import Phase
from gui.training.words import status_words

PATIENCE_MS = 20_000
Fake = Callable[..., Asked]


def wait_for(qtbot: QtBot, session: Session, phase: Phase) -> None:
    qtbot.waitUntil(lambda: session.training.phase is phase, timeout=PATIENCE_MS)


def epochs(session: Session) -> list[list[int]]:
    return [[point.epoch for point in series.points] for series in session.training.series]


def test_a_training_goes_through_its_phases(session: Session, qtbot: QtBot, fake: Fake) -> None:
    state, phases, said = session.training, [], []
    state.stateChanged.connect(lambda: phases.append(state.phase))
    session.said.connect(said.append)
    assert state.phase is Phase.NONE and not state.can_resume and not state.can_pause
    state.start(fake(epochs=4))
    assert [task.title for task in session.tasks.states] == ["Fine-tuning lenet5.onnx"]
    wait_for(qtbot, session, Phase.DONE)
    assert list(dict.fromkeys(phases)) == [Phase.PREPARING, Phase.RUNNING, Phase.DONE]
    assert epochs(session) == [[1, 2, 3, 4]]
    assert state.view is not None and state.view.chosen == 2
    assert said == ["Fine-tuning lenet5.onnx: done. 97.9 % instead of 95.0 % without training."]
    assert not state.can_use and not state.can_resume  # no model is open, and nothing is left to do


def test_several_trainings_of_one_job_have_a_curve_each(session: Session, qtbot: QtBot, fake: Fake) -> None:
    session.training.start(fake(epochs=2, members=3))
    wait_for(qtbot, session, Phase.DONE)
    assert epochs(session) == [[1, 2]] * 3
    assert session.training.series[1].title == "member 2 of 3"


def test_pause_waits_and_goes_on(session: Session, qtbot: QtBot, fake: Fake, runs_folder: Any) -> None:
    state = session.training
    state.start(fake(epochs=3, hold_after=1))
    qtbot.waitUntil(lambda: bool(epochs(session) and epochs(session)[0]), timeout=PATIENCE_MS)
    state.pause(True)
    assert state.pausing and (runs_folder / state.run / "checkpoints" / "pause").exists()
    wait_for(qtbot, session, Phase.PAUSED)
    assert not state.pausing and state.can_pause and state.seconds_left() is None
    bar = TaskStatus(session)  # says what the lens says
    qtbot.addWidget(bar)
    assert bar.text.whole == status_words(state) == "Paused \N{MIDDLE DOT} 1 of 3 epochs"
    state.pause(False)
    wait_for(qtbot, session, Phase.DONE)
    assert epochs(session) == [[1, 2, 3]]


def test_a_cancelled_training_resumes_from_its_last_epoch(session: Session, qtbot: QtBot, fake: Fake) -> None:
    state = session.training
    state.start(fake(epochs=5, hold_after=3, done=3))
    qtbot.waitUntil(lambda: epochs(session) == [[1, 2, 3]], timeout=PATIENCE_MS)
    state.cancel()
    assert state.phase is Phase.CANCELLED and state.can_resume
    assert not session.tasks.states
    state.resume()
    wait_for(qtbot, session, Phase.DONE)
    assert epochs(session) == [[1, 2, 3, 4, 5]]
    assert state.series[0].started.done == 3


def test_a_killed_training_is_told_and_can_be_resumed(session: Session, qtbot: QtBot, fake: Fake) -> None:
    state, errors = session.training, []
    session.failed.connect(errors.append)
    state.start(fake(epochs=5, hold_after=2, done=2))
    qtbot.waitUntil(lambda: epochs(session) == [[1, 2]], timeout=PATIENCE_MS)
    assert session.tasks.training_pid is not None
    psutil.Process(session.tasks.training_pid).kill()
    wait_for(qtbot, session, Phase.FAILED)
    assert "training process stopped" in state.problem and len(errors) == 1
    state.resume()
    wait_for(qtbot, session, Phase.DONE)
    assert epochs(session) == [[1, 2, 3, 4, 5]] and not state.problem


def test_a_failure_is_told_with_what_there_is(session: Session, qtbot: QtBot, fake: Fake) -> None:
    errors: list[Any] = []
    session.failed.connect(errors.append)
    session.training.start(fake(epochs=5, fail_after=2))
    wait_for(qtbot, session, Phase.FAILED)
    assert "labels are gone" in session.training.problem and epochs(session) == [[1, 2]]
    assert len(errors) == 1


def test_only_one_training_at_a_time(session: Session, qtbot: QtBot, fake: Fake) -> None:
    errors: list[Any] = []
    session.failed.connect(errors.append)
    session.training.start(fake(epochs=2, hold_after=1))
    session.training.start(fake(epochs=9))
    assert "a training runs already" in str(errors[0])
    qtbot.waitUntil(lambda: epochs(session) == [[1]], timeout=PATIENCE_MS)
    assert session.training.series[0].started.epochs == 2
    session.training.cancel()
    assert session.training.phase is Phase.CANCELLED


def test_cancel_of_the_window_leaves_a_training_alone_while_anything_else_runs(
    session: Session, qtbot: QtBot, fake: Fake
) -> None:
    import jobs

    session.training.start(fake(epochs=2, hold_after=1))
    session.tasks.process("other", jobs.obey, title="Other")
    session.cancel()
    assert session.training.phase.at_work and not session.tasks.running("other")
    session.close_model()
    assert session.training.phase.at_work
    session.cancel()
    assert session.training.phase is Phase.CANCELLED
