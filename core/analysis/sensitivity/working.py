"""Work in threads that the calling thread waits for: its results come as they are done, and cancelling is quick.

An operator of ONNX Runtime or of torch cannot be interrupted, so the calling thread never runs one: after a cancel it
leaves at once, and a thread at work ends by itself, unseen.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Generic, TypeVar

from core.blas import one_thread
from core.progress import Reporter

S = TypeVar("S")
T = TypeVar("T")

POLL = 0.05
"""Seconds between two looks at the cancel flag."""
MAX_WORKERS = 4


def processors() -> int:
    """How many threads can work at once, at most `MAX_WORKERS`: memory is the limit beyond."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, MAX_WORKERS)


class _Failed(Generic[T]):
    def __init__(self, error: BaseException) -> None:
        self.error = error


def as_done(
    work: Callable[[S, Reporter], T], items: Sequence[S], reporter: Reporter, *, workers: int = 1
) -> Iterator[tuple[int, T]]:
    """(position, work(item, reporter)) for each item as it is done; items are begun in their order.

    work  is given a reporter of its own that says when to stop and tells no progress

    Raises what `work` raises, and Cancelled within `POLL`; then no further item is begun.
    """
    stop = threading.Event()
    done: queue.SimpleQueue[tuple[int, T | _Failed[T]]] = queue.SimpleQueue()

    def one(position: int) -> None:
        inner = Reporter(None, stop)
        try:
            inner.check()
            done.put((position, work(items[position], inner)))
        except BaseException as error:  # noqa: BLE001  raised again in the calling thread
            done.put((position, _Failed(error)))

    with ExitStack() as stack:
        if workers > 1:
            stack.enter_context(one_thread())
        pool = ThreadPoolExecutor(max_workers=max(1, workers), thread_name_prefix="sensitivity")
        stack.callback(pool.shutdown, wait=False, cancel_futures=True)
        stack.callback(stop.set)  # before the shutdown; no effect when all is done
        for position in range(len(items)):
            pool.submit(one, position)
        left = len(items)
        while left:
            reporter.check()
            try:
                position, result = done.get(timeout=POLL)
            except queue.Empty:
                continue
            if isinstance(result, _Failed):
                raise result.error
            left -= 1
            yield position, result


def in_background(work: Callable[[Reporter], T], reporter: Reporter) -> T:
    """The result of one long piece of work, for which the calling thread waits; cancelling as in `as_done`."""
    return next(result for _, result in as_done(lambda _, inner: work(inner), [None], reporter))
