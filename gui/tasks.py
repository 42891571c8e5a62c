"""Work in the background: threads for what is short or mostly numpy, a worker process for the rest, one for training.

Each task has a key. A newer task with the same key cancels the older one; answers of the older one that come late are
dropped by their number. Functions and jobs are called with a `reporter` keyword and may raise FeatherweightError.
Callbacks run in the window's thread. After a cancel no callback but `cancelled` is called.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from PySide6.QtCore import QObject, Qt, QTimer, Signal

from core.errors import Cancelled, FeatherweightError, InternalError
from core.progress import Progress, Reporter
from gui.pace import Pace
from gui.worker import TRAINING, WORKER, as_error, throttled
from gui.worker_queue import WorkerQueue

AFTER_PAINT_MS = 60
"""A delay for tasks that nobody waits for: what was clicked is painted by then."""
_THREADS = 3
"""Statistics, the plan's preview and the shown layer's preview may run at once; more only fight for the interpreter."""
CANCEL_PATIENCE_MS = 150
"""How long a job may take to stop by itself before its process is ended."""
TRAINING_PATIENCE_MS = 800
"""The same for trainings: they leave a run that can be resumed, and a new process needs seconds to import torch."""


@dataclass(frozen=True)
class TaskState:
    """What the status bar shows of a running task. `seconds_left` is None until there is something to go by.

    training   it runs in the training process
    """

    key: str
    title: str
    done: float
    text: str
    seconds_left: float | None
    training: bool = False


@dataclass(eq=False)
class _Task:
    number: int
    key: str
    title: str
    run: Callable[..., Any]
    args: tuple[Any, ...]
    on_done: Callable[[Any], None] | None
    on_failed: Callable[[FeatherweightError], None] | None
    on_progress: Callable[[Progress], None] | None
    on_cancelled: Callable[[], None] | None
    queue: WorkerQueue | None
    delay_ms: int = 0
    cancel: threading.Event = field(default_factory=threading.Event)
    progress: Progress = field(default_factory=lambda: Progress(0.0))
    pace: Pace = field(default_factory=Pace)

    def hear(self, told: Progress) -> None:
        """Progress never goes back, and a part alone tells none."""
        self.progress = Progress(max(self.progress.done, told.done), told.text or self.progress.text)
        self.pace.hear(time.monotonic(), self.progress.done, self.progress.text)


class Tasks(QObject):
    """Starts, follows and cancels tasks.

    changed       a task with a title started, went on or ended
    failed        (key, FeatherweightError) of a task that has no `failed` callback
    """

    changed = Signal()
    failed = Signal(str, object)
    _arrived = Signal(str, int, object)  # kind, number, value; from the threads

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._numbers = itertools.count(1)
        self._current: dict[str, _Task] = {}
        self._waiting: dict[str, _Task] = {}  # a coalescing task's successor
        self._pool: ThreadPoolExecutor | None = None
        self._closed = False
        self._worker = WorkerQueue(self._arrived.emit, WORKER, CANCEL_PATIENCE_MS, self)
        self._trainer = WorkerQueue(self._arrived.emit, TRAINING, TRAINING_PATIENCE_MS, self)
        self._arrived.connect(self._take, Qt.ConnectionType.QueuedConnection)

    # -- starting ---------------------------------------------------------------------------------------------------

    def thread(self, key: str, function: Callable[..., Any], *args: Any,  # type: ignore[override]  # not QObject's
               title: str = "", coalesce: bool = False, delay_ms: int = 0,
               done: Callable[[Any], None] | None = None, failed: Callable[[FeatherweightError], None] | None = None,
               progress: Callable[[Progress], None] | None = None,
               cancelled: Callable[[], None] | None = None) -> None:
        """Run `function(*args, reporter=...)` in a thread.

        coalesce   while a task of this key runs, let it finish and deliver, then run only the newest one that waits;
                   for redrawing during a drag, where cancelling each would never show anything
        delay_ms   begin that much later, so that the window can first paint what it has: a thread at work makes that
                   two or three times slower. The task counts as running meanwhile
        title      shown in the status bar; tasks without one are not shown
        """
        task = _Task(next(self._numbers), key, title, function, args, done, failed, progress, cancelled, None,
                     delay_ms)
        if coalesce and key in self._current:
            self._waiting[key] = task
            return
        self._start(task)

    def process(self, key: str, job: Callable[..., Any], *args: Any, title: str = "",
                done: Callable[[Any], None] | None = None, failed: Callable[[FeatherweightError], None] | None = None,
                progress: Callable[[Progress], None] | None = None,
                cancelled: Callable[[], None] | None = None) -> None:
        """Run the picklable `job(*args, reporter=...)` in the worker process, after the jobs that wait there."""
        self._start(_Task(next(self._numbers), key, title, job, args, done, failed, progress, cancelled, self._worker))

    def training(self, key: str, job: Callable[..., Any], *args: Any, title: str = "",
                 done: Callable[[Any], None] | None = None, failed: Callable[[FeatherweightError], None] | None = None,
                 progress: Callable[[Progress], None] | None = None,
                 cancelled: Callable[[], None] | None = None) -> None:
        """Run the picklable job in the training process, like `process`; for what takes minutes to hours.

        Other jobs go on meanwhile. Its progress does not emit `changed`: whoever shows it hears `progress`, or looks
        at `states` now and then.
        """
        self._start(_Task(next(self._numbers), key, title, job, args, done, failed, progress, cancelled,
                          self._trainer))

    def warm_up(self, *modules: str) -> None:
        """Start the worker process and let it import `modules`, so that the first job starts at once."""
        self._worker.warm(modules)

    def warm_training(self, *modules: str) -> None:
        """The same for the training process."""
        self._trainer.warm(modules)

    def _start(self, task: _Task) -> None:
        if self._closed:
            return
        self.cancel(task.key)
        self._current[task.key] = task
        if task.queue is not None:
            task.queue.add(task)
        elif task.delay_ms:
            QTimer.singleShot(task.delay_ms, self, lambda: self._submit(task))
        else:
            self._submit(task)
        self.changed.emit()

    def _submit(self, task: _Task) -> None:
        if self._closed or task.cancel.is_set():
            return
        if self._pool is None:
            self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="featherweight")
        self._pool.submit(self._run_in_thread, task)

    def _run_in_thread(self, task: _Task) -> None:
        def tell(progress: Progress) -> None:
            self._arrived.emit("progress", task.number, progress)

        try:
            reporter = Reporter(throttled(tell), task.cancel)
            reporter.check()
            result = task.run(*task.args, reporter=reporter)
        except Exception as error:  # noqa: BLE001  whatever it is, the person must see it and the window live on
            self._arrived.emit("failed", task.number, as_error(error))
        else:
            self._arrived.emit("done", task.number, result)

    # -- asking -----------------------------------------------------------------------------------------------------

    def running(self, key: str) -> bool:
        return key in self._current

    @property
    def busy(self) -> bool:
        """Whether anything runs or waits, shown or not, but for trainings: they may take hours, and nothing of the
        window waits for them."""
        return any(task.queue is not self._trainer for task in self._current.values())

    @property
    def queued(self) -> bool:
        """Whether a job waits for the worker process, which does another."""
        return self._worker.waits

    @property
    def states(self) -> tuple[TaskState, ...]:
        """Running tasks that have a title: trainings, then the others, oldest first."""
        now = time.monotonic()
        states = [TaskState(t.key, t.title, t.progress.done, t.progress.text, t.pace.seconds_left(now),
                            t.queue is self._trainer) for t in self._current.values() if t.title]
        return tuple(sorted(states, key=lambda state: not state.training))

    @property
    def worker_pid(self) -> int | None:
        """Process id of the worker, if there is one now."""
        return self._worker.pid

    @property
    def training_pid(self) -> int | None:
        """Process id of the training process, if there is one now."""
        return self._trainer.pid

    # -- answers, in the window's thread ----------------------------------------------------------------------------

    def _find(self, number: int) -> _Task | None:
        return next((t for t in self._current.values() if t.number == number), None)

    def _take(self, kind: str, number: int, value: Any) -> None:
        if kind == "died":
            self._take_death(number, value)
            return
        if kind in ("done", "failed"):
            self._worker.ended(number)
            self._trainer.ended(number)
        task = self._find(number)
        if task is None:  # cancelled, or replaced by a newer one
            return
        if kind == "progress":
            task.hear(value)
            if task.on_progress is not None:
                task.on_progress(value)
            if task.queue is self._trainer:
                return
        else:
            self._finish(task, kind, value)
        self.changed.emit()

    def _finish(self, task: _Task, kind: str, value: Any) -> None:
        del self._current[task.key]
        following = self._waiting.pop(task.key, None)
        if following is not None:
            self._start(following)
        if kind == "done":
            if task.on_done is not None:
                task.on_done(value)
        elif isinstance(value, Cancelled):
            if task.on_cancelled is not None:
                task.on_cancelled()
        elif task.on_failed is not None:
            task.on_failed(value)
        else:
            self.failed.emit(task.key, value)

    # -- cancelling -------------------------------------------------------------------------------------------------

    def cancel(self, key: str) -> None:
        """Stop the task of this key, if one runs or waits. It disappears at once; its process is ended if need be."""
        self._waiting.pop(key, None)
        task = self._current.pop(key, None)
        if task is None:
            return
        task.cancel.set()
        if task.queue is not None:
            task.queue.cancel(task)
        if task.on_cancelled is not None:
            task.on_cancelled()
        self.changed.emit()

    def cancel_all(self, *, trainings: bool = True) -> None:
        for key, task in list(self._current.items()):
            if trainings or task.queue is not self._trainer:
                self.cancel(key)

    def close(self) -> None:
        """Cancel everything and end the threads and the processes; afterwards no task can be started."""
        self._closed = True
        self.cancel_all()
        self._worker.close()
        self._trainer.close()
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None

    def _take_death(self, serial: int, exit_code: int) -> None:
        for queue in (self._worker, self._trainer):
            mine, job = queue.died(serial)
            task = next((t for t in self._current.values() if t is job), None)
            if task is not None:
                self._finish(task, "failed", _death(exit_code, training=queue is self._trainer))
            if mine:
                self.changed.emit()


def _death(exit_code: int, *, training: bool) -> InternalError:
    reason = f"signal {-exit_code}" if exit_code < 0 else f"exit code {exit_code}"
    if training:
        return InternalError(f"the training process stopped ({reason})",
                             do="the last whole epoch is kept and can be resumed; there may be too little memory")
    return InternalError(f"the worker process stopped ({reason})",
                         do="nothing was changed; there may be too little memory, or the model makes ONNX Runtime "
                            "crash")
