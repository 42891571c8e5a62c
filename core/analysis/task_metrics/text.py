"""Text that a model reads, against text labels: greedy CTC decoding with the alphabet in the model's own metadata."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from core.analysis.task_metrics.base import Facts, Metric, why_no_labels

Array = np.ndarray[Any, np.dtype[Any]]

ALPHABET_KEY = "character"
"""Where PaddleOCR's exporters put the characters, one a line."""
BLANK = 0
"""CTC's class for "nothing": the first, as PaddleOCR has it."""


def alphabet(metadata: Mapping[str, str], classes: int) -> tuple[tuple[str, ...], str]:
    """What each class spells, and what was assumed for that; ((), why not) when it is not known.

    classes  size of the output's last axis. PaddleOCR puts the blank before the listed characters, and, where its
             option use_space_char was set, a space behind them; which of the two can be told from the number.
    """
    text = metadata.get(ALPHABET_KEY, "")
    if not text:
        return (), "the labels are text, and how the model spells text is not known"
    listed = [line.rstrip("\r") for line in text.split("\n")]
    if listed[-1] == "":
        listed.pop()
    rule = f"Text was read by greedy CTC decoding with the model's own list of {len(listed):,} characters"
    if classes == len(listed) + 1:
        return ("", *listed), f"{rule}, assuming class 0 for the blank."
    if classes == len(listed) + 2:
        return ("", *listed, " "), f"{rule}, assuming class 0 for the blank and the last class for the space."
    return (), f"the labels are text, and the model lists {len(listed):,} characters for {classes:,} classes"


def read_text(scores: Array, spelling: Sequence[str]) -> str:
    """Greedy CTC decoding: the best class of each step, repeats and blanks dropped.

    scores  (..., steps, classes) of one sample. Graves et al., Connectionist temporal classification, 2006.
    """
    best = scores.reshape(-1, scores.shape[-1]).argmax(-1)
    kept = [k for i, k in enumerate(best) if k != BLANK and (i == 0 or k != best[i - 1])]
    return "".join(spelling[k] for k in kept)


def edit_distance(a: str, b: str) -> int:
    """Levenshtein distance, 1966: insertions, deletions and replacements of one character."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        last, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (x != y))
    return row[-1]


class Characters(Metric):
    """Share of characters right (1 - character error rate)."""

    name, words = "characters", "characters right"
    what = "One minus the edits that turn the read text into the label, over the label's characters."
    needs_labels = True

    def __init__(self, facts: Facts) -> None:
        super().__init__(facts)
        self._spelling, self._assumed = alphabet(facts.metadata, facts.classes)
        self._wrong, self._all = [0, 0], 0

    @classmethod
    def why_not(cls, facts: Facts) -> str:
        if missing := why_no_labels(facts, "text"):
            return missing
        spelling, words = alphabet(facts.metadata, facts.classes)
        if not spelling:
            return words
        steps = facts.answer.size // max(facts.classes, 1)
        one = facts.answer.ndim >= 2 and steps == facts.answer.shape[-2]
        return "" if one else "the output is not one row of class scores for each step"

    @property
    def assumed(self) -> str:
        return self._assumed

    def add(self, index: int, before: Sequence[Array], after: Sequence[Array]) -> None:
        labels = self.facts.labels
        if labels is None:
            return
        truth = str(labels[index])
        self._all += len(truth)
        for i, scores in enumerate(self._answers(before, after)):
            fits = scores.size > 0 and scores.shape[-1] == len(self._spelling)
            self._wrong[i] += edit_distance(read_text(scores, self._spelling), truth) if fits else len(truth)

    def values(self) -> tuple[float, float]:
        found = [1.0 - wrong / self._all if self._all else np.nan for wrong in self._wrong]
        return found[0], found[1]
