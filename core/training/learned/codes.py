"""Whole numbers in training: what scales and zero points are put on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from core.encoding import Codes, Encoding, Trits
from core.interpreter.tensors import straight
from core.training.learned.base import Grid, to_numpy

_SIGNED_TOP = 127
"""Signed codes stay symmetric: a folded norm's negative factor turns their signs, and there is no +128."""


class CodesGrid(Grid):
    """Whole numbers from `low` to `high`."""

    def __init__(self, encoding: Codes | Trits, high: int | None = None) -> None:
        """high: the largest code to use; None: the largest that is stored in as many bits."""
        super().__init__()
        self.start = encoding
        if isinstance(encoding, Trits):
            self.low, self.high = 0, 2
        elif encoding.signed:
            self.low, self.high = min(-_SIGNED_TOP, int(encoding.values.min(initial=0))), _SIGNED_TOP
        else:
            self.low, self.high = 0, (1 << encoding.bits) - 1 if high is None else high

    def forward(self, wanted: Tensor) -> Tensor:
        return straight(wanted, torch.round(wanted.detach()).clamp(self.low, self.high))

    def encoding(self, wanted: Tensor) -> Encoding:
        values = to_numpy(self.nearest(wanted))
        return replace(self.start, values=np.ascontiguousarray(values.astype(self.start.values.dtype)))
