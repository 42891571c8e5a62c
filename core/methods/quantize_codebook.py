"""Codebook quantization: weights share a few freely placed levels."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from core.data.layer_inputs import Need
from core.encoding import Codebook, Codes, Factored, Float, Kept, Transformed
from core.encoding.base import Array, Encoding
from core.encoding.positions import gather
from core.methods._grids import Table
from core.methods._outliers import outlier_mask, outliers_param, with_outliers
from core.methods._quantizing import feed_back, importance_of
from core.methods._settings import rounding_param
from core.methods._structure import change_floats, chunks, leaf_values, refuse_quantized
from core.methods.base import REBUILT, Context, Method, Role, require_inputs
from core.methods.params import param

_ATOMS = 1 << 16  # fine histogram of large weights; up to as many weights are clustered as they are
_COARSE = 1 << 11  # atoms on which the best partition is searched
_ROUNDS = 100


@dataclass(frozen=True)
class CodebookParams:
    bits: int = param(
        4, "Bits", "Bits of each weight: 2^bits levels, placed where they lower the error most.",
        minimum=1, maximum=8, unit="bits", grid=(8, 6, 5, 4, 3, 2),
    )
    importance: str = param(
        "equal", "Weights count", "Alike, or by how large their inputs are on your samples: levels then lie closer "
        "where errors do more harm.", choices=("equal", "activation"), choice_titles=("Alike", "By their inputs"),
    )
    rounding: str = rounding_param("nearest", "feedback")
    outliers: float = outliers_param()

    @property
    def needs(self) -> frozenset[Need]:
        """What must be measured on samples."""
        found = {Need.MEANS} if self.importance == "activation" else set()
        return frozenset(found | ({Need.MOMENTS} if self.rounding == "feedback" else set()))


class QuantizeCodebook(Method):
    word = "quantize"
    role = Role.QUANTIZE
    scheme = "codebook"
    title = "Quantize to a codebook"
    family = "Quantization"
    summary = (
        "Finds the few levels that fit the layer best and stores which one each weight takes. Best at 2 to 5 bits, and "
        "after pruning, where all levels serve the kept weights."
    )
    saves = ("file",)
    costs = f"{REBUILT} One table for all channels."
    choose_when = "Few bits are wanted, or the weights are pruned: levels follow the weights."
    avoid_when = (
        "6 bits or more are wanted (even levels are as good), or channels differ in size: Normal quantiles scale each "
        "of them."
    )
    data = "unlabelled samples for weights that count by their inputs and the rounding Error feedback"
    source = (
        "Han, Mao, Dally, \"Deep Compression\", ICLR 2016; exact start after Gronlund et al., 2017; importance and "
        "outliers: Kim et al., \"SqueezeLLM\", ICML 2024; feedback: Frantar et al., \"GPTQ\", ICLR 2023"
    )
    Params = CodebookParams

    def needs(self, params: CodebookParams) -> frozenset[Need]:
        return params.needs

    def apply(self, encoding: Encoding, params: CodebookParams, context: Context) -> Encoding:
        refuse_quantized(encoding, "quantize once")
        if isinstance(encoding, Kept) and isinstance(encoding.values, Float) and encoding.kept and params.needs:
            return _quantize(leaf_values(Float(encoding.decode()), context), encoding, params, context)
        if isinstance(encoding, (Factored, Transformed)):
            why = f"the weight is stored as {'factors' if isinstance(encoding, Factored) else 'coefficients'}"
            context = replace(context, inputs=None, why_no_inputs=why)
        return change_floats(encoding, lambda leaf: _quantize(leaf_values(leaf, context), None, params, context))

    def label(self, params: CodebookParams) -> str:
        return f"{1 << params.bits} levels" + (f" +{100 * params.outliers:.3g} %" if params.outliers else "")


def _quantize(values: Array, places: Kept | None, params: CodebookParams, context: Context) -> Encoding:
    """Codes and their table; `places` are those of the kept weights when a pruned weight is quantized in place."""
    apart = outlier_mask(values, params.outliers)
    kept = None if places is None else places.mask()
    mask = kept if apart is None else ~apart if kept is None else kept & ~apart
    importance = importance_of(values, context) if params.importance == "activation" else None
    table, spread = _fit(values, mask, importance, 1 << params.bits, context)
    targets = values
    if params.rounding == "feedback":
        targets, codes = _fed_back(values, kept, apart, Table(params.bits, table), context)
    else:
        codes = _assign(values.reshape(-1), table, spread, context).reshape(values.shape)
    bits = max(1, (table.size - 1).bit_length())
    if places is None:
        dense: Encoding = Codebook(Codes(codes, bits), table)
    else:
        dense = places.with_values(Codebook(Codes(places.pick(codes), bits), table))
    return dense if apart is None else with_outliers(targets, dense, apart)


def _fit(
    values: Array, mask: Array | None, importance: Array | None, n_levels: int, context: Context
) -> tuple[Array, np.float32]:
    """The levels for the weights of the mask (None: all) and the mean magnitude of these."""
    flat = values.reshape(-1) if mask is None else gather(values, mask)
    counted = None if importance is None else importance.reshape(-1) if mask is None else gather(importance, mask)

    def make() -> tuple[Array, Array, np.float32]:
        return _atoms(flat, counted, context)

    plain = mask is None and importance is None
    counts, sums, spread = context.memo.of("atoms", flat, make) if plain else make()
    return best_levels(counts, sums, n_levels, context), spread


def _fed_back(
    values: Array, kept: Array | None, apart: Array | None, grid: Table, context: Context
) -> tuple[Array, Array]:
    """What error feedback makes of the weights, and the codes of that; see `_quantizing.feed_back` for the masks."""
    require_inputs(context, Need.MOMENTS)
    one, zero = (np.broadcast_to(np.float32(x), values.shape) for x in (1, 0))
    targets = feed_back(values, kept, apart, grid, one, zero, context)
    return targets, grid.codes_of(targets, one, zero)


def _atoms(flat: Array, importance: Array | None, context: Context) -> tuple[Array, Array, np.float32]:
    """Sorted atoms that stand for the weights: their count and sum, float64; and the weights' mean magnitude.

    importance  how often each weight counts; None: once
    """
    total = sum(float(np.abs(flat[part]).sum(dtype=np.float64)) for part in chunks(flat.size, context))
    spread = np.float32(max(total / max(1, flat.size), float(np.finfo(np.float32).tiny)))
    if flat.size <= _ATOMS:
        values, inverse, repeats = np.unique(flat, return_inverse=True, return_counts=True)
        counts = repeats.astype(np.float64) if importance is None else np.bincount(inverse, importance, values.size)
        sums = values * counts
    else:
        from core.kernels.clustering import companded_histogram, weighted_histogram

        counts, sums = np.zeros(_ATOMS), np.zeros(_ATOMS)
        for part in chunks(flat.size, context):
            if importance is None:
                companded_histogram(flat[part], spread, counts, sums)
            else:
                weighted_histogram(flat[part], importance[part], spread, counts, sums)
    used = counts > 0
    return counts[used], sums[used], spread


def best_levels(counts: Array, sums: Array, n_levels: int, context: Context) -> Array:
    """At most `n_levels` levels of least squared error, ascending float32.

    counts, sums  of sorted atoms, (n_atoms,) float64. The optimum on a coarser set of atoms (exact when there are no
    more than _COARSE) is refined by Lloyd's algorithm on all of them.
    """
    from core.kernels.clustering import best_partition

    if counts.size <= n_levels:
        return np.unique((sums / counts).astype(np.float32))
    count_to, sum_to = (np.concatenate(([0.0], np.cumsum(x))) for x in (counts, sums))
    centres = sums / counts
    coarse = np.arange(counts.size + 1)
    if counts.size > _COARSE:
        even = np.linspace(0, counts.size, _COARSE + 1).astype(np.int64)
        # Pruned weights have a gap around zero; an atom across it would draw a level to where no weight is.
        coarse = np.unique(np.append(even, np.searchsorted(centres, 0.0)))
    context.reporter.check()
    starts = coarse[best_partition(count_to[coarse], sum_to[coarse], n_levels)]
    for _ in range(_ROUNDS):
        context.reporter.check()
        ends = np.append(starts[1:], counts.size)
        size = count_to[ends] - count_to[starts]
        levels = (sum_to[ends] - sum_to[starts])[size > 0] / size[size > 0]
        moved = np.append(0, np.searchsorted(centres, (levels[1:] + levels[:-1]) / 2, side="right"))
        if np.array_equal(moved, starts):
            break
        starts = moved
    return np.unique(levels.astype(np.float32))


def _assign(flat: Array, table: Array, spread: np.float32, context: Context) -> Array:
    """Index of the nearest level of each weight, uint8."""
    from core.kernels.clustering import nearest_level

    middle = (table[1:].astype(np.float64) + table[:-1]) / 2
    boundaries = np.append(middle, np.inf).astype(np.float32)
    codes = np.empty(flat.size, np.uint8)
    for part in chunks(flat.size, context):
        nearest_level(flat[part], boundaries, spread, codes[part])
    return codes
