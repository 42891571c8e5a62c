"""Which weights stay: masks of single weights, of n among m neighbours, and of blocks, rows and columns."""

from __future__ import annotations

from math import prod

import numpy as np

from core.encoding import Tiling
from core.encoding.base import Array
from core.errors import LayerSkipped
from core.methods._structure import CHUNK, chunks
from core.methods.base import Context
from core.model.layer import Kind, Layer
from core.model.matrix import as_rows, from_rows, has_rows

BLOCKS, ROWS, COLUMNS = "blocks", "rows", "columns"
_BUCKETS = 1 << 15  # the upper 15 bits of a magnitude: exponent and 7 bits of mantissa


def n_removed(ratio: float, n: int) -> int:
    """How many of n a share is: rounded, halves up."""
    return int(np.floor(ratio * n + 0.5))


def magnitude_mask(values: Array, ratio: float, context: Context) -> Array:
    """Bool mask of the kept weights: exactly round(ratio * n) are removed, of equal ones the first.

    Selection in two steps of a radix sort: magnitudes as integers keep their order, so a histogram of their upper bits
    (kept in the memo, so that moving a slider costs one pass) says in which bucket the threshold lies, and only that
    bucket is sorted.
    """
    flat = values.reshape(-1)
    removed = n_removed(ratio, flat.size)
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


def output_mask(values: Array, ratio: float, context: Context) -> Array:
    """Bool mask that removes the same share of the weights of every output: round(ratio * d), of equal ones the first.

    Outputs are the rows of `model.matrix`, or of a table (an embedding).
    """
    layer = context.layer
    rows = as_rows(values, layer) if has_rows(layer) else values.reshape(1, values.shape[0], -1)
    groups, outputs, d = rows.shape
    kept = np.ones((groups, outputs, d), bool)
    removed = n_removed(ratio, d)
    step = max(1, CHUNK // d)
    for group in range(groups if removed else 0):
        for start in range(0, outputs, step):
            context.reporter.report((group + start / outputs) / groups)
            part = np.abs(rows[group, start : start + step])
            threshold = np.partition(part, removed - 1, axis=1)[:, removed - 1 : removed]
            equal = part == threshold
            missing = removed - np.count_nonzero(part < threshold, axis=1, keepdims=True)
            first = np.cumsum(equal, axis=1, dtype=np.int32) <= missing
            kept[group, start : start + step] = (part > threshold) | (equal & ~first)
    return from_rows(kept, layer) if has_rows(layer) else kept.reshape(values.shape)


def neighbours_mask(values: Array, keep: int, of: int, context: Context) -> Array:
    """Bool mask that keeps the `keep` largest of every `of` neighbours along the input axis; of equals the first."""
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


def lowest_removed(scores: Array, ratio: float) -> Array:
    """Bool, (n,): the round(ratio * n) lowest scores are false, of equal ones the first."""
    kept = np.ones(scores.size, bool)
    kept[np.argsort(scores, kind="stable")[: n_removed(ratio, scores.size)]] = False
    return kept


def tiling_of(pattern: str, block: str, layer: Layer) -> Tiling | str:
    """How a layer is cut into the blocks, rows or columns of its matrix; or why it cannot be (one clause).

    block  "AxB": A outputs by B inputs; a convolution's inputs are those of a patch, next to each other in memory

    A row is one output channel, a column one input channel, with all taps of their kernels.
    Case 1  Linear, and other matrices (rows are the first axis)
    Case 2  Conv: (groups, outputs, inputs, taps)
    Case 3  ConvTranspose: (groups, inputs, outputs, taps)
    Case 4  Recurrent: (directions, gates x hidden, inputs)
    """
    shape, groups = layer.shape, max(layer.groups, 1)
    if not layer.n_weights:
        return "the layer has no weights"
    a, b = (int(n) for n in block.split("x")) if pattern == BLOCKS else (1, 1)
    if layer.kind in (Kind.CONV, Kind.DEPTHWISE, Kind.CONV_TRANSPOSE) and has_rows(layer):
        taps = prod(shape[2:])
        first, second = shape[0] // groups, shape[1]
        inputs_first = layer.kind is Kind.CONV_TRANSPOSE
        if pattern == BLOCKS:
            return _even((groups, first, second * taps), (1, b, a) if inputs_first else (1, a, b))
        one_of_first = (pattern == ROWS) != inputs_first
        tile = (1, 1, second, taps) if one_of_first else (1, first, 1, taps)
        return Tiling((groups, first, second, taps), tile)
    if len(shape) not in (2, 3) or (len(shape) == 3 and layer.kind is not Kind.RECURRENT):
        return f"{pattern} are those of a matrix, which this {layer.kind} weight is not"
    outputs, inputs = shape[-2:]
    turned = len(shape) == 2 and layer.output_axis == 1
    if turned:
        outputs, inputs = inputs, outputs
    ends = {BLOCKS: (a, b), ROWS: (1, inputs), COLUMNS: (outputs, 1)}[pattern]
    return _even(shape, (*(1 for _ in shape[:-2]), *(ends[::-1] if turned else ends)))


def _even(view: tuple[int, ...], tile: tuple[int, ...]) -> Tiling | str:
    for size, n in zip(view, tile, strict=True):
        if size % n:
            return f"blocks of this shape need multiples of {n}, here are {size}"
    return Tiling(view, tile)
