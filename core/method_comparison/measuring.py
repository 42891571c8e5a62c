"""What an exported file is like to use: its answers, time, memory and multiply-adds, beside the original's."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.analysis.comparison import LATENCY_FEEDS
from core.analysis.latency import LatencyComparison, compare_latency
from core.analysis.memory import session_memory
from core.errors import Cancelled, FeatherweightError
from core.method_comparison.rows import Baseline, Quality, Row, Times
from core.progress import SILENT, Reporter

if TYPE_CHECKING:
    from core.data.samples import Samples
    from core.model.model import Model
    from core.planning.evaluation import Evaluator, Measured

LATENCY_SECONDS = 0.5
"""Timed runs of each trial; the original runs in turn with it."""
WORK = 40_000_000_000
"""Multiply-adds that the answers of one trial may take: it decides on how many samples they are measured."""
FEWEST, MOST = 32, 1_000
COUNTED = frozenset({"accuracy", "top5", "f1", "agreement", "decisions", "characters"})
"""Metrics that count answers, each right or wrong."""
UNCOUNTED = 128
"""Samples where multiply-adds cannot be counted."""


class Meter:
    """Measures files of one model. Making one measures the original.

    original  its row
    samples   what answers are measured on, n of them; None when there are none, or the original gives no finite numbers
    notes     what a person should know of the figures
    question  what else they depend on, plain values

    Raises DataError or ModelFileError when the original cannot be run, and Cancelled.
    """

    def __init__(self, model: Model, samples: Samples | None, reporter: Reporter = SILENT) -> None:
        from core.exporting.export import parity_feeds

        self._model = model
        self.notes: list[str] = []
        reporter.report(0.0, "Measuring the original")
        if samples is not None:
            self._feeds: Sequence[Mapping[str, Any]] = tuple(samples.feeds(min(samples.n, LATENCY_FEEDS)))
        else:
            self._feeds, _ = parity_feeds(model, None)
            self.notes.append(
                "No data: sizes are measured; memory and times are measured on made-up inputs; the output error and "
                "the metric are not known." if self._feeds else
                "No data, and the model takes no made-up input: only sizes are measured."
            )
        self.original = self._measure_original(reporter.part(0.0, 0.5))
        self._evaluator = None if samples is None else self._make_evaluator(samples, reporter.part(0.5, 1.0))
        self.n = 0 if self._evaluator is None else self._evaluator.n
        self.samples = None if samples is None or self._evaluator is None else samples.subset(self.n)
        self.question = [self.n, LATENCY_SECONDS, repr(samples.options) if samples is not None else ""]
        if self._evaluator is not None:
            self.original = replace(self.original, quality=self._quality(model.path, reporter))

    def measure(self, row: Row, path: Path, reporter: Reporter) -> Row:
        """The row with the figures of its file. Raises FeatherweightError kinds when the file cannot be run."""
        quality = self._quality(path, reporter.part(0.0, 0.5))
        times = self._times(path, reporter.part(0.5, 0.9))
        memory = self._memory(path, reporter)
        return replace(row, quality=quality, times=times, memory=memory, multiply_adds=self._count(path))

    def _measure_original(self, reporter: Reporter) -> Row:
        model = self._model
        row = Row("original", "", "Original", "", baseline=Baseline.ORIGINAL, nbytes=model.file_bytes,
                  of_layers=len(model.layers))  # fmt: skip
        return replace(
            row, times=self._times(model.path, reporter), memory=self._memory(model.path, reporter),
            multiply_adds=self._count(model.path),
        )  # fmt: skip

    def _make_evaluator(self, samples: Samples, reporter: Reporter) -> Evaluator | None:
        from core.planning.evaluation import Evaluator

        work = self.original.multiply_adds
        limit = UNCOUNTED if work is None else max(FEWEST, min(MOST, WORK // max(work, 1)))
        try:
            return Evaluator(self._model, self._model, samples, limit=limit, reporter=reporter)
        except Cancelled:
            raise
        except FeatherweightError as error:
            self.notes.append(f"The output error and the metric cannot be measured: {error}")
            return None

    def _quality(self, path: str | os.PathLike[str], reporter: Reporter) -> Quality | None:
        if self._evaluator is None:
            return None
        found = self._evaluator.measure_file(path, reporter, where="the compressed file")
        if found.assumed and found.assumed not in self.notes:
            self.notes.append(found.assumed)
        return quality_of(found)

    def _times(self, path: str | os.PathLike[str], reporter: Reporter) -> Times | None:
        if not self._feeds:
            return None
        return times_of(
            compare_latency(self._model.path, path, self._feeds, seconds=LATENCY_SECONDS, reporter=reporter)
        )

    def _memory(self, path: str | os.PathLike[str], reporter: Reporter) -> int | None:
        return session_memory(path, self._feeds[0], reporter=reporter) if self._feeds else None

    def _count(self, path: str | os.PathLike[str]) -> int | None:
        """Multiply-adds of one run, or None when the graph cannot be taken apart or some of them cannot be counted."""
        from core.analysis.operations import multiply_adds
        from core.model.readers import open_model

        if not self._feeds:
            return None
        try:
            count = multiply_adds(open_model(path), self._feeds[0])
        except Cancelled:
            raise
        except FeatherweightError:
            return None
        return None if count.uncounted else count.total


def quality_of(found: Measured) -> Quality:
    """The figures of an evaluation as a row holds them."""
    return Quality(
        found.samples, found.sqnr_db, found.kl, found.metric_text, found.value, found.reference, found.drop,
        str(found.unit), found.value_text, found.score.drop_text, found.metric in COUNTED,
    )  # fmt: skip


def times_of(found: LatencyComparison) -> Times:
    """Both models' times as a row holds them."""
    after, before = found.after, found.before
    return Times(
        after.median_ms, after.low_ms, after.high_ms, before.median_ms, before.low_ms, before.high_ms, after.load_ms
    )
