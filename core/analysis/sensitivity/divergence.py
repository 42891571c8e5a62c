"""How far a model's outputs move from the original's: KL divergence of class scores, or normalised squared error.

Kullback and Leibler, "On information and sufficiency", 1951. Class scores that are no distribution are logits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.analysis.metrics import SMALLEST, Task, is_distribution, task_kind
from core.analysis.sensitivity.cells import Measure
from core.errors import DataError

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Divergence:
    """What is compared, and how.

    outputs        names of the outputs that count: the class scores, or every float output
    distributions  whether class scores are probabilities already (else logits); means nothing for squared errors
    """

    measure: Measure
    outputs: tuple[str, ...]
    distributions: bool = False

    @classmethod
    def choose(cls, outputs: Mapping[str, Array], labels: Array | None, where: str) -> Divergence:
        """KL where the first float output holds class scores, else squared error of all float outputs.

        outputs  of the original on one sample or a batch, by name, in the model's order
        labels   (n,) of the samples, or None

        Raises DataError when no output holds floats.
        """
        floats = {name: value for name, value in outputs.items() if value.dtype.kind == "f" and value.size}
        if not floats:
            raise DataError("none of its outputs holds floats, so no error can be measured", where=where)
        name, first = next(iter(floats.items()))
        kind, _ = task_kind(first[:1] if first.ndim > 1 else first, name, labels)
        if kind is Task.VALUES:
            return cls(Measure.SQUARED, tuple(floats))
        return cls(Measure.KL, (name,), is_distribution(first))

    def against(self, original: Mapping[str, Array], count: int) -> Reference:
        """The original's outputs on `count` samples, to compare others with."""
        if self.measure is Measure.KL:
            return _Scores(self, original[self.outputs[0]], count)
        return _Values(self, [original[name] for name in self.outputs])

    def log_probabilities(self, scores: Array) -> Array:
        """Natural logarithms of the probabilities, along the last axis; at least log(SMALLEST)."""
        if self.distributions:
            return np.log(np.maximum(scores, scores.dtype.type(SMALLEST)))
        wide = scores.astype(np.float64)
        wide -= wide.max(-1, keepdims=True)
        wide -= np.log(np.exp(wide).sum(-1, keepdims=True))
        return np.maximum(wide, np.log(SMALLEST))


class Reference:
    """One run of the original. `sums` of all runs, added up and divided by the added `scale`, are the error."""

    scale: Array

    def sums(self, changed: Mapping[str, Array]) -> Array:
        """(parts,) float64, one part for each output; inf where the changed output is not finite or has another
        shape."""
        raise NotImplementedError


class _Scores(Reference):
    def __init__(self, divergence: Divergence, scores: Array, count: int) -> None:
        self._divergence, self._shape, self._count = divergence, scores.shape, count
        logs = divergence.log_probabilities(scores)
        self._logs = logs.reshape(-1, logs.shape[-1])
        self._chances = np.exp(self._logs) if not divergence.distributions else scores.reshape(self._logs.shape)
        self.scale = np.array([count], np.float64)

    def sums(self, changed: Mapping[str, Array]) -> Array:
        scores = changed[self._divergence.outputs[0]]
        if scores.shape != self._shape or not np.isfinite(scores).all():
            return np.array([np.inf])
        moved = self._logs - self._divergence.log_probabilities(scores).reshape(self._logs.shape)
        rows = np.einsum("ij,ij->i", self._chances, moved)
        return np.array([self._count * max(0.0, float(rows.mean(dtype=np.float64)))])


class _Values(Reference):
    def __init__(self, divergence: Divergence, outputs: Sequence[Array]) -> None:
        self._names = divergence.outputs
        self._outputs = [np.asarray(output, np.float64) for output in outputs]
        self.scale = np.array([float(np.vdot(output, output)) for output in self._outputs])

    def sums(self, changed: Mapping[str, Array]) -> Array:
        found = []
        for name, output in zip(self._names, self._outputs, strict=True):
            if changed[name].shape != output.shape:
                found.append(np.inf)
                continue
            with np.errstate(over="ignore", invalid="ignore"):
                moved = output - changed[name]
                noise = float(np.vdot(moved, moved))
            found.append(noise if np.isfinite(noise) else np.inf)
        return np.array(found)


def error_of(sums: Array, scale: Array) -> float:
    """The error from added sums and scales: the mean over the outputs whose scale is not 0.

    inf when an output that is all zero in the original is not so any more.
    """
    live = scale > 0
    if np.any(sums[~live] > 0) or not live.any():
        return float("inf") if np.any(sums > 0) else 0.0
    return float(np.mean(sums[live] / scale[live]))
