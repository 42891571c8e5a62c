"""Bases against their definitions and against PyWavelets and scipy."""

from __future__ import annotations

import numpy as np
import pytest
import pywt
import scipy.fft

from core.methods import _filter_bases as bases

FAMILIES = ("haar", "db2", "db4", "sym4", "coif1")


@pytest.mark.parametrize("length", [1, 2, 3, 5, 7, 8, 20, 32, 45, 64])
def test_bases_are_orthonormal_at_every_length(length: int) -> None:
    made = [bases.dct(length), bases.fourier(length)]
    made += [bases.wavelet(length, family, level) for family in FAMILIES for level in (1, 2, 3, 6)]
    for basis in made:
        assert basis.shape == (length, length)
        np.testing.assert_allclose(basis @ basis.T, np.eye(length), atol=1e-7)


def test_dct_is_scipys() -> None:
    signal = np.random.default_rng(0).normal(size=24)
    np.testing.assert_allclose(bases.dct(24) @ signal, scipy.fft.dct(signal, norm="ortho"), atol=1e-12)


def test_fourier_energies_are_those_of_the_complex_transform() -> None:
    signal = np.random.default_rng(0).normal(size=9)
    ours, theirs = np.square(bases.fourier(9) @ signal), np.abs(np.fft.rfft(signal, norm="ortho")) ** 2
    np.testing.assert_allclose([ours[0], *(ours[1::2] + ours[2::2])], [theirs[0], *2 * theirs[1:]], atol=1e-12)


@pytest.mark.parametrize("family", FAMILIES)
def test_wavelet_coefficients_are_pywavelets(family: str) -> None:
    signal = np.random.default_rng(0).normal(size=64)
    theirs = np.concatenate(pywt.wavedec(signal, family, "periodization", level=2))
    np.testing.assert_allclose(bases.wavelet(64, family, 2) @ signal, theirs, atol=1e-9)


def test_points_give_constants_back() -> None:
    for length in (3, 8, 31):
        for size in range(1, length + 1):
            synthesis = bases.gaussian(length, size, 0.7)
            np.testing.assert_allclose(synthesis.sum(axis=0), 1, atol=1e-12)
            analysis, back = bases.moving_average(length, size)
            np.testing.assert_allclose(np.ones(length) @ analysis @ back, 1, atol=1e-12)


def test_a_moving_average_stores_one_mean_a_window() -> None:
    analysis, _ = bases.moving_average(6, 3)
    np.testing.assert_allclose(np.arange(6.0) @ analysis, [1, 4])
    np.testing.assert_allclose(np.arange(6.0) @ analysis @ bases.moving_average(6, 3)[1], [1, 1, 2, 3, 4, 4])
