"""Floats are kept as they are or rounded to nearest even, never to infinity."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from core.encoding import Float
from core.errors import InternalError, LayerSkipped

SPECIAL = np.float32([0.0, -0.0, 1e-45, -1e-40, 6e-8, 1.0, 1.00390625, 1.01171875, 65504, np.inf, -np.inf, np.nan])


def test_float32_is_a_read_only_view():
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    decoded = Float(values).decode()
    assert np.shares_memory(decoded, values)
    assert not decoded.flags.writeable
    assert values.flags.writeable


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_rounding_is_torchs(dtype):
    bits = np.random.default_rng(1).integers(0, 1 << 32, 200_000, dtype=np.uint32).view(np.float32)
    with np.errstate(invalid="ignore"):
        values = np.concatenate([SPECIAL, bits[~(np.abs(bits) > 6e4)]])
    expected = torch.from_numpy(values).to(getattr(torch, dtype)).float().numpy()
    np.testing.assert_array_equal(Float(values, dtype).decode(), expected)


@pytest.mark.parametrize(("dtype", "fits", "overflows"), [("float16", 65519, 65520), ("bfloat16", 3.389e38, 3.4e38)])
def test_overflow_is_refused(dtype, fits, overflows):
    assert np.isfinite(Float(np.float32([[fits, -fits]]), dtype).decode()).all()
    with pytest.raises(LayerSkipped, match=f"2 of 3 weights are too large for {dtype}"):
        Float(np.float32([overflows, -overflows, 1]), dtype)


def test_sixteen_bits_do_not_keep_the_original():
    values = np.ones(4, np.float32)
    encoding = Float(values, "float16")
    assert encoding.stored.dtype == np.float16
    assert encoding.nbytes == 8


def test_refuses_other_types():
    with pytest.raises(InternalError, match="float64"):
        Float(np.ones(3))
    with pytest.raises(InternalError, match="float8"):
        Float(np.ones(3, np.float32), "float8")
