"""What all low rank methods share: parameters, choosing a rank, and the product of two thin matrices."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from core.data.layer_inputs import Need
from core.encoding import Float, Sparse
from core.encoding.base import Array, Encoding
from core.errors import LayerSkipped
from core.methods._principal import Principal, principal, sketch_size
from core.methods._structure import leaf_values, refuse_low_rank, refuse_quantized
from core.methods.base import Context, Method, Role, require_inputs
from core.methods.params import param
from core.model.layer import Layer

DAMPING = 1e-3
"""Share of the mean square that is added to each input's: keeps directions that no sample has from being dropped."""

_NONE, _INPUTS = "none", "inputs"


@dataclass(frozen=True)
class RankParams:
    by: str = param(
        "share", "Choose by", "Give the share of the layer's numbers that its factors may take, the energy to keep, or "
        "the rank itself.",
        choices=("share", "energy", "rank"), choice_titles=("Kept share", "Kept energy", "Rank"),
    )
    share: float = param(
        0.5, "Kept share", "The factors hold at most this share of the layer's numbers.",
        minimum=0.001, maximum=0.99, percent=True, unit="%", when={"by": ["share"]}, grid=(0.75, 0.5, 0.35, 0.25, 0.1),
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


def weighting_param() -> Any:
    """The parameter `weighting`."""
    return param(
        _NONE, "Weighted by", "Inputs: the error of the layer's output on your samples is the smallest there is at "
        "this rank, instead of the weight's own error. Energy then counts at the output.",
        choices=(_NONE, _INPUTS), choice_titles=("Nothing", "Inputs"), grid=(),
    )


class Sides(NamedTuple):
    """Rows and columns of the matrix that is factorised."""

    m: int
    n: int


class LowRankMethod(Method):
    """A weight as the product of two thin matrices, whatever each of them becomes."""

    role = Role.FACTOR
    word = "low_rank"
    family = "Low rank"
    short = "rank"
    """First word of a label."""

    @abstractmethod
    def sides(self, layer: Layer) -> Sides:
        """The matrix's sides, for a layer that `why_not_shape` has nothing against."""

    def why_not_shape(self, layer: Layer) -> str:
        """Why a weight of this shape cannot be split (one clause), or ""."""
        return ""

    def break_even(self, layer: Layer) -> int:
        """The largest rank at which the factors hold fewer numbers than the weight; 0 when there is none."""
        return break_even_rank(*self.sides(layer))

    def why_not(self, layer: Layer, params: Any) -> str:
        reason = super().why_not(layer, params) or self.why_not_shape(layer)
        if reason or params.by != "rank":
            return reason
        return why_not_rank(params.rank, self.sides(layer))

    def hint(self, layer: Layer, params: Any) -> str:
        if Method.why_not(self, layer, params) or self.why_not_shape(layer):
            return ""
        limit, full = self.break_even(layer), min(self.sides(layer))
        return f"Smaller up to rank {limit} of {full}." if limit else "No rank makes this layer smaller."

    def needs(self, params: Any) -> frozenset[Need]:
        return frozenset({Need.MOMENTS}) if getattr(params, "weighting", _NONE) == _INPUTS else frozenset()

    def label(self, params: Any) -> str:
        amount = {"share": f"{100 * params.share:.3g} % size", "energy": f"{100 * params.energy:.3g} % kept"}
        if params.by != "rank":
            return f"{self.short} {amount[params.by]}"
        return f"rank {params.rank}" if self.short == "rank" else f"{self.short} rank {params.rank}"


def float_weight(encoding: Encoding, context: Context) -> tuple[Array, Float]:
    """The weight's finite float32 values and the leaf that holds them; LayerSkipped when it is stored otherwise."""
    refuse_quantized(encoding, "put low_rank before quantize")
    refuse_low_rank(encoding, "use low_rank once")
    if isinstance(encoding, Sparse):
        raise LayerSkipped("the factors of a pruned weight are not sparse", do="use low_rank or prune, not both")
    if not isinstance(encoding, Float):
        raise LayerSkipped(f"the weight is stored as {encoding.describe()}, which low_rank does not handle")
    return leaf_values(encoding, context), encoding


def break_even_rank(m: int, n: int) -> int:
    """The largest rank at which two factors hold fewer numbers than the m x n matrix; 0 when there is none."""
    return (m * n - 1) // (m + n)


def why_not_rank(rank: int, sides: Sides, why: str = "") -> str:
    """Why a rank makes no sense (one clause, which `why` it is wanted begins), or ""."""
    m, n = sides
    full, limit = min(m, n), break_even_rank(m, n)
    if rank > full:
        return f"rank {rank} is above the full rank {full} of a {m} x {n} weight"
    if rank <= limit:
        return ""
    if not limit:
        return f"no rank makes a {m} x {n} weight smaller"
    which = f"{why}rank {rank}, which" if why else f"rank {rank}"
    return f"{which} would not be smaller: a {m} x {n} weight breaks even at rank {limit}"


def rank_for_energy(squares: Array, energy: float, total: float) -> int | None:
    """The smallest rank that keeps this share of `total`; None when more than these squares (k,) are needed."""
    kept = np.cumsum(squares, dtype=np.float64)
    rank = int(np.searchsorted(kept, energy * total * (1 - 1e-12))) + 1
    return rank if rank <= len(squares) else None


@dataclass(frozen=True, eq=False)
class Weighting:
    """What a matrix's error is weighted by.

    root   (d, d) float64 lower factor of the inputs' second moments, or (d,) their root mean squares; None: nothing
    source the array that it comes from, for remembering
    by     for `describe`
    """

    root: Array | None = None
    source: Array | None = None
    by: str = ""

    def apply(self, matrix: Array) -> Array:
        """root^T @ matrix, float32; matrix has the inputs as rows."""
        if self.root is None:
            return matrix
        weighted = self.root[:, np.newaxis] * matrix if self.root.ndim == 1 else self.root.T @ matrix
        return np.ascontiguousarray(weighted, np.float32)


def weighting_of(context: Context) -> Weighting:
    """The weighting by a layer's inputs: by all products where they were measured, else by each input's square.

    Raises LayerSkipped without samples, or when what was measured is not finite.
    """
    inputs = require_inputs(context, Need.MEANS)
    if inputs.square is None:
        raise LayerSkipped("its inputs were not measured")
    source, by = (inputs.square, "input squares") if inputs.moments is None else (inputs.moments, "inputs")
    if len(source) != 1:
        raise LayerSkipped(f"its inputs come in {len(source)} groups")
    values = np.asarray(source[0], np.float64)
    if not np.isfinite(values).all():
        raise LayerSkipped("what was measured of its inputs is not finite")
    level = float(values.mean() if values.ndim == 1 else np.trace(values) / len(values))
    if not level > 0:
        raise LayerSkipped("its inputs are zero on all samples")
    if values.ndim == 1:
        return Weighting(np.sqrt(np.maximum(values, 0) + DAMPING * level), source, by)
    return Weighting(_root(values, level), source, by)


def _root(moments: Array, level: float) -> Array:
    """The Cholesky factor of the damped moments; more damping where rounding made them indefinite."""
    damping = DAMPING
    while True:
        try:
            return np.linalg.cholesky(moments + damping * level * np.eye(len(moments)))
        except np.linalg.LinAlgError:
            if damping > 1:
                raise LayerSkipped("the products of its inputs are no second moments") from None
            damping *= 10


def factorise(
    matrices: Sequence[Array], params: RankParams, context: Context, key: Array, weighting: Weighting | None = None
) -> list[tuple[Array, Array]]:
    """Each (m, n) float32 matrix as left (m, r) and right (r, n), balanced, r the same for all.

    The error is the smallest there is at this rank (Eckart and Young, 1936), weighted along the rows where a weighting
    is given: W V V^T, with V the leading right singular vectors of root^T W, so that nothing is inverted.

    key  the array that the matrices come from; while it stays, what was computed is remembered
    Raises LayerSkipped for ranks that make no sense.
    """
    weighting = weighting or Weighting()
    weighted = [weighting.apply(matrix) for matrix in matrices]
    known = context.memo.of(f"principal {len(matrices)} {matrices[0].shape}", key, dict)

    def leading(wanted: int) -> list[Principal]:
        size = sketch_size(min(matrices[0].shape), wanted), weighting.source is not None
        if size not in known or known[size][0] is not weighting.source:
            known[size] = weighting.source, [principal(matrix, wanted, context) for matrix in weighted]
        return list(known[size][1])

    rank = choose_rank(params, Sides(*matrices[0].shape), leading)
    found = zip(matrices, weighted, leading(rank), strict=True)
    return [_thin(matrix, seen, spectrum, rank) for matrix, seen, spectrum in found]


def choose_rank(params: RankParams, sides: Sides, leading: Callable[[int], Sequence[Principal]]) -> int:
    """The rank that the parameters mean; LayerSkipped when it would not be smaller.

    leading  gives at least so many singular values of each matrix
    """
    m, n = sides
    limit = break_even_rank(m, n)
    if limit == 0:
        raise LayerSkipped(why_not_rank(1, sides))
    if params.by == "share":
        return max(1, min(limit, int(params.share * m * n / (m + n))))
    if params.by == "rank":
        reason = why_not_rank(params.rank, sides)
        if reason:
            raise LayerSkipped(reason)
        return params.rank
    why, wanted = f"{100 * params.energy:g} % of the energy needs ", 1
    while True:
        spectra = leading(wanted)
        squares = np.sum([spectrum.squares for spectrum in spectra], axis=0)
        rank = rank_for_energy(squares, params.energy, sum(spectrum.total for spectrum in spectra))
        if rank is None and len(squares) < limit:
            wanted = len(squares) + 1
            continue
        if rank is None:
            raise LayerSkipped(f"{why}a rank above {len(squares)}: a {m} x {n} weight breaks even at rank {limit}")
        reason = why_not_rank(rank, sides, why)
        if reason:
            raise LayerSkipped(reason)
        return rank


def _thin(matrix: Array, weighted: Array, spectrum: Principal, rank: int) -> tuple[Array, Array]:
    """The two factors; the largest number of each left column is positive, whatever the library's signs."""
    rank = min(rank, spectrum.vectors.shape[1])
    vectors = spectrum.vectors[:, :rank]
    if matrix.shape[0] >= matrix.shape[1]:
        right = vectors.T
    else:  # rows U^T A of length sigma
        rows = vectors.T @ weighted
        size = np.sqrt(spectrum.squares[:rank])[:, np.newaxis]
        right = np.divide(rows, size, out=np.zeros_like(rows), where=size > 0)
    left = matrix @ right.T
    norms = np.linalg.norm(left, axis=0)
    root = np.sqrt(norms, dtype=np.float32)
    left = np.divide(left, root, out=np.zeros_like(left), where=root > 0)
    peaks = left[np.abs(left).argmax(axis=0), np.arange(rank)]
    signs = np.where(peaks < 0, np.float32(-1), np.float32(1))
    return np.ascontiguousarray(left * signs), np.ascontiguousarray(right * (root * signs)[:, np.newaxis])
