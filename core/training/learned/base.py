"""What all encodings in training have in common."""

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

        Where codes round, gradients go straight through to the weights behind them (Bengio et al., 2013).
        """

    @abstractmethod
    def latent(self) -> Array:
        """The dense float32 weights behind it, pruned ones included: what steps can be applied to afresh.

        Before training this is the weight that `learn` was given, apart from weights whose stored code is not the
        nearest one (error feedback): these are their stored values.
        """

    @abstractmethod
    def encoding(self) -> Encoding:
        """What is stored now: of the same structure as at the start, and its `decode()` equals `forward()`."""

    def tables_and_scales(self) -> list[torch.nn.Parameter]:
        """Parameters that are no weights: levels, scales, factors of channels."""
        return []
