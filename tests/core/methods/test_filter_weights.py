"""Filters on weights: the energy that was asked for, smaller than before, and reasons where there is no signal."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.ndimage

from core.encoding import Affine, Float, Sparse, Transformed
from core.encoding.counting import emitted_size
from core.errors import LayerSkipped
from core.methods.filter_dct import FilterDct
from core.methods.filter_fourier import FilterFourier
from core.methods.filter_gaussian import FilterGaussian
from core.methods.filter_smooth import FilterSmooth
from core.methods.filter_wavelet import FilterWavelet
from core.methods.float16 import Float16
from core.methods.low_rank import LowRankParams, LowRankSvd
from core.methods.prune import Prune, PruneParams
from core.methods.quantize_affine import AffineParams, QuantizeAffine
from core.methods.quantize_codebook import CodebookParams, QuantizeCodebook
from core.model.layer import Kind

FILTERS = (FilterDct(), FilterFourier(), FilterWavelet(), FilterGaussian(), FilterSmooth())
ORTHONORMAL = FILTERS[:3]


def filtered(method, weight: np.ndarray, context, **values) -> Transformed:
    return method.apply(Float(weight), method.Params(**values), context)


def kept(encoding, weight: np.ndarray) -> float:
    wide = weight.astype(np.float64)
    return 1 - np.square(encoding.decode() - wide).sum() / np.square(wide).sum()


def noise(rng, *shape: int) -> np.ndarray:
    return rng.normal(size=shape).astype(np.float32)


def smooth_kernels(rng, *shape: int) -> np.ndarray:
    """Random kernels blurred within each kernel by a Gaussian of one weight's width."""
    return scipy.ndimage.gaussian_filter(noise(rng, *shape), (0, 0, 1.0, 1.0), mode="nearest")


@pytest.mark.parametrize("energy", [0.5, 0.8, 0.95])
@pytest.mark.parametrize("layout", ["auto", "shared", "each"])
@pytest.mark.parametrize("method", ORTHONORMAL, ids=lambda m: m.scheme)
def test_keeps_the_energy_that_was_asked_for(method, layout, energy, rng, context_of) -> None:
    for weight, kind, place in (
        (noise(rng, 20, 10, 3, 3), Kind.CONV, {}),
        (noise(rng, 4, 1, 200), Kind.CONV, {}),
        (noise(rng, 50, 70), Kind.LINEAR, {"along": "rows"}),
        (noise(rng, 50, 70), Kind.LINEAR, {"along": "columns"}),
        (noise(rng, 50, 70), Kind.LINEAR, {"along": "blocks", "block": 8}),
    ):
        try:
            found = filtered(method, weight, context_of(weight, kind), energy=energy, layout=layout, **place)
        except LayerSkipped as skipped:  # white noise may need every function of a small kernel
            assert layout == "shared" and "every coefficient" in skipped.what
            continue
        assert kept(found, weight) >= energy - 1e-6


def test_a_basis_for_all_is_found_where_the_energy_is(rng, context_of) -> None:
    from core.methods._filter_bases import dct

    kernel = np.kron(dct(3), dct(3))[[0, 4]]  # two functions, neither of which is a corner of the low ones
    weight = (rng.normal(size=(60, 2)) @ kernel).astype(np.float32).reshape(6, 10, 3, 3)
    found = filtered(FilterDct(), weight, context_of(weight, Kind.CONV), energy=0.9999)
    assert found.child.shape == (60, 2)
    np.testing.assert_allclose(found.decode(), weight, atol=1e-5)


def test_single_coefficients_are_stored_where_that_is_smaller(rng, context_of) -> None:
    from core.methods._filter_bases import dct

    chosen = np.where(rng.random((400, 32)) < 0.1, rng.normal(size=(400, 32)), 0)
    weight = (chosen @ dct(32)).astype(np.float32)
    context = context_of(weight)
    found = filtered(FilterDct(), weight, context, energy=0.9)
    assert isinstance(found.child, Sparse)
    shared = filtered(FilterDct(), weight, context, energy=0.9, layout="shared")
    assert emitted_size(found, 13).total < emitted_size(shared, 13).total
    exactly = filtered(FilterDct(), weight, context, by="share", share=0.25, layout="each")
    assert exactly.child.kept == 0.25 * weight.size


@pytest.mark.parametrize("method", FILTERS, ids=lambda m: m.scheme)
def test_kept_share_is_an_upper_bound(method, rng, context_of) -> None:
    weight = noise(rng, 64, 64)
    extra = {"layout": "shared"} if method in ORTHONORMAL else {}
    for share in (0.25, 0.5, 0.75):
        found = filtered(method, weight, context_of(weight), by="share", share=share, **extra)
        assert found.child.n_weights <= share * weight.size


def test_a_cut_off_keeps_the_low_frequencies_of_each_axis(rng, context_of) -> None:
    from core.methods._filter_bases import dct

    weight = noise(rng, 8, 4, 5, 5)
    found = filtered(FilterDct(), weight, context_of(weight, Kind.CONV), by="cutoff", cutoff=0.4)
    low = dct(5)[:2].T @ dct(5)[:2]
    np.testing.assert_allclose(found.decode(), low @ weight.astype(np.float64) @ low, atol=1e-5)


def test_half_the_energy_of_small_kernels_takes_fewer_bytes_than_before(rng, context_of) -> None:
    weight = noise(rng, 16, 8, 3, 3)
    found = filtered(FilterDct(), weight, context_of(weight, Kind.CONV), energy=0.5)
    assert kept(found, weight) >= 0.5
    assert emitted_size(found, 13).total < 0.4 * weight.nbytes


@pytest.mark.parametrize("family", ["haar", "db4"])
def test_a_wavelet_makes_a_linear_layer_smaller(family, rng, context_of) -> None:
    weight = noise(rng, 100, 200)
    found = filtered(FilterWavelet(), weight, context_of(weight), family=family)
    assert kept(found, weight) >= 0.9
    assert emitted_size(found, 13).total < 0.65 * weight.nbytes


@pytest.mark.parametrize("method", [FilterDct(), FilterGaussian()], ids=lambda m: m.scheme)
def test_smooth_kernels_keep_what_a_layer_gives(method, rng, context_of) -> None:
    """Half of the coefficients of blurred 7 x 7 kernels: the layer's output is off by less than -20 dB."""
    import torch

    weight = smooth_kernels(rng, 16, 8, 7, 7)
    found = filtered(method, weight, context_of(weight, Kind.CONV), by="share", share=0.52)
    x = torch.from_numpy(noise(rng, 1, 8, 40, 40))
    wanted, got = (torch.conv2d(x, torch.from_numpy(np.array(w))) for w in (weight, found.decode()))
    error_db = 10 * float(torch.log10((got - wanted).square().sum() / wanted.square().sum()))
    print(f"\n{method.scheme}: {error_db:.1f} dB with {100 * found.kept:.0f} % of the numbers")
    assert error_db < -20


@pytest.mark.parametrize("method", FILTERS, ids=lambda m: m.scheme)
def test_coefficients_can_be_rounded_and_quantized(method, rng, context_of) -> None:
    weight = np.cumsum(noise(rng, 900, 64), axis=1)
    context = context_of(weight)
    first = filtered(method, weight, context)
    half = Float16().apply(first, Float16.Params(), context)
    assert half.nbytes < 0.65 * first.nbytes
    np.testing.assert_allclose(half.decode(), first.decode(), atol=0.02 * np.abs(weight).max())
    for second, params in (
        (QuantizeAffine(), AffineParams()), (QuantizeCodebook(), CodebookParams(bits=8))
    ):
        both = second.apply(first, params, context)
        assert isinstance(both, Transformed)
        assert both.nbytes < 0.6 * first.nbytes
        assert np.square(both.decode() - first.decode()).sum() < 0.002 * np.square(first.decode()).sum()
    with pytest.raises(LayerSkipped, match="already stored as coefficients"):
        method.apply(first, method.Params(), context)
    with pytest.raises(LayerSkipped, match="coefficients"):
        Prune().apply(first, PruneParams(), context)


def test_what_was_done_before_is_a_reason(rng, context_of) -> None:
    weight = noise(rng, 40, 60)
    context = context_of(weight)
    before = {
        "already quantized": QuantizeAffine().apply(Float(weight), AffineParams(), context),
        "pruned weight": Prune().apply(Float(weight), PruneParams(), context),
        "already factorised": LowRankSvd().apply(Float(weight), LowRankParams(by="rank", rank=4), context),
    }
    assert isinstance(before["already quantized"], Affine)
    for reason, encoding in before.items():
        with pytest.raises(LayerSkipped, match=reason):
            FilterDct().apply(encoding, FilterDct().Params(), context)


@pytest.mark.parametrize("method", FILTERS, ids=lambda m: m.scheme)
def test_weights_that_are_no_signal_are_refused_before_they_are_read(method, context_of) -> None:
    def reason(shape, kind, **values) -> str:
        layer = context_of(np.zeros(shape, np.float32), kind).layer
        return method.why_not(layer, replace(method.Params(), **values))

    assert "1 x 1: one weight is no signal" in reason((8, 4, 1, 1), Kind.CONV)
    assert "no signal" in reason((1, 1), Kind.LINEAR)
    assert "single line" in reason((1, 40), Kind.LINEAR, along="columns")
    assert reason((1, 40), Kind.LINEAR) == ""
    assert "Norm" in reason((40,), Kind.NORM)


@pytest.mark.parametrize("method", FILTERS, ids=lambda m: m.scheme)
def test_settings_without_effect_and_weights_without_content_are_refused(method, rng, context_of) -> None:
    weight = noise(rng, 16, 32)
    with pytest.raises(LayerSkipped, match=r"nothing to filter|of the energy"):
        filtered(method, weight, context_of(weight), by="energy", energy=1.0)
    with pytest.raises(LayerSkipped, match="all its weights are zero"):
        filtered(method, np.zeros_like(weight), context_of(weight))
    with pytest.raises(LayerSkipped, match="has no weights"):
        filtered(method, weight[:0], context_of(weight))


def test_points_keep_the_energy_that_was_asked_for(rng, context_of) -> None:
    from core.methods._filter_bases import gaussian

    weight = (rng.normal(size=(30, 4)) @ gaussian(32, 4, 0.7)).astype(np.float32)
    found = filtered(FilterGaussian(), weight, context_of(weight), by="energy", energy=0.98)
    assert kept(found, weight) >= 0.98
    assert found.child.shape[1] <= 10
    slow = np.repeat(np.cumsum(noise(rng, 30, 8), axis=1), 4, axis=1)
    assert kept(filtered(FilterSmooth(), slow, context_of(slow), by="energy", energy=0.8), slow) >= 0.8
