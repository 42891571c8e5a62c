"""Uniform quantization against definitions written out in numpy."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from core.encoding import Affine, Float, LowRank, Sparse
from core.errors import LayerSkipped
from core.methods.low_rank import LowRankParams, LowRankSvd
from core.methods.prune import Prune, PruneParams
from core.methods.quantize_affine import AffineParams, QuantizeAffine
from core.model.layer import Kind


def quantize(weight, context, **values) -> Affine:
    return QuantizeAffine().apply(Float(weight), AffineParams(**({"rounding": "nearest"} | values)), context)


def squared(encoding, weight) -> float:
    return float(np.square(encoding.decode().astype(np.float64) - weight).sum())


@pytest.mark.parametrize(("axis", "bits"), list(product([0, 1], [8, 5, 2])))
def test_full_symmetric_range_per_channel_is_plain_rounding(rng, context_of, axis, bits) -> None:
    weight = rng.normal(size=(48, 30)).astype(np.float32)
    found = quantize(weight, context_of(weight, Kind.CONV, axis, 1 - axis), bits=bits, range="minmax")
    top = 2 ** (bits - 1) - 1
    scale = np.abs(weight).max(axis=1 - axis, keepdims=True) / np.float32(top)
    expected = np.clip(np.rint(weight / scale), -top, top) * scale
    np.testing.assert_allclose(found.decode(), expected, atol=1e-6)


@pytest.mark.parametrize("bits", range(2, 9))
def test_full_asymmetric_range_reaches_both_ends(rng, context_of, bits) -> None:
    weight = rng.uniform(-0.2, 1.0, size=(20, 50)).astype(np.float32)
    found = quantize(weight, context_of(weight, Kind.CONV), bits=bits, range="minmax", symmetric=False)
    step = np.ptp(np.append(weight, np.zeros((20, 1)), axis=1), axis=1, keepdims=True) / (2**bits - 1)
    assert (np.abs(found.decode() - weight) <= step * 1.0001).all()
    exact = quantize(np.where(weight > 0.5, weight, 0).astype(np.float32), context_of(weight), symmetric=False)
    assert (exact.decode()[weight <= 0.5] == 0).all()  # zero stays zero


@pytest.mark.parametrize(
    ("bits", "granularity", "symmetric"), list(product([2, 3, 4, 8], ["tensor", "channel", "block"], [True, False]))
)
def test_the_search_is_never_worse_than_the_full_range(rng, context_of, bits, granularity, symmetric) -> None:
    weight = rng.standard_t(3, size=(64, 96)).astype(np.float32)
    values = {"bits": bits, "granularity": granularity, "symmetric": symmetric}
    context = context_of(weight, Kind.CONV)
    searched, full = (quantize(weight, context, range=r, **values) for r in ("mse", "minmax"))
    if granularity == "channel":
        errors = [np.square(e.decode() - weight).sum(axis=1) for e in (searched, full)]
        assert (errors[0] <= errors[1] * 1.00001).all()
    assert squared(searched, weight) <= squared(full, weight) * 1.00001
    if bits <= 4 and granularity != "block":
        assert squared(searched, weight) < 0.95 * squared(full, weight)  # heavy tails: cutting them off pays


def test_the_search_comes_close_to_trying_every_scale(rng, context_of) -> None:
    weight = rng.normal(size=(4, 2000)).astype(np.float32)
    found = quantize(weight, context_of(weight, Kind.CONV), bits=4)
    for row, decoded in zip(weight, found.decode(), strict=True):
        scales = np.abs(row).max() / 7 * np.linspace(0.2, 1, 2000)[:, np.newaxis]
        best = np.square(np.clip(np.rint(row / scales), -7, 7) * scales - row).sum(axis=1).min()
        assert np.square(decoded - row).sum() <= 1.002 * best


def test_one_bit_is_the_sign_times_the_mean_magnitude(rng, context_of) -> None:
    weight = rng.normal(size=(30, 50)).astype(np.float32)
    found = quantize(weight, context_of(weight, Kind.CONV), bits=1)
    expected = np.where(weight > 0, 1, -1) * np.abs(weight).mean(axis=1, keepdims=True)
    np.testing.assert_allclose(found.decode(), expected, rtol=1e-5)
    assert found.child.nbytes == -(-1500 // 8)


@pytest.mark.parametrize("size", [64, 70, 20])
def test_blocks_have_scales_of_their_own(rng, context_of, size) -> None:
    weight = rng.normal(size=(12, size)).astype(np.float32) * np.exp(rng.normal(size=(12, size))).astype(np.float32)
    found = quantize(weight, context_of(weight), bits=4, granularity="block", block=32, range="minmax")
    assert found.stored_scale.shape == (12, -(-size // 32))
    for start in range(0, size, 32):
        part = weight[:, start : start + 32]
        step = np.abs(part).max(axis=1, keepdims=True) / 7
        assert (np.abs(found.decode()[:, start : start + 32] - part) <= 0.502 * step).all()


def test_many_block_scales_are_kept_in_sixteen_bits_unless_they_do_not_fit(rng, context_of) -> None:
    weight = rng.normal(size=(64, 64)).astype(np.float32)
    assert quantize(weight, context_of(weight), granularity="block").scale_dtype == "float16"
    tiny = weight * np.float32(1e-7)
    found = quantize(tiny, context_of(tiny), granularity="block")
    assert found.scale_dtype == "float32"
    assert squared(found, tiny) < 1e-3 * float(np.square(tiny.astype(np.float64)).sum())


def test_blocks_of_kernels_count_all_their_weights(rng, context_of) -> None:
    weight = rng.normal(size=(8, 64, 3, 3)).astype(np.float32)
    found = quantize(weight, context_of(weight, Kind.CONV), bits=4, granularity="block", block=36)
    assert (found.axis, found.block) == (1, 4)
    assert found.stored_scale.shape == (8, 16, 1, 1)


def test_directions_of_recurrent_weights_have_their_own_scales(rng, context_of) -> None:
    weight = rng.normal(size=(2, 12, 9)).astype(np.float32)
    weight[1] *= 100
    found = quantize(weight, context_of(weight, Kind.RECURRENT, 1, 2))
    assert found.stored_scale.shape == (2, 12, 1)


def test_an_unaligned_read_only_weight_gives_the_same_codes(rng, context_of) -> None:
    weight = rng.normal(size=(64, 64)).astype(np.float32)
    raw = np.frombuffer(b"x" + weight.tobytes(), np.uint8)[1:].view(np.float32).reshape(64, 64)
    assert not raw.flags.aligned
    for values in ({}, {"granularity": "tensor"}, {"granularity": "block", "bits": 3}):
        first, second = (quantize(w, context_of(w), **values) for w in (weight, raw))
        np.testing.assert_array_equal(first.decode(), second.decode())


@pytest.mark.parametrize("bits", [1, 3, 8])
@pytest.mark.parametrize("granularity", ["tensor", "channel", "block"])
def test_pruned_weights_keep_their_zeros(rng, context_of, bits, granularity) -> None:
    weight = rng.normal(size=(32, 64)).astype(np.float32)
    context = context_of(weight)
    sparse = Prune().apply(Float(weight), PruneParams(ratio=0.7), context)
    found = QuantizeAffine().apply(sparse, AffineParams(bits=bits, granularity=granularity), context)
    decoded = found.decode()
    kept = sparse.decode() != 0
    assert (decoded[~kept] == 0).all()
    assert np.square(decoded - weight)[kept].sum() < 0.5 * np.square(weight[kept]).sum()
    assert found.nbytes < sparse.nbytes


def test_a_pruned_weight_has_no_zero_point_for_each_channel(rng, context_of) -> None:
    weight = rng.normal(size=(32, 64)).astype(np.float32)
    sparse = Prune().apply(Float(weight), PruneParams(ratio=0.7), context_of(weight))
    with pytest.raises(LayerSkipped, match="choose symmetric"):
        QuantizeAffine().apply(sparse, AffineParams(symmetric=False), context_of(weight))
    one = QuantizeAffine().apply(sparse, AffineParams(symmetric=False, granularity="tensor"), context_of(weight))
    assert isinstance(one, Sparse)


def test_factors_are_quantized_along_their_outer_axes(rng, context_of) -> None:
    weight = (rng.normal(size=(80, 4)) @ rng.normal(size=(4, 70))).astype(np.float32)
    factors = LowRankSvd().apply(Float(weight), LowRankParams(by="rank", rank=4), context_of(weight))
    found = QuantizeAffine().apply(factors, AffineParams(), context_of(weight))
    assert isinstance(found, LowRank)
    assert (found.left.stored_scale.shape, found.right.stored_scale.shape) == ((80, 1), (1, 70))
    assert squared(found, weight) < 1e-4 * np.square(weight.astype(np.float64)).sum()


def test_labels(context_of) -> None:
    label = QuantizeAffine().label
    assert label(AffineParams()) == "int8"
    assert label(AffineParams(bits=4, granularity="block", block=64)) == "int4 block 64"
    assert label(AffineParams(bits=1)) == "1 bit"
    assert label(AffineParams(bits=8, symmetric=False, granularity="tensor")) == "uint8 per tensor"
