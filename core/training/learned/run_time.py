"""Weights that a layer computes with as they are, in training: their codes and scales are trained like any others.

What such a layer rounds of its inputs is simulated in the graph (`student`).
"""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from core.encoding import Affine, Encoding
from core.encoding.run_time import RunTimeForm
from core.errors import InternalError
from core.training.learned.base import Grid


class RunTimeGrid(Grid):
    """The values of its weight."""

    def __init__(self, encoding: RunTimeForm, child: Grid) -> None:
        super().__init__()
        self.start, self.child, self.follows, self.reason = encoding, child, child.follows, child.reason

    def forward(self, wanted: Tensor) -> Tensor:
        value: Tensor = self.child(wanted)
        return value

    def encoding(self, wanted: Tensor) -> Encoding:
        weight = self.child.encoding(wanted)
        if not isinstance(weight, Affine):
            raise InternalError(f"{weight.describe()} is no weight of {self.start.describe()}")
        return replace(self.start, weight=weight)
