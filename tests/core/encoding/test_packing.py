"""Codes of any width pack to the bit."""

from __future__ import annotations

import numpy as np
import pytest

from core.encoding.packing import PLANES, pack, packed_bytes


def unpack(packed: np.ndarray, bits: int, size: int) -> np.ndarray:
    """The layout's definition, on bits: planes, each of segments one after the other."""
    width, planes = PLANES[bits]
    codes = np.zeros(size, np.uint8)
    for plane in range(planes):
        digits = np.unpackbits(packed[plane]).reshape(-1, 8 // width, width)  # (byte, segment, bit)
        numbers = digits @ (1 << np.arange(width)[::-1])
        codes += (numbers.T.reshape(-1)[:size] << plane * width).astype(np.uint8)
    return codes


@pytest.mark.parametrize("bits", range(1, 8))
@pytest.mark.parametrize("size", [0, 1, 2, 7, 8, 9, 63, 64, 65, 1000])
def test_pack_follows_its_layout(bits, size):
    codes = np.random.default_rng(size).integers(0, 1 << bits, size, dtype=np.uint8)
    packed = pack(codes, bits)
    assert packed.dtype == np.uint8
    assert packed.nbytes == packed_bytes(size, bits)
    np.testing.assert_array_equal(unpack(packed, bits, size), codes)


@pytest.mark.parametrize("bits", range(1, 9))
def test_padding_is_less_than_a_byte_a_plane(bits):
    for size in range(1, 70):
        padding = packed_bytes(size, bits) - size * bits / 8
        assert 0 <= padding < (PLANES[bits][1] if bits < 8 else 1)


def test_layout_of_four_bits():
    # first half in the high nibbles, second half in the low ones, padded at the end
    np.testing.assert_array_equal(pack(np.array([1, 2, 3, 4, 5], np.uint8), 4), [[0x14, 0x25, 0x30]])


def test_layout_of_three_bits():
    # planes of one bit, lowest first; the first code in the highest bit
    np.testing.assert_array_equal(pack(np.array([1, 2, 4, 7], np.uint8), 3), [[0b10010000], [0b01010000], [0b00110000]])
