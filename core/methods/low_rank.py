"""Low rank: one matrix becomes the product of two thin ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from core.encoding import Float, LowRank, Sparse
from core.encoding.base import Array, Encoding
from core.errors import LayerSkipped
from core.methods._structure import leaf_values, refuse_low_rank, refuse_quantized
from core.methods.base import Context, Method, Role
from core.methods.params import param
from core.model.layer import Kind, Layer


@dataclass(frozen=True)
class LowRankParams:
    by: str = param(
        "energy", "Choose by", "Give the kept energy (the rank follows from the layer's singular values) or the rank.",
        choices=("energy", "rank"), choice_titles=("Kept energy", "Rank"),
    )
    energy: float = param(
        0.9, "Kept energy", "Share of the sum of squared singular values that is kept; 90 % means an error of -10 dB.",
        minimum=0.01, maximum=1.0, percent=True, unit="%", when={"by": ["energy"]},
        grid=(0.99, 0.97, 0.95, 0.9, 0.8),
    )
    rank: int = param(
        16, "Rank", "Columns of the left and rows of the right factor. Below m n / (m + n) the layer gets smaller.",
        minimum=1, maximum=65536, when={"by": ["rank"]}, grid=(256, 128, 64, 32, 16, 8),
    )


class Svd(NamedTuple):
    """left (m, k), singular values (k,) falling, right (k, n); float32."""

    left: Array
    values: Array
    right: Array


class LowRankSvd(Method):
    word = "low_rank"
    role = Role.FACTOR
    title = "Low rank (SVD)"
    family = "Low rank"
    summary = (
        "Replaces a Linear layer by two smaller ones that keep its largest singular values. Needs singular values that "
        "fall quickly; look at the spectrum first."
    )
    saves = ("file", "memory", "time", "multiply-adds")
    costs = "A high error on layers whose singular values are alike."
    choose_when = "A Linear layer's singular values fall quickly, and both size and speed count."
    avoid_when = "The spectrum is flat: quantize instead."
    source = "Eckart and Young, 1936; Denil et al., \"Predicting Parameters in Deep Learning\", NeurIPS 2013"
    kinds = frozenset({Kind.LINEAR})
    Params = LowRankParams

    def why_not(self, layer: Layer, params: LowRankParams) -> str:
        reason = super().why_not(layer, params)
        if not reason and len(layer.shape) != 2:
            return f"the weight is no matrix but has {len(layer.shape)} axes"
        return reason

    def apply(self, encoding: Encoding, params: LowRankParams, context: Context) -> Encoding:
        refuse_quantized(encoding, "put low_rank before quantize")
        refuse_low_rank(encoding, "use low_rank once")
        if isinstance(encoding, Sparse):
            raise LayerSkipped("the factors of a pruned weight are not sparse", do="use low_rank or prune, not both")
        if not isinstance(encoding, Float) or len(encoding.shape) != 2:
            raise LayerSkipped(f"the weight is stored as {encoding.describe()}, which low_rank does not handle")
        matrix = leaf_values(encoding, context)
        if params.by == "rank":  # before the costly part: the answer may not need it
            _check_rank(params.rank, matrix.shape, "")
        svd = singular_values(matrix, context)
        rank = params.rank
        if params.by == "energy":
            rank = rank_for_energy(svd.values, params.energy)
            _check_rank(rank, matrix.shape, f"{100 * params.energy:g} % of the energy needs ")
        root = np.sqrt(svd.values[:rank])
        left = np.ascontiguousarray(svd.left[:, :rank] * root)
        right = np.ascontiguousarray(svd.right[:rank] * root[:, np.newaxis])
        return LowRank(Float(left, encoding.dtype), Float(right, encoding.dtype), encoding.shape)

    def label(self, params: LowRankParams) -> str:
        return f"rank {params.rank}" if params.by == "rank" else f"low rank {100 * params.energy:.4g} %"


def break_even_rank(m: int, n: int) -> int:
    """The largest rank at which two factors hold fewer numbers than the m x n matrix; 0 when there is none."""
    return (m * n - 1) // (m + n)


def rank_for_energy(values: Array, energy: float) -> int:
    """The smallest rank that keeps this share of the sum of squares of the singular values (k,)."""
    squares = np.cumsum(np.square(values, dtype=np.float64))
    return min(int(np.searchsorted(squares, energy * squares[-1] * (1 - 1e-12))) + 1, len(values))


def singular_values(matrix: Array, context: Context) -> Svd:
    """The thin SVD, remembered in the context's memo; signs are fixed (the largest of each left vector is positive).

    LAPACK cannot be interrupted: cancelling takes effect afterwards (the window's worker process is ended instead).
    """

    def compute() -> Svd:
        context.reporter.report(0.0)
        try:
            left, values, right = np.linalg.svd(matrix, full_matrices=False)
        except np.linalg.LinAlgError:
            raise LayerSkipped("the singular value decomposition did not converge", where=context.layer.name) from None
        context.reporter.check()
        peaks = left[np.abs(left).argmax(axis=0), np.arange(left.shape[1])]
        signs = np.where(peaks < 0, np.float32(-1), np.float32(1))
        return Svd(left * signs, values, right * signs[:, np.newaxis])

    return context.memo.of("svd", matrix, compute)


def _check_rank(rank: int, shape: tuple[int, ...], why: str) -> None:
    m, n = shape
    full = min(m, n)
    if rank > full:
        raise LayerSkipped(f"{why}rank {rank} is above the full rank {full} of a {m} x {n} weight")
    limit = break_even_rank(m, n)
    if rank > limit:
        raise LayerSkipped(
            f"{why}rank {rank} would not be smaller: a {m} x {n} weight breaks even at rank {limit}"
            if limit
            else f"no rank makes a {m} x {n} weight smaller"
        )
