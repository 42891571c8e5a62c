"""What a metric is, what it may know, and what a drop of it means."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from core.analysis.metrics import Task, json_number, task_kind

if TYPE_CHECKING:
    from core.data.samples import Samples

Array = np.ndarray[Any, np.dtype[Any]]


class Unit(StrEnum):
    """What a metric's value is, which decides how its loss is counted and written."""

    SHARE = "share"
    """0 to 1 (a correlation from -1), written in percent; a drop is in points, hundredths of it"""
    ERROR = "error"
    """0 or more, without a bound; a drop is how much larger it became, in % of the original's"""
    NATS = "nats"
    """a divergence from the original, whose own is 0; a drop is in hundredths of a nat"""
    DECIBEL = "dB"
    """a ratio of signal to error, infinite for the original; a drop is the error's power in % of the signal's"""
    SCORE = "score"
    """a person's own, higher is better; a drop is in points where the original's lies in 0 to 1, else in % of it"""


@dataclass(frozen=True)
class Score:
    """One metric of both models on the same samples.

    metric       name in the registry ("accuracy"), or of a person's own metric ("own:f1.py:macro")
    words        what it is, in words: "accuracy (top-1)"
    reference    of the original
    value        of the changed model
    assumed      what was taken for granted to work it out, one sentence, or ""
    """

    metric: str
    words: str
    unit: Unit
    reference: float
    value: float
    assumed: str = ""

    @property
    def drop(self) -> float:
        """What is lost, in the unit's measure (`Unit`); negative when it became better, inf when it is undefined."""
        return drop(self.unit, self.reference, self.value)

    @property
    def reference_text(self) -> str:
        return value_text(self.unit, self.reference)

    @property
    def value_text(self) -> str:
        return value_text(self.unit, self.value)

    @property
    def drop_text(self) -> str:
        return drop_text(self.unit, self.reference, self.value)

    @property
    def change_text(self) -> str:
        """Both values and the change: "98.00 % -> 97.20 % (-0.80 points)"."""
        return f"{self.reference_text} -> {self.value_text} ({self.drop_text})"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; undefined figures are null."""
        return {
            "metric": self.metric, "words": self.words, "unit": str(self.unit),
            "reference": json_number(self.reference), "value": json_number(self.value),
            "drop": json_number(self.drop) if math.isfinite(self.drop) else None,
            "drop_text": self.drop_text, "assumed": self.assumed,
        }  # fmt: skip


def drop(unit: Unit, reference: float, value: float) -> float:
    """What is lost from `reference` to `value`; see `Unit`. A planner's budget of loss is compared with this."""
    if math.isnan(value) or math.isnan(reference):
        return math.inf
    if unit is Unit.ERROR:
        if reference == 0.0:
            return 0.0 if value == 0.0 else math.inf
        return 100.0 * (value - reference) / reference
    if unit is Unit.NATS:
        return 100.0 * (value - reference)
    if unit is Unit.DECIBEL:
        return 0.0 if value == math.inf else 100.0 * 10.0 ** (-value / 10.0) if value > -3000.0 else math.inf
    if unit is Unit.SCORE and not 0.0 <= reference <= 1.0:
        return 100.0 * (reference - value) / abs(reference)
    return 100.0 * (reference - value)


def value_text(unit: Unit, value: float) -> str:
    """A metric's value for a person: "97.20 %", "0.0132", "0.012 nats", "41.2 dB"."""
    if math.isnan(value):
        return "undefined"
    if unit is Unit.SHARE:
        return f"{100.0 * value:.2f} %"
    if unit is Unit.NATS:
        return f"{value:.3g} nats"
    if unit is Unit.DECIBEL:
        return "no difference" if value == math.inf else f"{value:.1f} dB"
    return f"{value:.4g}"


def drop_text(unit: Unit, reference: float, value: float) -> str:
    """A change for a person, better or worse with its sign: "-0.40 points", "+3.1 % error"."""
    lost = drop(unit, reference, value)
    if lost == 0.0:
        return "unchanged"
    if math.isinf(lost):
        return "no longer defined"
    if unit is Unit.ERROR:
        return f"{lost:+.2f} % error"
    if unit is Unit.NATS:
        return f"{lost / 100.0:+.3g} nats"
    if unit is Unit.DECIBEL:
        return f"{lost:.3g} % error power"
    if unit is Unit.SCORE and not 0.0 <= reference <= 1.0:
        return f"{-lost:+.2f} %"
    return f"{-lost:+.2f} points"


@dataclass(frozen=True)
class Facts:
    """What a metric may know before the first sample is counted.

    names      of the outputs
    first      the original's outputs for the first sample, each an array
    labels     (n,) int64 classes, (n,) text, or (n, ...) floats; None without. Row i is of sample i
    main       index of the output that holds the answer, the first of floats; None when none does
    task       what that output is, and why no accuracy can be measured
    metadata   the model file's own, by key
    samples    for metrics that look at the inputs
    count      samples that will be measured; None when that is not known
    """

    names: tuple[str, ...]
    first: tuple[Array, ...] = field(repr=False)
    labels: Array | None = field(default=None, repr=False)
    main: int | None = None
    task: Task = Task.VALUES
    no_accuracy: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict, repr=False)
    samples: Samples | None = field(default=None, repr=False)
    count: int | None = None

    @property
    def answer(self) -> Array:
        """The main output of the first sample; an empty array when there is none."""
        return self.first[self.main] if self.main is not None else np.empty(0, np.float32)

    @property
    def classes(self) -> int:
        """Size of the main output's last axis."""
        return self.answer.shape[-1] if self.answer.ndim else 0

    @property
    def label_kind(self) -> str:
        """"" without labels, else "classes", "text" or "values"."""
        if self.labels is None:
            return ""
        return {"i": "classes", "U": "text"}.get(self.labels.dtype.kind, "values")


def facts_of(
    names: Sequence[str], first: Sequence[Any], samples: Samples, count: int, metadata: Mapping[str, str]
) -> Facts:
    """What there is to know from the original's outputs for the first of `count` samples that are measured."""
    labels = None if samples.labels is None else samples.labels[:count]
    return facts_from(names, first, labels, metadata, samples, count)


def facts_from(
    names: Sequence[str], first: Sequence[Any], labels: Array | None, metadata: Mapping[str, str],
    samples: Samples | None = None, count: int | None = None,
) -> Facts:  # fmt: skip
    """The same without the samples themselves: only a person's own metric looks at them."""
    floats = [i for i, o in enumerate(first) if isinstance(o, np.ndarray) and o.dtype.kind == "f"]
    task, reason = Task.VALUES, "the model has no float output"
    if floats:
        task, reason = task_kind(first[floats[0]], names[floats[0]], labels)
    return Facts(
        tuple(names), tuple(first), labels, floats[0] if floats else None, task, reason, metadata, samples, count
    )  # fmt: skip


class Metric(ABC):
    """One way to judge answers. Made anew for each measurement; `add` once a sample, then `score`.

    name              in commands and files
    words             in sentences, lower case
    what              one sentence: what it measures
    """

    name: ClassVar[str]
    words: ClassVar[str]
    what: ClassVar[str]
    unit: ClassVar[Unit] = Unit.SHARE
    higher_is_better: ClassVar[bool] = True
    needs_labels: ClassVar[bool] = False

    note: str = ""
    """Why it was chosen and no other, one sentence that a person should know, or ""."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts

    @classmethod
    @abstractmethod
    def why_not(cls, facts: Facts) -> str:
        """Why it cannot be measured here, a clause; "" when it can."""

    @abstractmethod
    def add(self, index: int, before: Sequence[Array], after: Sequence[Array]) -> None:
        """Both models' outputs for sample `index`, in the order of `facts.names`."""

    @abstractmethod
    def values(self) -> tuple[float, float]:
        """Of the original and of the changed model; nan where it is undefined."""

    @property
    def assumed(self) -> str:
        """What is taken for granted, one sentence, or ""."""
        return ""

    def score(self) -> Score:
        """The result over all samples that were added."""
        told = " ".join(filter(None, (self.note, self.assumed)))
        return Score(self.name, self.words, self.unit, *self.values(), told)

    def _answers(self, before: Sequence[Array], after: Sequence[Array]) -> tuple[Array, Array]:
        """The main output of both models."""
        main = self.facts.main or 0
        return before[main], after[main]


def why_no_labels(facts: Facts, kind: str) -> str:
    """Why there are no labels of this kind ("classes", "text", "values"), or ""."""
    have = facts.label_kind
    if have == kind:
        return ""
    words = {"classes": "class numbers", "text": "text", "values": "floats"}
    return "the samples have no labels" if not have else f"the labels are {words[have]}, not {words[kind]}"
