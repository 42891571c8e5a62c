"""Tucker-2: a convolution as 1 x 1 to fewer channels, a small core of the same kernel, and 1 x 1 back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.encoding import ConvChain, Float
from core.encoding.base import Array, Encoding
from core.errors import LayerSkipped
from core.methods._principal import principal
from core.methods._ranks import LowRankMethod, RankParams, Sides, float_weight
from core.methods.base import Context
from core.methods.params import param
from core.model.layer import Kind, Layer

_ROUNDS = 2  # of HOOI; more change the error by less than 0.01 dB


@dataclass(frozen=True)
class TuckerParams(RankParams):
    rank_in: int = param(
        16, "Input rank", "Channels between the first 1 x 1 convolution and the core; the rank is those behind it.",
        minimum=1, maximum=65536, when={"by": ["rank"]}, grid=(128, 64, 32, 16, 8),
    )


class LowRankTucker(LowRankMethod):
    scheme = "tucker"
    short = "tucker"
    title = "Low rank, Tucker"
    summary = (
        "Replaces a convolution by three: 1 x 1 to fewer channels, the same kernel on those, 1 x 1 back. Ranks by "
        "share or energy are the pair that keeps the most energy for its size."
    )
    saves = ("file", "memory", "time", "multiply-adds")
    costs = "A high error where channels have little in common; two more operators for each layer."
    choose_when = "A convolution has many input and output channels and a kernel of 3 x 3 or more."
    avoid_when = "Channels are few, or the kernel is 1 x 1: use Low rank, channel pair."
    source = (
        "Kim et al., \"Compression of Deep Convolutional Neural Networks for Fast and Low Power Mobile Applications\", "
        "ICLR 2016; HOOI: De Lathauwer, De Moor, Vandewalle, SIAM J. Matrix Anal. Appl. 2000"
    )
    kinds = frozenset({Kind.CONV})
    Params = TuckerParams

    def sides(self, layer: Layer) -> Sides:
        return Sides(layer.shape[0], layer.shape[1])

    def why_not_shape(self, layer: Layer) -> str:
        if len(layer.shape) < 3 or layer.n_weights == layer.shape[0] * layer.shape[1]:
            return "a 1 x 1 convolution has no core; use Low rank, channel pair"
        return f"its {layer.groups} groups of channels share no factors" if layer.groups > 1 else ""

    def why_not(self, layer: Layer, params: TuckerParams) -> str:
        reason = super(LowRankMethod, self).why_not(layer, params) or self.why_not_shape(layer)
        return reason or (_why_not_ranks(params.rank, params.rank_in, layer.shape) if params.by == "rank" else "")

    def break_even(self, layer: Layer) -> int:
        """The largest output rank that is smaller, with an input rank in the channels' proportion."""
        outputs, inputs = layer.shape[:2]
        for rank in range(outputs, 0, -1):
            if _numbers(rank, max(1, round(rank * inputs / outputs)), layer.shape) < layer.n_weights:
                return rank
        return 0

    def hint(self, layer: Layer, params: TuckerParams) -> str:
        if super(LowRankMethod, self).why_not(layer, params) or self.why_not_shape(layer):
            return ""
        rank, (outputs, inputs) = self.break_even(layer), layer.shape[:2]
        if not rank:
            return "No ranks make this layer smaller."
        rank_in = max(1, round(rank * inputs / outputs))
        return f"Smaller up to rank {rank} of {outputs} and input rank {rank_in} of {inputs}."

    def apply(self, encoding: Encoding, params: TuckerParams, context: Context) -> Encoding:
        weight, leaf = float_weight(encoding, context)
        cube = weight.reshape(*weight.shape[:2], -1)
        outer, inner, total = context.memo.of("tucker", weight, lambda: _bases(cube, context))
        ranks = _choose(cube, outer, inner, total, params, weight.shape, context)
        last, core, first = _hooi(cube, inner[:, : ranks[1]], ranks, context)
        taps = weight.shape[2:]
        ones = (1,) * len(taps)
        parts = (first.T.reshape(*first.T.shape, *ones), core.reshape(*core.shape[:2], *taps),
                 last.reshape(*last.shape, *ones))  # fmt: skip
        return ConvChain(tuple(Float(np.ascontiguousarray(part), leaf.dtype) for part in parts))


def _numbers(rank: int, rank_in: int, shape: tuple[int, ...]) -> int:
    """Numbers that the three factors hold."""
    outputs, inputs = shape[:2]
    return rank * outputs + rank_in * inputs + rank * rank_in * int(np.prod(shape[2:]))


def _why_not_ranks(rank: int, rank_in: int, shape: tuple[int, ...]) -> str:
    outputs, inputs = shape[:2]
    if rank > outputs or rank_in > inputs:
        return f"ranks {rank} and {rank_in} are above the full ranks {outputs} and {inputs} of its channels"
    before, after = int(np.prod(shape)), _numbers(rank, rank_in, shape)
    if after < before:
        return ""
    return f"ranks {rank} and {rank_in} would not be smaller: {after:,} numbers instead of {before:,}"


def _along(cube: Array, axis: int, context: Context) -> Array:
    """Principal directions of the cube (outputs, inputs, taps) along an axis, (size, size or fewer)."""
    matrix = np.moveaxis(cube, axis, 0).reshape(cube.shape[axis], -1)
    if matrix.shape[0] > matrix.shape[1]:  # more channels than numbers each: the others are not needed
        found = principal(matrix, matrix.shape[1], context)
        image = matrix @ found.vectors
        size = np.linalg.norm(image, axis=0)
        return np.divide(image, size, out=np.zeros_like(image), where=size > 0)
    return principal(matrix, matrix.shape[0], context).vectors


def _bases(cube: Array, context: Context) -> tuple[Array, Array, float]:
    """HOSVD: directions of the outputs and of the inputs; the sum of all squares."""
    return _along(cube, 0, context), _along(cube, 1, context), float(np.square(cube, dtype=np.float64).sum())


def _project(cube: Array, outer: Array | None, inner: Array | None) -> Array:
    """The cube in terms of directions of its outputs (outputs, a) and inputs (inputs, b): (a, b, taps)."""
    if outer is not None:
        cube = np.tensordot(outer.T, cube, axes=1)
    return cube if inner is None else np.ascontiguousarray(np.tensordot(inner.T, cube, axes=(1, 1)).swapaxes(0, 1))


def _choose(
    cube: Array,
    outer: Array,
    inner: Array,
    total: float,
    params: TuckerParams,
    shape: tuple[int, ...],
    context: Context,
) -> tuple[int, int]:
    """The output and input rank. By share or energy: of all pairs, what keeps most in the size, or is smallest."""
    if params.by == "rank":
        reason = _why_not_ranks(params.rank, params.rank_in, shape)
        if reason:
            raise LayerSkipped(reason)
        return min(params.rank, outer.shape[1]), min(params.rank_in, inner.shape[1])
    context.reporter.check()
    power = np.square(_project(cube, outer, inner), dtype=np.float64).sum(axis=2)
    kept = power.cumsum(axis=0).cumsum(axis=1)  # of the HOSVD cut there; HOOI keeps no less
    rank, rank_in = (np.arange(1, size + 1) for size in kept.shape)
    numbers = np.add.outer(rank * shape[0], rank_in * shape[1]) + np.multiply.outer(rank, rank_in) * cube.shape[2]
    before = cube.size
    if params.by == "share":
        allowed = numbers <= max(params.share * before, numbers[0, 0])
        best = np.where(allowed, kept, -1.0)
    else:
        allowed = kept >= params.energy * total * (1 - 1e-7)
        best = np.where(allowed, -numbers.astype(np.float64), -np.inf)
    at = np.unravel_index(int(best.argmax()), best.shape)
    if numbers[at] >= before or not allowed[at]:
        what = f"{100 * params.energy:g} % of the energy needs" if params.by == "energy" else "the smallest ranks need"
        raise LayerSkipped(f"{what} as many numbers as the weight has: ranks {at[0] + 1} and {at[1] + 1}")
    return int(at[0]) + 1, int(at[1]) + 1


def _hooi(cube: Array, inner: Array, ranks: tuple[int, int], context: Context) -> tuple[Array, Array, Array]:
    """Last factor (outputs, a), core (a, b, taps), first factor (inputs, b): each side's directions are found anew
    with the other side's fixed."""
    for turn in range(_ROUNDS):
        context.reporter.report(turn / _ROUNDS)
        outer = _along(_project(cube, None, inner), 0, context)[:, : ranks[0]]
        inner = _along(_project(cube, outer, None), 1, context)[:, : ranks[1]]
    return outer, _project(cube, outer, inner), inner
