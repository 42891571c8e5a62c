"""Lossless clean-up of constants: computed once, stored once, and the size foretold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper

from core.analysis.runtime import run, session
from core.exporting.constants import fold_constants, merge_identical
from core.exporting.sizes import SizeModel
from core.exporting.writer import assemble
from core.model.readers import open_model
from core.pipeline import compress
from core.recipe import Recipe


@pytest.fixture
def path(make_model) -> Path:
    """x @ w + bias, by way of a shape that is joined from two constants; equal biases and equal layers stored twice."""
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(32, 32)).astype(np.float32)
    bias = np.full(32, 0.5, np.float32)
    tensors = {
        "first": weight, "second": weight.copy(), "b1": bias, "b2": bias.copy(),
        "batch": np.array([-1], np.int64), "width": np.array([32], np.int64),
    }  # fmt: skip
    nodes = [
        helper.make_node("Concat", ["batch", "width"], ["shape"], axis=0),
        helper.make_node("Reshape", ["x", "shape"], ["flat"]),
        helper.make_node("MatMul", ["flat", "first"], ["h1"]),
        helper.make_node("Add", ["h1", "b1"], ["h2"]),
        helper.make_node("MatMul", ["h2", "second"], ["h3"]),
        helper.make_node("Add", ["h3", "b2"], ["y"]),
    ]
    return make_model(nodes, tensors, {"x": ["n", 4, 8]}, {"y": ["n", 32]})


def written(graph: ir.Model, path: Path) -> Path:
    ir.external_data.load_to_model(graph)
    path.write_bytes(ir.to_proto(graph).SerializeToString(deterministic=True))
    return path


def test_constant_computations_are_done_once(path: Path, tmp_path: Path) -> None:
    model = open_model(path)
    graph = model.graph()
    assert fold_constants(graph, {"first", "second"}) == 1
    assert "Concat" not in {node.op_type for node in graph.graph}
    feed = {"x": np.random.default_rng(1).normal(size=(3, 4, 8)).astype(np.float32)}
    after = run(session(written(graph, tmp_path / "out.onnx")), feed)[0]
    np.testing.assert_array_equal(after, run(session(path), feed)[0])


def test_equal_tensors_are_merged_except_those_to_keep(path: Path) -> None:
    graph = open_model(path).graph()
    assert merge_identical(graph, {"first", "second"}) == 1
    assert set(graph.graph.initializers) >= {"first", "second", "b1"}
    assert merge_identical(graph) == 1
    assert "second" not in graph.graph.initializers


@pytest.mark.parametrize("recipe", ["defaults: []", "defaults: [float16]", "layers: {first: [{quantize: {bits: 8}}]}"])
def test_the_size_of_merged_layers_is_foretold(path: Path, tmp_path: Path, recipe: str) -> None:
    model = open_model(path)
    done = compress(model, Recipe.parse(f"featherweight: 1\n{recipe}\n"))
    encodings = {r.name: r.encoding for r in done.layers if r.encoding is not None}
    sizes = SizeModel(model)
    foretold = sizes.predict({name: sizes.emitted(name, e) for name, e in encodings.items()})
    out = written(assemble(model, encodings).graph, tmp_path / "out.onnx")
    assert foretold == pytest.approx(out.stat().st_size, rel=0.03)
    if recipe == "defaults: [float16]":
        assert out.stat().st_size < 0.4 * path.stat().st_size


def test_what_clean_up_saved_adds_up(path: Path) -> None:
    model = open_model(path)
    sizes = SizeModel(model, list_savings=True)
    assert sum(saving.nbytes for saving in sizes.savings) == pytest.approx(model.file_bytes - sizes.base, abs=40)
    assert any("merged" in saving.what for saving in sizes.savings)


def test_what_cannot_be_computed_exactly_stays(make_model) -> None:
    nodes = [
        helper.make_node("Add", ["a", "a"], ["b"]),
        helper.make_node("RandomNormalLike", ["a"], ["r"]),
        helper.make_node("Cast", ["b"], ["c"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["x", "c"], ["m"]),
        helper.make_node("Add", ["m", "r"], ["y"]),
    ]
    graph = open_model(make_model(nodes, {"a": np.ones(4, np.float32)}, {"x": [4]}, {"y": [4]})).graph()
    assert fold_constants(graph, ()) == 0
    assert len(list(graph.graph)) == 5


def test_equal_layers_that_chance_stores_differently_are_foretold_apart(path: Path, tmp_path: Path) -> None:
    model = open_model(path)
    done = compress(model, Recipe.parse("featherweight: 1\ndefaults: [{quantize: {bits: 8, rounding: stochastic}}]\n"))
    encodings = {r.name: r.encoding for r in done.layers if r.encoding is not None}
    assert not np.array_equal(encodings["first"].decode(), encodings["second"].decode())
    sizes = SizeModel(model)
    foretold = sizes.predict({name: sizes.emitted(name, e) for name, e in encodings.items()})
    out = written(assemble(model, encodings).graph, tmp_path / "out.onnx")
    assert foretold == pytest.approx(out.stat().st_size, rel=0.03)


def test_biases_of_folded_norms_take_no_name_of_the_model(make_model, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    norms = {name: rng.uniform(0.5, 1.5, 8).astype(np.float32) for name in ("g", "b", "m", "v")}
    weights = {"w0": rng.normal(size=(8, 3, 3, 3)).astype(np.float32), "w1": np.ones((1, 8, 1, 1), np.float32), **norms}
    nodes = [
        helper.make_node("Conv", ["x", "w0"], ["c"]),
        helper.make_node("BatchNormalization", ["c", "g", "b", "m", "v"], ["n"]),
        helper.make_node("Mul", ["n", "w1"], ["y"]),
    ]
    model = open_model(make_model(nodes, weights, {"x": [1, 3, 8, 8]}, {"y": [1, 8, 6, 6]}))
    out = written(assemble(model, {}).graph, tmp_path / "out.onnx")
    assert SizeModel(model).base == pytest.approx(out.stat().st_size, abs=20)
