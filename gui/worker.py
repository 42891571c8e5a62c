"""A worker process: runs one job after the other and answers through a pipe. Imports no Qt.

Messages to the worker: ("run", number, job, args), ("cancel", number), ("warm", module names). Messages back:
("progress", number, Progress), ("done", number, result), ("failed", number, error). The end of the pipe means that the
window is gone: the running job is asked to stop, so that it can remove its partial files, and the process ends.
"""

from __future__ import annotations

import importlib
import os
import queue
import signal
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from core.errors import Cancelled, FeatherweightError, InternalError
from core.progress import Progress, Reporter

PROGRESS_INTERVAL = 1 / 30
"""Seconds between two progress messages without a part; a screen shows no more."""
_THREAD_LIMITS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""What torch and numpy read when they are imported."""
_LAST_WORDS = 2.0
"""Seconds that a job has to clean up after the window is gone."""


@dataclass(frozen=True)
class Conduct:
    """How a process behaves towards the window, which must get its turn on the cores at once.

    niceness  added to its nice value
    spared    cores that it leaves to others; 0: it computes on all of them
    """

    name: str
    niceness: int
    spared: int = 0


WORKER = Conduct("worker", 5)
TRAINING = Conduct("training", 10, spared=1)
"""It runs for minutes to hours beside whatever the person does meanwhile, compressing included."""


class UnexpectedError(InternalError):
    """An error that nobody raised on purpose; `details` holds its traceback."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(f"something went wrong inside Featherweight ({type(error).__name__}: {error})",
                         do="nothing was changed; please report it with the details")
        self.details = "".join(traceback.format_exception(error))


def throttled(send: Callable[[Progress], None]) -> Callable[[Progress], None]:
    """A progress callback that calls `send` at most 30 times a second; progress with a part always goes through."""
    last = [0.0]

    def forward(progress: Progress) -> None:
        now = time.monotonic()
        if progress.part is None and progress.done < 1.0 and now - last[0] < PROGRESS_INTERVAL:
            return
        last[0] = now
        send(progress)

    return forward


def as_error(error: BaseException) -> FeatherweightError:
    """The error as one that can be shown: ours as it is, others as a sentence with the traceback in `details`."""
    if isinstance(error, FeatherweightError):
        return error
    if isinstance(error, MemoryError):
        return FeatherweightError("there is not enough memory for this", do="close other programs")
    if isinstance(error, OSError) and error.strerror:
        return FeatherweightError(error.strerror.lower(), where=str(error.filename or ""))
    return UnexpectedError(error)


class _Worker:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._jobs: queue.SimpleQueue[tuple[int, Callable[..., Any], tuple[Any, ...]] | tuple[str, ...] | None] = (
            queue.SimpleQueue())
        self._lock = threading.Lock()
        self._cancel: dict[int, threading.Event] = {}
        self._idle = threading.Event()
        self._idle.set()

    def listen(self) -> None:
        """Take messages until the pipe ends; runs in a thread of its own so that a cancel arrives during a job."""
        try:
            while True:
                kind, *rest = self._connection.recv()
                if kind == "run":
                    number, job, args = rest
                    self._cancel[number] = threading.Event()
                    self._jobs.put((number, job, args))
                elif kind == "cancel" and rest[0] in self._cancel:
                    self._cancel[rest[0]].set()
                elif kind == "warm":
                    self._jobs.put(tuple(rest[0]))
        except (EOFError, OSError):
            for event in list(self._cancel.values()):
                event.set()
            self._idle.wait(_LAST_WORDS)
            os._exit(0)

    def work(self) -> None:
        while True:
            item = self._jobs.get()
            if item is None:
                return
            self._idle.clear()
            if isinstance(item[0], int):
                self._run(*item)
            else:
                _warm(item)
            self._idle.set()

    def _run(self, number: int, job: Callable[..., Any], args: tuple[Any, ...]) -> None:
        event = self._cancel[number]
        reporter = Reporter(throttled(lambda progress: self._send("progress", number, progress)), event)
        try:
            result = job(*args, reporter=reporter)
        except Cancelled as cancelled:
            self._send("failed", number, cancelled)
        except Exception as error:  # noqa: BLE001  whatever it is, the person must see it and the worker live on
            self._send("failed", number, as_error(error))
        else:
            self._send("done", number, result)
        finally:
            self._cancel.pop(number, None)

    def _send(self, *message: Any) -> None:
        with self._lock:
            self._connection.send(message)


def _warm(modules: tuple[str, ...]) -> None:
    """Import what the first job will need. A module that is missing is the job's to complain about."""
    for name in modules:
        try:
            importlib.import_module(name)
        except ImportError:
            continue


def serve(connection: Connection, conduct: Conduct) -> None:
    """A worker process's main function."""
    if hasattr(os, "nice"):
        os.nice(conduct.niceness)
    if conduct.spared:
        threads = max(1, (os.cpu_count() or 1) - conduct.spared)
        os.environ.update(dict.fromkeys(_THREAD_LIMITS, str(threads)))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C in a terminal is for the window, which then ends the pipe
    worker = _Worker(connection)
    threading.Thread(target=worker.listen, name="listen", daemon=True).start()
    worker.work()
