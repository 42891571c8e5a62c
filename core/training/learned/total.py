"""A weight in two parts in training, and one times a factor for each channel."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import Parameter

from core.encoding import Affine, Encoding, Sparse, Sum
from core.encoding.scaled import Scaled
from core.errors import InternalError
from core.training.learned.base import Grid, to_numpy


class SumGrid(Grid):
    """Few weights apart, all others in few bits: what is apart makes up for what the codes lack there, always."""

    def __init__(self, encoding: Sum, dense: Grid, outliers: Grid) -> None:
        super().__init__()
        self.start, self.dense, self.outliers = encoding, dense, outliers
        self.follows, self.reason = dense.follows, dense.reason
        self.register_buffer("apart", torch.from_numpy(np.array(encoding.outliers.mask())), persistent=False)
        self.apart: Tensor

    @property
    def kept(self) -> Tensor | None:
        kept = self.dense.kept
        return None if kept is None else kept | self.apart

    def forward(self, wanted: Tensor) -> Tensor:
        dense = self.dense(self._without(wanted))
        total: Tensor = dense + self.outliers(wanted - dense)
        return total

    def encoding(self, wanted: Tensor) -> Encoding:
        inner = self._without(wanted)
        dense = self.dense.encoding(inner)
        outliers = self.outliers.encoding(wanted - self.dense.nearest(inner))
        if not isinstance(outliers, Sparse):
            raise InternalError(f"{outliers.describe()} is no list of outliers")
        return replace(self.start, dense=dense, outliers=outliers)

    def _without(self, wanted: Tensor) -> Tensor:
        """What the codes are to hold: zero for the weights apart, as where they were found."""
        return torch.where(self.apart, 0.0, wanted)


class ScaledGrid(Grid):
    """A child's values times a factor for each channel, which is trained."""

    def __init__(self, encoding: Scaled, child: Grid) -> None:
        super().__init__()
        self.start, self.child, self.follows, self.reason = encoding, child, child.follows, child.reason
        self.factor = Parameter(torch.from_numpy(np.array(encoding.factor, np.float32)))

    @property
    def kept(self) -> Tensor | None:
        return self.child.kept

    def _spread(self) -> Tensor:
        shape = Affine.channels(np.empty(self.factor.numel()), len(self.start.shape), self.start.axis).shape
        return self.factor.reshape(shape)

    def forward(self, wanted: Tensor) -> Tensor:
        factor = self._spread()
        value: Tensor = self.child(self._inner(wanted, factor)) * factor
        return value

    def encoding(self, wanted: Tensor) -> Encoding:
        child = self.child.encoding(self._inner(wanted, self._spread()))
        return replace(self.start, child=child, factor=to_numpy(self.factor))

    def _inner(self, wanted: Tensor, factor: Tensor) -> Tensor:
        return wanted / torch.where(factor == 0, 1.0, factor)
