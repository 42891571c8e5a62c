"""Tasks: generations, cancelling, coalescing, the worker's death, and nothing left at the end."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from pytestqt.qtbot import QtBot

from core.errors import DataError, FeatherweightError
from core.progress import Progress, Reporter
from gui.tasks import CANCEL_PATIENCE_MS, Tasks

sys.path.insert(0, str(Path(__file__).parent))  # the worker process gets the same path
import jobs

PATIENCE_MS = 20_000


@pytest.fixture
def tasks(qtbot: QtBot) -> Iterator[Tasks]:
    made = Tasks()
    yield made
    made.close()
    assert not [t.name for t in threading.enumerate() if t.name.startswith(("featherweight", "worker answers"))]


def held(gate: threading.Event, value: int, reporter: Reporter) -> int:
    """Waits for the gate, then returns the value; does not ask whether to stop."""
    gate.wait()
    return value


class Heard:
    """Collects what callbacks say."""

    def __init__(self) -> None:
        self.done: list[Any] = []
        self.failed: list[FeatherweightError] = []
        self.progress: list[Progress] = []
        self.cancelled = 0

    def callbacks(self) -> dict[str, Callable[..., None]]:
        return {"done": self.done.append, "failed": self.failed.append, "progress": self.progress.append,
                "cancelled": self._cancel}

    def _cancel(self) -> None:
        self.cancelled += 1


def test_thread_delivers_in_the_windows_thread(tasks: Tasks, qtbot: QtBot) -> None:
    threads = []
    tasks.thread("add", jobs.add, 1, 2, done=lambda value: threads.append((value, threading.current_thread())))
    qtbot.waitUntil(lambda: bool(threads), timeout=PATIENCE_MS)
    assert threads == [(3, threading.main_thread())]
    assert not tasks.busy


def test_newer_task_of_a_key_replaces_the_older(tasks: Tasks, qtbot: QtBot) -> None:
    gate, old, new = threading.Event(), Heard(), Heard()
    tasks.thread("key", held, gate, 1, **old.callbacks())
    tasks.thread("key", held, gate, 2, **new.callbacks())
    gate.set()
    qtbot.waitUntil(lambda: bool(new.done), timeout=PATIENCE_MS)
    assert new.done == [2]
    assert old.done == [] and old.cancelled == 1


def test_coalescing_delivers_what_runs_and_then_only_the_newest(tasks: Tasks, qtbot: QtBot) -> None:
    gate, heard = threading.Event(), Heard()
    for value in range(5):
        tasks.thread("drag", held, gate, value, coalesce=True, **heard.callbacks())
    gate.set()
    qtbot.waitUntil(lambda: not tasks.busy, timeout=PATIENCE_MS)
    assert heard.done == [0, 4]
    assert heard.cancelled == 0


def test_error_without_callback_is_announced(tasks: Tasks, qtbot: QtBot) -> None:
    with qtbot.waitSignal(tasks.failed, timeout=PATIENCE_MS) as caught:
        tasks.thread("refuse", jobs.refuse)
    key, error = caught.args
    assert key == "refuse" and isinstance(error, DataError)


def test_unexpected_error_becomes_a_sentence_with_its_traceback(tasks: Tasks, qtbot: QtBot) -> None:
    heard = Heard()
    tasks.thread("divide", jobs.divide, 1, 0, **heard.callbacks())
    qtbot.waitUntil(lambda: bool(heard.failed), timeout=PATIENCE_MS)
    assert "ZeroDivisionError" in str(heard.failed[0])
    assert "jobs.py" in heard.failed[0].details


def test_process_delivers_result_progress_and_parts(tasks: Tasks, qtbot: QtBot) -> None:
    heard = Heard()
    tasks.process("add", jobs.add, 20, 22, title="Adding", **heard.callbacks())
    assert [state.title for state in tasks.states] == ["Adding"]
    qtbot.waitUntil(lambda: bool(heard.done), timeout=PATIENCE_MS)
    assert heard.done == [42]
    assert [p.part for p in heard.progress] == [20]
    assert tasks.states == ()


@pytest.mark.parametrize(("job", "words"), [(jobs.refuse, "nothing in it"), (jobs.die, "exit code 7")])
def test_process_failure_is_told_and_the_next_job_runs(tasks: Tasks, qtbot: QtBot, job: Any, words: str) -> None:
    bad, good = Heard(), Heard()
    tasks.process("bad", job, **bad.callbacks())
    tasks.process("good", jobs.add, 1, 1, **good.callbacks())
    qtbot.waitUntil(lambda: bool(good.done), timeout=PATIENCE_MS)
    assert words in str(bad.failed[0])
    assert good.done == [2]


def test_one_worker_serves_all_jobs(tasks: Tasks, qtbot: QtBot) -> None:
    heard = Heard()
    tasks.process("first", jobs.add, 1, 1, **heard.callbacks())
    qtbot.waitUntil(lambda: len(heard.done) == 1, timeout=PATIENCE_MS)
    pid = tasks.worker_pid
    tasks.process("second", jobs.add, 1, 1, **heard.callbacks())
    qtbot.waitUntil(lambda: len(heard.done) == 2, timeout=PATIENCE_MS)
    assert pid is not None and tasks.worker_pid == pid


@pytest.mark.parametrize(("job", "survives"), [(jobs.obey, True), (jobs.stubborn, False)])
def test_cancel_asks_first_and_kills_after_its_patience(tasks: Tasks, qtbot: QtBot, job: Any, survives: bool) -> None:
    heard, after = Heard(), Heard()
    tasks.process("long", job, title="Long", **heard.callbacks())
    qtbot.waitUntil(lambda: bool(heard.progress), timeout=PATIENCE_MS)
    pid = tasks.worker_pid
    tasks.cancel("long")
    assert heard.cancelled == 1 and tasks.states == ()
    started = time.monotonic()
    tasks.process("next", jobs.add, 2, 2, **after.callbacks())
    qtbot.waitUntil(lambda: bool(after.done), timeout=PATIENCE_MS)
    assert (tasks.worker_pid == pid) is survives
    assert survives or time.monotonic() - started >= CANCEL_PATIENCE_MS / 1000 * 0.8
    assert heard.done == [] and heard.failed == []


def test_close_while_jobs_run_leaves_nothing(tasks: Tasks, qtbot: QtBot) -> None:
    heard = Heard()
    tasks.process("stubborn", jobs.stubborn, **heard.callbacks())
    tasks.thread("obey", jobs.obey, **heard.callbacks())
    qtbot.waitUntil(lambda: len(heard.progress) == 2, timeout=PATIENCE_MS)
    tasks.close()
    assert tasks.worker_pid is None and not tasks.busy
    tasks.thread("late", jobs.add, 1, 1, **heard.callbacks())
    assert not tasks.busy and heard.done == []


def test_trainings_have_a_process_of_their_own(tasks: Tasks, qtbot: QtBot) -> None:
    training, other = Heard(), Heard()
    tasks.training("train", jobs.obey, title="Training", **training.callbacks())
    qtbot.waitUntil(lambda: bool(training.progress), timeout=PATIENCE_MS)
    tasks.process("add", jobs.add, 1, 2, title="Adding", **other.callbacks())
    assert [state.title for state in tasks.states] == ["Training", "Adding"] and tasks.states[0].training
    qtbot.waitUntil(lambda: bool(other.done), timeout=PATIENCE_MS)
    assert other.done == [3] and tasks.running("train")
    assert tasks.training_pid not in (None, tasks.worker_pid)
    assert not tasks.busy  # nothing of the window waits for a training
    tasks.cancel_all(trainings=False)
    assert tasks.running("train")
    tasks.cancel_all()
    assert training.cancelled == 1 and not tasks.states


def test_progress_of_a_training_wakes_only_who_asked_for_it(tasks: Tasks, qtbot: QtBot) -> None:
    heard, changed = Heard(), []
    tasks.changed.connect(lambda: changed.append(len(heard.progress)))
    tasks.training("train", jobs.count, 20, title="Training", **heard.callbacks())
    qtbot.waitUntil(lambda: bool(heard.done), timeout=PATIENCE_MS)
    assert [progress.part for progress in heard.progress] == list(range(20))
    assert changed == [0, 20]  # it started, it ended


def test_training_process_is_polite(tasks: Tasks, qtbot: QtBot) -> None:
    nice, trained = Heard(), Heard()
    tasks.process("worker", jobs.conduct, **nice.callbacks())
    tasks.training("training", jobs.conduct, **trained.callbacks())
    qtbot.waitUntil(lambda: bool(nice.done and trained.done), timeout=PATIENCE_MS)
    (worker_nice, _), (training_nice, threads) = nice.done[0], trained.done[0]
    assert os.nice(0) < worker_nice < training_nice
    assert threads == max(1, (os.cpu_count() or 1) - 1)


@pytest.mark.parametrize(("job", "survives"), [(jobs.obey, True), (jobs.stubborn, False)])
def test_a_cancelled_training_is_gone_within_a_second(tasks: Tasks, qtbot: QtBot, job: Any, survives: bool) -> None:
    heard, after = Heard(), Heard()
    tasks.training("train", job, title="Training", **heard.callbacks())
    qtbot.waitUntil(lambda: bool(heard.progress), timeout=PATIENCE_MS)
    pid = tasks.training_pid
    assert pid is not None
    process, started = psutil.Process(pid), time.monotonic()
    tasks.cancel("train")
    assert heard.cancelled == 1
    if not survives:
        qtbot.waitUntil(lambda: not process.is_running(), timeout=PATIENCE_MS)
        assert time.monotonic() - started < 1.0
    tasks.training("next", jobs.add, 2, 2, **after.callbacks())
    qtbot.waitUntil(lambda: bool(after.done), timeout=PATIENCE_MS)
    assert (tasks.training_pid == pid) is survives


def test_a_killed_training_process_is_told_and_the_worker_is_not_disturbed(tasks: Tasks, qtbot: QtBot) -> None:
    heard, other = Heard(), Heard()
    tasks.training("train", jobs.obey, title="Training", **heard.callbacks())
    tasks.process("work", jobs.obey, title="Working", **other.callbacks())
    qtbot.waitUntil(lambda: bool(heard.progress and other.progress), timeout=PATIENCE_MS)
    assert tasks.training_pid is not None
    psutil.Process(tasks.training_pid).kill()
    qtbot.waitUntil(lambda: bool(heard.failed), timeout=PATIENCE_MS)
    assert "training process stopped (signal 9)" in str(heard.failed[0]) and "resumed" in heard.failed[0].do
    assert [state.title for state in tasks.states] == ["Working"] and not other.failed
