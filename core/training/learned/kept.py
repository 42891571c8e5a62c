"""Pruned weights in training: their places stay, what is kept is trained."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from core.encoding import Encoding, Kept
from core.training.learned.base import Grid


class KeptGrid(Grid):
    """`child` where weights are kept, the fill elsewhere; weights that are not kept have no gradient."""

    def __init__(self, encoding: Kept, child: Grid) -> None:
        super().__init__()
        self.start, self.child, self.follows, self.reason = encoding, child, child.follows, child.reason
        places = np.arange(encoding.n_weights, dtype=np.int64).reshape(encoding.shape)
        self.register_buffer("places", torch.from_numpy(encoding.pick(places).reshape(-1)), persistent=False)
        self.register_buffer("mask", torch.from_numpy(np.array(encoding.mask())), persistent=False)
        self.places: Tensor
        self.mask: Tensor

    @property
    def kept(self) -> Tensor | None:
        return self.mask

    def _values(self, wanted: Tensor) -> Tensor:
        return wanted.reshape(-1).index_select(0, self.places).reshape(self.start.values.shape)

    def forward(self, wanted: Tensor) -> Tensor:
        blank = wanted.new_full((wanted.numel(),), self.start.fill)
        values = self.child(self._values(wanted)).reshape(-1)
        return blank.scatter(0, self.places, values).reshape(wanted.shape)

    def encoding(self, wanted: Tensor) -> Encoding:
        return self.start.with_values(self.child.encoding(self._values(wanted)), self.start.fill)
