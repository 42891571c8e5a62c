"""How the members' answers become one: the same rule in numpy, for reference, and as ONNX nodes.

Class scores are averaged as what they are: probabilities as probabilities, logits as logits, log-probabilities as the
mean of their probabilities. In a vote every member gives its weight to its best class; between classes of equal votes
the mean of the probabilities decides. Where each element is a probability by itself (a sigmoid), members vote yes or no
on each. Whole numbers (class labels, token ids) are always decided by majority.

Sources: Breiman, Bagging predictors, 1996; Zhu, Zou, Rosset and Hastie, Multi-class AdaBoost, 2009 (weighted votes).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

FLOOR = 1e-12
"""Smallest share of votes that is written as a logarithm."""
WEIGHTED_TIE = 1e-3
"""What the mean counts beside votes of unequal weight, whose sums are hardly ever equal."""


class Rule(StrEnum):
    """What is done with the members' answers."""

    AVERAGE = "average"
    VOTE = "vote"


class Answer(StrEnum):
    """What an output says."""

    PROBABILITIES = "probabilities"
    LOG_PROBABILITIES = "log-probabilities"
    LOGITS = "logits"
    SEPARATE = "separate probabilities"
    VALUES = "values"
    NUMBERS = "whole numbers"

    @property
    def scores(self) -> bool:
        """Whether a member can choose by it: among classes, or yes or no for each element."""
        return self not in (Answer.VALUES, Answer.NUMBERS)

    @property
    def logarithms(self) -> bool:
        """Whether shares of votes are written as logarithms, so that the output stays what it is."""
        return self in (Answer.LOG_PROBABILITIES, Answer.LOGITS)


@dataclass(frozen=True)
class Combination:
    """How one output of the ensemble follows from those of its members.

    name     of the output, as the first member calls it
    answer   what it says, found in the graph and on samples
    rule     what is done with it
    weights  of the members, sum 1
    axis     of the classes, where the answer is scores
    """

    name: str
    answer: Answer
    rule: Rule
    weights: tuple[float, ...]
    axis: int = -1

    @property
    def even(self) -> bool:
        """Whether all members count alike."""
        return len(set(self.weights)) == 1

    @property
    def tie(self) -> float:
        """What the mean counts beside the votes: less than one vote of members that count alike."""
        return 0.5 / len(self.weights) if self.even else WEIGHTED_TIE

    @property
    def text(self) -> str:
        """What is done, in words: "mean of 5 members' probabilities"."""
        count, weighted = len(self.weights), "" if self.even else "weighted "
        if self.answer is Answer.NUMBERS:
            return f"the number that most of {count} members give, of equally many the earliest member's"
        if self.rule is Rule.VOTE:
            written = ", as logarithms" if self.answer.logarithms else ""
            return f"{weighted}votes of {count} members as shares, ties decided by the mean{written}"
        if self.answer is Answer.LOG_PROBABILITIES:
            return f"{weighted}mean of {count} members' probabilities, as logarithms"
        return f"{weighted}mean of {count} members' {self.answer}"

    def of(self, values: Sequence[Array]) -> Array:
        """The ensemble's output from the members', in the type of the first; computed in float64."""
        first = values[0]
        if self.answer is Answer.NUMBERS:
            return _majority(values)
        wide = [value.astype(np.float64) for value in values]
        if self.rule is Rule.VOTE and self.answer.scores:
            result = self._votes(wide)
        elif self.answer is Answer.LOG_PROBABILITIES:
            result = np.log(np.maximum(self._mean([np.exp(value) for value in wide]), FLOOR))
        else:
            result = self._mean(wide)
        return result.astype(first.dtype)

    def _mean(self, values: Sequence[Array]) -> Array:
        total = np.zeros_like(values[0])
        for weight, value in zip(self.weights, values, strict=True):
            total += weight * value
        return total

    def _votes(self, scores: Sequence[Array]) -> Array:
        votes = [self._vote(value) for value in scores]
        mean = self._mean([self._probabilities(value) for value in scores])
        shares: Array = (self._mean(votes) + self.tie * mean) / (1.0 + self.tie)
        return np.log(np.maximum(shares, FLOOR)) if self.answer.logarithms else shares

    def _vote(self, scores: Array) -> Array:
        if self.answer is Answer.SEPARATE:
            return (scores >= 0.5).astype(np.float64)
        vote = np.zeros_like(scores)
        np.put_along_axis(vote, np.expand_dims(scores.argmax(self.axis), self.axis), 1.0, self.axis)
        return vote

    def _probabilities(self, scores: Array) -> Array:
        if not self.answer.logarithms:
            return scores
        shifted = np.exp(scores - scores.max(self.axis, keepdims=True))
        result: Array = shifted / shifted.sum(self.axis, keepdims=True)
        return result


def _majority(values: Sequence[Array]) -> Array:
    """Element by element the most frequent value; of equally frequent ones that of the earliest member."""
    stacked = np.stack(values)
    counts = np.stack([(stacked == value).sum(0) for value in values])
    chosen: Array = np.take_along_axis(stacked, counts.argmax(0)[None], 0)[0]
    return chosen
