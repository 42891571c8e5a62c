"""Trunk and new head as a graph of their own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from core.analysis.runtime import run, session
from core.model.model import Model
from core.transfer.cuts import choose, find_cuts
from core.transfer.features import Trunk
from core.transfer.fitting import load_new
from core.transfer.fresh import write_fresh
from core.transfer.heads import Dense, Head, classes_metadata, new_head, write_head, write_transferred
from tests.core.transfer.toys import bars, save

FEED = {"image": bars(1)[0]}


@pytest.mark.parametrize("at", ["fc2", "conv2"])
@pytest.mark.parametrize("hidden", [0, 5])
def test_trunk_and_head_compute_what_they_say(make: Callable[..., Model], tmp_path: Path, at: str, hidden: int) -> None:
    model = make()
    cut = choose(find_cuts(model, FEED), at)
    head = new_head(cut.features, 4, hidden, seed=3)
    written = write_transferred(model, cut, head, tmp_path / "new.onnx", classes_metadata(["a", "b", "c", "d"]))
    onnx.checker.check_model(str(written.path), full_check=True)
    samples = load_new(save(tmp_path / "d.npz", 8), model.inputs)
    features = Trunk(model, cut, tmp_path).features(samples)
    assert features.shape == (8, cut.features)
    expected = features
    for number, dense in enumerate(head.layers):
        expected = np.maximum(expected, 0) if number else expected
        expected = expected @ dense.weight.T + dense.bias
    for index in range(8):
        (scores,) = run(session(written.path), samples.feed(index))
        np.testing.assert_allclose(scores[0], expected[index], atol=1e-6)
    assert json.loads(written.metadata["classes"]) == ["a", "b", "c", "d"]
    assert "character" not in written.metadata  # the old head's alphabet
    assert {layer.name for layer in written.layers}.isdisjoint(cut.removed)
    assert written.inputs == model.inputs
    assert written.outputs[0].shape == ("n", 4)


def test_a_head_takes_in_the_scales_of_its_features() -> None:
    rng = np.random.default_rng(0)
    features = rng.standard_normal((20, 3)).astype(np.float32) * [1, 10, 0] + [5, -2, 7]
    mean, deviation = features.mean(0), np.array([1.0, 10.0, 0.0])
    head = Head((Dense(rng.standard_normal((2, 3)).astype(np.float32), np.ones(2, np.float32)),))
    scaled = (features - mean) * [1, 0.1, 0]
    wanted = scaled @ head.layers[0].weight.T + 1
    behind = head.behind(mean, deviation).layers[0]
    np.testing.assert_allclose(features @ behind.weight.T + behind.bias, wanted, atol=1e-5)
    assert not behind.weight[:, 2].any()


def test_the_head_alone_is_a_model_of_features(tmp_path: Path) -> None:
    head = new_head(6, 3)
    model = write_head(head, 6, tmp_path / "head.onnx")
    feed = np.ones((2, 6), np.float32)
    (scores,) = run(session(model.path), {"features": feed})
    np.testing.assert_allclose(scores, feed @ head.layers[0].weight.T, atol=1e-6)


def test_fresh_weights_are_drawn_by_the_schemes_and_alike_with_a_seed(
    make: Callable[..., Model], tmp_path: Path
) -> None:
    model = make(channels=64)
    fresh = write_fresh(model, tmp_path / "fresh.onnx", seed=5)
    again = write_fresh(model, tmp_path / "again.onnx", seed=5)
    for layer in model.layers:
        weight = fresh.weight(layer.name)
        np.testing.assert_array_equal(weight, again.weight(layer.name))
        assert not np.array_equal(weight, model.weight(layer.name))
    conv2 = fresh.weight("conv2.weight")  # 64 x 3 x 3 inputs
    assert conv2.std() == pytest.approx(np.sqrt(2 / (64 * 9)), rel=0.05)
    biases = [t for t in onnx.load(fresh.path).graph.initializer if t.name.endswith("bias")]
    assert len(biases) == 4
    assert all(not onnx.numpy_helper.to_array(bias).any() for bias in biases)
