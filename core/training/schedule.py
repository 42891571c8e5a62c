"""What of a recipe is applied when: at once, one after another, along a curve, or in rounds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from core.encoding.base import Encoding
from core.progress import Reporter
from core.training.trainable import Trainable


@dataclass(frozen=True)
class Phase:
    """A stretch of epochs with its own learning-rate curve, early stopping and best state.

    title    what it does, in words ("prune to 91 %", "16 levels")
    epochs   at most
    rate     share of the learning rate: later stages move less far
    settles  its encodings change before epochs 0 to this one at most; states after earlier ones are never the best
    """

    title: str
    epochs: int
    settles: int = 0
    rate: float = 1.0


class Restage(Protocol):
    """Changes the student's encodings at the beginning of some epochs."""

    @property
    def phases(self) -> tuple[Phase, ...]: ...

    def __call__(self, student: Trainable, phase: int, epoch: int, reporter: Reporter) -> Mapping[str, Encoding]:
        """Called before each epoch (from 0 within its phase); the layers that it replaced, {} for none."""
