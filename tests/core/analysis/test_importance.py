"""Squared gradients: against numbers worked out by hand, and against the true change of the outputs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from core.analysis.importance import gradient_squares
from core.data import Samples, load_samples
from core.errors import Cancelled, DataError, FeatherweightError
from core.interpreter.module import TorchGraph
from core.interpreter.tensors import from_array
from core.model.model import Model
from core.model.readers import open_model
from core.progress import Progress, Reporter
from core.sample import SamplePaths

MlpData = tuple[Model, Samples]


def _samples(model: Model, tmp_path: Path, x: np.ndarray) -> Samples:
    np.savez(tmp_path / "x.npz", x=x)
    return load_samples(tmp_path / "x.npz", model.inputs)


@pytest.fixture
def mlp(mlp_path: Path, tmp_path: Path) -> MlpData:
    model = open_model(mlp_path)
    return model, _samples(model, tmp_path, np.random.default_rng(2).standard_normal((40, 16)).astype(np.float32))


def test_a_linear_layer_by_hand(make_model: Callable[..., Path], tmp_path: Path) -> None:
    """y = x W: over probes, E[(dp/dw_ij)^2] is x_i^2 / mean(y^2) for every output j."""
    weight = np.random.default_rng(3).standard_normal((5, 4)).astype(np.float32)
    path = make_model([helper.make_node("MatMul", ["x", "w"], ["y"])], {"w": weight}, {"x": ["n", 5]}, {"y": ["n", 4]})
    model = open_model(path)
    x = np.tile(np.array([[1, -2, 0, 0.5, 3]], np.float32), (3000, 1))
    found = gradient_squares(model, _samples(model, tmp_path, x), ["w"], limit=3000)["w"]
    expected = x[0] ** 2 / np.mean((x[0] @ weight) ** 2)
    np.testing.assert_allclose(found, np.tile(expected[:, None], (1, 4)), rtol=0.15)


def test_ranks_channels_by_what_cutting_them_changes(sample: SamplePaths) -> None:
    """Spearman's correlation of importance per channel with the measured squared change of the outputs."""
    from scipy.stats import spearmanr

    model = open_model(sample.model)
    data = load_samples(sample.calib, model.inputs)
    layer = next(layer for layer in model.layers if layer.output_axis == 0 and layer.shape[0] >= 8)
    weight = np.asarray(model.weight(layer.name))
    squares = gradient_squares(model, data, [layer.name], limit=64)[layer.name]
    axes = tuple(range(1, weight.ndim))
    importance = (weight**2 * squares).sum(axis=axes)
    graph = TorchGraph(model.graph(), [layer.name])
    feeds = [{name: from_array(array) for name, array in feed.items()} for feed in data.feeds(32)]
    changes = _changes_without_channels(graph, layer.name, feeds)
    assert spearmanr(importance, changes).statistic > 0.6


def _changes_without_channels(graph: TorchGraph, name: str, feeds: list) -> list[float]:
    import torch

    parameter, changes = graph.weights[name], []
    with torch.no_grad():
        kept = parameter.clone()
        before = [torch.cat([y.flatten() for y in graph(feed).values()]) for feed in feeds]
        for channel in range(len(kept)):
            parameter[channel] = 0
            after = [torch.cat([y.flatten() for y in graph(feed).values()]) for feed in feeds]
            parameter.copy_(kept)
            changes.append(sum(float(((a - b) / b.square().mean().sqrt()).square().sum())
                               for a, b in zip(after, before, strict=True)))  # fmt: skip
    return changes


def test_seed_decides(mlp: MlpData) -> None:
    model, samples = mlp
    first, again, other = (gradient_squares(model, samples, ["fc1.weight"], limit=4, seed=s) for s in (1, 1, 2))
    np.testing.assert_array_equal(first["fc1.weight"], again["fc1.weight"])
    assert not np.array_equal(first["fc1.weight"], other["fc1.weight"])
    assert first["fc1.weight"].dtype == np.float32
    assert first["fc1.weight"].shape == (32, 16)


def test_layers_without_a_gradient(make_model: Callable[..., Path], tmp_path: Path) -> None:
    """What is rounded to whole numbers on its way has none: left out beside others, an error alone."""
    nodes = [
        helper.make_node("MatMul", ["x", "a"], ["h"]),
        helper.make_node("Cast", ["h"], ["i"], to=7),
        helper.make_node("Cast", ["i"], ["f"], to=1),
        helper.make_node("MatMul", ["f", "b"], ["y"]),
    ]
    weights = {name: np.full((4, 4), 2, np.float32) for name in "ab"}
    model = open_model(make_model(nodes, weights, {"x": ["n", 4]}, {"y": ["n", 4]}))
    samples = _samples(model, tmp_path, np.ones((3, 4), np.float32))
    assert list(gradient_squares(model, samples, ["a", "b"])) == ["b"]
    with pytest.raises(FeatherweightError, match="no gradient of the outputs reaches"):
        gradient_squares(model, samples, ["a"])


def test_missing_operators_are_named(make_model: Callable[..., Path], tmp_path: Path) -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("Det", ["h"], ["y"])]
    model = open_model(make_model(nodes, {"w": np.eye(4, dtype=np.float32)}, {"x": [4, 4]}, {"y": []}))
    samples = _samples(model, tmp_path, np.ones((1, 4, 4), np.float32))
    with pytest.raises(FeatherweightError, match="operator Det"):
        gradient_squares(model, samples, ["w"])


def test_weights_that_are_no_numbers(make_model: Callable[..., Path], tmp_path: Path) -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    model = open_model(make_model(nodes, {"w": np.full((4, 2), np.nan, np.float32)}, {"x": ["n", 4]}, {"y": ["n", 2]}))
    samples = _samples(model, tmp_path, np.ones((2, 4), np.float32))
    with pytest.raises(FeatherweightError, match="gradients are not numbers"):
        gradient_squares(model, samples, ["w"])


def test_no_samples_and_cancelling(mlp: MlpData) -> None:
    from dataclasses import replace

    model, samples = mlp
    with pytest.raises(DataError, match="no samples"):
        gradient_squares(model, replace(samples, order=samples.order[:0]), ["fc1.weight"])
    stop, seen = threading.Event(), []

    def watch(progress: Progress) -> None:
        seen.append(progress.done)
        if progress.done > 0.3:
            stop.set()

    with pytest.raises(Cancelled):
        gradient_squares(model, samples, ["fc1.weight"], limit=10, reporter=Reporter(watch, stop))
    assert max(seen) < 0.6
