"""Static, dynamic and packed forms: ranges of values, codes of weights, and what is refused with which reason."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from core.data.layer_inputs import LayerInputs, ValueRange
from core.encoding import Codebook, Codes, Float, LowRank, Sparse
from core.encoding.integer import Levels
from core.errors import LayerSkipped
from core.methods._integer import int8_channels
from core.methods._packed import in_blocks
from core.methods._ranges import levels_of
from core.methods.quantize_dynamic import DynamicParams, QuantizeDynamic
from core.methods.quantize_gather import GatherParams, QuantizeGather
from core.methods.quantize_nbits import NBitsParams, QuantizeNBits
from core.methods.quantize_static import QuantizeStatic, StaticParams
from core.model.layer import Kind

WAYS = [(QuantizeStatic(), StaticParams()), (QuantizeDynamic(), DynamicParams()), (QuantizeNBits(), NBitsParams())]


def seen(values: np.ndarray, bins: int = 2048) -> ValueRange:
    low, high = float(values.min()), float(values.max())
    counts = np.histogram(values, bins, (low, high) if high > low else None)[0]
    return ValueRange(low, high, counts, int((values == 0).sum()), values.size)


def with_ranges(context):
    values = seen(np.linspace(-1, 3, 500))
    return replace(context, inputs=LayerInputs(4, input_range=values, output_range=values))


def test_levels_hold_zero_and_both_ends() -> None:
    for low, high in ((-1.0, 3.0), (0.5, 2.0), (-4.0, -1.0), (0.0, 6.0)):
        levels = Levels.of_range(low, high)
        assert 0 <= levels.zero <= 255
        assert levels.low <= min(low, 0) + levels.scale / 2 and levels.high >= max(high, 0) - levels.scale / 2
    assert Levels.of_range(0, 6).zero == 0 and Levels.of_range(0.0, 0.0) == Levels(1.0, 0)


def test_percentile_and_entropy_cut_a_rare_large_value_off(rng) -> None:
    values = np.append(rng.normal(0, 1, 100_000), [80.0])
    full, percentile, entropy = (levels_of(seen(values), how, 99.99) for how in ("minmax", "percentile", "entropy"))
    assert full.high == pytest.approx(80, rel=0.01)
    assert 3 < percentile.high < 6 and 3 < entropy.high < 20


def test_entropy_of_a_flat_distribution_cuts_nothing_off() -> None:
    levels = levels_of(seen(np.linspace(0, 5, 100_000)), "entropy", 99.99)
    assert levels.zero == 0 and levels.high == pytest.approx(5, rel=0.02)


def test_a_constant_value_and_one_never_seen() -> None:
    assert levels_of(seen(np.full(5, 2.0)), "percentile", 99.9).high == pytest.approx(2)
    with pytest.raises(LayerSkipped, match="only zeros"):
        levels_of(seen(np.zeros(5)), "percentile", 99.9)
    with pytest.raises(LayerSkipped, match="nothing finite"):
        levels_of(ValueRange(np.inf, -np.inf, np.zeros(8, np.int64), 0, 0), "minmax", 100)


@pytest.mark.parametrize("size", [1e-42, 3e38])
def test_ranges_that_levels_cannot_cover_are_told(size: float) -> None:
    counts = np.full(8, 10)
    with pytest.raises(LayerSkipped, match="8-bit levels"):
        levels_of(ValueRange(-size, size, counts, 0, 80), "minmax", 100)


@pytest.mark.parametrize("size", [1e-42, 3e38])
@pytest.mark.parametrize(("method", "params"), WAYS, ids=lambda part: getattr(part, "key", ""))
def test_weights_whose_products_are_no_float32_numbers_are_told(context_of, rng, method, params, size: float) -> None:
    weight = (rng.uniform(0.5, 1, (8, 6)) * size).astype(np.float32)
    with pytest.raises(LayerSkipped, match="vanish" if size < 1 else "overflow"):
        method.apply(Float(weight), params, with_ranges(context_of(weight)))


def test_stacked_matrices_of_all_8_bits_share_one_scale(context_of, rng) -> None:
    """The runtime takes zero points by channel for single matrices only."""
    weight = rng.normal(size=(3, 16, 8)).astype(np.float32)
    context = with_ranges(context_of(weight, output_axis=2))
    wide, narrow = (
        QuantizeStatic().apply(Float(weight), StaticParams(weights=weights), context) for weights in ("uint8", "int7")
    )
    assert wide.channel_axis is None and narrow.channel_axis == 2


def test_static_needs_samples(context_of, rng) -> None:
    weight = rng.normal(size=(8, 6)).astype(np.float32)
    with pytest.raises(LayerSkipped, match="samples"):
        QuantizeStatic().apply(Float(weight), StaticParams(), context_of(weight))


@pytest.mark.parametrize("bits", [7, 8])
@pytest.mark.parametrize("axis", [0, 1, None])
def test_codes_stay_within_their_bits_and_near_the_weights(context_of, rng, bits, axis) -> None:
    weight = (rng.normal(size=(40, 30)) * rng.uniform(0.1, 3, (40, 1))).astype(np.float32)
    encoding = int8_channels(weight, axis, bits, False, context_of(weight, output_axis=axis))
    codes = encoding.child.values
    top = 2 ** (bits - 1) - 1
    assert codes.dtype == np.int8 and np.abs(codes).max() == top
    error = np.abs(encoding.decode() - weight) / encoding.scale
    assert error.max() <= 1.01 and error.mean() < 0.3


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize(("bits", "least"), [(2, 4), (4, 17), (8, 40)])
def test_blocks_are_near_the_weights_on_either_axis(context_of, rng, bits, least, symmetric) -> None:
    weight = rng.normal(size=(70, 50)).astype(np.float32)
    along, across = (
        in_blocks(part, axis, bits, 16, symmetric, context_of(weight)) for part, axis in ((weight, 1), (weight.T, 0))
    )
    np.testing.assert_array_equal(along.decode(), across.decode().T)
    noise = np.square(along.decode() - weight).sum()
    assert 10 * np.log10(np.square(weight).sum() / noise) > least


@pytest.mark.parametrize(("method", "params"), WAYS, ids=lambda part: getattr(part, "key", ""))
def test_what_cannot_be_multiplied_as_integers_is_refused(context_of, rng, method, params) -> None:
    weight = rng.normal(size=(30, 20)).astype(np.float32)
    context = with_ranges(context_of(weight))
    factors = LowRank(Float(weight[:, :2]), Float(weight[:2]), weight.shape)
    with pytest.raises(LayerSkipped, match="cannot multiply"):
        method.apply(factors, params, context)
    codes = Codebook(Codes(np.zeros((30, 20), np.uint8), 2), np.zeros(4, np.float32))
    with pytest.raises(LayerSkipped, match="already quantized"):
        method.apply(codes, params, context)


@pytest.mark.parametrize(("method", "params"), WAYS, ids=lambda part: getattr(part, "key", ""))
def test_pruned_weights_stay_zero_or_the_reason_is_told(context_of, rng, method, params) -> None:
    weight = rng.normal(size=(64, 64)).astype(np.float32)
    context = with_ranges(context_of(weight))
    for share in (0.5, 0.97):
        mask = np.abs(weight) > np.quantile(np.abs(weight), share)
        sparse = Sparse.encode(Float(weight[mask]), mask)
        if share > 0.9:
            with pytest.raises(LayerSkipped, match="stores all weights"):
                method.apply(sparse, params, context)
        else:
            assert not method.apply(sparse, params, context).decode()[~mask].any()


def test_a_layer_of_one_weight(context_of) -> None:
    weight = np.full((1, 1), -0.7, np.float32)
    for method, params in WAYS:
        encoding = method.apply(Float(weight), params, with_ranges(context_of(weight)))
        np.testing.assert_allclose(encoding.decode(), weight, rtol=0.15)


def test_convolutions_are_told_that_dynamic_is_slower(context_of, rng) -> None:
    layer = context_of(rng.normal(size=(8, 4, 3, 3)).astype(np.float32), Kind.CONV).layer
    assert "slower" in QuantizeDynamic().why_not(layer, DynamicParams())


def test_only_tables_of_rows_are_packed(context_of, rng) -> None:
    table = rng.normal(size=(4, 8, 16)).astype(np.float32)
    with pytest.raises(LayerSkipped, match="one row a token"):
        QuantizeGather().apply(Float(table), GatherParams(), context_of(table, Kind.EMBEDDING))
