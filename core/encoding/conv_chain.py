"""Several small convolutions, one after the other, instead of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Self

import numpy as np

from core.encoding.base import Array, Emitter, Encoding, Shape, emit_reshape
from core.encoding.factored import FactorAxes, Factored
from core.errors import InternalError


@dataclass(frozen=True, eq=False)
class ConvChain(Factored):
    """The kernel that convolutions have together when each works on what the one before gives (no groups).

    factors  weights (outputs, inputs, kernel) in the order in which the input meets them; the outputs of one are the
             inputs of the next. Along each kernel axis at most one factor has more than one tap, so that padding,
             stride and dilation can be left to that one
    by       what the error was weighted by ("inputs", "input squares"), or ""; for `describe`

    value[o, i, u] = sum over r and s + t = u of later[o, r, s] * earlier[r, i, t], which is what ConvTranspose makes
    of `later` as its input and `earlier` as its weight. A runtime sums in another order than numpy, so values agree to
    rounding. The exporter writes a Conv as several and needs no product at all.
    """

    factors: tuple[Encoding, ...]
    by: str = ""
    shape: Shape = field(init=False)

    def __post_init__(self) -> None:
        shapes = [factor.shape for factor in self.factors]
        fits = len(shapes) >= 2 and len({len(shape) for shape in shapes}) == 1 and len(shapes[0]) >= 3
        if not fits or any(earlier[0] != later[1] for earlier, later in pairwise(shapes)):
            raise InternalError(f"convolutions of shapes {shapes} do not follow each other")
        taps = list(zip(*(shape[2:] for shape in shapes), strict=True))
        if any(sum(size > 1 for size in along) > 1 for along in taps):
            raise InternalError(f"several of the convolutions {shapes} have taps along the same axis")
        object.__setattr__(self, "shape", (shapes[-1][0], shapes[0][1], *(max(along) for along in taps)))

    @property
    def ranks(self) -> tuple[int, ...]:
        """Channels between the factors."""
        return tuple(factor.shape[0] for factor in self.factors[:-1])

    def decode(self) -> Array:
        value = self.factors[0].decode()
        for factor in self.factors[1:]:
            value = _compose(factor.decode(), value)
        return np.ascontiguousarray(value)

    @property
    def nbytes(self) -> int:
        return sum(factor.nbytes for factor in self.factors)

    def emit_as(self, out: Emitter, shape: Shape) -> str:
        value = self.factors[0].emit(out)
        for factor in self.factors[1:]:
            value = out.node("ConvTranspose", [factor.emit(out), value])
        return value if shape == self.shape else emit_reshape(out, value, shape)

    @property
    def children(self) -> tuple[Encoding, ...]:
        return self.factors

    def with_children(self, children: Sequence[Encoding]) -> Self:
        return replace(self, factors=tuple(children))

    @property
    def factor_axes(self) -> tuple[FactorAxes, ...]:
        return (((0,), 1),) * len(self.factors)

    def describe(self) -> str:
        kernels = ", ".join("x".join(map(str, factor.shape[2:])) for factor in self.factors)
        ranks = f"rank{'s' if len(self.ranks) > 1 else ''} {' and '.join(map(str, self.ranks))}"
        return f"{kernels} of {ranks}{f' by {self.by}' if self.by else ''}{self.stored_as()}"


def _compose(later: Array, earlier: Array) -> Array:
    """The kernel of two convolutions; along each axis one of them has a single tap.

    later    (outputs, r, kernel)
    earlier  (r, inputs, kernel)
    """
    axes = tuple(range(2, later.ndim))
    first = np.moveaxis(earlier, axes, range(len(axes)))  # (kernel, r, inputs)
    second = np.moveaxis(later, axes, range(len(axes)))  # (kernel, outputs, r)
    return np.moveaxis(np.matmul(second, first), range(len(axes)), axes)  # single taps broadcast along the other's
