"""What encodings have in common that are a product of several smaller weights."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Self

from core.encoding.base import Encoding

FactorAxes = tuple[tuple[int, ...], int]
"""Axes of a factor whose places deserve a scale of their own, and the axis that the product sums over."""


class Factored(Encoding):
    """A weight as factors, each an encoding of its own: `children` in the order in which inputs meet them.

    What a step does to "the weight" behind a factorisation it does to each factor.
    """

    @abstractmethod
    def with_children(self, children: Sequence[Encoding]) -> Self:
        """The same product of other encodings of the same factors (quantized ones, say)."""

    @property
    @abstractmethod
    def factor_axes(self) -> tuple[FactorAxes, ...]:
        """For each child, its axes."""

    @property
    def exact(self) -> bool:
        return False

    def stored_as(self) -> str:
        """How the factors are stored, to go behind a description: "" for float32, " · int8 per channel"."""
        inner = dict.fromkeys(child.describe() for child in self.children)
        return "" if tuple(inner) == ("float32",) else " · " + " and ".join(inner)
