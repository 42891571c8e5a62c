"""value = (code - zero_point) * scale, per tensor, channel or block, even or not."""

from __future__ import annotations

import numpy as np
import pytest

from core.encoding import Affine, Codes
from core.encoding.emitter import GraphEmitter
from core.errors import InternalError


def slow_blocks(codes: np.ndarray, scale: np.ndarray, zero_point: np.ndarray, axis: int, block: int) -> np.ndarray:
    """The definition, element by element."""
    value = np.empty(codes.shape, np.float32)
    for index in np.ndindex(codes.shape):
        at = (*index[:axis], index[axis] // block, *index[axis + 1 :])
        value[index] = (np.float32(codes[index]) - zero_point[at]) * scale[at]
    return value


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("block", [1, 2, 3, 5, 6, 100])
def test_blocks_along_any_axis(axis, block):
    rng = np.random.default_rng(block)
    codes = rng.integers(0, 16, (4, 6, 5), dtype=np.uint8)
    blocks = [4, 6, 5]
    blocks[axis] = -(-blocks[axis] // block)
    scale, zero_point = rng.random(blocks).astype(np.float32), rng.integers(0, 16, blocks).astype(np.float32)
    encoding = Affine(Codes(codes, 4), scale, zero_point, axis, block)
    np.testing.assert_array_equal(encoding.decode(), slow_blocks(codes, scale, zero_point, axis, block))


def test_symmetric_bytes_take_two_nodes_and_share_nothing():
    codes = np.array([[-127, 5], [0, 127]], np.int8)
    encoding = Affine(Codes(codes, 8, signed=True), np.float32([[0.5], [2]]))
    emitter = GraphEmitter(7, iter("abcdefgh").__next__)
    emitter.emit(encoding, "value")
    assert [node.op for node in emitter.nodes] == ["Cast", "Mul"]
    assert [tensor.array.shape for tensor in emitter.tensors] == [(2, 2), (2, 1)]
    assert encoding.nbytes == 4 + 8
    np.testing.assert_array_equal(encoding.decode(), [[-63.5, 2.5], [0, 254]])


def test_codes_stay_unchanged():
    codes = np.ones((3, 3), np.uint8)
    encoding = Affine(Codes(codes, 8), np.float32(2), np.float32(3))
    np.testing.assert_array_equal(encoding.decode(), encoding.decode())
    assert (codes == 1).all()


def test_whole_zero_points_are_stored_small():
    codes = Codes(np.zeros((1000, 8), np.uint8), 4)
    scale = np.ones((1000, 1), np.float32)
    sizes = {}
    for name, zero_point in {
        "one": np.full((1000, 1), 7.0),
        "four bits": np.arange(1000).reshape(-1, 1) % 16,
        "eight bits": np.arange(1000).reshape(-1, 1) % 256,
        "broken": np.arange(1000).reshape(-1, 1) / 8,
    }.items():
        encoding = Affine(codes, scale, zero_point)
        np.testing.assert_array_equal(encoding.decode(), np.broadcast_to(-np.float32(zero_point), (1000, 8)))
        sizes[name] = encoding.nbytes - codes.nbytes - scale.nbytes
    assert sizes == {"one": 0, "four bits": 500, "eight bits": 1000, "broken": 4000}


def test_levels_are_those_that_occur():
    codes = Codes(np.array([0, 3, 3, 9], np.uint8), 4)
    np.testing.assert_array_equal(Affine(codes, np.float32(0.5), np.float32(8)).levels(), [-4, -2.5, 0.5])
    assert Affine(codes, np.float32([1, 2, 3, 4])).levels() is None


@pytest.mark.parametrize(
    ("scale", "axis", "block"), [((3,), None, 0), ((4, 2), None, 0), ((4, 3), 1, 3), ((4, 6), 1, 2), ((2, 2), 2, 2)]
)
def test_refuses_scales_that_do_not_fit(scale, axis, block):
    with pytest.raises(InternalError, match=r"does not fit|need an axis"):
        Affine(Codes(np.zeros((4, 6), np.uint8), 4), np.ones(scale, np.float32), None, axis, block)
