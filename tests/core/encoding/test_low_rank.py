"""Two factors give the weight."""

from __future__ import annotations

import numpy as np
import pytest

from core.encoding import Codes, Float, LowRank
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
