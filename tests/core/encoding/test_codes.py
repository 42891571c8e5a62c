"""Codes and codebooks refuse what they cannot hold."""

from __future__ import annotations

import numpy as np
import pytest

from core.encoding import Codebook, Codes
from core.encoding.counting import emitted_size
from core.errors import InternalError


def test_signed_levels_are_sorted():
    np.testing.assert_array_equal(Codes(np.array([5, -3, 0], np.int8), 8, signed=True).levels(), [-3, 0, 5])


@pytest.mark.parametrize(
    ("values", "bits", "signed"),
    [
        (np.uint8([4]), 2, False),
        (np.uint8([1]), 0, False),
        (np.uint8([1]), 9, False),
        (np.int8([1]), 4, True),
        (np.int8([1]), 8, False),
        (np.uint8([1]), 8, True),
        (np.int32([1]), 8, False),
    ],
)
def test_codes_refuse(values, bits, signed):
    with pytest.raises(InternalError):
        Codes(values, bits, signed)


def test_codebook_looks_up():
    encoding = Codebook(Codes(np.array([[2, 0], [1, 1]], np.uint8), 2), np.float32([-1.1, 0, 1.1]), "float16")
    np.testing.assert_array_equal(encoding.decode(), np.float16([[1.1, -1.1], [0, 0]]).astype(np.float32))
    np.testing.assert_array_equal(encoding.levels(), np.float16([-1.1, 0, 1.1]).astype(np.float32))
    assert encoding.nbytes == 4 + 6  # four codes are not worth packing
    assert encoding.describe() == "3 levels"


@pytest.mark.parametrize("table", [np.zeros(2), np.zeros(0), np.zeros(257), np.zeros((2, 2))])
def test_codebook_refuses(table):
    with pytest.raises(InternalError):
        Codebook(Codes(np.array([2], np.uint8), 2), table)


@pytest.mark.parametrize("bits", range(1, 8))
def test_codes_are_packed_as_soon_as_that_is_smaller(bits):
    """At no number of codes would whole bytes have taken much less of the file, or packing have saved much."""
    for size in range(8, 640, 8):
        values = np.arange(size).astype(np.uint8) % 2
        chosen, whole = emitted_size(Codes(values, bits), 13), emitted_size(Codes(values, 8), 13)
        assert chosen.total < whole.total + 70  # constants that other weights share
        saved = size - size * bits / 8
        assert chosen.data < whole.data or saved <= 185


def test_many_codes_take_their_bits():
    for bits in range(1, 9):
        assert Codes(np.zeros((400, 20), np.uint8), bits).nbytes == 1000 * bits
