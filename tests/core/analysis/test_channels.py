"""Channel ranges against a loop over channels."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from core.analysis.channels import channel_ranges

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("shape", "axis"), [((7, 5), 0), ((7, 5), 1), ((6, 4, 3, 3), 0), ((6, 4, 3, 3), 1), ((9,), 0), ((2, 8, 3), -2)]
)
def test_equals_a_loop(shape: tuple[int, ...], axis: int) -> None:
    values = RNG.standard_normal(shape).astype(np.float32)
    found = channel_ranges(values, axis)
    for i, channel in enumerate(np.moveaxis(values, axis, 0)):
        assert (found.low[i], found.high[i]) == (channel.min(), channel.max())
    assert (np.diff(found.magnitude[found.order]) <= 0).all()
    assert sorted(found.order) == list(range(shape[axis]))


@pytest.mark.parametrize("values", [np.float32(2.5), np.full((3, 4), 2.5)])
def test_without_an_axis_all_is_one_channel(values: np.ndarray) -> None:
    found = channel_ranges(values, None)
    assert (found.low.tolist(), found.high.tolist()) == ([2.5], [2.5])


def test_nan_and_infinite_are_left_out() -> None:
    values = np.array([[1, np.nan, -2], [np.inf, 3, 4], [np.nan, np.nan, -np.inf]])
    found = channel_ranges(values, 0)
    np.testing.assert_array_equal(found.low, [-2, 3, np.nan])
    np.testing.assert_array_equal(found.high, [1, 4, np.nan])
    assert found.order.tolist() == [1, 0, 2]
    assert not found.outlier.any()


def test_a_channel_that_stands_out_is_marked() -> None:
    values = RNG.uniform(-1, 1, (64, 100))
    values[17] *= 50
    assert np.flatnonzero(channel_ranges(values, 0).outlier).tolist() == [17]


def test_equal_channels_hold_no_outlier() -> None:
    values = np.ones((10, 4))
    values[3] = 2
    assert not channel_ranges(values, 0).outlier.any()


@pytest.mark.parametrize("shape", [(0, 4), (3, 0)])
def test_empty(shape: tuple[int, int]) -> None:
    found = channel_ranges(np.zeros(shape), 0)
    assert found.low.shape == (shape[0],)
    assert np.isnan(found.low).all()


def test_pickles() -> None:
    found = channel_ranges(RNG.standard_normal((4, 4)), 0)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(found)).order, found.order)
