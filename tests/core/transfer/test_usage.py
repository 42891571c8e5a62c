"""What new data does not use."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from core.analysis.runtime import run, session
from core.model.model import Model
from core.transfer.cuts import choose, find_cuts
from core.transfer.fitting import load_new
from core.transfer.heads import head_names, new_head, write_transferred
from core.transfer.usage import LayerPull, Usage, cut_unused, measure_usage
from tests.core.transfer.toys import bars, save


@pytest.fixture
def headed(make: Callable[..., Model], tmp_path: Path) -> Model:
    """The network with three channels that always give 0.5, and a new head."""
    model = make(dead=3)
    cut = choose(find_cuts(model, {"image": bars(1)[0]}), "")
    return write_transferred(model, cut, new_head(16, 4), tmp_path / "headed.onnx")


def test_constant_channels_are_seen_and_cut_without_a_change(headed: Model, tmp_path: Path) -> None:
    samples = load_new(save(tmp_path / "d.npz"), headed.inputs)
    usage = measure_usage(headed, samples, head_names(new_head(16, 4)))
    conv1 = next(one for one in usage.channels if one.title == "conv1")
    assert (conv1.use[:3] == 0).all()
    assert 3 <= conv1.silent < 8  # and those of random weights that are never above zero
    assert conv1.use.mean() == pytest.approx(1.0)
    smaller, lines = cut_unused(headed, samples, usage, 1e-4, tmp_path / "cut.onnx")
    assert any(line.startswith(f"conv1: {8 - conv1.silent} of 8") for line in lines)
    assert smaller.layer("conv1.weight").shape[0] == 8 - conv1.silent
    before, after = session(headed.path), session(smaller.path)
    for feed in samples.feeds(4):  # the constants went into the bias; at the padded border fewer of them count
        (wanted,), (found,) = run(before, feed), run(after, feed)
        assert np.abs(wanted - found).max() < 0.2 * np.abs(wanted).max() + 0.05


def test_pulls_are_told_for_every_layer_before_the_head(headed: Model, tmp_path: Path) -> None:
    samples = load_new(save(tmp_path / "d.npz"), headed.inputs)
    usage = measure_usage(headed, samples, head_names(new_head(16, 4)))
    assert [one.title for one in usage.pulls] == ["conv1", "conv2", "fc1"]
    assert all(one.pull > 0 for one in usage.pulls)


def test_settled_layers_are_the_first_ones_that_hardly_want_to_change() -> None:
    pulls = tuple(LayerPull(name, name, pull) for name, pull in (("a", 0.1), ("b", 0.2), ("c", 1.0), ("d", 0.0)))
    usage = Usage("", (), pulls)
    assert usage.settled(0.25) == ("a", "b")
    assert usage.settled(0.15) == ("a",)
    assert usage.settled(0.05) == ()


def test_the_threshold_for_a_share_leaves_the_others(headed: Model, tmp_path: Path) -> None:
    samples = load_new(save(tmp_path / "d.npz"), headed.inputs)
    usage = measure_usage(headed, samples, head_names(new_head(16, 4)))
    total = sum(one.units for one in usage.channels)
    threshold = usage.threshold_for(0.5)
    assert sum(one.below(threshold) for one in usage.channels) == pytest.approx(total / 2, abs=1)
    smaller, _ = cut_unused(headed, samples, usage, 10.0, tmp_path / "one.onnx")  # the best of each group stays
    assert [layer.shape[0] for layer in smaller.layers] == [1, 1, 1, 4]
