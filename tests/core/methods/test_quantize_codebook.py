"""Codebooks against exhaustive search and against the theory of optimal quantizers."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from core.encoding import Codebook, Float, Sparse
from core.methods.prune import Prune, PruneParams
from core.methods.quantize_codebook import CodebookParams, QuantizeCodebook


def quantize(weight, context, bits: int) -> Codebook:
    return QuantizeCodebook().apply(Float(weight), CodebookParams(bits), context)


@pytest.mark.parametrize("bits", [1, 2])
def test_small_weights_get_the_best_of_all_partitions(rng, context_of, bits) -> None:
    weight = rng.standard_t(2, size=14).astype(np.float32)
    ordered = np.sort(weight.astype(np.float64))
    best = min(
        sum(np.square(part - part.mean()).sum() for part in np.split(ordered, cuts))
        for cuts in combinations(range(1, weight.size), 2**bits - 1)
    )
    found = quantize(weight, context_of(weight), bits)
    assert np.square(found.decode() - weight.astype(np.float64)).sum() == pytest.approx(best, rel=1e-5)


@pytest.mark.parametrize(("bits", "db"), [(1, 4.40), (2, 9.30), (3, 14.62), (4, 20.22), (6, 31.89)])
def test_a_gaussian_gets_the_sqnr_of_the_lloyd_max_quantizer(rng, context_of, bits, db) -> None:
    """Source: Max, "Quantizing for minimum distortion", 1960, and Paez and Glisson, 1972, tables for a Gaussian."""
    weight = rng.normal(scale=0.03, size=(500, 500)).astype(np.float32)
    noise = np.square(quantize(weight, context_of(weight), bits).decode() - weight, dtype=np.float64).sum()
    assert 10 * np.log10(np.square(weight, dtype=np.float64).sum() / noise) == pytest.approx(db, abs=0.06)


@pytest.mark.parametrize("size", [1000, 70_000])
@pytest.mark.parametrize("outlier", [1.0, 1e4, 1e8])
def test_every_weight_has_its_nearest_level_and_levels_are_means(rng, context_of, size, outlier) -> None:
    weight = rng.normal(size=size).astype(np.float32)
    weight[7] *= np.float32(outlier)
    found = quantize(weight, context_of(weight), 4)
    table = found.stored_table.decode().astype(np.float64)
    np.testing.assert_array_equal(table, np.sort(table))
    distances = np.abs(weight.astype(np.float64)[:, np.newaxis] - table)
    chosen = np.take_along_axis(distances, found.codes.values[:, np.newaxis].astype(np.intp), 1)[:, 0]
    np.testing.assert_allclose(chosen, distances.min(axis=1), rtol=1e-5, atol=1e-6)
    for code, level in enumerate(table):
        assert weight[found.codes.values == code].astype(np.float64).mean() == pytest.approx(level, rel=2e-3, abs=2e-3)


def test_few_distinct_weights_are_kept_exactly_in_fewer_bits(context_of, rng) -> None:
    weight = rng.choice(np.float32([-1, 0, 0.5]), size=(40, 40))
    found = quantize(weight, context_of(weight), 8)
    np.testing.assert_array_equal(found.decode(), weight)
    assert (found.codes.bits, found.table.size) == (2, 3)


def test_after_pruning_all_levels_serve_the_kept_weights(rng, context_of) -> None:
    weight = rng.normal(size=(200, 200)).astype(np.float32)
    sparse = Prune().apply(Float(weight), PruneParams(ratio=0.9), context_of(weight))
    found = QuantizeCodebook().apply(sparse, CodebookParams(4), context_of(weight))
    assert isinstance(found, Sparse)
    assert found.values.table.size == 16
    np.testing.assert_array_equal(found.decode() == 0, sparse.decode() == 0)
