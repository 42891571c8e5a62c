"""Spectra against full decompositions and transforms of known answer."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from scipy import fft

from core.analysis.spectra import as_matrix, frequency_energy, singular_values
from core.errors import LayerSkipped
from core.model.layer import Kind, Layer

RNG = np.random.default_rng(0)


def layer(values: np.ndarray, kind: Kind = Kind.LINEAR, output_axis: int | None = 0) -> Layer:
    return Layer("w", kind, values.shape, "float32", values.nbytes, output_axis, input_axis=None)


def normal(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize(
    ("shape", "axis"), [((40, 30), 0), ((30, 40), 1), ((8, 6, 3, 3), 0), ((6, 8, 3), 1), ((5,), 0), ((4, 4), None)]
)
def test_values_and_energy_equal_numpys(shape: tuple[int, ...], axis: int | None) -> None:
    values = normal(*shape)
    found = singular_values(values, layer(values, output_axis=axis))
    matrix = np.moveaxis(values, axis or 0, 0).reshape(shape[axis or 0], -1).astype(np.float64)
    exact = np.linalg.svd(matrix, compute_uv=False)
    np.testing.assert_allclose(found.values, exact, atol=1e-7 * exact[0])
    np.testing.assert_allclose(found.energy, np.cumsum(exact**2) / (exact**2).sum(), rtol=1e-9)
    assert (found.method, found.shape) == ("gram", matrix.shape)
    for share in (0.5, 0.9, 0.99, 1.0):
        rank = found.rank_for(share)
        assert rank is not None
        assert found.energy[rank - 1] >= share * (1 - 1e-9)
        assert rank == 1 or found.energy[rank - 2] < share


def test_a_matrix_of_rank_three_needs_three() -> None:
    values = normal(50, 3) @ normal(3, 40)
    found = singular_values(values, layer(values))
    assert found.rank_for(1 - 1e-9) == 3


def test_a_large_matrix_is_sketched_and_says_so() -> None:
    values = normal(2304, 20) @ normal(20, 2100) + normal(2304, 2100) * np.float32(0.01)
    found = singular_values(values, layer(values))
    assert found.method == "randomized"
    gram = values.astype(np.float64).T @ values.astype(np.float64)
    exact = np.sqrt(np.linalg.eigvalsh(gram)[::-1][:20])
    np.testing.assert_allclose(found.values[:20], exact, rtol=1e-3)
    assert found.energy[19] == pytest.approx((exact**2).sum() / np.trace(gram), rel=1e-4)
    assert found.rank_for(0.9) is not None
    assert found.rank_for(1.0) is None


def test_zero_and_empty_weights() -> None:
    zero = singular_values(np.zeros((4, 3), np.float32), layer(np.zeros((4, 3))))
    assert zero.values.tolist() == [0, 0, 0]
    assert zero.rank_for(0.9) == 1
    assert singular_values(np.zeros((0, 3), np.float32), layer(np.zeros((0, 3)))).values.size == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("spectrum", [singular_values, frequency_energy])
def test_nonfinite_weights_are_refused_with_the_reason(bad: float, spectrum) -> None:
    values = normal(4, 4)
    values[1, 2] = bad
    with pytest.raises(LayerSkipped, match="1 of 16"):
        spectrum(values, layer(values))


def test_the_matrix_has_a_row_for_each_output() -> None:
    values = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    np.testing.assert_array_equal(as_matrix(values, layer(values, output_axis=1))[2], [8, 9, 10, 11, 20, 21, 22, 23])


def test_a_constant_matrix_is_one_coefficient() -> None:
    values = np.full((32, 16), 0.3, np.float32)
    found = frequency_energy(values, layer(values))
    assert found.domain == "matrix"
    assert found.lowest[1] == pytest.approx(1.0)
    assert found.largest[1] == pytest.approx(1.0)


def test_a_smooth_matrix_is_low_in_frequency_and_noise_is_not() -> None:
    smooth = np.add.outer(np.cos(np.linspace(0, 3, 64)), np.sin(np.linspace(0, 2, 48))).astype(np.float32)
    assert np.interp(0.1, *_low(smooth)) > 0.99
    assert np.interp(0.1, *_low(normal(64, 48))) == pytest.approx(0.1, abs=0.05)


def _low(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    found = frequency_energy(values, layer(values))
    return found.kept, found.lowest


@pytest.mark.parametrize("kind", [Kind.CONV, Kind.DEPTHWISE, Kind.CONV_TRANSPOSE])
def test_convolutions_are_transformed_kernel_by_kernel(kind: Kind) -> None:
    values = np.broadcast_to(normal(6, 4, 1, 1), (6, 4, 3, 3)).copy()  # each kernel constant: one of nine coefficients
    found = frequency_energy(values, layer(values, kind))
    assert found.domain == "kernel"
    assert np.interp(1 / 9, found.kept, found.lowest) == pytest.approx(1.0, abs=0.07)
    pointwise = normal(6, 4, 1, 1)
    assert frequency_energy(pointwise, layer(pointwise, kind)).domain == "matrix"


@pytest.mark.parametrize(
    "values", [normal(6, 4, 5), normal(6, 4, 3, 3), normal(20, 30), normal(7), np.full((3, 3), 1e-42, np.float32)]
)
def test_curves_rise_from_nothing_to_all(values: np.ndarray) -> None:
    found = frequency_energy(values, layer(values, Kind.CONV))
    for curve in (found.lowest, found.largest):
        assert (curve[0], curve[-1]) == (0.0, pytest.approx(1.0))
        assert (np.diff(curve) >= -1e-12).all()
    assert (found.largest >= found.lowest - 0.01).all()  # ordered to 1 %


def test_the_largest_coefficients_against_a_sort() -> None:
    values = normal(200, 100) ** 3
    found = frequency_energy(values, layer(values))
    ordered = np.sort(np.square(fft.dctn(values.astype(np.float64), norm="ortho")), axis=None)[::-1]
    exact = np.interp(found.kept, np.linspace(0, 1, ordered.size + 1), np.append(0, np.cumsum(ordered) / ordered.sum()))
    np.testing.assert_allclose(found.largest, exact, atol=0.002)


def test_a_zero_weight_loses_nothing() -> None:
    values = np.zeros((4, 4), np.float32)
    assert (frequency_energy(values, layer(values)).lowest == 1).all()


def test_results_pickle() -> None:
    values = normal(8, 8)
    spectrum, frequency = singular_values(values, layer(values)), frequency_energy(values, layer(values))
    copies = pickle.loads(pickle.dumps((spectrum, frequency)))
    np.testing.assert_array_equal(copies[0].values, spectrum.values)
    np.testing.assert_array_equal(copies[1].largest, frequency.largest)
