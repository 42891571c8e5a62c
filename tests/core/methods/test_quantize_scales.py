"""Ranges, rounding and outliers of quantizers, against definitions and with what they are for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from core.data.layer_inputs import LayerInputs, Need
from core.encoding import Float, Sum
from core.errors import LayerSkipped
from core.methods.low_rank import LowRankParams, LowRankSvd
from core.methods.params import build
from core.methods.prune import Prune, PruneParams
from core.methods.quantize_affine import AffineParams, QuantizeAffine
from core.methods.registry import find
from core.model.layer import Kind

GRIDS = [("affine", {"bits": 3}), ("nf", {"bits": 3}), ("codebook", {"bits": 3}), ("binary", {}), ("ternary", {})]


def quantize(weight, context, scheme="affine", **values):
    method = find("quantize", scheme)
    encoding = weight if not isinstance(weight, np.ndarray) else Float(weight)
    return method.apply(encoding, build(method.Params, values), context)


def sqnr(weight, encoding) -> float:
    noise = np.square(encoding.decode().astype(np.float64) - weight).sum()
    return 10 * np.log10(np.square(weight.astype(np.float64)).sum() / noise)


def measured(context, inputs):
    """The context with statistics of inputs (n, d)."""
    inputs = inputs.astype(np.float32)
    moments = (inputs.T @ inputs / len(inputs))[np.newaxis]
    found = LayerInputs(
        samples=len(inputs), rows=len(inputs), mean=inputs.mean(0)[np.newaxis],
        square=np.square(inputs).mean(0)[np.newaxis], moments=moments,
    )
    return replace(context, inputs=found)


@pytest.mark.parametrize("percentile", [99.0, 99.7, 100.0])
def test_a_percentile_is_numpys(rng, context_of, percentile) -> None:
    weight = rng.standard_t(3, size=(20, 400)).astype(np.float32)
    values = {"granularity": "channel", "rounding": "nearest", "range": "percentile", "percentile": percentile}
    found = quantize(weight, context_of(weight), bits=6, **values)
    ends = np.percentile(np.abs(weight), percentile, axis=1) / 31
    np.testing.assert_allclose(found.stored_scale.decode().ravel(), ends, rtol=1e-5)
    lopsided = quantize(weight, context_of(weight), symmetric=False, bits=6, **values)
    low, high = np.percentile(weight, [(100 - percentile) / 2, 50 + percentile / 2], axis=1)
    np.testing.assert_allclose(lopsided.stored_scale.decode().ravel(), (high - low) / 63, rtol=1e-5)


def test_a_percentile_of_a_pruned_weight_counts_kept_weights_only(rng, context_of) -> None:
    weight = rng.normal(size=(16, 500)).astype(np.float32)
    context = context_of(weight)
    sparse = Prune().apply(Float(weight), PruneParams(ratio=0.8), context)
    found = quantize(sparse, context, granularity="channel", range="percentile", percentile=99.0, rounding="nearest")
    ends = [np.percentile(np.abs(row[row != 0]), 99) / 127 for row in sparse.decode()]
    np.testing.assert_allclose(found.stored_scale.decode().ravel(), ends, rtol=1e-5)


@pytest.mark.parametrize(("scheme", "values"), [("affine", {"bits": 2}), ("nf", {"bits": 3}), ("ternary", {})])
@pytest.mark.parametrize("granularity", ["tensor", "channel", "block"])
def test_weighing_by_inputs_lowers_the_error_of_the_output(rng, context_of, scheme, values, granularity) -> None:
    weight = rng.normal(size=(24, 128)).astype(np.float32)
    weight[:, ::8] *= 3  # where inputs are small
    inputs = rng.normal(size=(500, 128)) * np.where(np.arange(128) % 8 == 0, 0.02, 1.0)
    context = measured(context_of(weight), inputs)
    values = values | {"granularity": granularity, "rounding": "nearest"}
    found = [quantize(weight, context, scheme, range=r, **values).decode() for r in ("activation", "mse")]
    errors = [np.square((decoded - weight) @ inputs.T).sum() for decoded in found]
    assert errors[0] < 0.98 * errors[1]


def test_levels_of_a_codebook_follow_the_inputs(rng, context_of) -> None:
    weight = rng.normal(size=(40, 64)).astype(np.float32)
    weight[:, :8] *= 4
    inputs = rng.normal(size=(300, 64)) * np.where(np.arange(64) < 8, 0.01, 1.0)
    context = measured(context_of(weight), inputs)
    errors = [
        np.square((quantize(weight, context, "codebook", bits=2, importance=i).decode() - weight) @ inputs.T).sum()
        for i in ("activation", "equal")
    ]
    assert errors[0] < 0.8 * errors[1]


@pytest.mark.parametrize(("scheme", "values"), [("affine", {"bits": 4}), ("nf", {"bits": 4}), ("mulaw", {"bits": 4})])
def test_stochastic_rounding_is_right_on_average_and_follows_the_seed(rng, context_of, scheme, values) -> None:
    weight = rng.uniform(-1, 1, size=(8, 96)).astype(np.float32)
    context = context_of(weight)
    setting = {"granularity": "channel", "range": "minmax", "rounding": "stochastic"} | values
    draws = [quantize(weight, replace(context, seed=seed), scheme, **setting).decode() for seed in range(300)]
    nearest = quantize(weight, context, scheme, **(setting | {"rounding": "nearest"})).decode()
    spread = np.std(draws, axis=0).mean()
    assert np.abs(np.mean(draws, axis=0) - weight).mean() < 1.2 * spread / np.sqrt(300)
    assert np.abs(np.mean(draws, axis=0) - weight).mean() < 0.3 * np.abs(nearest - weight).mean()
    np.testing.assert_array_equal(quantize(weight, replace(context, seed=7), scheme, **setting).decode(), draws[7])


@pytest.mark.parametrize(("scheme", "values"), GRIDS, ids=[g[0] for g in GRIDS])
@pytest.mark.parametrize("pruned", [False, True])
def test_error_feedback_lowers_the_error_of_the_output(rng, context_of, scheme, values, pruned) -> None:
    weight = rng.normal(size=(48, 96)).astype(np.float32)
    inputs = rng.normal(size=(400, 12)) @ rng.normal(size=(12, 96)) + 0.3 * rng.normal(size=(400, 96))
    context = measured(context_of(weight), inputs)
    stored = Prune().apply(Float(weight), PruneParams(ratio=0.5), context) if pruned else Float(weight)
    before = stored.decode()
    found, nearest = (quantize(stored, context, scheme, rounding=r, **values) for r in ("feedback", "nearest"))
    errors = [np.square((e.decode() - before) @ inputs.T).sum() for e in (found, nearest)]
    assert errors[0] < (0.9 if pruned and scheme == "binary" else 0.5) * errors[1]  # one bit without zero has no room
    assert found.nbytes == nearest.nbytes
    if pruned:
        assert (found.decode()[before == 0] == 0).all()


def test_outliers_are_left_alone_by_error_feedback_and_stay_exact(rng, context_of) -> None:
    weight = rng.normal(size=(32, 64)).astype(np.float32)
    weight[3, 5], weight[9, 20] = 40.0, -35.0
    context = measured(context_of(weight), rng.normal(size=(200, 64)))
    for scheme in ("affine", "nf", "codebook"):
        found = quantize(weight, context, scheme, bits=3, rounding="feedback", outliers=0.001)
        assert isinstance(found, Sum)
        assert found.outliers.kept == 2
        decoded = found.decode()
        assert abs(decoded[3, 5] - 40) < 1.5  # moved by what it makes up for, not by rounding
        assert np.abs(decoded).max() < 42
        assert sqnr(np.where(np.abs(weight) > 30, 0, weight), Float(np.where(np.abs(weight) > 30, 0, decoded))) > 9


@pytest.mark.parametrize(("scheme", "values"), [*GRIDS, ("affine", {"bits": 4, "granularity": "tensor"})])
def test_outliers_apart_help_where_tails_are_heavy(rng, context_of, scheme, values) -> None:
    weight = rng.standard_t(2.5, size=(60, 200)).astype(np.float32)
    if scheme in ("affine", "ternary"):
        values = values | {"rounding": "nearest"}
    plain, apart = (quantize(weight, context_of(weight), scheme, outliers=o, **values) for o in (0.0, 0.01))
    assert isinstance(apart, Sum)
    assert apart.outliers.kept == 120
    assert sqnr(weight, apart) > sqnr(weight, plain) + 1
    largest = np.argsort(np.abs(weight).ravel())[-120:]
    np.testing.assert_allclose(apart.decode().ravel()[largest], weight.ravel()[largest], rtol=2e-3)
    assert apart.nbytes < plain.nbytes + 120 * 4


@pytest.mark.parametrize("scale", [1e-7, 1e6])
def test_outliers_beyond_float16_are_stored_as_float32(rng, context_of, scale) -> None:
    weight = rng.standard_t(2.5, size=(60, 200)).astype(np.float32) * np.float32(scale)
    found = quantize(weight, context_of(weight), bits=4, outliers=0.01)
    assert found.outliers.values.dtype == "float32"
    assert sqnr(weight, found) > 15


def test_pruned_weights_can_have_outliers_too(rng, context_of) -> None:
    weight = rng.standard_t(3, size=(40, 100)).astype(np.float32)
    sparse = Prune().apply(Float(weight), PruneParams(ratio=0.6), context_of(weight))
    for values in ({"granularity": "tensor"}, {"granularity": "channel"}):
        found = quantize(sparse, context_of(weight), bits=3, outliers=0.01, **values)
        np.testing.assert_array_equal(found.decode()[sparse.decode() == 0], 0)
        assert found.nbytes < sparse.nbytes


NEEDS = [({"range": "activation"}, Need.MEANS), ({"rounding": "feedback"}, Need.MOMENTS)]


@pytest.mark.parametrize(("values", "need"), NEEDS)
def test_samples_are_asked_for_and_their_lack_is_a_reason(rng, context_of, values, need) -> None:
    weight = rng.normal(size=(16, 64)).astype(np.float32)
    assert QuantizeAffine().needs(AffineParams(bits=4, **values)) == {need}
    assert not QuantizeAffine().needs(AffineParams(bits=1, **values))
    with pytest.raises(LayerSkipped, match="samples"):
        quantize(weight, context_of(weight), bits=4, **values)


@pytest.mark.parametrize(("values", "need"), NEEDS)
def test_factors_say_that_statistics_are_not_theirs(rng, context_of, values, need) -> None:
    weight = (rng.normal(size=(80, 4)) @ rng.normal(size=(4, 70))).astype(np.float32)
    context = measured(context_of(weight), rng.normal(size=(100, 70)))
    factors = LowRankSvd().apply(Float(weight), LowRankParams(by="rank", rank=4), context)
    with pytest.raises(LayerSkipped, match="stored as factors"):
        quantize(factors, context, bits=4, **values)


def test_statistics_that_are_no_numbers_are_a_reason_and_silent_inputs_none(rng, context_of) -> None:
    weight = rng.normal(size=(16, 64)).astype(np.float32)
    context = context_of(weight)
    bad = replace(context, inputs=LayerInputs(1, 1, square=np.full((1, 64), np.nan, np.float32)))
    with pytest.raises(LayerSkipped, match="NaN or infinite"):
        quantize(weight, bad, bits=4, range="activation")
    silent = replace(context, inputs=LayerInputs(1, 1, square=np.zeros((1, 64), np.float32)))
    found = quantize(weight, silent, bits=4, range="activation", rounding="nearest")
    assert sqnr(weight, found) > 15


@pytest.mark.parametrize("kind", [Kind.EMBEDDING, Kind.NORM, Kind.OTHER])
def test_layers_that_sum_over_no_inputs_are_rounded_to_nearest(rng, context_of, kind) -> None:
    weight = rng.normal(size=(40, 64)).astype(np.float32)
    context = context_of(weight, kind)
    plain = quantize(weight, context, bits=4, rounding="nearest").decode()
    for values in ({"range": "activation", "rounding": "nearest"}, {"rounding": "feedback"}):
        np.testing.assert_array_equal(quantize(weight, context, bits=4, **values).decode(), plain)
