"""Pruning: weights that matter least become zero and are no longer stored."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.encoding import Float, Sparse
from core.encoding.base import Array, Encoding
from core.encoding.positions import gather
from core.errors import LayerSkipped
from core.methods._structure import CHUNK, chunks, leaf_values, refuse_low_rank, refuse_quantized
from core.methods.base import REBUILT, Context, Method, Role
from core.methods.params import param
from core.model.layer import Layer

_UNSTRUCTURED = "unstructured"
_BUCKETS = 1 << 15  # the upper 15 bits of a magnitude: exponent and 7 bits of mantissa


@dataclass(frozen=True)
class PruneParams:
    ratio: float = param(
        0.8, "Removed", "Share of the layer's weights that become zero, the smallest first. A few per cent save "
        "nothing: the places of the kept weights are stored too.",
        minimum=0.0, maximum=1.0, percent=True, unit="%", when={"pattern": [_UNSTRUCTURED]},
        grid=(0.5, 0.6, 0.7, 0.8, 0.9, 0.95),
    )
    criterion: str = param(
        "magnitude", "By", "How the importance of a weight is judged. Magnitude: small weights go first.",
        choices=("magnitude",), choice_titles=("Magnitude",),
    )
    pattern: str = param(
        _UNSTRUCTURED, "Pattern", "Anywhere in the layer, or n of every m neighbours along the input axis are kept "
        "(some accelerators run 2:4 faster; a CPU does not).",
        choices=(_UNSTRUCTURED, "2:4", "4:8", "1:2", "1:4"),
        choice_titles=("Unstructured", "2 of 4", "4 of 8", "1 of 2", "1 of 4"),
    )


class Prune(Method):
    word = "prune"
    role = Role.PRUNE
    title = "Prune"
    family = "Pruning"
    summary = (
        "Removes single weights and stores only the others and their places. The more are removed, the more it pays; "
        "follow it with quantize to shrink what is kept."
    )
    saves = ("file",)
    costs = f"{REBUILT} High ratios need fine-tuning."
    choose_when = "The weights will be quantized or fine-tuned afterwards, or more than two thirds can go."
    avoid_when = "Speed is the aim: cut channels instead."
    source = (
        "Han et al., \"Learning both Weights and Connections for Efficient Neural Networks\", NeurIPS 2015; n:m after "
        "Mishra et al., \"Accelerating Sparse Deep Neural Networks\", 2021"
    )
    Params = PruneParams

    def why_not(self, layer: Layer, params: PruneParams) -> str:
        reason = super().why_not(layer, params)
        if reason or params.pattern == _UNSTRUCTURED:
            return reason
        _, m = _pattern(params)
        if layer.input_axis is None:
            return f"{params.pattern} goes along an input axis, which a {layer.kind} weight has not"
        size = layer.shape[layer.input_axis]
        return f"{params.pattern} needs input channels in multiples of {m}, here are {size}" if size % m else ""

    def apply(self, encoding: Encoding, params: PruneParams, context: Context) -> Encoding:
        refuse_quantized(encoding, "put prune before quantize")
        refuse_low_rank(encoding, "use one of the two")
        leaf = encoding.values if isinstance(encoding, Sparse) else encoding
        if not isinstance(leaf, Float):
            raise LayerSkipped(f"the weight is stored as {encoding.describe()}, which prune does not handle")
        whole = Float(encoding.decode()) if isinstance(encoding, Sparse) else leaf
        values = leaf_values(whole, context)
        if params.pattern == _UNSTRUCTURED:
            mask = magnitude_mask(values, params.ratio, context)
        else:
            mask = _pattern_mask(values, *_pattern(params), context)
        if isinstance(encoding, Sparse):
            mask &= encoding.mask()
        context.reporter.check()
        return Sparse.encode(Float(gather(values, mask), leaf.dtype), mask)

    def label(self, params: PruneParams) -> str:
        return f"prune {100 * params.ratio:.4g} %" if params.pattern == _UNSTRUCTURED else f"prune {params.pattern}"


def _pattern(params: PruneParams) -> tuple[int, int]:
    n, m = params.pattern.split(":")
    return int(n), int(m)


def magnitude_mask(values: Array, ratio: float, context: Context) -> Array:
    """Bool mask of the kept weights: exactly round(ratio * n) are removed, of equal ones the first.

    Selection in two steps of a radix sort: magnitudes as integers keep their order, so a histogram of their upper bits
    (kept in the memo, so that moving a slider costs one pass) says in which bucket the threshold lies, and only that
    bucket is sorted.
    """
    flat = values.reshape(-1)
    removed = int(np.floor(ratio * flat.size + 0.5))
    mask = np.ones(flat.size, bool)
    if removed == 0:
        return mask.reshape(values.shape)
    ends = context.memo.of("magnitude buckets", values, lambda: _bucket_ends(flat, context))
    bucket = int(np.searchsorted(ends, removed))
    below = int(ends[bucket - 1]) if bucket else 0
    edge = np.sort(_in_bucket(flat, bucket, context))
    threshold = edge[removed - below - 1]
    equal_removed = removed - below - int(np.searchsorted(edge, threshold))
    for part in chunks(flat.size, context):
        magnitudes = flat[part].view(np.uint32) & np.uint32(0x7FFFFFFF)
        np.greater_equal(magnitudes, threshold, out=mask[part])
        if equal_removed:
            equal = np.flatnonzero(magnitudes == threshold)[:equal_removed]
            mask[part][equal] = False
            equal_removed -= equal.size
    return mask.reshape(values.shape)


def _bucket_ends(flat: Array, context: Context) -> Array:
    """How many magnitudes lie in each bucket or below, (_BUCKETS,)."""
    counts = np.zeros(_BUCKETS, np.int64)
    for part in chunks(flat.size, context):
        counts += np.bincount(_buckets(flat[part]), minlength=_BUCKETS)
    return np.cumsum(counts)


def _buckets(part: Array) -> Array:
    return (part.view(np.uint32) >> 16) & np.uint32(_BUCKETS - 1)


def _in_bucket(flat: Array, bucket: int, context: Context) -> Array:
    """Magnitudes of one bucket as integers of the same order."""
    found = []
    for part in chunks(flat.size, context):
        bits = flat[part].view(np.uint32) & np.uint32(0x7FFFFFFF)
        found.append(bits[bits >> 16 == bucket])
    return np.concatenate(found)


def _pattern_mask(values: Array, keep: int, of: int, context: Context) -> Array:
    """Bool mask that keeps the `keep` largest of every `of` neighbours along the input axis."""
    from core.kernels.selection import largest_of_each

    axis = context.layer.input_axis
    if axis is None or values.shape[axis] % of:
        raise LayerSkipped(f"{keep}:{of} needs an input axis in multiples of {of}")
    mask = np.empty(values.shape, bool)
    split = (*values.shape[:axis], values.shape[axis] // of, of, *values.shape[axis + 1 :])
    groups, marks = (np.moveaxis(array.reshape(split), axis + 1, -1) for array in (values, mask))
    step = max(1, CHUNK // max(1, values.size // groups.shape[0]))
    for start in range(0, groups.shape[0], step):
        context.reporter.report(start / groups.shape[0])
        part = np.ascontiguousarray(groups[start : start + step])
        kept = np.empty((part.size // of, of), bool)
        largest_of_each(part.reshape(-1, of), keep, kept)
        marks[start : start + step] = kept.reshape(part.shape)
    return mask
