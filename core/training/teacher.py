"""Who is learned from: the original model, or several models together; and their answers, kept where memory allows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor

from core.errors import ParameterError
from core.training.trainable import Feeds

if TYPE_CHECKING:
    from core.model.model import Model

Array = np.ndarray[Any, np.dtype[Any]]

KEPT_BYTES = 512 << 20
"""Answers of a set of samples are kept when they take no more than this."""


class Teacher(Protocol):
    """Answers that a student learns from."""

    def __call__(self, feeds: Feeds, *, features: Sequence[str] = ()) -> dict[str, Tensor]:
        """Outputs, and the values named in `features`, by name; samples along the first axis, without gradients."""


class ModelTeacher:
    """A model as it is stored. Raises FeatherweightError naming the operators that torch does not run."""

    def __init__(self, model: Model) -> None:
        from core.training.student import Student

        self._student = Student(model, None, train_rest=False)
        self._student.eval()

    def __call__(self, feeds: Feeds, *, features: Sequence[str] = ()) -> dict[str, Tensor]:
        with torch.no_grad():
            known = set(self._student.feature_names()) if features else set()
            return self._student(feeds, features=tuple(name for name in features if name in known))


class MeanTeacher:
    """The weighted mean of several teachers' answers; their layers are not matched.

    weights  one a teacher, of any sum; None: all alike
    """

    def __init__(self, teachers: Sequence[Teacher], weights: Sequence[float] | None = None) -> None:
        given = [1.0] * len(teachers) if weights is None else list(weights)
        if not teachers or len(given) != len(teachers) or not sum(given) > 0.0:
            raise ParameterError(
                f"{len(teachers)} teachers have {len(given)} weights of sum {sum(given):g}",
                do="give each a weight, and one of them above 0",
            )
        self._teachers = tuple(teachers)
        self._weights = [weight / sum(given) for weight in given]

    def __call__(self, feeds: Feeds, *, features: Sequence[str] = ()) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        for teacher, weight in zip(self._teachers, self._weights, strict=True):
            for name, answer in teacher(feeds).items():
                found[name] = found[name] + weight * answer if name in found else weight * answer
        return found


class Answers:
    """A teacher's answers for one set of samples, each worked out once where they fit into memory.

    features  names of layers whose outputs are wanted as well
    """

    def __init__(self, teacher: Teacher, n: int, features: Sequence[str] = (), limit: int = KEPT_BYTES) -> None:
        self._teacher, self._n, self._features, self._limit = teacher, n, tuple(features), limit
        self._known = np.zeros(n, bool)
        self._kept: dict[str, Tensor] | None = {}

    def fresh(self, feeds: Feeds) -> dict[str, Tensor]:
        """The answers for feeds that are no sample's own (changed at random)."""
        return self._teacher(feeds, features=self._features)

    def of(self, feeds: Feeds, places: Array) -> Mapping[str, Tensor]:
        """The answers for the samples at `places`, whose inputs are `feeds`."""
        if self._kept is not None and self._known[places].all():
            rows = torch.from_numpy(places)
            return {name: kept[rows] for name, kept in self._kept.items()}
        answers = self.fresh(feeds)
        if self._kept is not None:
            self._keep(answers, places)
        return answers

    def _keep(self, answers: Mapping[str, Tensor], places: Array) -> None:
        if self._kept is None or any(answer.shape[:1] != (len(places),) for answer in answers.values()):
            self._kept = None
            return
        if not self._kept:
            size = sum(answer[0].numel() * answer.element_size() for answer in answers.values())
            if size * self._n > self._limit:
                self._kept = None
                return
            self._kept = {name: answer.new_zeros((self._n, *answer.shape[1:])) for name, answer in answers.items()}
        if any(self._kept[name].shape[1:] != answer.shape[1:] for name, answer in answers.items()):
            self._kept = None  # samples of several sizes
            return
        rows = torch.from_numpy(places)
        for name, answer in answers.items():
            self._kept[name][rows] = answer
        self._known[places] = True
