"""Leading singular values and vectors of a matrix, in pieces between which progress is told and a cancel is heard.

Case 1  a smaller side of up to EXACT, or many directions wanted: eigenvectors of the Gram matrix of the smaller side,
        in float64, which gives singular values to 1e-8 of the largest (float32 itself rounds at 6e-8)
Case 2  else: block power iteration on a random start (Halko, Martinsson and Tropp, "Finding Structure with
        Randomness", SIAM Review 2011), which LAPACK's one long call is many times slower than
Either way the sum of all squares is exact, so that kept energy is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from core.encoding.base import Array
from core.errors import LayerSkipped
from core.methods.base import Context
from core.progress import Reporter

EXACT = 2048
"""Smaller side up to which all singular values are computed: about a second."""

_OVERSAMPLE = 32  # directions beyond those wanted: the last ones of a sketch are inaccurate
_POWER = 3  # rounds with A^T A; flat spectra need them: each round squares the ratio of wanted to unwanted
_PANEL = 256  # columns that are made orthogonal at a time
_PIECE = 1 << 31  # multiply-adds between two looks at the cancel flag: some 50 ms
_NOISE = 1e-12  # squares below this share of the largest are rounding


@dataclass(frozen=True, eq=False)
class Principal:
    """Singular values and vectors on the smaller side.

    squares  (l,) float64, squares of the leading singular values, falling; those that are rounding are 0
    total    sum of the squares of all singular values
    vectors  (m or n, l) float32, orthonormal columns: left singular vectors of a wide matrix, right ones of a tall one
    full     how many singular values there are
    """

    squares: Array
    total: float
    vectors: Array
    full: int


def principal(matrix: Array, wanted: int, context: Context) -> Principal:
    """At least `wanted` (or all) singular values of a float32 matrix (m, n), largest first.

    The result depends on `sketch_size(wanted)` alone. Raises Cancelled, and LayerSkipped when LAPACK does not converge.
    """
    tall = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T
    size = sketch_size(min(matrix.shape), wanted)
    try:
        if size == tall.shape[1]:
            return _exact(tall, context.reporter)
        return _sketched(tall, size, context)
    except np.linalg.LinAlgError:
        raise LayerSkipped("the singular value decomposition did not converge", where=context.layer.name) from None


def sketch_size(full: int, wanted: int) -> int:
    """How many directions `principal` computes: one of a few sizes, so that a slider seldom computes anew."""
    if full <= EXACT:
        return full
    size = _PANEL
    while size < wanted:
        size = size * 3 // 2 if size & (size - 1) == 0 else size * 4 // 3  # 256, 384, 512, 768, ...
    size += _OVERSAMPLE
    return size if size <= full // 2 else full


def _exact(tall: Array, reporter: Reporter) -> Principal:
    """Case 1."""
    gram = _gram(tall, reporter.part(0.0, 0.5))
    reporter.check()
    values, vectors = np.linalg.eigh(gram)
    reporter.report(1.0)
    return _ordered(values, float(np.trace(gram)), vectors, tall.shape[1])


def _sketched(tall: Array, size: int, context: Context) -> Principal:
    """Case 2."""
    full, reporter = tall.shape[1], context.reporter
    total = float(sum(np.einsum("ij,ij->", tall[piece], tall[piece], dtype=np.float64) for piece in _pieces(tall, 1)))
    if total == 0:
        return Principal(np.zeros(size), 0.0, np.eye(full, size, dtype=np.float32), full)
    basis = np.random.default_rng(context.seed).standard_normal((full, size), dtype=np.float32)
    steps = 2 * _POWER + 1
    for step in range(_POWER):
        image = _product(tall, basis, reporter.part(2 * step / steps, (2 * step + 1) / steps))
        basis = _orthonormal(_product_back(tall, image, reporter), reporter)
    image = _product(tall, basis, reporter.part((steps - 1) / steps, 1.0))
    values, turn = np.linalg.eigh(_gram(image, reporter))
    found = _ordered(values, total, turn, full)
    return Principal(found.squares, total, _product(basis, found.vectors, reporter), full)


def _ordered(values: Array, total: float, vectors: Array, full: int) -> Principal:
    """Eigenvalues and eigenvectors, largest first."""
    values = values[::-1].copy()
    values[values <= _NOISE * max(float(values[0]), 0.0)] = 0.0
    return Principal(values, total, np.ascontiguousarray(vectors[:, ::-1], np.float32), full)


def _pieces(matrix: Array, columns: int) -> Iterator[slice]:
    """Rows of the matrix whose product with so many columns is _PIECE multiply-adds."""
    rows = max(1, _PIECE // max(1, matrix.shape[1] * columns))
    return (slice(start, start + rows) for start in range(0, matrix.shape[0], rows))


def _product(matrix: Array, other: Array, reporter: Reporter) -> Array:
    """matrix @ other"""
    out = np.empty((matrix.shape[0], other.shape[1]), np.float32)
    for piece in _pieces(matrix, other.shape[1]):
        reporter.report(piece.start / matrix.shape[0])
        np.matmul(matrix[piece], other, out=out[piece])
    return out


def _product_back(matrix: Array, other: Array, reporter: Reporter) -> Array:
    """matrix.T @ other"""
    out = np.zeros((matrix.shape[1], other.shape[1]), np.float32)
    for piece in _pieces(matrix, other.shape[1]):
        reporter.check()
        out += matrix[piece].T @ other[piece]
    return out


def _gram(tall: Array, reporter: Reporter) -> Array:
    """tall.T @ tall in float64, rows widened a few at a time."""
    gram = np.zeros((tall.shape[1], tall.shape[1]))
    for piece in _pieces(tall, tall.shape[1]):
        reporter.report(piece.start / tall.shape[0])
        rows = tall[piece].astype(np.float64)
        gram += rows.T @ rows
    return gram


def _orthonormal(columns: Array, reporter: Reporter) -> Array:
    """An orthonormal basis of the columns: block Gram-Schmidt, each panel twice, because once is not enough."""
    from scipy import linalg  # its qr lets other threads run, numpy's does not

    basis = columns
    for start in range(0, basis.shape[1], _PANEL):
        panel = basis[:, start : start + _PANEL]
        for _ in range(2):
            reporter.check()
            done = basis[:, :start]
            panel = panel - done @ (done.T @ panel)
            panel = linalg.qr(panel, mode="economic", check_finite=False)[0]
        basis[:, start : start + _PANEL] = panel
    return basis
