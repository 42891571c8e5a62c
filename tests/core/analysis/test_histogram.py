"""Histograms: exact counts, zero in the middle of a bin, outliers folded."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from core.analysis.histogram import BINS, bin_range, histogram
from core.kernels import CHUNK
from core.kernels.histogram import MAX_BINS

LARGEST = float(np.finfo(np.float32).max)


def oracle(values: np.ndarray, low: float, high: float, bins: int) -> tuple[np.ndarray, int, int]:
    """Counts in float64 by numpy; below and above."""
    finite = values[np.isfinite(values)].astype(np.float64).ravel()
    counts = np.histogram(finite, bins, (low, high))[0]
    return counts, int((finite < low).sum()), int((finite > high).sum())


@pytest.mark.parametrize("n", [1, 7, 4095, 4096, 4097, 3 * 4096 + 11, CHUNK + 4096 + 1])
@pytest.mark.parametrize("bins", [1, 2, 65, MAX_BINS])
def test_counts_equal_numpys_when_no_value_is_near_an_edge(n: int, bins: int) -> None:
    rng = np.random.default_rng(n)
    centres = (np.arange(-3, bins + 3) + 0.5) / 64
    jitter = rng.uniform(-0.4, 0.4, n) / 64
    values = (rng.choice(centres, n) + jitter).astype(np.float32)
    found = histogram(values, 0.0, bins / 64, bins)
    counts, below, above = oracle(values, 0.0, bins / 64, bins)
    np.testing.assert_array_equal(found.counts, counts)
    assert (found.below, found.above) == (below, above)
    assert found.total == n


def test_an_inner_edge_is_exact_to_rounding() -> None:
    values = np.random.default_rng(0).standard_normal(200_000).astype(np.float32)
    found = histogram(values, -3.7, 3.1, 129)
    counts, below, above = oracle(values, found.low, found.high, 129)
    assert (found.below, found.above) == (below, above)
    cumulated = np.cumsum(found.counts) + found.below
    slack = 1e-6 * (found.high - found.low)
    for edge, left, exact in zip(found.edges[1:], cumulated, np.cumsum(counts) + below, strict=True):
        assert abs(left - exact) <= (np.abs(values - edge) <= slack).sum()


def test_edges_belong_to_the_bin_they_start_and_the_last_to_the_last() -> None:
    found = histogram(np.array([0, 1, 2, 3, 4, 4], np.float32), 0.0, 4.0, 4)
    np.testing.assert_array_equal(found.counts, [1, 1, 1, 3])


def test_nan_and_infinite_are_counted_nowhere() -> None:
    values = np.array([np.nan, -np.nan, np.inf, -np.inf, 0.5] * 2000, np.float32)
    found = histogram(values, 0.0, 1.0, 10)
    assert (found.total, found.below, found.above, int(found.counts[5])) == (2000, 0, 0, 2000)


@pytest.mark.parametrize(("low", "high"), [(-LARGEST, LARGEST), (0.0, 1e-42), (-3e-45, 3e-45), (1000.0, 1000.01)])
def test_extreme_ranges(low: float, high: float) -> None:
    values = np.array([low, high, (low + high) / 2], np.float32)
    found = histogram(values, low, high, 3)
    assert (found.below, found.above) == (0, 0)
    np.testing.assert_array_equal(found.counts, [1, 1, 1])


@pytest.mark.parametrize(
    "view", [lambda a: a[::2], lambda a: a.T, lambda a: a[:, ::-3], lambda a: a.astype(np.float16)]
)
def test_any_layout_and_type(view) -> None:
    values = view(np.random.default_rng(2).standard_normal((90, 70)).astype(np.float32))
    found = histogram(values, -2.0, 2.0, 16)
    counts, below, above = oracle(values, -2.0, 2.0, 16)
    assert (found.below, found.above, found.total) == (below, above, values.size)
    assert np.abs(found.counts - counts).max() <= 1


@pytest.mark.parametrize(
    ("low", "high", "bins"), [(1.0, 1.0, 4), (2.0, 1.0, 4), (0.0, np.nan, 4), (0.0, 1.0, 0), (0, 1, 254)]
)
def test_impossible_edges_are_refused(low: float, high: float, bins: int) -> None:
    with pytest.raises(ValueError):
        histogram(np.zeros(3), low, high, bins)


@pytest.mark.parametrize("low", [-1.0, -0.2, -1e-3, -5.0, -1e-40])
@pytest.mark.parametrize("bins", [2, 64, 65, 129])
def test_zero_is_the_centre_of_a_bin(low: float, bins: int) -> None:
    start, stop = bin_range(low, 1.0, bins)
    assert start <= low
    assert stop >= 1.0
    width = (stop - start) / bins
    place = -start / width
    assert abs(place - np.floor(place) - 0.5) < 1e-4
    assert stop - start <= (1.0 - low) * bins / (bins - 1) * 1.001


def test_a_symmetric_range_stays_symmetric() -> None:
    start, stop = bin_range(-0.3, 0.3, BINS)
    assert start == -stop


@pytest.mark.parametrize("value", [0.0, 1.0, -3.5, 1e-45, LARGEST, -LARGEST])
def test_a_single_value_gets_a_range_around_it(value: float) -> None:
    low, high = bin_range(value, value, BINS)
    assert low < high
    assert low <= value <= high
    assert np.isfinite([low, high]).all()


def test_pickles() -> None:
    found = histogram(np.arange(5), 0, 4, 4)
    copy = pickle.loads(pickle.dumps(found))
    assert (copy.low, copy.high, copy.counts.tolist()) == (found.low, found.high, found.counts.tolist())
