"""Coefficients times bases give the weight, in numpy as in ONNX Runtime, whole and cut off."""

from __future__ import annotations

import numpy as np
import pytest

from core.encoding import Float, Sparse, Transformed
from core.errors import InternalError


def basis(functions: int, length: int) -> np.ndarray:
    return np.random.default_rng(functions).normal(size=(functions, length)).astype(np.float32)


CASES = [  # grid, (functions, length) of each axis or None, shape
    ((40, 9), (None, (4, 9)), (10, 4, 3, 3)),
    ((6, 37), (None, (5, 10)), (6, 37)),
    ((23, 7), ((3, 8), None), (23, 7)),
    ((5, 23, 7), (None, (3, 8), None), (5, 23, 7)),
    ((20, 30), ((3, 10), (4, 8)), (20, 30)),
    ((19,), ((2, 5),), (19,)),
    ((2, 12, 14, 3), (None, (2, 6), (3, 5), (2, 3)), (2, 1, 12, 14, 3)),
]


@pytest.mark.parametrize("optimize", [True, False])
@pytest.mark.parametrize(("grid", "sizes", "shape"), CASES)
def test_the_runtime_rebuilds_the_products(grid, sizes, shape, optimize, rebuild, operators_left) -> None:
    bases = tuple(None if size is None else basis(*size) for size in sizes)
    counts = [n if b is None else -(-n // b.shape[1]) * b.shape[0] for n, b in zip(grid, bases, strict=True)]
    values = np.random.default_rng(1).normal(size=counts).astype(np.float32)
    mask = np.abs(values) > 0.5
    dense = Transformed(Float(values), bases, grid, shape, "B")
    sparse = dense.with_coefficients(Sparse.encode(Float(values[mask]), mask))
    expected = [by_hand(v, bases, grid).reshape(shape) for v in (values, values * mask)]
    found = rebuild([dense, sparse], 13, optimize)
    for encoding, wanted, rebuilt in zip((dense, sparse), expected, found, strict=True):
        np.testing.assert_allclose(encoding.decode(), wanted, atol=1e-5 * np.abs(wanted).max())
        np.testing.assert_allclose(rebuilt, encoding.decode(), atol=1e-5 * np.abs(wanted).max())
    assert not dense.exact
    assert operators_left([dense, sparse]) == []


def by_hand(values: np.ndarray, bases, grid) -> np.ndarray:
    """The same through one large matrix for each axis."""
    value = values.astype(np.float64)
    for axis, matrix in enumerate(bases):
        if matrix is not None:
            blocks = value.shape[axis] // matrix.shape[0]
            value = np.moveaxis(np.tensordot(value, np.kron(np.eye(blocks), matrix), (axis, 0)), -1, axis)
    return value[tuple(slice(n) for n in grid)]


def test_a_basis_is_a_constant_that_layers_share() -> None:
    from core.encoding.counting import emitted_size, size_together

    matrix, rng = basis(16, 32), np.random.default_rng(2)
    layers = [
        Transformed(Float(rng.normal(size=(9, 32)).astype(np.float32)), (None, matrix), (9, 64), (9, 64), "B")
        for _ in range(2)
    ]
    assert layers[0].nbytes == 4 * 9 * 32
    assert layers[0].shared_bytes == matrix.nbytes
    one, two = emitted_size(layers[0], 13), size_together(emitted_size(e, 13) for e in layers)
    assert one.data >= layers[0].nbytes + matrix.nbytes
    assert two.data - one.data == layers[1].nbytes


def test_says_how_much_is_kept() -> None:
    values, mask = np.ones((4, 6), np.float32), np.eye(4, 6, dtype=bool)
    whole = Transformed(Float(values), (None, basis(3, 4)), (4, 8), (4, 8), "DCT")
    assert whole.describe() == "75 % of DCT"
    assert whole.with_coefficients(Float(values, "float16")).describe() == "75 % of DCT · float16"
    assert whole.with_coefficients(Sparse.encode(Float(values[mask]), mask)).describe() == "12.5 % of DCT"


@pytest.mark.parametrize(("coefficients", "shape"), [((4, 5), (4, 8)), ((4, 6), (4, 9))])
def test_refuses_coefficients_that_do_not_fit(coefficients, shape) -> None:
    with pytest.raises(InternalError):
        Transformed(Float(np.ones(coefficients, np.float32)), (None, basis(3, 4)), (4, 8), shape, "DCT")
