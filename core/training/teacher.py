"""Who is learned from: the original model, or several models together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from core.training.trainable import Feeds


class Teacher(Protocol):
    """Answers that a student learns from."""

    def __call__(self, feeds: Feeds, *, features: Sequence[str] = ()) -> dict[str, Tensor]:
        """Outputs, and the values named in `features`, by name; samples along the first axis, without gradients."""
