"""What a training minimises, decided once from settings, labels and what the model gives, with every refusal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from core.analysis.metrics import Task, holds_scores, is_distribution
from core.analysis.task_metrics.base import Facts, facts_of
from core.analysis.task_metrics.likeness import EMBEDDING
from core.analysis.task_metrics.text import BLANK, alphabet
from core.errors import DataError, ParameterError
from core.training import losses
from core.training.settings import AUTO, BOTH, DISTILL, LABELS, TrainingSettings

if TYPE_CHECKING:
    from core.data.samples import Samples

Array = np.ndarray[Any, np.dtype[Any]]


class Probe:
    """What the model gives for the first samples, before anything is trained.

    outputs   by name, samples along the first axis
    answers   the teacher's, likewise, with its layers' outputs; None without a teacher
    features  the student's outputs of layers, by name
    """

    def __init__(
        self, outputs: Mapping[str, Tensor], answers: Mapping[str, Tensor] | None,
        features: Mapping[str, Tensor] | None = None,
    ) -> None:  # fmt: skip
        self.outputs, self.answers, self.features = outputs, answers, features or {}

    def facts(self, samples: Samples, metadata: Mapping[str, str]) -> Facts:
        """What metrics decide from: the teacher's first answers, or the model's own."""
        answers = self.outputs if self.answers is None else self.answers
        names = [name for name in self.outputs if name in answers]
        first = [answers[name][:1].detach().numpy() for name in names]
        return facts_of(names, first, samples, samples.n, metadata)


class Objective:
    """Losses of samples, each a weighted sum of up to three terms.

    learns_from  LABELS, DISTILL or BOTH, as it was decided
    features     names of the layers that are matched, () for none
    notes        what a person should know, a sentence each
    """

    def __init__(
        self, settings: TrainingSettings, samples: Samples, probe: Probe, metadata: Mapping[str, str]
    ) -> None:
        facts = probe.facts(samples, metadata)
        if facts.main is None:
            raise DataError("the model has no float output to learn from", where=samples.source)
        self._settings, self._metadata = settings, metadata
        self._main = facts.names[facts.main]
        self._facts = facts
        self.notes: list[str] = []
        self.learns_from = _learns_from(settings, facts, probe.answers is not None, samples.source)
        self._scores = {
            name: is_distribution(output.numpy())
            for name, output in probe.outputs.items()
            if output.is_floating_point() and _is_scores(name, output, name == self._main, facts)
        }
        self._class_weights: Tensor | None = None
        if self.uses_labels:
            self._check_labels(samples)
        self._scale = _scales(probe.answers or {})
        self.features = self._matched(probe) if settings.features > 0 and self.uses_teacher else ()

    @property
    def uses_labels(self) -> bool:
        return self.learns_from != DISTILL

    @property
    def uses_teacher(self) -> bool:
        return self.learns_from != LABELS

    def label_loss(self, samples: Samples) -> losses.LabelLoss | None:
        """The distance of the main output from these samples' labels; None when they are not learned from."""
        labels = samples.labels
        if not self.uses_labels or labels is None:
            return None
        probabilities = self._scores.get(self._main, False)
        if labels.dtype.kind == "i":
            return losses.CrossEntropy(
                labels, probabilities=probabilities, smoothing=self._settings.label_smoothing,
                class_weights=self._class_weights,
            )  # fmt: skip
        if labels.dtype.kind == "f":
            return losses.SquaredError(labels)
        spelling, _ = alphabet(self._metadata, self._facts.classes)
        return losses.Ctc(_spelled(samples, spelling), blank=BLANK, probabilities=probabilities)

    def __call__(
        self, outputs: Mapping[str, Tensor], label_loss: losses.LabelLoss | None, places: Array,
        answers: Mapping[str, Tensor] | None,
    ) -> Tensor:  # fmt: skip
        """(n,) losses of the samples at `places` of the set that `label_loss` was made for."""
        settings = self._settings
        share = {LABELS: 0.0, DISTILL: 1.0}.get(self.learns_from, settings.distill_share)
        total: Tensor | None = None
        if label_loss is not None and share < 1.0:
            total = (1.0 - share) * label_loss(outputs[self._main], places)
        if answers is not None and self.uses_teacher:
            taught = share * self._distilled(outputs, answers)
            if self.features:
                taught = taught + settings.features * self._feature_loss(outputs, answers)
            total = taught if total is None else total + taught
        if total is None:
            raise DataError("there is nothing to learn from", do="give labels, or learn from the original's answers")
        return total

    def _distilled(self, outputs: Mapping[str, Tensor], answers: Mapping[str, Tensor]) -> Tensor:
        terms = []
        for name, output in outputs.items():
            answer = answers.get(name)
            if name in self.features or answer is None or not output.is_floating_point():
                continue
            if name in self._scores:
                terms.append(
                    losses.divergence(
                        output, answer, probabilities=self._scores[name], temperature=self._settings.temperature
                    )
                )
                continue
            term = losses.relative_error(output, answer, self._scale[name])
            if output.ndim >= 2 and output.shape[-1] >= EMBEDDING and output[0].numel() == output.shape[-1]:
                term = term + losses.angle(output, answer)
            terms.append(term)
        return torch.stack(terms).mean(0)

    def _feature_loss(self, outputs: Mapping[str, Tensor], answers: Mapping[str, Tensor]) -> Tensor:
        terms = [losses.relative_error(outputs[name], answers[name], self._scale[name]) for name in self.features]
        return torch.stack(terms).mean(0)

    def _matched(self, probe: Probe) -> tuple[str, ...]:
        """Layers whose outputs the teacher has in the same shape."""
        answers = probe.answers or {}
        found = tuple(
            name for name, value in probe.features.items()
            if name in answers and answers[name].shape == value.shape and value.is_floating_point()
        )  # fmt: skip
        if not found:
            raise ParameterError(
                "features are to be learned from the original, and no layer gives an output of the same shape there",
                do="set features to 0",
            )
        if len(found) < len(probe.features):
            self.notes.append(
                f"The outputs of {len(found)} of {len(probe.features)} layers are matched; the others have another "
                "shape in the original."
            )
        return found

    def _check_labels(self, samples: Samples) -> None:
        """Labels that cannot be learned from are refused before the first step."""
        labels, where = samples.labels, samples.source
        if labels is None or labels.dtype.kind == "f":
            return
        if labels.dtype.kind == "U":
            spelling, _ = alphabet(self._metadata, self._facts.classes)
            _spelled(samples, spelling)
            return
        classes = np.unique(labels)
        if len(classes) == 1:
            raise DataError(
                f"all {samples.n:,} samples are of class {int(classes[0])}, so there is nothing to tell apart",
                where=where, do="give samples of several classes, or learn from the original's answers alone",
            )  # fmt: skip
        if self._settings.class_weights == "balanced":
            self._class_weights = losses.balanced_weights(labels, self._facts.classes)


def check_label_range(samples: Samples, classes: int, output: str) -> None:
    """Raise DataError naming the first sample whose class the model does not have."""
    labels = samples.class_labels
    if labels is None:
        return
    wrong = np.flatnonzero((labels < 0) | (labels >= classes))
    if wrong.size:
        place = int(wrong[0])
        raise DataError(
            f"the label of {samples.name(place)} is {int(labels[place])}, and output {output!r} tells {classes:,} "
            f"classes apart (0 to {classes - 1}); {wrong.size:,} of {samples.n:,} labels are out of range",
            where=samples.source, do="mend the labels, or learn from the original's answers alone",
        )  # fmt: skip


def _learns_from(settings: TrainingSettings, facts: Facts, taught: bool, where: str) -> str:
    """What is learned from; raises DataError or ParameterError when that cannot be done with this data."""
    asked = settings.loss
    if asked == AUTO:
        usable = facts.label_kind and not _why_no_labels(facts)
        if facts.label_kind == "classes" and facts.samples is not None and _one_vector(facts):
            check_label_range(facts.samples, facts.classes, facts.names[facts.main or 0])
        asked = (BOTH if taught else LABELS) if usable and facts.label_kind != "text" else DISTILL
    if asked in (DISTILL, BOTH) and not taught:
        raise ParameterError("the original's answers are to be learned from, and there is none", do="learn from labels")
    if asked == DISTILL:
        return asked
    reason = _why_no_labels(facts)
    if not reason:
        return asked
    if facts.label_kind == "classes" and facts.samples is not None and _one_vector(facts):
        check_label_range(facts.samples, facts.classes, facts.names[facts.main or 0])
    raise DataError(
        f"the labels cannot be learned from: {reason}", where=where, do="learn from the original's answers instead"
    )


def _one_vector(facts: Facts) -> bool:
    return facts.answer.size == facts.classes >= 2


def _why_no_labels(facts: Facts) -> str:
    """Why the labels say nothing about the main output (one clause), or ""."""
    from core.analysis.task_metrics.regression import SquaredError
    from core.analysis.task_metrics.text import Characters

    if facts.label_kind == "classes":
        return "" if facts.task is Task.CLASSES and _all_fit(facts) else facts.no_accuracy or "some are below 0"
    if facts.label_kind == "values":
        return SquaredError.why_not(facts)
    return Characters.why_not(facts) if facts.label_kind == "text" else "the samples have no labels"


def _all_fit(facts: Facts) -> bool:
    return facts.labels is not None and int(facts.labels.min(initial=0)) >= 0


def _is_scores(name: str, output: Tensor, main: bool, facts: Facts) -> bool:
    """Whether an output's last axis is the scores of classes."""
    if main and facts.task is Task.CLASSES:
        return True
    if main and facts.label_kind == "text" and alphabet(facts.metadata, facts.classes)[0]:
        return True
    return output.ndim >= 2 and holds_scores(output.numpy(), name)


def _scales(answers: Mapping[str, Tensor]) -> dict[str, float]:
    """Mean squares of the teacher's values; 1 where they are all zero."""
    floats = {name: float(a.double().square().mean()) for name, a in answers.items() if a.is_floating_point()}
    return {name: scale if scale > 0.0 else 1.0 for name, scale in floats.items()}


def _spelled(samples: Samples, spelling: Sequence[str]) -> list[list[int]]:
    """The classes of each label's characters. Raises DataError for characters that the model does not know."""
    codes = {character: code for code, character in enumerate(spelling) if character}
    found: list[list[int]] = []
    for place, label in enumerate(samples.labels if samples.labels is not None else ()):
        text = str(label)
        missing = next((character for character in text if character not in codes), "")
        if missing:
            raise DataError(
                f"the label of {samples.name(place)} has {missing!r}, which the model's alphabet lacks",
                where=samples.source, do="mend the label, or learn from the original's answers alone",
            )  # fmt: skip
        found.append([codes[character] for character in text])
    return found
