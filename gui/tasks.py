"""Work in the background: threads for what is short or mostly numpy, one worker process for the rest.

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
from gui.process import WorkerProcess
from gui.worker import as_error, throttled

AFTER_PAINT_MS = 60
"""A delay for tasks that nobody waits for: what was clicked is painted by then."""
_THREADS = 3
"""Statistics, the plan's preview and the shown layer's preview may run at once; more only fight for the interpreter."""
CANCEL_PATIENCE_MS = 150
"""How long a job may take to stop by itself before its process is ended."""


@dataclass(frozen=True)
class TaskState:
    """What the status bar shows of a running task. `seconds_left` is None until there is something to go by."""

    key: str
    title: str
    done: float
    text: str
    seconds_left: float | None


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
    in_process: bool
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
        self._queue: list[_Task] = []  # process tasks that wait for the worker
        self._pool: ThreadPoolExecutor | None = None
        self._process: WorkerProcess | None = None
        self._in_worker: _Task | None = None
        self._closed = False
        self._kill = QTimer(self, singleShot=True, interval=CANCEL_PATIENCE_MS)
        self._kill.timeout.connect(self._kill_worker)
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
        task = _Task(next(self._numbers), key, title, function, args, done, failed, progress, cancelled, False,
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
        self._start(_Task(next(self._numbers), key, title, job, args, done, failed, progress, cancelled, True))

    def warm_up(self, *modules: str) -> None:
        """Start the worker process and let it import `modules`, so that the first job starts at once."""
        if not self._closed:
            self._worker().warm(modules)

    def _start(self, task: _Task) -> None:
        if self._closed:
            return
        self.cancel(task.key)
        self._current[task.key] = task
        if task.in_process:
            self._queue.append(task)
            self._feed_worker()
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
        """Whether anything runs or waits, shown or not."""
        return bool(self._current)

    @property
    def queued(self) -> bool:
        """Whether a job waits for the worker process, which does another."""
        return bool(self._queue)

    @property
    def states(self) -> tuple[TaskState, ...]:
        """Running tasks that have a title, oldest first."""
        now = time.monotonic()
        return tuple(TaskState(t.key, t.title, t.progress.done, t.progress.text, t.pace.seconds_left(now))
                     for t in self._current.values() if t.title)

    @property
    def worker_pid(self) -> int | None:
        """Process id of the worker, if there is one now."""
        return self._process.pid if self._process is not None else None

    # -- answers, in the window's thread ----------------------------------------------------------------------------

    def _find(self, number: int) -> _Task | None:
        return next((t for t in self._current.values() if t.number == number), None)

    def _take(self, kind: str, number: int, value: Any) -> None:
        if kind == "died":
            self._take_death(number, value)
            return
        if kind in ("done", "failed") and self._in_worker is not None and self._in_worker.number == number:
            self._in_worker = None
            self._kill.stop()
            self._feed_worker()
        task = self._find(number)
        if task is None:  # cancelled, or replaced by a newer one
            return
        if kind == "progress":
            task.hear(value)
            if task.on_progress is not None:
                task.on_progress(value)
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
        if task in self._queue:
            self._queue.remove(task)
        elif task is self._in_worker and self._process is not None:
            self._process.cancel(task.number)
            self._kill.start()
        if task.on_cancelled is not None:
            task.on_cancelled()
        self.changed.emit()

    def cancel_all(self) -> None:
        for key in list(self._current):
            self.cancel(key)

    def close(self) -> None:
        """Cancel everything and end the threads and the worker; afterwards no task can be started."""
        self._closed = True
        self.cancel_all()
        self._kill.stop()
        if self._process is not None:
            self._process.end()
            self._process = None
        self._in_worker = None
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None

    # -- the worker process -----------------------------------------------------------------------------------------

    def _worker(self) -> WorkerProcess:
        if self._process is None:
            self._process = WorkerProcess(self._arrived.emit)
        return self._process

    def _feed_worker(self) -> None:
        if self._in_worker is not None or not self._queue or self._closed:
            return
        task = self._in_worker = self._queue.pop(0)
        worker = self._worker()
        try:
            worker.run(task.number, task.run, task.args)
        except OSError:
            return  # it has just died; the listener's "died" follows and fails the task

    def _kill_worker(self) -> None:
        if self._in_worker is None or self._process is None:
            return
        self._process.end()
        self._process = None
        self._in_worker = None
        self._feed_worker()

    def _take_death(self, serial: int, exit_code: int) -> None:
        if self._process is None or self._process.serial != serial:
            return
        self._process.end()
        self._process = None
        task, self._in_worker = self._in_worker, None
        self._kill.stop()
        if task is not None and self._current.get(task.key) is task:
            reason = f"signal {-exit_code}" if exit_code < 0 else f"exit code {exit_code}"
            self._finish(task, "failed", InternalError(
                f"the worker process stopped ({reason})",
                do="nothing was changed; there may be too little memory, or the model makes ONNX Runtime crash"))
        self._feed_worker()
        self.changed.emit()
