"""Codebook quantization: weights share a few freely placed levels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.encoding import Codebook, Codes, Float
from core.encoding.base import Array, Encoding
from core.methods._structure import change_floats, chunks, leaf_values, refuse_quantized
from core.methods.base import REBUILT, Context, Method, Role
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
    avoid_when = "At 6 bits and more even levels are as good and simpler."
    source = "Han, Mao, Dally, \"Deep Compression\", ICLR 2016; exact start after Gronlund et al., 2017"
    Params = CodebookParams

    def apply(self, encoding: Encoding, params: CodebookParams, context: Context) -> Encoding:
        refuse_quantized(encoding, "quantize once")
        return change_floats(encoding, lambda leaf: _quantize(leaf, params.bits, context))

    def label(self, params: CodebookParams) -> str:
        return f"{1 << params.bits} levels"


def _quantize(leaf: Float, bits: int, context: Context) -> Codebook:
    flat = leaf_values(leaf, context).reshape(-1)
    counts, sums, spread = context.memo.of("atoms", flat, lambda: _atoms(flat, context))
    table = best_levels(counts, sums, 1 << bits, context)
    codes = _assign(flat, table, spread, context).reshape(leaf.shape)
    needed = max(1, (table.size - 1).bit_length())
    return Codebook(Codes(codes, needed), table)


def _atoms(flat: Array, context: Context) -> tuple[Array, Array, np.float32]:
    """Sorted atoms that stand for the weights: their count and sum, float64; and the weights' mean magnitude."""
    total = sum(float(np.abs(flat[part]).sum(dtype=np.float64)) for part in chunks(flat.size, context))
    spread = np.float32(max(total / flat.size, float(np.finfo(np.float32).tiny)))
    if flat.size <= _ATOMS:
        values, repeats = np.unique(flat, return_counts=True)
        return repeats.astype(np.float64), values * repeats.astype(np.float64), spread
    from core.kernels.clustering import companded_histogram

    counts, sums = np.zeros(_ATOMS), np.zeros(_ATOMS)
    for part in chunks(flat.size, context):
        companded_histogram(flat[part], spread, counts, sums)
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
