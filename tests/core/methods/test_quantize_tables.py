"""Levels that are not even: binary, ternary, normal quantiles, powers of two, mu-law, 8-bit floats."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from core.encoding import Affine, Codebook, Codes, Float, Trits
from core.encoding.counting import emitted_size, size_together
from core.methods._tables import float8, mu_law, normal_float, powers_of_two
from core.methods.params import build
from core.methods.registry import find
from core.model.layer import Kind

NF4 = [  # as published with QLoRA
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
    -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
    0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
]


def quantize(weight, context, word="quantize", scheme=None, **values):
    method = find(word, scheme)
    return method.apply(Float(weight), build(method.Params, values), context)


def sqnr(weight, encoding) -> float:
    noise = np.square(encoding.decode().astype(np.float64) - weight).sum()
    return 10 * np.log10(np.square(weight.astype(np.float64)).sum() / noise)


def test_four_bit_quantiles_are_those_of_qlora() -> None:
    np.testing.assert_allclose(normal_float(4).levels, NF4, atol=1e-6)


@pytest.mark.parametrize("bits", range(2, 7))
def test_tables_fill_their_bits_and_are_finer_near_zero(bits) -> None:
    for table in (normal_float(bits), powers_of_two(bits, 1), powers_of_two(bits, 2), mu_law(bits, 8.0)):
        levels = table.levels
        assert (1 << bits) - 1 <= levels.size <= 1 << bits
        assert (levels[0], levels[-1]) == (-1, 1)
        assert 0 in levels
        steps = np.diff(levels)
        assert bits < 4 or steps[levels.size // 2] < 0.7 * steps[-1]
    assert set(np.log2(np.abs(powers_of_two(bits, 1).levels[powers_of_two(bits, 1).levels != 0])) % 1) == {0.0}


def test_mu_law_is_that_of_the_recommendation() -> None:
    levels = mu_law(8, 255.0).levels.astype(np.float64)
    pressed = np.sign(levels) * np.log1p(255 * np.abs(levels)) / np.log1p(255)
    np.testing.assert_allclose(pressed * 127, np.arange(-127, 128), atol=1e-4)


@pytest.mark.parametrize(("name", "dtype"), [("e4m3", ml_dtypes.float8_e4m3fn), ("e5m2", ml_dtypes.float8_e5m2)])
def test_eight_bit_floats_are_those_of_the_specification(rng, context_of, name, dtype) -> None:
    numbers = np.arange(256, dtype=np.uint8).view(dtype).astype(np.float32)
    np.testing.assert_array_equal(float8(name).levels, np.unique(numbers[np.isfinite(numbers)]))
    weight = rng.normal(size=(30, 200)).astype(np.float32)
    found = quantize(weight, context_of(weight), "float8", format=name)
    scale = found.stored_scale.decode()
    np.testing.assert_array_equal(found.child.decode(), (weight * (1 / scale)).astype(dtype).astype(np.float32))
    assert found.child.nbytes == weight.size
    assert np.abs(found.decode()).max() == pytest.approx(np.abs(weight).max(), rel=1e-6)


@pytest.mark.parametrize(
    ("scheme", "bits", "db"), [("nf", 2, 8.3), ("nf", 3, 14.2), ("nf", 4, 20.0), ("mulaw", 4, 19.1), ("pow2", 4, 14.2)]
)
def test_a_gaussian_comes_near_the_best_levels(rng, context_of, scheme, bits, db) -> None:
    """The best 4, 8 and 16 levels give 9.3, 14.6 and 20.2 dB (Max, 1960)."""
    weight = rng.normal(scale=0.05, size=(40, 5000)).astype(np.float32)
    assert sqnr(weight, quantize(weight, context_of(weight), scheme=scheme, bits=bits, granularity="channel")) > db


@pytest.mark.parametrize("scheme", ["nf", "pow2", "mulaw"])
@pytest.mark.parametrize("granularity", ["tensor", "channel", "block"])
def test_every_weight_has_its_nearest_level_and_the_search_pays(rng, context_of, scheme, granularity) -> None:
    weight = rng.standard_t(4, size=(20, 128)).astype(np.float32)
    searched, full = (
        quantize(weight, context_of(weight), scheme=scheme, bits=3, granularity=granularity, range=r)
        for r in ("mse", "minmax")
    )
    assert sqnr(weight, searched) >= sqnr(weight, full)
    scale = np.broadcast_to(full.stored_scale.decode(), (20, 4 if granularity == "block" else 1))
    scale = np.repeat(scale, 128 // scale.shape[1], axis=1)
    levels = full.child.stored_table.decode()
    distance = np.abs(weight[..., np.newaxis] - levels * scale[..., np.newaxis]).min(axis=2)
    np.testing.assert_allclose(np.abs(full.decode() - weight), distance, atol=1e-5)


def test_one_table_serves_all_layers(rng, context_of) -> None:
    weights = [rng.normal(size=(40, 96)).astype(np.float32) for _ in range(2)]
    sizes = [emitted_size(quantize(w, context_of(w), scheme="nf"), 13) for w in weights]
    both = size_together(sizes)
    assert sizes[0].data + sizes[1].data - both.data >= 16 * 4
    found = quantize(weights[0], context_of(weights[0]), scheme="nf")
    assert isinstance(found, Affine)
    assert isinstance(found.child, Codebook)
    assert found.nbytes == 40 * 96 // 2 + found.stored_scale.nbytes
    assert found.shared_bytes == 64


def test_binary_is_the_best_pair_of_levels_for_each_channel(rng, context_of) -> None:
    weight = rng.normal(size=(30, 160)).astype(np.float32)
    found = quantize(weight, context_of(weight), scheme="binary", granularity="channel")
    expected = np.where(weight > 0, 1, -1) * np.abs(weight).mean(axis=1, keepdims=True)
    np.testing.assert_allclose(found.decode(), expected, rtol=1e-5)
    assert found.child.nbytes == weight.size // 8


def test_ternary_is_the_best_of_all_ways_to_choose(rng, context_of) -> None:
    weight = rng.standard_t(3, size=(5, 9)).astype(np.float32)
    found = quantize(weight, context_of(weight), scheme="ternary", granularity="channel", rounding="nearest").decode()
    for row, decoded in zip(weight.astype(np.float64), found, strict=True):
        best = min(
            np.square(row - np.sign(row) * scale * (np.abs(row) >= edge)).sum()
            for edge in np.abs(row)
            for scale in [np.abs(row)[np.abs(row) >= edge].mean()]
        )
        assert np.square(decoded - row).sum() == pytest.approx(best, rel=1e-5)
        assert len(np.unique(decoded)) <= 3


def test_ternary_takes_a_fifth_of_a_byte_and_few_weights_two_bits(rng, context_of) -> None:
    weight = rng.normal(size=(64, 101)).astype(np.float32)
    found = quantize(weight, context_of(weight), scheme="ternary", granularity="channel")
    assert isinstance(found.child, Trits)
    assert found.child.nbytes == -(-64 * 101 // 5)
    small = quantize(weight[:8, :10].copy(), context_of(weight[:8, :10]), scheme="ternary", granularity="channel")
    assert isinstance(small.child, Codes)


@pytest.mark.parametrize("size", [1, 4, 5, 6, 501, 1000])
def test_trits_come_back(rng, size) -> None:
    values = rng.integers(0, 3, size).astype(np.uint8)
    packed = Trits(values).packed().astype(int)
    assert packed.size == -(-size // 5)
    digits = np.concatenate([packed // 3**place % 3 for place in range(5)])[:size]
    np.testing.assert_array_equal(digits, values)
    np.testing.assert_array_equal(Trits(values).decode(), values)


def test_an_unaligned_read_only_weight_gives_the_same_codes(rng, context_of) -> None:
    weight = rng.normal(size=(64, 64)).astype(np.float32)
    raw = np.frombuffer(b"x" + weight.tobytes(), np.uint8)[1:].view(np.float32).reshape(64, 64)
    assert not raw.flags.aligned
    for scheme in ("nf", "pow2", "mulaw", "binary", "ternary"):
        for granularity in ("tensor", "channel", "block"):
            first, second = (
                quantize(w, context_of(w, Kind.LINEAR), scheme=scheme, granularity=granularity) for w in (weight, raw)
            )
            np.testing.assert_array_equal(first.decode(), second.decode())
