"""Weights of which only some are stored: what all ways to say where they are have in common."""

from __future__ import annotations

from abc import abstractmethod
from typing import Self

import numpy as np

from core.encoding.base import Array, Emitter, Encoding, Shape


class Kept(Encoding):
    """value = the kept weights in their places, `fill` everywhere else.

    values  the kept weights, in an order of the subclass's own
    fill    what the weights that are not kept decode to (a zero point, where codes are scaled afterwards)
    """

    values: Encoding
    fill: float

    @abstractmethod
    def mask(self) -> Array:
        """Bool, of the weight's shape: which weights are kept."""

    @abstractmethod
    def pick(self, array: Array) -> Array:
        """What `values` would be if the weight, or its codes, were `array` (of the weight's shape)."""

    @abstractmethod
    def with_values(self, values: Encoding, fill: float = 0.0) -> Self:
        """The same places with other values."""

    @property
    def kept(self) -> int:
        """How many weights are kept."""
        return self.values.n_weights

    @property
    def zeros(self) -> float:
        """Share of the weights that are not kept, 0..1."""
        return 1 - self.kept / self.n_weights if self.n_weights else 0.0

    @property
    def children(self) -> tuple[Encoding, ...]:
        return (self.values,)

    def levels(self) -> Array | None:
        levels = self.values.levels()
        if levels is None or self.kept == self.n_weights:
            return levels
        levels = np.union1d(levels, np.float32(self.fill))
        return levels if levels.size <= 256 else None

    def describe(self) -> str:
        inner = self.values.describe()
        zeros = f"{100 * self.zeros:.3g} % zeros"
        return zeros if inner == "float32" else f"{zeros} · {inner}"


def emit_full(out: Emitter, shape: Shape, fill: float) -> str:
    """A tensor filled with one value."""
    attributes = {"value": np.array([fill], np.float32)} if fill else {}
    return out.node("ConstantOfShape", [out.constant(np.array(shape, np.int64))], **attributes)


def emit_ranks(out: Emitter, mask: str) -> str:
    """From an INT32 vector of ones (kept) and zeros: 0 for what is not kept, 1, 2, ... for what is."""
    ranks = out.node("CumSum", [mask, out.constant(np.array(0, np.int32))])
    return out.node("Mul", [ranks, mask])
