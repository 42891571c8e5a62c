"""Jobs for the worker process; they must be importable there."""

from __future__ import annotations

import os
import threading

from core.errors import DataError
from core.progress import Reporter


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
