"""Figures of how far two results lie apart, and how often an answer is right. Plain numpy, no state.

All sums run in float64 over chunks, so that no full-size float64 copy of a weight or an output is ever made.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from core.errors import InternalError

Array = np.ndarray[Any, np.dtype[Any]]

CHUNK = 1 << 16
"""Elements that are widened to float64 at a time; fits a second-level cache."""


@dataclass
class SqnrSum:
    """Running sums of the signal-to-quantization-noise ratio over many arrays.

    signal  sum of squares of the original
    noise   sum of squares of (changed - original)
    """

    signal: float = 0.0
    noise: float = 0.0

    def add(self, original: Array, changed: Array) -> None:
        """Add two arrays of equal shape; raises InternalError when the shapes differ."""
        with np.errstate(invalid="ignore", over="ignore"):  # `db` tells of NaN and infinity
            for first, second in _chunk_pairs(original, changed):
                wide = first.astype(np.float64)
                self.signal += _squares(wide)
                wide -= second
                self.noise += _squares(wide)

    def merge(self, other: SqnrSum) -> None:
        """Add the sums of another."""
        self.signal += other.signal
        self.noise += other.noise

    @property
    def db(self) -> float:
        """10 log10(signal / noise).

        inf when nothing changed; -inf when the original is all zero and the other is not, or when the change brought
        NaN or infinity; nan when the original has NaN or infinity itself.
        """
        if not math.isfinite(self.signal):
            return math.nan
        if self.noise == 0.0:
            return math.inf
        if self.signal == 0.0 or not math.isfinite(self.noise):
            return -math.inf
        return 10.0 * (math.log10(self.signal) - math.log10(self.noise))


def sqnr_db(original: Array | Sequence[Array], changed: Array | Sequence[Array]) -> float:
    """SQNR in dB = 10 log10(sum of squares of the original / sum of squares of the difference).

    original, changed  one array each, or equally long sequences of arrays (the sums run over all of them)

    See `SqnrSum.db` for equal and non-finite values; raises InternalError when shapes or lengths differ.
    """
    total = SqnrSum()
    if isinstance(original, np.ndarray) and isinstance(changed, np.ndarray):
        total.add(original, changed)
        return total.db
    if len(original) != len(changed):
        raise InternalError(f"SQNR of {len(original)} and {len(changed)} arrays")
    for first, second in zip(original, changed, strict=True):
        total.add(np.asarray(first), np.asarray(second))
    return total.db


EQUAL_DB = 200.0
"""What JSON has for "no difference": beyond what float32 can tell apart, and JSON has no infinity."""


def json_number(value: float | None) -> float | None:
    """A figure as JSON can hold it: infinities as +-EQUAL_DB (only decibels are ever infinite), nan as null."""
    if value is None or math.isnan(value):
        return None
    return max(-EQUAL_DB, min(EQUAL_DB, value)) if math.isinf(value) else value


def _squares(values: Array) -> float:
    """Sum of squares. Not np.dot: that takes BLAS threads, which wait a hundred times longer on a busy machine."""
    return float(np.einsum("i,i->", values, values))


def _chunk_pairs(first: Array, second: Array) -> Iterator[tuple[Array, Array]]:
    """Both arrays in equal flat pieces of about CHUNK elements, without copying contiguous ones."""
    if first.shape != second.shape:
        raise InternalError(f"SQNR of arrays of shape {first.shape} and {second.shape}")
    if first.flags.c_contiguous and second.flags.c_contiguous:
        flat_first, flat_second = first.reshape(-1), second.reshape(-1)
        for start in range(0, first.size, CHUNK):
            yield flat_first[start : start + CHUNK], flat_second[start : start + CHUNK]
        return
    rows = max(1, CHUNK * first.shape[0] // max(first.size, 1))
    for start in range(0, first.shape[0], rows):
        yield first[start : start + rows].reshape(-1), second[start : start + rows].reshape(-1)


class Task(StrEnum):
    """What the first float output of a model says, as far as data can tell."""

    CLASSES = "classes"
    """Class scores, and the samples have the right classes: accuracy can be measured."""
    SCORES = "scores"
    """Class scores without right answers: agreement with the original can be measured."""
    VALUES = "values"
    """Anything else: only the error can be measured."""


SCORE_WORDS = ("logit", "prob", "softmax", "score", "class", "label")


def task_kind(output: Array, name: str, labels: Array | None) -> tuple[Task, str]:
    """What kind of answer `output` is, and why no accuracy can be measured ("" when it can).

    output  first float output of the original for one sample
    name    the output's name, which tells class scores from embeddings where the values do not
    labels  (n,) class numbers or text, (n, ...) floats, or None
    """
    one_answer = output.ndim >= 1 and output.shape[-1] >= 2 and output.size == output.shape[-1]
    if labels is not None and labels.dtype.kind == "i":
        if one_answer and int(labels.max(initial=0)) < output.shape[-1]:
            return Task.CLASSES, ""
        reason = f"the labels go up to class {int(labels.max(initial=0))} and output {name!r} has {_shape(output)}"
    elif labels is not None and labels.dtype.kind == "f":
        reason = "the labels are floats, and classes are whole numbers"
    elif labels is not None:
        reason = "the labels are text, and how the model spells text is not known"
    else:
        reason = "the samples have no labels"
    return (Task.SCORES if holds_scores(output, name) else Task.VALUES), reason


def holds_scores(output: Array, name: str) -> bool:
    """Whether the last axis is class scores, as far as the output's name or its values tell."""
    several = output.ndim >= 1 and output.shape[-1] >= 2 and output.size > 0
    return several and (any(word in name.lower() for word in SCORE_WORDS) or is_distribution(output))


def _shape(output: Array) -> str:
    return "shape " + " x ".join(map(str, output.shape))


def is_distribution(values: Array, tolerance: float = 1e-3) -> bool:
    """Whether every last-axis row is a probability distribution: not negative, sum 1."""
    if values.ndim == 0 or values.shape[-1] < 2 or values.size == 0:
        return False
    return bool(values.min() >= 0.0 and np.all(np.abs(values.sum(-1, dtype=np.float64) - 1.0) <= tolerance))


def top_k(scores: Array, k: int) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Indices and scores of the k highest of a vector, best first; equal scores in index order, NaN last."""
    flat = np.nan_to_num(scores.reshape(-1).astype(np.float64), nan=-np.inf)
    best = np.argsort(-flat, kind="stable")[:k]
    return tuple(int(i) for i in best), tuple(float(scores.reshape(-1)[i]) for i in best)


def kl_divergence(original: Array, changed: Array) -> float:
    """Mean Kullback-Leibler divergence KL(original || changed) of the last-axis rows, in nats.

    Rows that are no distributions are taken as logits (softmax first). Kullback and Leibler, On information and
    sufficiency, 1951.
    """
    first, second = _log_probabilities(original), _log_probabilities(changed)
    probability = np.exp(first)
    terms = np.where(probability > 0.0, probability * (first - second), 0.0)
    return float(terms.sum(-1).mean())


SMALLEST = 1e-12
"""Probabilities below this count as this, so that a zero of the changed model costs much but not infinity."""


def _log_probabilities(values: Array) -> Array:
    wide = values.astype(np.float64)
    if is_distribution(values):
        logs: Array = np.log(np.maximum(wide, SMALLEST))
        return logs
    shifted = wide - wide.max(-1, keepdims=True)
    return np.maximum(shifted - np.log(np.exp(shifted).sum(-1, keepdims=True)), np.log(SMALLEST))
