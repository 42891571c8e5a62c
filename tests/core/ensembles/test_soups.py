"""Averaging weights: what corresponds, what the mean is, and which members stay."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import helper, numpy_helper

from core.analysis.runtime import run, session
from core.ensembles.soups import greedy, ingredients
from core.errors import ModelFileError
from core.exporting.export import export
from core.model.model import Model
from core.model.readers import open_model
from core.pipeline import compress
from core.recipe import Recipe
from tests.core.ensembles.models import HIDDEN, classifier, rows, weights


def opened(folder: Path, count: int = 3, hidden: int = HIDDEN) -> list[Model]:
    return [open_model(classifier(folder / f"m{seed}.onnx", seed, hidden=hidden)) for seed in range(count)]


def test_the_mean_of_members_weights(tmp_path: Path) -> None:
    mix = ingredients(opened(tmp_path))
    assert len(mix.pairs) == 4 and mix.notes == ()
    ir.save(mix.mixed([0, 2]), tmp_path / "out.onnx")
    found = open_model(tmp_path / "out.onnx")
    for name in ("a.weight", "b.weight"):
        np.testing.assert_allclose(found.weight(name), (weights(0)[name] + weights(2)[name]) / 2, atol=1e-7)
    wanted = {name: (weights(0)[name] + weights(2)[name]) / 2 for name in weights(0)}
    x = rows(4)
    hidden = np.maximum(x @ wanted["a.weight"] + wanted["a.bias"], 0)
    got = run(session(tmp_path / "out.onnx"), {"x": x})[0]
    np.testing.assert_allclose(got, hidden @ wanted["b.weight"] + wanted["b.bias"], atol=1e-5)


def test_compressed_members_are_averaged_as_what_they_decode_to(tmp_path: Path) -> None:
    compressed = []
    for model in opened(tmp_path, hidden=256):
        recipe = Recipe.parse("featherweight: 1\ndefaults: [{quantize: {bits: 4}}]", model=model)
        target = tmp_path / f"small-{model.name}"
        export(model, compress(model, recipe), target)
        compressed.append(open_model(target))
    assert all(layer.locked for layer in compressed[0].layers)
    mix = ingredients(compressed)
    assert "compress the result again" in mix.notes[0]
    ir.save(mix.mixed([0, 1, 2]), tmp_path / "out.onnx")
    found = open_model(tmp_path / "out.onnx")
    for layer in found.layers:
        assert not layer.locked
        mean = np.mean([model.weight(layer.name) for model in compressed], 0)
        np.testing.assert_allclose(found.weight(layer.name), mean, atol=1e-6)


def test_members_whose_weights_do_not_correspond_are_refused_with_the_reason(tmp_path: Path) -> None:
    first = open_model(classifier(tmp_path / "a.onnx", 0))
    other = onnx.load(classifier(tmp_path / "b.onnx", 1))
    other.graph.node[1].op_type = "Tanh"
    onnx.save(other, tmp_path / "b.onnx")
    with pytest.raises(ModelFileError, match=r"a.onnx has Relu relu where it has Tanh"):
        ingredients([first, open_model(tmp_path / "b.onnx")])

    wide = onnx.load(classifier(tmp_path / "c.onnx", 1))
    shapes = {"a.weight": (6, 9), "a.bias": (9,), "b.weight": (9, 4)}
    for tensor in wide.graph.initializer:
        if tensor.name in shapes:
            tensor.CopyFrom(numpy_helper.from_array(np.ones(shapes[tensor.name], np.float32), tensor.name))
    onnx.save(wide, tmp_path / "c.onnx")
    with pytest.raises(ModelFileError, match=r"'a.weight' is float 6 x 9 and 'a.weight' of a.onnx float 6 x 8"):
        ingredients([first, open_model(tmp_path / "c.onnx")])

    with pytest.raises(ModelFileError, match=r"it has 4 operators and a.onnx has 3"):
        ingredients([first, open_model(classifier(tmp_path / "d.onnx", 1, last="Softmax"))])


def test_another_attribute_or_connection_is_named(tmp_path: Path) -> None:
    first = open_model(classifier(tmp_path / "a.onnx", 0))
    other = onnx.load(classifier(tmp_path / "b.onnx", 1))
    other.graph.node[0].attribute.append(helper.make_attribute("alpha", 2.0))
    onnx.save(other, tmp_path / "b.onnx")
    with pytest.raises(ModelFileError, match="attribute alpha"):
        ingredients([first, open_model(tmp_path / "b.onnx")])


def test_greedy_keeps_members_that_do_not_make_the_mean_worse() -> None:
    helps = {0: 0.0, 1: -0.1, 2: 0.2, 3: 0.0}
    chosen, trail = greedy([2, 0, 1, 3], lambda members: sum(helps[m] for m in members))
    assert chosen == (2, 0, 3)
    assert [(member, stays) for member, _, stays in trail] == [(2, True), (0, True), (1, False), (3, True)]
