"""Two factors give the weight."""

from __future__ import annotations

import numpy as np
import pytest

from core.encoding import Codes, ConvChain, Float, LowRank
from core.errors import InternalError


def test_decode_is_the_product():
    rng = np.random.default_rng(0)
    left, right = rng.normal(size=(6, 2)).astype(np.float32), rng.normal(size=(2, 8)).astype(np.float32)
    encoding = LowRank(Float(left), Float(right), (6, 2, 4))
    np.testing.assert_array_equal(encoding.decode(), (left @ right).reshape(6, 2, 4))
    assert encoding.nbytes == 4 * (12 + 16)
    assert encoding.describe() == "rank 2"


def test_describes_how_factors_are_stored():
    left, right = Codes(np.ones((3, 2), np.uint8), 4), Codes(np.ones((2, 3), np.uint8), 4)
    assert LowRank(left, right, (3, 3)).describe() == "rank 2 · int4"


@pytest.mark.parametrize(("right", "shape"), [((3, 4), (5, 4)), ((2, 4), (5, 5)), ((8,), (5, 4))])
def test_refuses_factors_that_do_not_fit(right, shape):
    with pytest.raises(InternalError):
        LowRank(Float(np.ones((5, 2), np.float32)), Float(np.ones(right, np.float32)), shape)


def test_a_row_of_convolutions_is_one_kernel():
    rng = np.random.default_rng(2)
    first, last = rng.normal(size=(3, 5, 4, 1)), rng.normal(size=(6, 3, 1, 2))
    chain = ConvChain((Float(first.astype(np.float32)), Float(last.astype(np.float32))))
    assert chain.shape == (6, 5, 4, 2)
    assert chain.describe() == "4x1, 1x2 of rank 3"
    np.testing.assert_allclose(chain.decode(), np.einsum("riy,orx->oiyx", first[..., 0], last[:, :, 0]), atol=1e-5)


@pytest.mark.parametrize("shapes", [((3, 5, 4, 1),), ((3, 5, 4, 1), (6, 2, 1, 2)), ((3, 5, 4, 1), (6, 3, 2, 1))])
def test_convolutions_that_do_not_follow_each_other_are_refused(shapes):
    with pytest.raises(InternalError, match="convolutions"):
        ConvChain(tuple(Float(np.ones(shape, np.float32)) for shape in shapes))
