"""Counts what a comparison needs, sample by sample, so that no output is kept longer than its own sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from core.analysis.comparison import Answer, ClassResult, Comparison, OutputResult, SampleResult
from core.analysis.latency import LatencyComparison
from core.analysis.metrics import SqnrSum, Task, kl_divergence, top_k
from core.analysis.task_metrics.base import Metric, facts_of
from core.analysis.task_metrics.registry import Choice, choose
from core.data.samples import Samples
from core.errors import ModelFileError

Array = np.ndarray[Any, np.dtype[Any]]

TOP = 5
"""Answers kept for each sample."""


class OutputTally:
    """One output over all samples."""

    def __init__(self, name: str) -> None:
        self.name, self.dtype = name, ""
        self.sums = SqnrSum()
        self._largest = self._difference = 0.0
        self._measured = False
        self._broken, self._differing = [0, 0], 0
        self.broken_at: list[int | None] = [None, None]  # the first sample with NaN or infinity, of each model
        self._firsts: list[Array | None] = [None, None]  # the first sample's values; None once others differ
        self._seen = 0

    def add(self, index: int, original: Array, changed: Array) -> SqnrSum:
        """Add sample `index`; returns its own sums (empty for what is no float or has another shape)."""
        own = SqnrSum()
        self.dtype = str(original.dtype)
        if original.dtype.kind != "f" or changed.dtype.kind != "f":
            return own
        for i, values in enumerate((original, changed)):
            if not np.isfinite(values).all():
                self._broken[i] += 1
                self.broken_at[i] = index if self.broken_at[i] is None else self.broken_at[i]
        self._compare_with_first((original, changed))
        if original.shape != changed.shape:
            self._differing += 1
            return own
        own.add(original, changed)
        self.sums.merge(own)
        self._measured = True
        if original.size:
            with np.errstate(invalid="ignore", over="ignore"):
                self._largest = max(self._largest, float(np.abs(original).max()))
                self._difference = max(self._difference, float(np.abs(changed - original).max()))
        return own

    def _compare_with_first(self, values: Sequence[Array]) -> None:
        """Whether the output still is the same for all samples, of each model."""
        for i, value in enumerate(values):
            first = self._firsts[i]
            if not self._seen:
                self._firsts[i] = value
            elif first is not None and not np.array_equal(first, value):
                self._firsts[i] = None
        self._seen += 1

    def result(self) -> OutputResult:
        relative = 0.0 if self._difference == 0.0 else self._difference / self._largest if self._largest else np.inf
        return OutputResult(
            self.name,
            self.dtype,
            self.sums.db if self._measured else None,
            float(relative) if self._measured else None,
            self._broken[0],
            self._broken[1],
            self._differing,
            self._seen > 1 and self._firsts[0] is not None,
            self._seen > 1 and self._firsts[1] is not None,
        )


class Tally:
    """Everything about the answers; `add` once a sample, then `comparison`.

    metadata  of the original's file, for metrics that need it
    choice    the metric, where it was chosen before; None: the one that the samples' options name
    """

    def __init__(
        self, names: Sequence[str], samples: Samples, count: int, metadata: Mapping[str, str] = MappingProxyType({}),
        choice: Choice | None = None,
    ) -> None:  # fmt: skip
        self._samples, self._count, self._metadata, self._choice = samples, count, metadata, choice
        self._metric: Metric | None = None
        self._outputs = [OutputTally(name) for name in names]
        self._labels = None if samples.labels is None else samples.labels[:count]
        self._main: int | None = None  # the first float output: the answer
        self._task, self._no_accuracy = Task.VALUES, "the model has no float output"
        self._agreements: list[float] = []
        self._divergences: list[float] = []
        self._results: list[SampleResult] = []
        self._in_top: tuple[list[bool], list[bool]] = ([], [])
        self._classes = 0

    def add(self, index: int, before: Sequence[Any], after: Sequence[Any]) -> None:
        """Both models' outputs for one sample."""
        for tally, original, changed in zip(self._outputs, before, after, strict=True):
            if not (isinstance(original, np.ndarray) and isinstance(changed, np.ndarray)):
                raise ModelFileError(f"output {tally.name!r} is no tensor", do="compare models that give tensors")
        if not self._results:
            self._decide(before)
        error = SqnrSum()
        for tally, original, changed in zip(self._outputs, before, after, strict=True):
            error.merge(tally.add(index, original, changed))
        if self._metric is not None:
            self._metric.add(index, before, after)
        label = int(self._labels[index]) if self._task is Task.CLASSES and self._labels is not None else None
        changed_answer: bool | None = None
        answers: tuple[Answer | None, Answer | None] = (None, None)
        if self._main is not None and self._task is not Task.VALUES:
            changed_answer, answers = self._answers(before[self._main], after[self._main], label)
        self._results.append(
            SampleResult(index, self._samples.name(index), error.db, label, changed_answer, answers[0], answers[1])
        )

    def _decide(self, outputs: Sequence[Any]) -> None:
        choice = self._choice
        if choice is None:
            facts = facts_of([o.name for o in self._outputs], outputs, self._samples, self._count, self._metadata)
            choice = choose(facts, self._samples.options, where=self._samples.source)
        else:
            facts = choice.facts
        self._metric = None if choice is None else choice.start()
        self._main, self._task, self._no_accuracy = facts.main, facts.task, facts.no_accuracy
        self._classes = facts.classes

    def _answers(
        self, before: Array, after: Array, label: int | None
    ) -> tuple[bool, tuple[Answer | None, Answer | None]]:
        """Whether the answer changed, and both answers when there is one for the whole sample."""
        if before.shape != after.shape or before.size == 0:
            self._agreements.append(0.0)
            return True, (None, None)
        same = before.argmax(-1) == after.argmax(-1)
        self._agreements.append(float(np.mean(same)))
        if np.isfinite(before).all() and np.isfinite(after).all():
            self._divergences.append(kl_divergence(before, after))
        if before.size != before.shape[-1]:
            return not bool(same.all()), (None, None)
        first, second = Answer(*top_k(before, TOP)), Answer(*top_k(after, TOP))
        if label is not None:
            for found, answer in zip(self._in_top, (first, second), strict=True):
                found.append(label in answer.classes)
        return first.best != second.best, (first, second)

    @property
    def broken_at(self) -> tuple[int | None, int | None]:
        """The first sample for which an output has NaN or infinity, of the original and of the other; None without."""
        first, second = (
            min((at for tally in self._outputs if (at := tally.broken_at[i]) is not None), default=None)
            for i in range(2)
        )
        return first, second

    def comparison(
        self,
        latency: LatencyComparison | None = None,
        memory_before: int | None = None,
        memory_after: int | None = None,
    ) -> Comparison:
        """The result; the samples sorted worst first."""
        outputs = tuple(tally.result() for tally in self._outputs)
        total = SqnrSum()
        for tally in self._outputs:
            total.merge(tally.sums)
        scored = self._task is not Task.VALUES
        figures = self._accuracy() if self._task is Task.CLASSES else {}
        return Comparison(
            n=self._count,
            source=self._samples.source,
            available=self._samples.n,
            task=self._task,
            no_accuracy=self._no_accuracy,
            output_sqnr_db=total.db,
            max_relative=max((o.max_relative for o in outputs if o.max_relative is not None), default=0.0),
            outputs=outputs,
            samples=tuple(
                sorted(self._results, key=lambda r: (-np.inf if np.isnan(r.sqnr_db) else r.sqnr_db, r.index))
            ),
            agreement=float(np.mean(self._agreements)) if scored else None,
            kl_divergence=float(np.mean(self._divergences)) if self._divergences else None,
            changed=sum(bool(r.changed) for r in self._results) if scored else None,
            latency=latency,
            memory_before=memory_before,
            memory_after=memory_after,
            notes=tuple(_notes(outputs, self._count)),
            score=self._metric.score() if self._metric is not None else None,
            **figures,
        )

    def _accuracy(self) -> dict[str, Any]:
        """Accuracy in all and by class, and which samples changed sides."""
        labels = np.array([r.label for r in self._results])
        right = np.array([[a is not None and a.best == r.label for a in (r.before, r.after)] for r in self._results])
        named = self._samples.class_names
        classes = tuple(
            ClassResult(
                int(label),
                named[label] if label < len(named) else str(label),
                int(np.sum(labels == label)),
                *(float(share) for share in right[labels == label].mean(0)),
            )
            for label in np.unique(labels)
        )
        top5 = [float(np.mean(found)) if self._classes > TOP and found else None for found in self._in_top]
        return {
            "accuracy_before": float(right[:, 0].mean()),
            "accuracy_after": float(right[:, 1].mean()),
            "top5_before": top5[0],
            "top5_after": top5[1],
            "classes": classes,
            "newly_wrong": int(np.sum(right[:, 0] & ~right[:, 1])),
            "newly_right": int(np.sum(~right[:, 0] & right[:, 1])),
        }


def _notes(outputs: Sequence[OutputResult], count: int) -> list[str]:
    """What is wrong with outputs, as sentences."""
    notes = []
    for output in outputs:
        for broken, whose in ((output.nonfinite_before, "original"), (output.nonfinite_after, "compressed model")):
            if broken:
                notes.append(
                    f"Output {output.name!r} of the {whose} has NaN or infinity in {broken} of {count} samples."
                )
        for constant, whose in ((output.constant_before, "original"), (output.constant_after, "compressed model")):
            if constant:
                notes.append(f"Output {output.name!r} of the {whose} is the same for all {count} samples.")
        if output.differing_shapes:
            notes.append(
                f"Output {output.name!r} has another shape in {output.differing_shapes} of {count} samples; "
                "its error there is not counted."
            )
    return notes
