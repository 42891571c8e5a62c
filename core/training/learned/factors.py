"""Weights that are products in training: their factors are trained."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from core.encoding import ConvChain, Encoding, LowRank
from core.training.learned.base import Array, LearnedWeight, to_numpy


class LearnedLowRank(LearnedWeight):
    """left @ right, each learned by itself."""

    def __init__(self, encoding: LowRank, children: Sequence[LearnedWeight]) -> None:
        super().__init__()
        self.start, self.children_ = encoding, torch.nn.ModuleList(children)
        self.reason = joint_reason(children)

    def forward(self) -> Tensor:
        left, right = (child() for child in self.children_)
        return torch.matmul(left, right).reshape(self.start.shape)

    def latent(self) -> Array:
        left, right = (torch.from_numpy(child.latent()) for child in learned(self.children_))
        return to_numpy(torch.matmul(left, right).reshape(self.start.shape))

    def encoding(self) -> Encoding:
        return self.start.with_children([child.encoding() for child in learned(self.children_)])


class LearnedChain(LearnedWeight):
    """The kernel of convolutions that follow each other, each learned by itself."""

    def __init__(self, encoding: ConvChain, children: Sequence[LearnedWeight]) -> None:
        super().__init__()
        self.start, self.children_ = encoding, torch.nn.ModuleList(children)
        self.reason = joint_reason(children)

    def forward(self) -> Tensor:
        return _chained([child() for child in self.children_])

    def latent(self) -> Array:
        return to_numpy(_chained([torch.from_numpy(child.latent()) for child in learned(self.children_)]))

    def encoding(self) -> Encoding:
        return self.start.with_children([child.encoding() for child in learned(self.children_)])


def learned(modules: torch.nn.ModuleList) -> list[LearnedWeight]:
    """The modules of a list, by their type."""
    return [module for module in modules if isinstance(module, LearnedWeight)]


def joint_reason(children: Sequence[LearnedWeight]) -> str:
    """Why none of the parts is trained; "" when one is."""
    reasons = [child.reason for child in children]
    return reasons[0] if reasons and all(reasons) else ""


def _chained(factors: Sequence[Tensor]) -> Tensor:
    """The kernel of convolutions in the order in which the input meets them; see `ConvChain.decode`."""
    value = factors[0]
    for later in factors[1:]:
        axes = tuple(range(2, later.dim()))
        front = tuple(range(len(axes)))
        product = torch.matmul(later.movedim(axes, front), value.movedim(axes, front))
        value = product.movedim(front, axes)
    return value.contiguous()
