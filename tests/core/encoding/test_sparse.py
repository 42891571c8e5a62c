"""Sparse weights keep every place, in the smallest form."""

from __future__ import annotations

import numpy as np
import pytest

from core.encoding import Codes, Float, Sparse, sparse_sizes
from core.encoding.counting import emitted_size
from core.encoding.positions import GAP_BITS, encode_gaps, gap_positions, gap_sizes
from core.errors import InternalError


def masks() -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    made = [rng.random(size) < kept for size in (1, 5, 8, 100, 3000) for kept in (0, 0.01, 0.1, 0.5, 1)]
    lonely = np.zeros(2000, bool)
    lonely[-1] = True  # one long run of fillers
    return [*made, lonely, lonely[::-1], np.zeros(0, bool)]


@pytest.mark.parametrize("bits", GAP_BITS)
def test_gaps_keep_places(bits):
    for mask in masks():
        codes = encode_gaps(mask, bits)
        assert codes.size == gap_sizes(mask)[bits]
        assert codes.size == 0 or codes.max() < 1 << bits
        np.testing.assert_array_equal(gap_positions(codes, bits), np.flatnonzero(mask))


def test_fillers_stand_for_long_gaps():
    mask = np.zeros(40, bool)
    mask[[0, 1, 17, 33]] = True
    np.testing.assert_array_equal(encode_gaps(mask, 4), [1, 1, 0, 1, 0, 1])


def test_decode_puts_values_in_place_and_fills_the_rest():
    mask = np.array([[False, True, False], [True, True, False]])
    sparse = Sparse.encode(Float(np.float32([1, 2, 3])), mask, fill=-1.0)
    np.testing.assert_array_equal(sparse.decode(), [[-1, 1, -1], [2, 3, -1]])
    np.testing.assert_array_equal(sparse.mask(), mask)
    np.testing.assert_array_equal(sparse.indices(), [1, 3, 4])
    assert sparse.zeros == 0.5
    again = sparse.with_values(Codes(np.array([7, 8, 9], np.uint8), 8))
    np.testing.assert_array_equal(again.decode(), [[0, 7, 0], [8, 9, 0]])


@pytest.mark.parametrize("zeros", [0.1, 0.5, 0.6, 0.8, 0.9, 0.95, 0.99])
def test_encode_takes_the_smallest_form(zeros):
    rng = np.random.default_rng(0)
    mask = rng.random((400, 300)) >= zeros
    kept = int(mask.sum())
    sizes = sparse_sizes(mask, 4)
    sparse = Sparse.encode(Codes(rng.integers(0, 16, kept, dtype=np.uint8), 4), mask)
    assert sparse.nbytes == sizes[sparse.form]
    others = min(size for form, size in sizes.items() if form not in ("dense", sparse.form))
    assert emitted_size(sparse, 13).total < others + 1024
    assert sparse.nbytes <= others + 512
    assert sizes["dense"] == 60_000


def test_all_and_none_kept():
    for kept in (True, False):
        mask = np.full((3, 4), kept)
        sparse = Sparse.encode(Float(np.arange(mask.sum(), dtype=np.float32)), mask)
        np.testing.assert_array_equal(sparse.decode(), np.arange(12).reshape(3, 4) * kept)
        assert sparse.zeros == 1 - kept


def test_levels_hold_the_fill():
    mask = np.array([True, False, True])
    sparse = Sparse.encode(Codes(np.array([2, 5], np.uint8), 3), mask)
    np.testing.assert_array_equal(sparse.levels(), [0, 2, 5])
    assert Sparse.encode(Float(np.float32([1, 2])), mask).levels() is None


def test_refuses_values_of_another_number():
    with pytest.raises(InternalError, match="2 kept"):
        Sparse.encode(Float(np.ones(3, np.float32)), np.array([True, True, False]))
