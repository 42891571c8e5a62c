"""Whole blocks, rows and columns that are kept: rebuilt in place, by nodes that fold at load, for a bit each."""

from __future__ import annotations

import numpy as np
import pytest

from core.encoding import Blocks, Codebook, Codes, Float, Tiling
from core.encoding.counting import emitted_size
from core.errors import InternalError

# shape, view, tile: blocks, rows and columns of matrices, and of convolutions seen as several axes
CASES = [
    ((1,), (1,), (1,)),
    ((8, 12), (8, 12), (4, 1)),
    ((8, 12), (8, 12), (1, 4)),
    ((8, 12), (8, 12), (1, 12)),
    ((8, 12), (8, 12), (8, 1)),
    ((16, 32), (16, 32), (4, 4)),
    ((6, 5, 3, 3), (6, 45), (2, 9)),
    ((6, 4, 3, 3), (2, 3, 4, 9), (1, 3, 1, 9)),
    ((2, 8, 5), (2, 8, 5), (1, 1, 5)),
]


def made(shape, view, tile, share=0.5) -> tuple[Blocks, np.ndarray, np.ndarray]:
    """Blocks of random numbers, the weight and its mask, cut by plain loops over the places of the grid."""
    rng = np.random.default_rng(5)
    weight = rng.normal(size=shape).astype(np.float32)
    tiling = Tiling(view, tile)
    kept = rng.random(tiling.blocks) >= share
    mask = np.zeros(view, bool)
    rows = []
    for number, place in enumerate(np.ndindex(*tiling.grid)):
        cut = tuple(slice(i * n, (i + 1) * n) for i, n in zip(place, tile, strict=True))
        mask[cut] = kept[number]
        if kept[number]:
            rows.append(weight.reshape(view)[cut].reshape(-1))
    values = np.array(rows, np.float32).reshape(len(rows), tiling.block_size)
    return Blocks.encode(Float(values), kept, tiling, shape), weight, mask.reshape(shape)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_blocks_come_back_in_their_places(case, share, rebuild) -> None:
    blocks, weight, mask = made(*case, share)
    np.testing.assert_array_equal(blocks.mask(), mask)
    np.testing.assert_array_equal(blocks.decode(), np.where(mask, weight, 0))
    np.testing.assert_array_equal(blocks.pick(weight), blocks.values.decode())
    np.testing.assert_array_equal(rebuild([blocks])[0], blocks.decode())
    assert emitted_size(blocks, 13).data - blocks.nbytes <= 256


def test_places_take_a_bit_a_block() -> None:
    blocks, _, mask = made((64, 256), (64, 256), (4, 1))
    assert blocks.nbytes == 4 * np.count_nonzero(mask) + 64 * 256 // 4 // 8
    assert blocks.zeros == pytest.approx(1 - mask.mean())


@pytest.mark.parametrize("case", CASES[1:], ids=str)
def test_all_is_folded_when_the_session_loads(case, operators_left) -> None:
    assert operators_left([made(*case)[0]]) == []


def test_codes_may_stand_in_for_values_with_a_fill_of_their_own(rebuild) -> None:
    blocks, _, mask = made((16, 32), (16, 32), (4, 4))
    codes = Codes(np.full(blocks.values.shape, 3, np.uint8), 4)
    filled = blocks.with_values(codes, fill=7.0)
    np.testing.assert_array_equal(filled.decode(), np.where(mask, 3, 7))
    np.testing.assert_array_equal(rebuild([filled])[0], filled.decode())
    table = np.float32([-1, 0.5, 2])
    levels = blocks.with_values(Codebook(Codes(codes.values % 3, 2), table)).levels()
    np.testing.assert_array_equal(levels, [-1, 0, 0.5, 2])


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(InternalError, match="do not divide"):
        Tiling((6, 4), (4, 1))
    tiling = Tiling((4, 4), (1, 4))
    with pytest.raises(InternalError, match="2 blocks"):
        Blocks.encode(Float(np.zeros((3, 4), np.float32)), np.array([1, 1, 0, 0], bool), tiling, (4, 4))
    with pytest.raises(InternalError, match="does not fit"):
        Blocks.encode(Float(np.zeros((2, 4), np.float32)), np.array([1, 1, 0, 0], bool), tiling, (4, 5))
