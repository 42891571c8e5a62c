"""Jobs that wait for one process and run there one after the other; the process is started when it is first needed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from PySide6.QtCore import QObject, QTimer

from gui.process import WorkerProcess
from gui.worker import Conduct


class Job(Protocol):
    """What a queue needs to know of a task."""

    @property
    def number(self) -> int: ...

    @property
    def run(self) -> Callable[..., Any]: ...

    @property
    def args(self) -> tuple[Any, ...]: ...


class WorkerQueue(QObject):
    """One process and the jobs for it.

    `tell(kind, number, value)` is what the process calls from its listening thread; the owner hands the answers on with
    `ended` and `died` in the window's thread.
    """

    def __init__(self, tell: Callable[[str, int, Any], None], conduct: Conduct, patience_ms: int,
                 parent: QObject) -> None:
        """patience_ms: how long a job may take to stop by itself before its process is killed."""
        super().__init__(parent)
        self._tell, self._conduct = tell, conduct
        self._waiting: list[Job] = []
        self._process: WorkerProcess | None = None
        self._running: Job | None = None
        self._closed = False
        self._kill = QTimer(self, singleShot=True, interval=patience_ms)
        self._kill.timeout.connect(self._kill_process)

    @property
    def waits(self) -> bool:
        """Whether a job waits for another to end."""
        return bool(self._waiting)

    @property
    def pid(self) -> int | None:
        """Id of the process, if there is one now."""
        return self._process.pid if self._process is not None else None

    def add(self, job: Job) -> None:
        """Run a job after those that wait."""
        self._waiting.append(job)
        self._feed()

    def warm(self, modules: tuple[str, ...]) -> None:
        """Start the process and let it import modules."""
        if not self._closed:
            self._started().warm(modules)

    def cancel(self, job: Job) -> None:
        """Take a job out of the queue, or ask it to stop and kill the process when it does not."""
        if job in self._waiting:
            self._waiting.remove(job)
        elif job is self._running and self._process is not None:
            self._process.cancel(job.number)
            self._kill.start()

    def ended(self, number: int) -> None:
        """A job of this number has ended, here or in another queue: the next one begins."""
        if self._running is not None and self._running.number == number:
            self._running = None
            self._kill.stop()
            self._feed()

    def died(self, serial: int) -> tuple[bool, Job | None]:
        """A process has ended by itself: whether it was this queue's, and the job that it took along."""
        if self._process is None or self._process.serial != serial:
            return False, None
        job, self._running = self._running, None
        self._end_process()
        self._feed()
        return True, job

    def close(self) -> None:
        """End the process; no job can be added from then on."""
        self._closed = True
        self._waiting.clear()
        self._running = None
        self._end_process()

    def _started(self) -> WorkerProcess:
        if self._process is None:
            self._process = WorkerProcess(self._tell, self._conduct)
        return self._process

    def _feed(self) -> None:
        if self._running is not None or not self._waiting or self._closed:
            return
        job = self._running = self._waiting.pop(0)
        process = self._started()
        try:
            process.run(job.number, job.run, job.args)
        except OSError:
            return  # it has just died; the listener's "died" follows and fails the job

    def _end_process(self) -> None:
        self._kill.stop()
        if self._process is not None:
            self._process.end()
            self._process = None

    def _kill_process(self) -> None:
        if self._running is not None and self._process is not None:
            self._running = None
            self._end_process()
            self._feed()
