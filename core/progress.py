"""Progress and cancelling, handed down to every function that may take longer than a moment."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from core.errors import Cancelled


@dataclass(frozen=True)
class Progress:
    """How far a task is.

    done   share finished, 0 to 1 (never goes back)
    text   what it is doing now, for a person
    part   a partial result (a frozen value such as one finished layer), or None
    """

    done: float
    text: str = ""
    part: Any = None


class CancelSource(Protocol):
    """Anything with `is_set()`: threading.Event, multiprocessing.Event, a token of our own."""

    def is_set(self) -> bool: ...


class Reporter:
    """Reports progress upward and asks whether to stop.

    Long functions take a `reporter` and call `report` or `check` at least every 0.1 s. `part(a, b)` gives
    a reporter whose 0..1 is mapped onto a..b of this one, so that functions nest without knowing of each other.
    """

    def __init__(self, callback: Callable[[Progress], None] | None = None, cancel: CancelSource | None = None) -> None:
        self._callback = callback
        self._cancel: CancelSource = cancel if cancel is not None else threading.Event()
        self._lock = threading.Lock()
        self._done, self._text = 0.0, ""

    def report(self, done: float, text: str = "", part: Any = None) -> None:
        """Tell how far we are; raises Cancelled if the person asked to stop.

        A smaller `done` than before counts as no progress, an empty text as no change: several threads may report.
        """
        self.check()
        if self._callback is None:
            return
        with self._lock:
            self._done = max(self._done, min(done, 1.0))
            self._text = text or self._text
            progress = Progress(self._done, self._text, part)
        self._callback(progress)

    def tell(self, part: Any) -> None:
        """Hand up a partial result; progress stays where it is."""
        self.report(0.0, part=part)

    def check(self) -> None:
        """Raise Cancelled if the person asked to stop."""
        if self._cancel.is_set():
            raise Cancelled()

    @property
    def cancelled(self) -> bool:
        return self._cancel.is_set()

    def heard_by(self, listener: Callable[[Progress], None]) -> Reporter:
        """A reporter that passes all it is told on to this one, after `listener` heard it."""

        def forward(progress: Progress) -> None:
            listener(progress)
            self.report(progress.done, progress.text, progress.part)

        return Reporter(forward, self._cancel)

    def part(self, start: float, end: float) -> Reporter:
        """A reporter for the share from `start` to `end` of this one."""
        if self._callback is None:
            return Reporter(None, self._cancel)

        def forward(progress: Progress) -> None:
            self.report(start + (end - start) * progress.done, progress.text, progress.part)

        return Reporter(forward, self._cancel)


SILENT = Reporter()
"""A reporter for callers that want neither progress nor cancelling."""
