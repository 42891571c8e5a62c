"""How long one run takes, before and after: both models in turn, so that whatever else the machine does hits both."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from core.analysis.runtime import Feed, run, session
from core.errors import DataError
from core.progress import SILENT, Reporter

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

BLOCK_SECONDS = 0.004
"""Runs are timed in blocks of at least this, as a run of microseconds is below what the clock and the loop resolve."""
FEWEST_ROUNDS = 5
MOST_ROUNDS = 400
QUICK_LOAD = 0.3
"""Sessions that load faster than this (seconds) are loaded three times, and the median counts."""


@dataclass(frozen=True)
class Timing:
    """Milliseconds of one run: median, and the values that a tenth of the blocks lie below and above.

    n        blocks measured
    load_ms  median time to make a session of the file
    """

    median_ms: float
    low_ms: float
    high_ms: float
    n: int
    load_ms: float


@dataclass(frozen=True)
class LatencyComparison:
    """Both models' times, measured in turn on the same samples.

    threads  threads within an operator
    runs     runs of each model that were timed
    """

    before: Timing
    after: Timing
    threads: int
    runs: int

    @property
    def ratio(self) -> float:
        """after / before: below 1 is faster."""
        return self.after.median_ms / self.before.median_ms if self.before.median_ms else 1.0

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"ratio": self.ratio}


def compare_latency(
    before: str | os.PathLike[str],
    after: str | os.PathLike[str],
    feeds: Sequence[Feed],
    *,
    seconds: float = 2.0,
    rounds: int | None = None,
    threads: int = 1,
    reporter: Reporter = SILENT,
) -> LatencyComparison:
    """Measure both model files on `feeds`, a batch of one each.

    seconds  time to spend on the timed runs; slow models still get FEWEST_ROUNDS rounds
    rounds   a fixed number of rounds instead; in each, both models run one block on the same feeds

    Raises DataError without feeds, ModelFileError or DataError when a model cannot be loaded or run.
    """
    if not feeds:
        raise DataError("latency cannot be measured without a sample", do="load data with at least one sample")
    first, load_first = _timed_load(before, threads, reporter)
    second, load_second = _timed_load(after, threads, reporter)
    pair, paths = (first, second), (os.fspath(before), os.fspath(after))
    reporter.report(0.0, "warming up")
    size = _block_size(pair, paths, feeds)
    blocks: tuple[list[float], list[float]] = ([], [])
    start = time.perf_counter()
    done = 0
    while not _enough(done, time.perf_counter() - start, seconds, rounds):
        block = [feeds[(done * size + i) % len(feeds)] for i in range(size)]
        for which in (0, 1) if done % 2 == 0 else (1, 0):  # whoever runs second finds the caches warm: take turns
            reporter.check()
            blocks[which].append(_timed_block(pair[which], paths[which], block))
        done += 1
        share = done / rounds if rounds else (time.perf_counter() - start) / seconds
        reporter.report(min(share, 1.0), "measuring latency")
    return LatencyComparison(_timing(blocks[0], load_first), _timing(blocks[1], load_second), threads, done * size)


def _enough(done: int, elapsed: float, seconds: float, rounds: int | None) -> bool:
    if rounds is not None:
        return done >= max(rounds, 1)
    return done >= MOST_ROUNDS or (done >= FEWEST_ROUNDS and elapsed >= seconds)


def _timed_load(path: str | os.PathLike[str], threads: int, reporter: Reporter) -> tuple[InferenceSession, float]:
    """A session and the median milliseconds to make one."""
    import onnxruntime  # noqa: F401  the import must not count as loading

    times: list[float] = []
    while True:
        reporter.check()
        start = time.perf_counter()
        made = session(path, threads=threads)
        times.append(time.perf_counter() - start)
        if len(times) == 3 or times[0] > QUICK_LOAD:
            return made, statistics.median(times) * 1e3


def _block_size(pair: Sequence[InferenceSession], paths: Sequence[str], feeds: Sequence[Feed]) -> int:
    """Runs a block needs to last BLOCK_SECONDS on the faster model; runs both models once first, untimed."""
    fastest = float("inf")
    for sess, path in zip(pair, paths, strict=True):
        run(sess, feeds[0], where=path)
        start = time.perf_counter()
        run(sess, feeds[0], where=path)
        fastest = min(fastest, time.perf_counter() - start)
    return max(1, min(10_000, round(BLOCK_SECONDS / max(fastest, 1e-7))))


def _timed_block(sess: InferenceSession, path: str, block: Sequence[Feed]) -> float:
    """Milliseconds a run."""
    start = time.perf_counter()
    for feed in block:
        run(sess, feed, where=path)
    return (time.perf_counter() - start) * 1e3 / len(block)


def _timing(blocks: Sequence[float], load_ms: float) -> Timing:
    low, median, high = np.percentile(blocks, (10, 50, 90))
    return Timing(float(median), float(low), float(high), len(blocks), load_ms)
