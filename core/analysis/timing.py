"""Timing by turns: runs that are to be compared take turns in short blocks, so that whatever else the machine does hits
all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from core.progress import SILENT, Reporter

Clock = Callable[[], float]
"""Seconds that never run backwards."""

BLOCK_SECONDS = 0.004
"""Runs are timed in blocks of at least this, as a run of microseconds is below what the clock and the loop resolve."""
FEWEST_ROUNDS = 5
MOST_ROUNDS = 400
MOST_RUNS = 10_000


@dataclass(frozen=True)
class Pace:
    """How long to measure.

    seconds  on the timed runs; slow ones still get `FEWEST_ROUNDS` rounds
    rounds   a fixed number instead
    block    seconds that a block lasts at least
    """

    seconds: float = 2.0
    rounds: int | None = None
    block: float = BLOCK_SECONDS

    def enough(self, done: int, elapsed: float) -> bool:
        """Whether so many rounds, which took so long, will do."""
        if self.rounds is not None:
            return done >= max(self.rounds, 1)
        return done >= MOST_ROUNDS or (done >= FEWEST_ROUNDS and elapsed >= self.seconds)

    def share(self, done: int, elapsed: float) -> float:
        """How much of it is done, 0 to 1."""
        return min(1.0, done / self.rounds if self.rounds else elapsed / max(self.seconds, 1e-9))


@dataclass(frozen=True)
class Turns:
    """What was timed.

    blocks  (contestants, rounds) milliseconds of one run, mean of a block
    size    runs in a block
    """

    blocks: np.ndarray
    size: int

    def spread(self, which: int) -> tuple[float, float, float]:
        """Milliseconds of one run of a contestant: median, and what a tenth of the blocks lie below and above."""
        low, median, high = np.percentile(self.blocks[which], (10, 50, 90))
        return float(median), float(low), float(high)


def take_turns(
    runs: Sequence[Callable[[int], object]],
    pace: Pace,
    *,
    reporter: Reporter = SILENT,
    clock: Clock = time.perf_counter,
) -> Turns:
    """Time the contestants by turns: in each round every one runs a block, and who begins changes from round to round.

    runs  called with the number of the run, the same for all contestants: which feed it takes. Each is run twice
          untimed first: a session allocates its memory in its first run

    Raises what they raise, and Cancelled between two blocks.
    """
    size = _block_size(runs, pace.block, clock)
    blocks: list[list[float]] = [[] for _ in runs]
    start = clock()
    done = 0
    while not pace.enough(done, clock() - start):
        order = [(done + i) % len(runs) for i in range(len(runs))]
        for which in order:  # whoever runs later finds the caches warm
            reporter.check()
            run, first = runs[which], done * size
            begin = clock()
            for number in range(first, first + size):
                run(number)
            blocks[which].append((clock() - begin) * 1e3 / size)
        done += 1
        reporter.report(pace.share(done, clock() - start), "measuring latency")
    return Turns(np.array(blocks), size)


def _block_size(runs: Sequence[Callable[[int], object]], block: float, clock: Clock) -> int:
    """Runs that a block needs to last long enough on the fastest contestant; runs each of them twice."""
    fastest = float("inf")
    for run in runs:
        run(0)
        begin = clock()
        run(0)
        fastest = min(fastest, clock() - begin)
    return max(1, min(MOST_RUNS, round(block / max(fastest, 1e-7))))
