"""Sensitivity on the public models: predicted against measured, measured against a session for each cell."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from core.analysis.sensitivity.cells import Tier
from core.analysis.sensitivity.table import Asked, sensitivity
from core.data import Samples
from core.model.model import Model
from core.recipe import Step

pytestmark = pytest.mark.models

FEW = (
    (Step.make("quantize", bits=8),),
    (Step.make("quantize", bits=3),),
    (Step.make("prune", ratio=0.7),),
)
RANKED = {"lenet5", "vit_digits"}  # the bench ranks minilm as well, which takes minutes


def test_free_cells_of_every_model(model: Model, tmp_path: Path) -> None:
    """Every layer that is not locked has cells or reasons; milder settings of one kind err less."""
    found = sensitivity(model, None, Asked(Tier.FREE), cache=tmp_path)
    told = {skip.layer for skip in found.skipped} | set(found.by_layer)
    assert told == {layer.name for layer in model.layers}
    for cells in found.by_layer.values():
        by_label = {cell.label: cell.error for cell in cells}
        bits = [by_label[label] for label in ("int8", "int4", "int3") if label in by_label]
        assert all(b >= a * (1 - 1e-6) for a, b in pairwise(bits))  # a norm of few values may lose the same


def test_predicted_ranks_as_measured(name: str, model: Model, calib: Samples, tmp_path: Path) -> None:
    if name not in RANKED:
        pytest.skip("ranked by the bench")
    fast = sensitivity(model, calib, Asked(Tier.FAST), cache=tmp_path)
    measured = sensitivity(model, calib, Asked(Tier.MEASURED, everything=True, samples=16), cache=tmp_path)
    assert [(c.layer, c.steps) for c in fast.cells] == [(c.layer, c.steps) for c in measured.cells]
    rank = spearmanr([c.error for c in fast.cells], [c.error for c in measured.cells]).statistic
    assert rank >= 0.9


def test_every_model_can_be_measured(model: Model, calib: Samples, tmp_path: Path) -> None:
    """Also weights in Constant nodes and in branches, token inputs, a state, outputs that are maps.

    What is not measured says why: silero_vad has a branch for another sampling rate.
    """
    asked = Asked(Tier.MEASURED, FEW, everything=True, samples=1)
    found = sensitivity(model, calib, asked, cache=tmp_path)
    measured = {cell.layer for cell in found.cells if cell.tier == 2}
    told = {skip.layer for skip in found.skipped if not skip.steps}
    assert measured and measured | told >= set(found.by_layer) and not measured & told
    assert np.isfinite([cell.error for cell in found.cells]).all()
