"""Weights as int8 codes for layers that multiply integers."""

from __future__ import annotations

import numpy as np

from core.encoding import Affine, Codes, Float, Sparse
from core.encoding.base import Array, Encoding
from core.errors import LayerSkipped
from core.methods._groups import Groups
from core.methods._rounding import Levels, balance
from core.methods._structure import leaf_values, refuse_quantized
from core.methods.base import Context

_SMALLEST = np.float32(np.finfo(np.float32).tiny)
SMALLEST, LARGEST = 1e-32, 1e32
"""Largest magnitudes between which the scale of rounded values, and that of their products, are float32 numbers."""
_NARROWER = (0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65)
"""Shares of the full range that are tried; at 8 bits less of it never has less error."""


def dense_values(encoding: Encoding, context: Context) -> Array:
    """The float32 weights to quantize, pruned ones as zeros; LayerSkipped for any other way to store them."""
    refuse_quantized(encoding, "quantize once")
    if isinstance(encoding, Sparse) and isinstance(encoding.values, Float):
        encoding = Float(encoding.decode())
    if isinstance(encoding, Float):
        return leaf_values(encoding, context)
    raise LayerSkipped(
        f"the weight is stored as {encoding.describe()}, and a layer cannot multiply that as integers",
        do="use Quantize",
    )


def refuse_extremes(values: Array) -> None:
    """Raise LayerSkipped where float32 does not hold the products' scale, or their sum."""
    largest = float(np.abs(values).max())
    if 0 < largest < SMALLEST or largest > LARGEST:
        raise LayerSkipped(
            f"its largest weight is {largest:.2g}: multiplied as integers, "
            + ("its products vanish in float32" if largest < 1 else "its products overflow float32"),
            do="use Quantize",
        )


def refuse_larger(before: Encoding, after: Encoding) -> None:
    """Raise LayerSkipped where pruning saved more than integers do: they store all weights, not only those kept."""
    if isinstance(before, Sparse) and after.nbytes >= before.nbytes:
        raise LayerSkipped(
            f"a layer that multiplies integers stores all weights, {after.nbytes:,} B instead of {before.nbytes:,} B",
            do="use Quantize or Quantize to a codebook on what is kept",
        )


def int8_channels(
    values: Array, axis: int | None, bits: int, search: bool, context: Context, *, pruned: bool = False
) -> Affine:
    """Signed codes of `bits` (7 or 8), rounded so that errors cancel in each output, with a scale for each channel.

    axis    output axis; None: one scale for the whole weight
    search  scales of least squared error instead of the full range
    pruned  weights that are zero stay so
    """
    from core.kernels import in_threads

    top = (1 << bits - 1) - 1
    codes = np.empty(values.shape, np.int8)
    if axis is None or values.ndim < 2:
        context.reporter.check()
        scale = _scales(values.reshape(1, -1), top, search).reshape(())
        codes[...] = _codes(values, scale, top)
    else:
        groups = Groups(values.shape, (axis,))
        scale = np.empty(groups.scale_shape, np.float32)

        def work(piece: slice) -> slice:
            context.reporter.check()
            rows = groups.rows(values, piece)
            scales = _scales(rows, top, search)
            groups.put(_codes(rows, scales[:, np.newaxis], top), codes, piece)
            groups.put_numbers(scales, scale, piece)
            return piece

        for piece in in_threads(work, list(groups.pieces())):
            context.reporter.report(piece.start / values.shape[axis])
    balance(values, codes, Levels(scale, np.zeros_like(scale), None, 0, -top, top), context, pruned)
    return Affine(Codes(codes, 8, signed=True), scale)


def _scales(rows: Array, top: int, search: bool) -> Array:
    """(n_rows,) float32 scales, usable as divisors: rows of zeros get 1."""
    full = np.maximum(rows.max(axis=1), -rows.min(axis=1)) / np.float32(top)
    full = np.where(full < _SMALLEST, np.float32(1), full).astype(np.float32)
    if not search:
        return full
    best, least = full, _squared_error(rows, full, top)
    for share in _NARROWER:
        scales = np.maximum(full * np.float32(share), _SMALLEST)
        error = _squared_error(rows, scales, top)
        best, least = np.where(error < least, scales, best), np.minimum(error, least)
    return best


def _codes(values: Array, scale: Array, top: int) -> Array:
    return np.clip(np.rint(values / scale), -top, top).astype(np.int8)


def _squared_error(rows: Array, scales: Array, top: int) -> Array:
    scaled = rows / scales[:, np.newaxis]
    error = np.clip(np.rint(scaled), -top, top) - scaled
    return np.einsum("ij,ij->i", error, error) * scales.astype(np.float64) ** 2
