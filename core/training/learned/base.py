"""What all encodings in training have in common: a weight, and the values that can be stored for it."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from core.encoding.base import Encoding

Array = np.ndarray[Any, np.dtype[Any]]


class LearnedWeight(torch.nn.Module):
    """A weight whose stored values are trained.

    reason  why its stored values stay as they are (one clause), or "" when they are trained
    """

    reason: str = ""

    @abstractmethod
    def forward(self) -> Tensor:
        """The weight exactly as it will decode, float32 of the encoding's shape.

        Where codes round, gradients go straight through to the weights behind them. Bengio, Leonard, Courville,
        Estimating or propagating gradients through stochastic neurons, 2013.
        """

    @abstractmethod
    def latent(self) -> Array:
        """The dense float32 weights behind it, pruned ones included: what steps can be applied to afresh.

        Before training this is the weight that `learn` was given, apart from weights whose stored code is not the
        nearest one (error feedback), which are their stored values, and from factors and coefficients, which have no
        other weight behind them than their product.
        """

    @abstractmethod
    def encoding(self) -> Encoding:
        """What is stored now: of the same structure as at the start, and its `decode()` equals `forward()`."""

    def tables_and_scales(self) -> list[torch.nn.Parameter]:
        """Parameters that are no weights: levels, scales, factors of channels."""
        grids = (module for module in self.modules() if isinstance(module, Grid))
        return [parameter for grid in grids for parameter in grid.parameters(recurse=False)]


class Grid(torch.nn.Module):
    """The values that an encoding can store, and which of them it stores for a wanted one.

    reason   as of `LearnedWeight`
    follows  whether what is stored follows what is wanted; if not, it is what it was
    """

    reason: str = ""
    follows: bool = True

    @abstractmethod
    def forward(self, wanted: Tensor) -> Tensor:
        """What is stored for `wanted`, float32 of its shape, with gradients to it and to the grid's own parameters."""

    @abstractmethod
    def encoding(self, wanted: Tensor) -> Encoding:
        """How that is stored: its `decode()` equals `forward(wanted)`."""

    def nearest(self, wanted: Tensor) -> Tensor:
        """`forward` without gradients."""
        with torch.no_grad():
            return self(wanted)

    @property
    def kept(self) -> Tensor | None:
        """Bool, of the weight's shape: which weights are stored at all; None: all."""
        return None


class Latent(LearnedWeight):
    """A dense float32 weight behind a grid.

    weight  float32 of the grid's shape; changed where its stored value is not the one that `stored` has
    stored  what the encoding decodes to at the start
    """

    def __init__(self, grid: Grid, weight: Tensor, stored: Tensor) -> None:
        super().__init__()
        self.grid, self.reason = grid, grid.reason
        agreed = torch.where(grid.nearest(weight) == stored, weight, stored)
        self.weight = torch.nn.Parameter(agreed, requires_grad=grid.follows)

    def forward(self) -> Tensor:
        stored: Tensor = self.grid(self.weight)
        return stored

    def latent(self) -> Array:
        return to_numpy(self.weight)

    def encoding(self) -> Encoding:
        with torch.no_grad():
            return self.grid.encoding(self.weight)


def to_numpy(values: Tensor) -> Array:
    """A copy as numpy array."""
    return np.array(values.detach().numpy())
