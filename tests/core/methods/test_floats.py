"""16-bit floats: rounding, overflow, and what is left alone."""

from __future__ import annotations

import numpy as np
import pytest

from core.encoding import Float
from core.errors import LayerSkipped
from core.methods._float_types import Nothing
from core.methods.bfloat16 import BFloat16
from core.methods.float16 import Float16
from core.methods.prune import Prune, PruneParams


def test_float16_rounds_to_nearest_even(rng, context_of) -> None:
    weight = rng.normal(size=(30, 20)).astype(np.float32)
    found = Float16().apply(Float(weight), Nothing(), context_of(weight))
    np.testing.assert_array_equal(found.decode(), weight.astype(np.float16).astype(np.float32))


def test_overflow_is_a_reason_for_float16_and_none_for_bfloat16(context_of) -> None:
    weight = np.float32([[1.0, 70_000.0]])
    with pytest.raises(LayerSkipped, match="1 of 2 weights are too large for float16"):
        Float16().apply(Float(weight), Nothing(), context_of(weight))
    wide = BFloat16().apply(Float(weight), Nothing(), context_of(weight)).decode()
    assert wide[0, 1] == pytest.approx(70_000, rel=4e-3)


def test_twice_is_refused_and_pruned_values_are_rounded_in_place(rng, context_of) -> None:
    weight = rng.normal(size=(30, 20)).astype(np.float32)
    once = Float16().apply(Float(weight), Nothing(), context_of(weight))
    with pytest.raises(LayerSkipped, match="already stored as float16"):
        BFloat16().apply(once, Nothing(), context_of(weight))
    sparse = Prune().apply(Float(weight), PruneParams(ratio=0.5), context_of(weight))
    found = BFloat16().apply(sparse, Nothing(), context_of(weight))
    assert sparse.nbytes - found.nbytes == 2 * 300
