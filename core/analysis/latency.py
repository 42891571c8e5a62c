"""How long one run takes, before and after: both models in turn, so that whatever else the machine does hits both."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from core.analysis.runtime import Feed, run, session
from core.analysis.timing import Pace, Turns, take_turns
from core.errors import DataError
from core.progress import SILENT, Reporter

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

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
    paired   median over the rounds of after / before: blocks of one round lie next to each other, so what else the
             machine does hits both; None when not known
    """

    before: Timing
    after: Timing
    threads: int
    runs: int
    paired: float | None = None

    @property
    def ratio(self) -> float:
        """after / before: below 1 is faster."""
        if self.paired is not None:
            return self.paired
        return self.after.median_ms / self.before.median_ms if self.before.median_ms else 1.0

    @property
    def within_spread(self) -> bool:
        """Whether the middle 80 % of the two have times in common: the difference is then no more than the spread."""
        return self.before.low_ms <= self.after.high_ms and self.after.low_ms <= self.before.high_ms

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
    reporter.report(0.0, "warming up")
    turns = take_turns(
        [_running(first, os.fspath(before), feeds), _running(second, os.fspath(after), feeds)],
        Pace(seconds, rounds), reporter=reporter,
    )  # fmt: skip
    timings = [_timing(turns, which, load) for which, load in enumerate((load_first, load_second))]
    paired = float(np.median(turns.blocks[1] / np.maximum(turns.blocks[0], 1e-9)))
    return LatencyComparison(timings[0], timings[1], threads, turns.blocks.shape[1] * turns.size, paired)


def time_model(
    path: str | os.PathLike[str], feeds: Sequence[Feed], *, seconds: float = 1.0, threads: int = 1,
    reporter: Reporter = SILENT,
) -> Timing:  # fmt: skip
    """One model file's time on `feeds`, alone; raises as `compare_latency` does."""
    if not feeds:
        raise DataError("latency cannot be measured without a sample", do="load data with at least one sample")
    loaded, load_ms = _timed_load(path, threads, reporter)
    turns = take_turns([_running(loaded, os.fspath(path), feeds)], Pace(seconds), reporter=reporter)
    return _timing(turns, 0, load_ms)


def time_in_turns(
    models: Sequence[tuple[str | os.PathLike[str], Sequence[Feed]]], *, seconds: float = 2.0, threads: int = 1,
    reporter: Reporter = SILENT,
) -> tuple[Timing, ...]:  # fmt: skip
    """Times of any number of model files, each on its own feeds (equally many), measured in turns as two are.

    Raises as `compare_latency` does.
    """
    if not all(feeds for _, feeds in models):
        raise DataError("latency cannot be measured without a sample", do="load data with at least one sample")
    loaded = [_timed_load(path, threads, reporter) for path, _ in models]
    runs = [_running(made, os.fspath(path), feeds) for (made, _), (path, feeds) in zip(loaded, models, strict=True)]
    turns = take_turns(runs, Pace(seconds), reporter=reporter)
    return tuple(_timing(turns, which, load) for which, (_, load) in enumerate(loaded))


def _running(sess: InferenceSession, path: str, feeds: Sequence[Feed]) -> Callable[[int], object]:
    return lambda number: run(sess, feeds[number % len(feeds)], where=path)


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


def _timing(turns: Turns, which: int, load_ms: float) -> Timing:
    return Timing(*turns.spread(which), turns.blocks.shape[1], load_ms)
