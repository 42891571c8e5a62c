"""What is minimised, sample by sample: distance from labels, from the original's answers, and from its layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

Array = np.ndarray[Any, np.dtype[Any]]

SMALLEST = 1e-12
"""Probabilities below this count as this: a zero costs much but not infinity."""


class LabelLoss(Protocol):
    """Distance of one output from the labels."""

    def __call__(self, output: Tensor, places: Array) -> Tensor:
        """(n,) losses of the samples at `places`; `output` (n, ...) in the same order."""


class CrossEntropy:
    """Of class scores, one vector a sample.

    labels         (n,) class numbers of all samples
    probabilities  the graph ends in a softmax: its logarithm is taken
    smoothing      share of the target spread over all classes. Szegedy et al., Rethinking the Inception
                   architecture, 2016
    class_weights  (classes,) or None
    """

    def __init__(
        self, labels: Array, *, probabilities: bool, smoothing: float = 0.0, class_weights: Tensor | None = None
    ) -> None:
        self._labels = torch.from_numpy(np.array(labels, np.int64))  # a copy: data files are mapped
        self._probabilities, self._smoothing, self._weights = probabilities, smoothing, class_weights

    def __call__(self, output: Tensor, places: Array) -> Tensor:
        scores = log_scores(output.flatten(0, -2), self._probabilities)
        target = self._labels[torch.from_numpy(places)]
        losses = functional.cross_entropy(scores, target, reduction="none", label_smoothing=self._smoothing)
        return losses if self._weights is None else losses * self._weights[target]


class SquaredError:
    """Mean squared difference from labels that are floats."""

    def __init__(self, labels: Array) -> None:
        self._labels = torch.from_numpy(np.array(labels, np.float32).reshape(len(labels), -1))

    def __call__(self, output: Tensor, places: Array) -> Tensor:
        return (output.flatten(1) - self._labels[torch.from_numpy(places)]).square().mean(1)


class Ctc:
    """Connectionist temporal classification of text. Graves et al., 2006.

    targets        classes of each sample's characters
    probabilities  as of `CrossEntropy`; the output is (n, steps, classes)
    """

    def __init__(self, targets: Sequence[Sequence[int]], *, blank: int, probabilities: bool) -> None:
        self._targets, self._blank, self._probabilities = targets, blank, probabilities

    def __call__(self, output: Tensor, places: Array) -> Tensor:
        steps = output.flatten(1, -2)
        logs = functional.log_softmax(log_scores(steps, self._probabilities), -1).transpose(0, 1)
        chosen = [self._targets[int(place)] for place in places]
        lengths = torch.tensor([len(target) for target in chosen])
        flat = torch.tensor([code for target in chosen for code in target], dtype=torch.int64)
        taken = torch.full((len(chosen),), steps.shape[1], dtype=torch.int64)
        found = functional.ctc_loss(
            logs, flat, taken, lengths, blank=self._blank, reduction="none", zero_infinity=True
        )
        return found / lengths.clamp(min=1)


def balanced_weights(labels: Array, classes: int) -> Tensor:
    """(classes,) weights that make every class that occurs count alike; their mean over the samples is 1."""
    counts = np.bincount(labels, minlength=classes).astype(np.float64)
    there = counts > 0
    weights = np.divide(len(labels) / max(int(there.sum()), 1), counts, out=np.zeros_like(counts), where=there)
    return torch.from_numpy(weights.astype(np.float32))


def log_scores(output: Tensor, probabilities: bool) -> Tensor:
    """Scores whose softmax is the model's answer."""
    return output.clamp_min(SMALLEST).log() if probabilities else output


def divergence(output: Tensor, answer: Tensor, *, probabilities: bool, temperature: float) -> Tensor:
    """(n,) KL divergence of softened class scores from the teacher's, mean over a sample's rows, times temperature
    squared, so that its gradients keep their size. Hinton et al., Distilling the knowledge in a neural network, 2015.
    """
    ours = functional.log_softmax(log_scores(output, probabilities) / temperature, -1)
    theirs = functional.log_softmax(log_scores(answer, probabilities) / temperature, -1)
    rows = functional.kl_div(ours, theirs, reduction="none", log_target=True).sum(-1)
    return rows.flatten(1).mean(1) * temperature**2 if rows.ndim > 1 else rows * temperature**2


def relative_error(output: Tensor, answer: Tensor, scale: float) -> Tensor:
    """(n,) mean squared difference from the teacher's values, over `scale` (their mean square), so that outputs and
    layers of any size count alike. Romero et al., FitNets, 2015, of values that are scaled first."""
    return (output - answer).flatten(1).square().mean(1) / scale


def angle(output: Tensor, answer: Tensor) -> Tensor:
    """(n,) one minus the cosine between embeddings (last axis), mean over a sample's rows."""
    rows = 1.0 - functional.cosine_similarity(output, answer, dim=-1)
    return rows.flatten(1).mean(1) if rows.ndim > 1 else rows
