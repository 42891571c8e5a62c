"""The window's end of a worker process: start, send, listen, end."""

from __future__ import annotations

import itertools
import multiprocessing
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from gui import worker

_serials = itertools.count(1)


class WorkerProcess:
    """One spawned process and the thread that hears it.

    `tell(kind, number, value)` is called from that thread for every answer, and once as ("died", serial, exit code)
    when the process ends by itself. Nothing is told after `end`.
    """

    def __init__(self, tell: Callable[[str, int, Any], None], conduct: worker.Conduct) -> None:
        self.serial = next(_serials)
        self._tell = tell
        self._ended = False
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=worker.serve, args=(theirs, conduct), daemon=True,
                                        name=f"featherweight-{conduct.name}")
        self._process.start()
        theirs.close()
        self._listener = threading.Thread(target=self._listen, args=(self._connection,), name="worker answers",
                                          daemon=True)
        self._listener.start()

    @property
    def pid(self) -> int | None:
        return self._process.pid

    def run(self, number: int, job: Callable[..., Any], args: tuple[Any, ...]) -> None:
        """Queue a job; OSError when the process is gone."""
        self._connection.send(("run", number, job, args))

    def warm(self, modules: tuple[str, ...]) -> None:
        """Let the worker import modules when it has nothing else to do."""
        self._connection.send(("warm", modules))

    def cancel(self, number: int) -> None:
        """Ask the running job to stop."""
        try:
            self._connection.send(("cancel", number))
        except OSError:
            return  # it is gone already, which is what was asked for

    def end(self) -> None:
        """Kill the process and wait for its end."""
        self._ended = True
        self._process.kill()
        self._process.join()
        self._listener.join()
        self._connection.close()
        self._process.close()

    def _listen(self, connection: Connection) -> None:
        try:
            while True:
                kind, number, value = connection.recv()
                if not self._ended:
                    self._tell(kind, number, value)
        except (EOFError, OSError):
            if not self._ended:
                self._process.join()
                self._tell("died", self.serial, self._process.exitcode)
