"""What keeps a training answering: pauses, and a cancel that takes effect inside a long batch."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from core.progress import Reporter
from core.training.events import PAUSE_FILE, Paused
from core.training.trainable import Trainable

POLL = 0.1
"""Seconds between two looks at the pause file."""
LONG = 5e8
"""Floating point operations of a batch's forward run above which a cancel is looked for inside it as well."""
LARGEST = 3e10
"""The same above which a batch is run in parts: its memory grows alike. Counted, not timed, so that results repeat."""


def forward_operations(student: Trainable, feeds: Mapping[str, Tensor]) -> float:
    """Floating point operations of multiplications of matrices and convolutions in one forward run of `feeds`."""
    with FlopCounterMode(display=False) as counter:
        student(feeds)
    return float(counter.get_total_flops())


def part_size(operations: float, size: int) -> int:
    """Samples of a batch of `size` that are run at a time; `operations` are those of one sample."""
    return max(1, min(size, int(LARGEST // max(operations, 1.0))))


class _CancelWatch(TorchDispatchMode):
    """Asks before every tensor operation, forward and backward, whether to stop."""

    def __init__(self, reporter: Reporter) -> None:
        super().__init__()
        self._reporter = reporter

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self._reporter.check()
        return func(*args, **(kwargs or {}))


@contextlib.contextmanager
def cancellable(reporter: Reporter, operations: float) -> Iterator[None]:
    """Inside, a cancel takes effect between two tensor operations where a batch takes long, else after it."""
    with _CancelWatch(reporter) if operations > LONG else contextlib.nullcontext():
        yield


def _asked(folder: Path) -> bool:
    """Whether the pause file is there: the training's own, or that of the run whose trainings have a folder each."""
    return any((place / PAUSE_FILE).exists() for place in (folder, folder.parent))


def wait_while_paused(folder: Path | None, reporter: Reporter) -> float:
    """Wait while the pause file is there; told when it begins and ends. Seconds waited. Raises Cancelled."""
    if folder is None or not _asked(folder):
        return 0.0
    reporter.tell(Paused(True))
    waited, clock = 0.0, threading.Event()
    while _asked(folder):
        reporter.check()
        clock.wait(POLL)
        waited += POLL
    reporter.tell(Paused(False))
    return waited
