"""Spectra of a weight: what low rank and what a frequency transform would keep."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.methods.base import require_finite
from core.model.layer import Kind, Layer

Array = np.ndarray[Any, np.dtype[Any]]
Floats = np.ndarray[Any, np.dtype[np.float64]]

_GRAM_LIMIT = 2048
_SKETCH = 256
_OVERSAMPLE = 16
_ROWS = 2048
_POINTS = 129
_RINGS = 256
_BUCKETS = 1 << 15  # positive float32 by exponent and 7 bits of mantissa
_PIECE = 1 << 19
_CONV_KINDS = frozenset({Kind.CONV, Kind.DEPTHWISE, Kind.CONV_TRANSPOSE})


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Singular values of a weight as a matrix: output axis by all the rest.

    shape    of the matrix
    values   float64 (r,), largest first; r is the smaller side, or fewer when they were sketched
    energy   float64 (r,): share of the sum of squares that the first 1..r values hold
    method   "gram": all values, to 1e-8 of the largest (below float32's own rounding);
             "randomized": the leading ones, estimated from a random sketch (they are seldom too large)
    """

    shape: tuple[int, int]
    values: Floats
    energy: Floats
    method: str

    @property
    def full_rank(self) -> int:
        return min(self.shape)

    def rank_for(self, share: float) -> int | None:
        """The lowest rank that keeps this share (0..1) of the energy; None when more values are needed than known."""
        rank = int(np.searchsorted(self.energy, share * (1 - 1e-12))) + 1
        if rank <= self.values.size:
            return rank
        return self.full_rank if self.values.size == self.full_rank else None


@dataclass(frozen=True, eq=False)
class FrequencyEnergy:
    """Energy that is kept when only a share of the DCT coefficients is kept; three curves' points, float64 (129,) each.

    kept      share of the coefficients, 0 to 1
    lowest    share of the energy in the lowest frequencies (smallest distance to the constant)
    largest   share of the energy in the largest coefficients, wherever they are
    domain    "kernel": each kernel of a convolution by itself; "matrix": the weight as one picture
    """

    kept: Floats
    lowest: Floats
    largest: Floats
    domain: str


def as_matrix(values: Array, layer: Layer) -> Array:
    """The weight as a matrix: output axis (axis 0 when there is none) by all the rest."""
    if values.ndim == 0:
        return values.reshape(1, 1)
    moved = np.moveaxis(values, layer.output_axis or 0, 0)
    return moved.reshape(moved.shape[0], -1) if moved.size else moved.reshape(moved.shape[0], 0)


def singular_values(values: Array, layer: Layer, seed: int = 0) -> Spectrum:
    """Singular values of a weight; raises LayerSkipped for NaN or Inf.

    Up to 2,048 on the smaller side: eigenvalues of the Gram matrix in float64. Beyond: a randomized range finder with
    two power iterations (Halko, Martinsson, Tropp, 2011), with shares of the exact sum of squares.
    """
    require_finite(values, layer)
    matrix = as_matrix(values, layer)
    tall = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T
    if tall.shape[1] <= _GRAM_LIMIT:
        method, squares = "gram", _gram_eigenvalues(tall)
        total = float(squares.sum())
    else:
        method, squares = "randomized", _sketched_squares(tall, seed)
        total = float(np.einsum("ij,ij->", tall, tall, dtype=np.float64))
    energy = np.minimum(np.cumsum(squares) / total, 1.0) if total > 0 else np.ones_like(squares)
    return Spectrum((matrix.shape[0], matrix.shape[1]), np.sqrt(squares), energy, method)


def _gram_eigenvalues(tall: Array) -> Floats:
    """Squares of the singular values, largest first. Rows are widened a few at a time to spare memory."""
    gram = np.zeros((tall.shape[1], tall.shape[1]))
    for start in range(0, tall.shape[0], _ROWS):
        rows = tall[start : start + _ROWS].astype(np.float64)
        gram += rows.T @ rows
    if not gram.size:
        return np.zeros(0)
    return np.maximum(np.linalg.eigvalsh(gram)[::-1], 0.0)  # scipy's holds the interpreter lock all the time


def _sketched_squares(tall: Array, seed: int) -> Floats:
    """Squares of the leading singular values from a sketch of the range."""
    from scipy import linalg  # its qr releases the interpreter lock all the time, numpy's does not

    tall = tall.astype(np.float32, copy=False)
    noise = np.random.default_rng(seed).standard_normal((tall.shape[1], _SKETCH + _OVERSAMPLE), dtype=np.float32)
    basis = linalg.qr(tall @ noise, mode="economic", check_finite=False)[0]
    for _ in range(2):
        basis = linalg.qr(tall.T @ basis, mode="economic", check_finite=False)[0]
        basis = linalg.qr(tall @ basis, mode="economic", check_finite=False)[0]
    return _gram_eigenvalues((basis.T @ tall).T)[:_SKETCH]


def frequency_energy(values: Array, layer: Layer) -> FrequencyEnergy:
    """How the energy of a weight's DCT spreads over frequencies; raises LayerSkipped for NaN or Inf.

    Convolution kernels with more than one tap are transformed one by one over their taps, other weights as one matrix.
    A curve near the diagonal says that there is nothing to gain: the weight is noise to this transform.
    """
    from scipy import fft

    require_finite(values, layer)
    taps = values.shape[2:]
    if layer.kind in _CONV_KINDS and np.prod(taps) > 1:
        domain, picture, axes = "kernel", values, tuple(range(2, values.ndim))
    else:
        domain, picture, axes = "matrix", as_matrix(values, layer), (0, 1)
    picture = picture.astype(np.float32, copy=False)
    peak = float(np.max(np.abs(picture), initial=0.0))
    kept = np.linspace(0.0, 1.0, _POINTS)
    if peak == 0:
        return FrequencyEnergy(kept, np.ones(_POINTS), np.ones(_POINTS), domain)
    power = fft.dctn(picture / np.float32(peak), axes=axes, norm="ortho", workers=2)
    np.square(power, out=power)
    return FrequencyEnergy(kept, _lowest(power, axes, kept), _largest(power, kept), domain)


def _lowest(power: Array, axes: tuple[int, ...], kept: Floats) -> Floats:
    """Energy of the coefficients within a growing distance of the constant, each axis scaled to 0..1."""
    others = tuple(i for i in range(power.ndim) if i not in axes)
    energy = power.sum(axis=others, dtype=np.float64) if others else power
    along = [np.square(np.arange(size, dtype=np.float32) / max(size - 1, 1)) for size in energy.shape]
    counts, shares = np.zeros(_RINGS), np.zeros(_RINGS)
    step = max(1, _PIECE * energy.shape[0] // energy.size)
    for start in range(0, energy.shape[0], step):
        rows = slice(start, start + step)
        distance = functools.reduce(np.add.outer, [along[0][rows], *along[1:]])
        ring = (np.sqrt(distance) * np.float32((_RINGS - 1) / np.sqrt(energy.ndim))).astype(np.intp).reshape(-1)
        counts += np.bincount(ring, minlength=_RINGS)
        shares += np.bincount(ring, weights=energy[rows].reshape(-1), minlength=_RINGS)
    return _curve(np.cumsum(counts), np.cumsum(shares), kept)


def _largest(power: Array, kept: Floats) -> Floats:
    """Energy of the largest coefficients. They are ordered by their upper 15 bits, so to 1 %, instead of sorted."""
    counts, shares = np.zeros(_BUCKETS), np.zeros(_BUCKETS)
    flat = power.reshape(-1)
    for start in range(0, flat.size, _PIECE):
        piece = flat[start : start + _PIECE]
        bucket = (piece.view(np.uint32) >> np.uint32(16)).astype(np.intp)
        counts += np.bincount(bucket, minlength=_BUCKETS)
        shares += np.bincount(bucket, weights=piece, minlength=_BUCKETS)
    return _curve(np.cumsum(counts[::-1]), np.cumsum(shares[::-1]), kept)


def _curve(counts: Floats, energies: Floats, kept: Floats) -> Floats:
    """Running sums of energy at the wanted shares of the count, straight between the points, from (0, 0)."""
    found: Floats = np.interp(kept, np.append(0.0, counts / counts[-1]), np.append(0.0, energies / energies[-1]))
    return found
