"""Cutting a share of every group of a model, and what the masked original gives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from core.analysis.runtime import run, session
from core.model.coupling import Group, cut, find_groups, mask
from core.model.readers import open_model

Cutter = Callable[..., onnx.ModelProto]


def choose(groups: tuple[Group, ...], share: float, seed: int = 0) -> dict[Group, np.ndarray]:
    """Random units that stay, about 1 - share of each group."""
    rng = np.random.default_rng(seed)
    kept = {}
    for group in groups:
        stays = np.ones(group.units, bool)
        stays[rng.permutation(group.units)[: int(share * group.units)]] = False
        kept[group] = stays
    return kept


@pytest.fixture
def cut_equals_mask() -> Cutter:
    """cut_equals_mask(path, feed, share=0.5, tolerance=1e-5) -> the cut model, after both were run and compared."""

    def check(path: Path, feed: dict[str, np.ndarray], share: float = 0.5, tolerance: float = 1e-5) -> onnx.ModelProto:
        model = open_model(path)
        smaller, masked = model.graph(), model.graph()
        coupling, other = find_groups(smaller), find_groups(masked)
        cut(coupling, choose(coupling.groups, share))
        mask(other, choose(other.groups, share))
        proto = ir.serde.serialize_model(smaller)
        onnx.checker.check_model(proto, full_check=True)
        found = run(session(proto.SerializeToString()), feed)
        wanted = run(session(ir.serde.serialize_model(masked).SerializeToString()), feed)
        for a, b in zip(found, wanted, strict=True):
            assert a.shape == b.shape
            assert np.abs(b).max() > 0
            np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * np.abs(b).max())
        return proto

    return check
