"""How good a model is on samples it did not see, with how sure that is; and how sure a difference of two is."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from core.analysis.runtime import run, session, spare_threads
from core.data.samples import Samples
from core.progress import SILENT, Reporter

Array = np.ndarray[Any, np.dtype[Any]]
BATCH = 64


@dataclass(frozen=True)
class Score:
    """Of one model on one set of samples.

    value   share of samples answered right, or the mean squared error
    error   its standard error. Of a share that of Agresti and Coull ("Approximate is Better than Exact", 1998): with
            two samples more right and two more wrong, so that 30 of 30 right does not count as certain
    each    (n,) 1 or 0 for right or wrong, or each sample's squared error
    values  whether it is a squared error (less is better)
    """

    value: float
    error: float
    n: int
    each: Array = field(repr=False)
    values: bool = False

    def minus(self, other: Score) -> tuple[float, float]:
        """The difference to another model's on the same samples, and its standard error, sample by sample.

        Samples that both answer alike say nothing (McNemar's test); half a sample is added to each case (Agresti and
        Min, "Simple Improved Confidence Intervals for Comparing Matched Proportions", 2005).
        """
        difference = self.each.astype(np.float64) - other.each
        if self.values:
            return float(difference.mean()), _error(difference)
        n, better, worse = self.n + 2, np.sum(difference > 0) + 0.5, np.sum(difference < 0) + 0.5
        return float(difference.mean()), float(np.sqrt(better + worse - (better - worse) ** 2 / n) / n)


def score_file(path: Path, samples: Samples, reporter: Reporter = SILENT) -> Score:
    """The score of a model file on samples with class labels or values; the first output is its answer."""
    sess = session(path, threads=spare_threads())
    output = sess.get_outputs()[0].name
    size = BATCH if samples.batchable else 1
    answers = []
    feeds = samples.batches(size) if samples.batchable else samples.feeds()
    for number, feed in enumerate(feeds):
        reporter.report(number * size / samples.n, f"Comparing on sample {number * size + 1:,} of {samples.n:,}")
        answers.append(run(sess, feed, [output], where=path.name)[0])
    scores = np.concatenate(answers).reshape(samples.n, -1)
    labels = samples.class_labels
    if labels is not None:
        right = (scores.argmax(1) == labels).astype(np.float32)
        share = (float(right.sum()) + 2) / (samples.n + 4)
        error = float(np.sqrt(share * (1 - share) / (samples.n + 4)))
        return Score(float(right.mean()), error, samples.n, right)
    wanted = np.asarray(samples.labels, np.float64).reshape(samples.n, -1)
    squared = ((scores - wanted) ** 2).mean(1)
    return Score(float(squared.mean()), _error(squared), samples.n, squared, values=True)


def _error(each: Array) -> float:
    """Standard error of a mean."""
    return float(each.std(ddof=1) / np.sqrt(each.size)) if each.size > 1 else float("nan")
