"""Original against compressed model on the same samples: error, answers, time, memory. All of it measured."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any

from core.analysis.latency import LatencyComparison, compare_latency
from core.analysis.memory import session_memory
from core.analysis.metrics import Task, json_number
from core.analysis.runtime import Feed, metadata, output_names, run, session, spare_threads
from core.analysis.task_metrics.base import Score
from core.data.samples import Samples
from core.errors import Cancelled, FeatherweightError, ModelFileError
from core.progress import SILENT, Reporter

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

    from core.analysis.finite import Broken

LATENCY_FEEDS = 8
LATENCY_SECONDS = 2.0


@dataclass(frozen=True)
class Answer:
    """The highest class scores of one sample, best first."""

    classes: tuple[int, ...]
    scores: tuple[float, ...]

    @property
    def best(self) -> int:
        return self.classes[0]


@dataclass(frozen=True)
class SampleResult:
    """One sample, both models.

    index    number among the samples that were compared (`samples.feed(index)`)
    sqnr_db  over all float outputs of this sample
    label    its class, or None
    changed  whether the models answer differently; None when the output is no class scores
    before, after  the answers, None when the output is no single vector of class scores
    """

    index: int
    name: str
    sqnr_db: float
    label: int | None = None
    changed: bool | None = None
    before: Answer | None = None
    after: Answer | None = None


@dataclass(frozen=True)
class OutputResult:
    """One output over all samples.

    sqnr_db       None when it is no float output (or the shapes differ)
    max_relative  largest absolute difference / largest absolute value of the original
    nonfinite_before, nonfinite_after  samples in which it has NaN or infinity
    differing_shapes  samples in which the two models give it another shape
    constant_before, constant_after  whether it is the same for all samples, of which there are several
    """

    name: str
    dtype: str
    sqnr_db: float | None
    max_relative: float | None
    nonfinite_before: int = 0
    nonfinite_after: int = 0
    differing_shapes: int = 0
    constant_before: bool = False
    constant_after: bool = False


@dataclass(frozen=True)
class ClassResult:
    """Accuracy on the samples of one class."""

    label: int
    name: str
    count: int
    before: float
    after: float


@dataclass(frozen=True)
class Comparison:
    """What a comparison measured, on `n` samples of `source`.

    output_sqnr_db   over all float outputs of all samples; inf when they are equal
    max_relative     the largest of the outputs'
    accuracy_*       share of samples whose best class is the label; None without class labels (`no_accuracy` says why)
    top5_*           share whose label is among the best five; None also with five classes or fewer
    agreement        share of answers that both models give alike; None when the output is no class scores
    kl_divergence    KL(original || compressed) in nats, mean over the answers; None as above
    changed, newly_wrong, newly_right   counts of samples
    samples          worst first
    available        samples that there were; the first n of them were used
    memory_*         bytes by which a process grows when it loads and runs the model; None when not measured
    score            the metric that was asked for, or that fits; None when no output can be judged
    multiply_adds_*  of one run, counted on the first sample; None when they cannot be counted
    """

    n: int
    source: str
    task: Task
    no_accuracy: str
    output_sqnr_db: float
    max_relative: float
    outputs: tuple[OutputResult, ...]
    samples: tuple[SampleResult, ...]
    accuracy_before: float | None = None
    accuracy_after: float | None = None
    top5_before: float | None = None
    top5_after: float | None = None
    classes: tuple[ClassResult, ...] = ()
    agreement: float | None = None
    kl_divergence: float | None = None
    changed: int | None = None
    newly_wrong: int | None = None
    newly_right: int | None = None
    latency: LatencyComparison | None = None
    available: int = 0
    memory_before: int | None = None
    memory_after: int | None = None
    multiply_adds_before: int | None = None
    multiply_adds_after: int | None = None
    notes: tuple[str, ...] = ()
    score: Score | None = None

    @property
    def measured_on(self) -> str:
        """What the figures were measured on, in words: "512 of 2,000 samples", "256 samples"."""
        return f"{self.n:,} of {self.available:,} samples" if self.available > self.n else f"{self.n:,} samples"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; infinite decibels are +-200, undefined figures null."""
        return {f.name: _plain(getattr(self, f.name)) for f in fields(self)}


def _plain(value: Any) -> Any:
    if isinstance(value, LatencyComparison | Score):
        return value.to_dict()
    if is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Task):
        return value.value
    return json_number(value) if isinstance(value, float) else value


def compare_models(
    original: str | os.PathLike[str],
    compressed: str | os.PathLike[str],
    samples: Samples,
    *,
    reporter: Reporter = SILENT,
    limit: int | None = None,
    latency: bool = True,
    memory: bool = True,
    threads: int | None = None,
) -> Comparison:
    """Run both model files on the first `limit` samples (all when None), one at a time, and compare.

    latency, memory  whether to measure those as well (about two seconds; one process start for each model)
    threads          for the runs that are not timed; None: all processors but one. Latency is always of one thread.

    Raises ModelFileError when a model cannot be loaded or run, or when the two do not have the same inputs and outputs;
    DataError when the data does not fit.
    """
    from core.analysis.tally import Tally

    paths = (os.fspath(original), os.fspath(compressed))
    runs = reporter.part(0.0, 0.75 if latency or memory else 1.0)
    runs.report(0.0, "loading both models")
    before, after = (session(path, threads=threads or spare_threads()) for path in paths)
    _check_alike(before, after, samples, paths)
    count = samples.n if limit is None else max(1, min(limit, samples.n))
    tally = Tally(output_names(before), samples, count, metadata(before))
    for index in range(count):
        runs.report(index / count, f"sample {index + 1} of {count}")
        feed = samples.feed(index)
        tally.add(index, run(before, feed, where=paths[0]), run(after, feed, where=paths[1]))
    del before, after  # their memory, before others are made
    feeds = list(samples.feeds(min(count, LATENCY_FEEDS)))
    times = None
    if latency:
        part = reporter.part(0.75, 0.92)
        times = compare_latency(*paths, feeds, seconds=LATENCY_SECONDS, reporter=part)
    sizes: Sequence[int | None] = (None, None)
    if memory:
        reporter.report(0.92, "measuring memory")
        sizes = [session_memory(path, feeds[0], reporter=reporter) for path in paths]
    reporter.report(0.98, "counting multiply-adds")
    counts = [_multiply_adds(path, feeds[0], threads) for path in paths]
    reporter.report(1.0, "compared")
    measured = tally.comparison(times, *sizes)
    places = tuple(
        f"In the {whose}, {place.text} ({samples.name(at)})."
        for path, at, whose in zip(paths, tally.broken_at, ("original", "compressed model"), strict=True)
        if at is not None and (place := _where_broken(path, samples.feed(at), reporter)) is not None
    )
    notes = (*samples.notes, *measured.notes, *places)
    return replace(measured, multiply_adds_before=counts[0], multiply_adds_after=counts[1], notes=notes)


def _where_broken(path: str, feed: Feed, reporter: Reporter) -> Broken | None:
    """The first value of a model that is not finite; None when its graph cannot be taken apart."""
    from core.analysis.finite import first_broken
    from core.model.readers import open_model

    try:
        return first_broken(open_model(path), feed, reporter.part(1.0, 1.0))
    except Cancelled:
        raise
    except FeatherweightError:
        return None


def _multiply_adds(path: str, feed: Feed, threads: int | None) -> int | None:
    """Multiply-adds of one run, or None when the graph cannot be taken apart or some of them cannot be counted."""
    from core.analysis.operations import multiply_adds
    from core.model.readers import open_model

    try:
        count = multiply_adds(open_model(path), feed, threads=threads)
    except FeatherweightError:
        return None
    return None if count.uncounted else count.total


def _check_alike(before: InferenceSession, after: InferenceSession, samples: Samples, paths: Sequence[str]) -> None:
    """Both models take these samples and give as many outputs; what differs is named."""
    for sess, path in zip((before, after), paths, strict=True):
        names = {port.name for port in sess.get_inputs()}
        if names != set(samples.input_names):
            raise ModelFileError(
                f"its inputs are {_listed(names)} and the samples are for {_listed(samples.input_names)}",
                where=path,
                do="compare models with the same inputs",
            )
    first, second = output_names(before), output_names(after)
    if len(first) != len(second):
        raise ModelFileError(
            f"it has {len(second)} outputs and the original has {len(first)}",
            where=paths[1],
            do="compare models with the same outputs",
        )


def _listed(names: Any) -> str:
    return ", ".join(repr(name) for name in sorted(names))
