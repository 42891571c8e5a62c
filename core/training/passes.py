"""One pass over the training samples: batches in a drawn order, each a step."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

from core.progress import Reporter
from core.training.augment import Augmenter
from core.training.feeding import batch
from core.training.objective import Objective
from core.training.optimising import clip, penalty, rate_factor, set_rate
from core.training.settings import TrainingSettings
from core.training.teacher import Answers
from core.training.trainable import Trainable
from core.training.watching import cancellable, part_size, wait_while_paused

if TYPE_CHECKING:
    from core.data.samples import Samples

Array = np.ndarray[Any, np.dtype[Any]]
TOLD = 0.25
"""Seconds between two losses that are told."""


class Purpose(IntEnum):
    """What numbers are drawn for. Each purpose has its own for each epoch, so that nothing of them has to be kept."""

    ORDER = 1
    AUGMENTATION = 2
    DROPOUT = 3


def drawn_from(seed: int, purpose: Purpose, epoch: int) -> int:
    """The seed of a generator."""
    return int(np.random.SeedSequence([seed, int(purpose), epoch]).generate_state(1)[0])


class NotFiniteError(Exception):
    """A loss or gradient is NaN or infinite; the step was not taken. step: from 1 within its epoch."""

    def __init__(self, what: str, step: int, batch_is_finite: bool) -> None:
        super().__init__(what)
        self.what, self.step, self.batch_is_finite = what, step, batch_is_finite


@dataclass
class Passes:
    """Takes a student through the training samples.

    operations  floating point operations of one sample's forward run, roughly
    """

    student: Trainable
    samples: Samples
    objective: Objective
    answers: Answers | None
    augmenter: Augmenter | None
    settings: TrainingSettings
    weights: Tensor | None
    operations: float
    folder: Path | None

    def __post_init__(self) -> None:
        self._label_loss = self.objective.label_loss(self.samples)

    @property
    def steps(self) -> int:
        """Of one pass."""
        return len(self._bounds()) - 1

    def _bounds(self) -> list[int]:
        """Where batches begin and end; a last one of a single sample joins the one before it, for batch norms."""
        bounds = [*range(0, self.samples.n, self.settings.batch), self.samples.n]
        if len(bounds) > 2 and bounds[-1] - bounds[-2] == 1:
            del bounds[-2]
        return bounds

    def run(
        self, optimiser: Optimizer, epoch: int, first_step: int, all_steps: int, rate: float, reporter: Reporter,
        told: Callable[[float, float], None], parts: int, changed: Callable[[float, Optimizer], Optimizer],
    ) -> tuple[float, Optimizer]:  # fmt: skip
        """One pass; the mean loss of its samples, without penalties, and the optimiser as it is then.

        epoch       over all phases, from 0: decides what is drawn
        first_step  of this pass within its phase of `all_steps`
        rate        the phase's largest learning rate
        told        called a few times a second with the share of the pass that is done and the mean loss since
        changed     called between the pass's `parts` with the share that is done, and the optimiser to go on with

        Raises NotFiniteError, and Cancelled.
        """
        seed = self.settings.seed
        order = np.random.default_rng(drawn_from(seed, Purpose.ORDER, epoch)).permutation(self.samples.n)
        generator = torch.Generator().manual_seed(drawn_from(seed, Purpose.AUGMENTATION, epoch))
        torch.manual_seed(drawn_from(seed, Purpose.DROPOUT, epoch))
        self.student.train()
        total, since, counted, last = 0.0, 0.0, 0, time.perf_counter()
        bounds = self._bounds()
        for step, (start, stop) in enumerate(pairwise(bounds)):
            wait_while_paused(self.folder, reporter)
            reporter.check()
            if step > 0 and step * parts // self.steps > (step - 1) * parts // self.steps:
                optimiser = changed((step * parts // self.steps) / parts, optimiser)
                self.student.train()
            factor = rate_factor(self.settings.schedule, self.settings.warmup, first_step + step, all_steps)
            set_rate(optimiser, rate * factor)
            loss = self._step(optimiser, order[start:stop], step + 1, generator, reporter)
            total, since, counted = total + loss, since + loss, counted + stop - start
            if time.perf_counter() - last >= TOLD:
                told(stop / self.samples.n, since / counted)
                since, counted, last = 0.0, 0, time.perf_counter()
        return total / self.samples.n, optimiser

    def _step(
        self, optimiser: Optimizer, places: Array, step: int, generator: torch.Generator, reporter: Reporter
    ) -> float:
        """One batch, in parts where it is large; the sum of its samples' losses."""
        optimiser.zero_grad(set_to_none=True)
        size, total = part_size(self.operations, len(places)), 0.0
        for start in range(0, len(places), size):
            part = places[start : start + size]
            feeds = batch(self.samples, part)
            with cancellable(reporter, self.operations * len(part)):
                losses = self._losses(feeds, part, generator)
                loss = losses.sum() / len(places)
                if not bool(torch.isfinite(loss)):
                    raise NotFiniteError("the loss", step, _finite(feeds))
                loss.backward()
            total += float(losses.detach().double().sum())
        extra = penalty(self.student, self.settings)
        if extra is not None:
            extra.backward()
        if not math.isfinite(clip(self.student, self.settings.clip_norm)):
            raise NotFiniteError("the gradient", step, True)
        optimiser.step()
        return total

    def _losses(self, feeds: Mapping[str, Tensor], places: Array, generator: torch.Generator) -> Tensor:
        answers: Mapping[str, Tensor] | None = None
        if self.augmenter is not None:
            feeds = self.augmenter(feeds, generator)
            answers = None if self.answers is None else self.answers.fresh(feeds)
        elif self.answers is not None:
            answers = self.answers.of(feeds, places)
        outputs = self.student(feeds, features=self.objective.features)
        losses = self.objective(outputs, self._label_loss, places, answers)
        return losses if self.weights is None else losses * self.weights[torch.from_numpy(places)]



def _finite(feeds: Mapping[str, Tensor]) -> bool:
    return all(bool(torch.isfinite(value).all()) for value in feeds.values() if value.is_floating_point())
