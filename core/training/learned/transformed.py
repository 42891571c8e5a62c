"""Coefficients of basis functions in training: they are trained, the bases stay."""

from __future__ import annotations

import torch
from torch import Tensor

from core.encoding import Encoding, Transformed
from core.training.learned.base import Array, LearnedWeight, to_numpy


class LearnedCoefficients(LearnedWeight):
    """A child's coefficients times the bases."""

    def __init__(self, encoding: Transformed, child: LearnedWeight) -> None:
        super().__init__()
        self.start, self.child, self.reason = encoding, child, child.reason
        self._steps = encoding.products()
        for number, step in enumerate(self._steps):
            self.register_buffer(f"basis_{number}", torch.from_numpy(step.matrix.copy()), persistent=False)

    def forward(self) -> Tensor:
        return self._rebuilt(self.child())

    def latent(self) -> Array:
        return to_numpy(self._rebuilt(torch.from_numpy(self.child.latent())))

    def encoding(self) -> Encoding:
        return self.start.with_coefficients(self.child.encoding())

    def _rebuilt(self, value: Tensor) -> Tensor:
        for number, step in enumerate(self._steps):
            basis = self.get_buffer(f"basis_{number}")
            value = value.reshape(step.entry)
            value = torch.matmul(value, basis) if step.right else torch.matmul(basis, value)
        value = value.reshape(self.start.padded)
        return value[tuple(slice(size) for size in self.start.grid)].reshape(self.start.shape)
