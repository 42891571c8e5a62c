"""Tier 1 against numbers worked out by hand and against what is measured."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from core.analysis.sensitivity.cells import Cell, LayerCells
from core.analysis.sensitivity.gradients import MAX_BYTES, Predicting
from core.analysis.sensitivity.measured import Measuring
from core.analysis.sensitivity.originals import run_originals
from core.analysis.sensitivity.suffixes import Suffixes
from core.data import Samples
from core.model.model import Model
from core.progress import SILENT
from core.recipe import Step
from tests.core.analysis.sensitivity.conftest import SETTINGS, trials_for

WithData = Callable[..., tuple[Model, Samples]]


def predicted(model: Model, samples: Samples, max_bytes: int = MAX_BYTES) -> list[LayerCells]:
    with Suffixes(model) as suffixes:
        originals = run_originals(model, suffixes, samples, SILENT)
        trials_of = trials_for(model).of
        predicting = Predicting(model, samples, originals, suffixes, trials_of, len(SETTINGS), max_bytes=max_bytes)
        return list(predicting.layers(model.layers, SILENT))


def cells_of(found: list[LayerCells]) -> list[Cell]:
    return [cell for layer in found for cell in layer.cells]


def test_a_linear_model_by_hand(make_model: Callable[..., Path], with_data: WithData) -> None:
    """y = x W: the squared error is |x D|^2 / |x W|^2 exactly, and the prediction its unbiased estimate."""
    weight = np.random.default_rng(3).standard_normal((32, 4)).astype(np.float32)
    path = make_model([helper.make_node("MatMul", ["x", "w"], ["y"])], {"w": weight}, {"x": ["n", 32]}, {"y": ["n", 4]})
    x = np.random.default_rng(4).standard_normal((2000, 32)).astype(np.float32)
    model, samples = with_data(path, x=x)
    cells = cells_of(predicted(model, samples))
    assert len(cells) == len(SETTINGS)
    for cell, trial in zip(cells, trials_for(model).of(model.layer("w")).trials, strict=True):
        change = trial.encoding.decode() - weight
        assert cell.error == pytest.approx(np.sum((x @ change) ** 2) / np.sum((x @ weight) ** 2), rel=0.15)
        assert cell.tier == 1


@pytest.mark.parametrize("softmax", [False, True])
def test_class_scores_against_the_measured_divergence(
    make_model: Callable[..., Path], with_data: WithData, softmax: bool
) -> None:
    """For small changes the Fisher form is the KL divergence."""
    random = np.random.default_rng(3)
    weights = {"w": random.normal(0, 0.3, (24, 32)).astype(np.float32), "v": random.normal(0, 0.3, (32, 5))}
    weights["v"] = weights["v"].astype(np.float32)
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("Tanh", ["h"], ["t"]),
        helper.make_node("MatMul", ["t", "v"], ["logits"]), helper.make_node("Softmax", ["logits"], ["p"], axis=-1),
    ][: 4 if softmax else 3]  # fmt: skip
    path = make_model(nodes, weights, {"x": ["n", 24]}, {"p" if softmax else "logits": ["n", 5]})
    model, samples = with_data(path, x=random.standard_normal((1500, 24)).astype(np.float32))
    found = {(cell.layer, cell.steps): cell.error for cell in cells_of(predicted(model, samples))}
    with Suffixes(model) as suffixes:
        originals = run_originals(model, suffixes, samples, SILENT)
        sizes = dict.fromkeys([value for name in weights for value in suffixes.frontier(name)], 128)
        measuring = Measuring(model, suffixes, originals, trials_for(model).of)
        measured = cells_of(list(measuring.layers(model.layers, sizes, SILENT)))
    mild = (Step.make("quantize", bits=8),)
    for cell in measured:
        if cell.steps == mild:
            assert found[cell.layer, cell.steps] == pytest.approx(cell.error, rel=0.2)


def test_little_memory_gives_the_same(cnn: tuple[Model, Samples]) -> None:
    """One layer a pass instead of all: the probes are drawn alike."""
    plenty, little = cells_of(predicted(*cnn)), cells_of(predicted(*cnn, max_bytes=1))
    assert [c.error for c in plenty] == pytest.approx([c.error for c in little], rel=1e-4)
    assert [c.layer for c in plenty] == [c.layer for c in little]


def test_a_layer_without_gradient_keeps_the_error_of_its_weight(
    make_model: Callable[..., Path], with_data: WithData
) -> None:
    weights = {name: np.random.default_rng(4).normal(0, 0.4, (16, 16)).astype(np.float32) for name in ("w", "dead")}
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"]), helper.make_node("MatMul", ["x", "dead"], ["z"])]
    model, samples = with_data(
        make_model(nodes, weights, {"x": ["n", 16]}, {"y": ["n", 16]}),
        x=np.random.default_rng(5).standard_normal((3, 16)).astype(np.float32),
    )
    found = {layer.layer: layer for layer in predicted(model, samples)}
    assert found["dead"].skipped[-1].reason == "not predicted: no gradient of the outputs reaches it"
    assert {cell.tier for cell in found["dead"].cells} == {0} and {cell.tier for cell in found["w"].cells} == {1}
