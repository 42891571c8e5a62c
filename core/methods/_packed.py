"""Codes of 2, 4 or 8 bits with a scale and a zero point for each block of a matrix's row."""

from __future__ import annotations

import numpy as np

from core.encoding import Affine, Codes
from core.encoding.base import Array
from core.methods._structure import chunks
from core.methods.base import Context

_SMALLEST = np.float32(np.finfo(np.float32).tiny)
_NARROWER = (0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6)


def in_blocks(values: Array, axis: int, bits: int, block: int, symmetric: bool, context: Context) -> Affine:
    """Codes of a matrix with blocks along `axis`; scales of least squared error among some shares of the full range.

    symmetric  zero is the level 2 ** (bits - 1) everywhere; else each block has a zero point of its own
    """
    rows = np.ascontiguousarray(values.T if axis == 0 else values)
    n, length = rows.shape
    count = -(-length // block)
    codes = np.empty(rows.shape, np.uint8)
    scale, zero = np.empty((n, count), np.float32), np.empty((n, count), np.float32)
    last = -1
    for part in chunks(rows.size, context):
        piece = slice(max(last, part.start // length), -(-part.stop // length))
        last = piece.stop
        padded = np.zeros((piece.stop - piece.start, count * block), np.float32)
        padded[:, :length] = rows[piece]
        cut = padded.reshape(-1, count, block)
        scale[piece], zero[piece] = _best(cut, bits, symmetric)
        found = _codes(cut, scale[piece], zero[piece], bits)
        codes[piece] = found.reshape(-1, count * block)[:, :length].astype(np.uint8)
    if axis == 0:
        codes, scale, zero = (np.ascontiguousarray(part.T) for part in (codes, scale, zero))
    return Affine(Codes(codes, bits), scale, zero, axis, block)


def _best(cut: Array, bits: int, symmetric: bool) -> tuple[Array, Array]:
    """Scales and zero points, (rows, blocks), of weights (rows, blocks, block)."""
    low, high = np.minimum(cut.min(axis=2), 0), np.maximum(cut.max(axis=2), 0)
    full, zero = _range(low, high, bits, symmetric)
    best, kept = (full, zero), _squared_error(cut, full, zero, bits)
    for share in _NARROWER:
        scale, zero = _range(low * np.float32(share), high * np.float32(share), bits, symmetric)
        error = _squared_error(cut, scale, zero, bits)
        better = error < kept
        best = (np.where(better, scale, best[0]), np.where(better, zero, best[1]))
        kept = np.where(better, error, kept)
    return best


def _range(low: Array, high: Array, bits: int, symmetric: bool) -> tuple[Array, Array]:
    """Scales that can be divided by, and zero points, of ranges that hold zero."""
    steps = np.float32((1 << bits) - 1)
    middle = np.float32(1 << (bits - 1))
    width = np.maximum(-low, high) / (middle - 1) if symmetric else (high - low) / steps
    scale = np.maximum(width, _SMALLEST).astype(np.float32)  # of zeros: the runtime's sums then vanish too
    zero = np.full_like(scale, middle) if symmetric else np.clip(np.rint(-low / scale), 0, steps)
    return scale, zero.astype(np.float32)


def _codes(cut: Array, scale: Array, zero: Array, bits: int) -> Array:
    return np.clip(np.rint(cut / scale[..., np.newaxis]) + zero[..., np.newaxis], 0, (1 << bits) - 1)


def _squared_error(cut: Array, scale: Array, zero: Array, bits: int) -> Array:
    error = (_codes(cut, scale, zero, bits) - zero[..., np.newaxis]) * scale[..., np.newaxis] - cut
    return np.einsum("ijk,ijk->ij", error, error)
