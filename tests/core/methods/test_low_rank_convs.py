"""Factorised convolutions: best at their rank, exact where the weight has it, refused where they make no sense."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from core.encoding import Float
from core.errors import LayerSkipped
from core.methods.low_rank_channels import LowRankChannels
from core.methods.low_rank_spatial import LowRankSpatial
from core.methods.low_rank_tucker import LowRankTucker
from core.methods.params import build
from core.methods.quantize_affine import AffineParams, QuantizeAffine
from core.model.layer import Kind

METHODS = (LowRankSpatial(), LowRankChannels(), LowRankTucker())


def apply(method, weight, context_of, **values):
    context = context_of(weight, Kind.CONV)
    return method.apply(Float(weight), build(method.Params, values), context)


def left_out(matrix, rank):
    """Sum of the squares of the singular values beyond the rank."""
    return np.square(np.linalg.svd(matrix.astype(np.float64), compute_uv=False)[rank:]).sum()


def error(encoding, weight):
    return np.square(encoding.decode() - weight.astype(np.float64)).sum()


@pytest.mark.parametrize("shape", [(12, 10, 3, 5), (30, 4, 5, 3)])
def test_pairs_have_the_smallest_error_of_their_rank(rng, context_of, shape) -> None:
    weight = rng.normal(size=shape).astype(np.float32)
    spatial = apply(METHODS[0], weight, context_of, by="rank", rank=3)
    assert [f.shape for f in spatial.factors] == [(3, shape[1], shape[2], 1), (shape[0], 3, 1, shape[3])]
    matrix = weight.transpose(1, 2, 0, 3).reshape(shape[1] * shape[2], -1)
    assert error(spatial, weight) == pytest.approx(left_out(matrix, 3), rel=1e-4)
    pair = apply(METHODS[1], weight, context_of, by="rank", rank=3)
    assert [f.shape for f in pair.factors] == [(3, *shape[1:]), (shape[0], 3, 1, 1)]
    assert error(pair, weight) == pytest.approx(left_out(weight.reshape(shape[0], -1), 3), rel=1e-4)


def test_tucker_finds_a_weight_of_low_ranks_exactly(rng, context_of) -> None:
    last, core, first = (rng.normal(size=shape) for shape in ((24, 4), (4, 3, 3, 3), (3, 20)))
    weight = np.einsum("oa,abyx,bi->oiyx", last, core, first).astype(np.float32)
    found = apply(METHODS[2], weight, context_of, by="energy", energy=1.0)
    assert found.ranks == (3, 4)
    np.testing.assert_allclose(found.decode(), weight, atol=1e-5 * np.abs(weight).max())


def test_tucker_keeps_the_energy_and_the_share_it_is_asked_for(rng, context_of) -> None:
    fall = np.arange(1, 33) ** -1.0
    weight = (rng.normal(size=(32, 32, 3, 3)) * fall[:, None, None, None] * fall[:, None, None]).astype(np.float32)
    total = np.square(weight, dtype=np.float64).sum()
    for energy in (0.8, 0.95):
        assert error(apply(METHODS[2], weight, context_of, by="energy", energy=energy), weight) <= (1 - energy) * total
    small = apply(METHODS[2], weight, context_of, by="share", share=0.3)
    assert small.nbytes <= 0.3 * weight.nbytes
    assert error(small, weight) < error(apply(METHODS[2], weight, context_of, by="rank", rank=4, rank_in=4), weight)


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.key)
@pytest.mark.parametrize("share", [0.75, 0.5, 0.25])
def test_a_share_is_never_exceeded(rng, context_of, method, share) -> None:
    weight = rng.normal(size=(40, 24, 3, 3)).astype(np.float32)
    assert apply(method, weight, context_of, share=share).nbytes <= share * weight.nbytes


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.key)
def test_factors_are_quantized_each_with_scales_of_its_own(rng, context_of, method) -> None:
    weight = rng.normal(size=(32, 24, 3, 3)).astype(np.float32)
    thin = apply(method, weight, context_of)
    small = QuantizeAffine().apply(thin, AffineParams(granularity="channel"), context_of(weight, Kind.CONV))
    assert small.ranks == thin.ranks
    assert small.nbytes < 0.35 * thin.nbytes
    assert error(small, thin.decode()) < 1e-3 * np.square(thin.decode()).sum()


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.key)
def test_what_cannot_be_split_says_why(context_of, method) -> None:
    params = method.Params()
    layer = context_of(np.zeros((8, 1, 3, 3), np.float32), Kind.CONV).layer
    assert "4 groups" in method.why_not(replace(layer, groups=4), params)
    assert method.hint(replace(layer, groups=4), params) == ""
    point = context_of(np.zeros((8, 16, 1, 1), np.float32), Kind.CONV).layer
    assert bool(method.why_not(point, params)) == (method.scheme != "channels")
    beyond = build(method.Params, {"by": "rank", "rank": 5000})
    large = context_of(np.zeros((16, 16, 3, 3), np.float32), Kind.CONV)
    assert "above the full rank" in method.why_not(large.layer, beyond)
    with pytest.raises(LayerSkipped, match="above the full rank"):
        method.apply(Float(np.ones((16, 16, 3, 3), np.float32)), beyond, large)
    limit = method.break_even(large.layer)
    assert f"rank {limit}" in method.hint(large.layer, params)


def test_one_weight_is_refused(context_of) -> None:
    for method in METHODS:
        with pytest.raises(LayerSkipped):
            apply(method, np.ones((1, 1, 1, 1), np.float32), context_of)
