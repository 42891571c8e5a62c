"""Tier 2 against the plain way: a file with the changed weight, a new session, every sample by itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from core.analysis.sensitivity.cells import Cell
from core.analysis.sensitivity.divergence import error_of
from core.analysis.sensitivity.measured import MAX_BYTES, Measuring, frontier_sizes
from core.analysis.sensitivity.originals import run_originals
from core.analysis.sensitivity.suffixes import Suffixes
from core.data import Samples
from core.errors import DataError
from core.model.model import Model
from core.progress import SILENT
from tests.core.analysis.sensitivity.conftest import rebuilt_outputs, trials_for

WithData = Callable[..., tuple[Model, Samples]]


def measured(model: Model, samples: Samples, max_bytes: int = MAX_BYTES) -> list[Cell]:
    with Suffixes(model) as suffixes:
        sizes = frontier_sizes(model, suffixes, samples.feed(0))
        originals = run_originals(model, suffixes, samples, SILENT, largest=max(sizes.values()))
        measuring = Measuring(model, suffixes, originals, trials_for(model).of, max_bytes=max_bytes)
        cells = [cell for found in measuring.layers(model.layers, sizes, SILENT) for cell in found.cells]
    return sorted(cells, key=lambda cell: (cell.layer, cell.label))


def the_plain_way(model: Model, samples: Samples, layer: str, weight: np.ndarray) -> float:
    with Suffixes(model) as suffixes:
        originals = run_originals(model, suffixes, samples, SILENT, largest=2**40)
    assert all(batch.count == 1 for batch in originals.batches)
    changed = rebuilt_outputs(model, samples, {layer: weight})
    sums = [batch.reference.sums(outputs) for batch, outputs in zip(originals.batches, changed, strict=True)]
    return error_of(np.sum(sums, axis=0), originals.scale)


def check(model: Model, samples: Samples) -> list[Cell]:
    """All cells, of which at least those of one layer are measured, and all of these rightly."""
    cells = measured(model, samples)
    assert {cell.tier for cell in cells} >= {2}
    encodings = {
        (cell.layer, cell.steps): trial.encoding
        for _, found in trials_for(model).all()
        for trial, cell in zip(found.trials, found.cells, strict=True)
    }
    assert {(cell.layer, cell.steps) for cell in cells} == set(encodings) and cells
    for cell in cells:
        if cell.tier == 0:  # told as not reached
            continue
        expected = the_plain_way(model, samples, cell.layer, encodings[cell.layer, cell.steps].decode())
        assert cell.error == pytest.approx(expected, rel=1e-3, abs=1e-7)
        assert cell.error > 0 or expected == 0
    return cells


def test_linear_layers(mlp: tuple[Model, Samples]) -> None:
    check(*mlp)


def test_convolutions(cnn: tuple[Model, Samples]) -> None:
    check(*cnn)


def test_little_memory_gives_the_same(cnn: tuple[Model, Samples]) -> None:
    """One layer at a time, one batch at a time."""
    plenty, little = measured(*cnn), measured(*cnn, max_bytes=1)
    assert [cell.error for cell in plenty] == pytest.approx([cell.error for cell in little], rel=1e-5)


def test_a_tied_weight_changes_everywhere(make_model: Callable[..., Path], with_data: WithData) -> None:
    weight = np.random.default_rng(1).normal(0, 0.4, (24, 24)).astype(np.float32)
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("Tanh", ["h"], ["t"]),
        helper.make_node("Transpose", ["w"], ["wt"], perm=[1, 0]), helper.make_node("MatMul", ["t", "wt"], ["y"]),
    ]  # fmt: skip
    path = make_model(nodes, {"w": weight}, {"x": ["n", 24]}, {"y": ["n", 24]})
    check(*with_data(path, x=np.random.default_rng(2).standard_normal((5, 24)).astype(np.float32)))


def test_a_weight_in_a_branch_and_one_in_a_constant(tmp_path: Path, with_data: WithData) -> None:
    """The layers of both branches; of the one that does not run nothing is known, which is not an error of 0."""
    random = np.random.default_rng(3)

    def branch(name: str) -> onnx.GraphProto:
        value = numpy_helper.from_array(random.normal(0, 0.3, (16, 16)).astype(np.float32))
        nodes = [
            helper.make_node("Constant", [], [f"{name}_w"], value=value),
            helper.make_node("MatMul", ["h", f"{name}_w"], [f"{name}_y"]),
        ]
        out = helper.make_tensor_value_info(f"{name}_y", TensorProto.FLOAT, None)
        return helper.make_graph(nodes, name, [], [out])

    first = numpy_helper.from_array(random.normal(0, 0.3, (16, 16)).astype(np.float32))
    nodes = [
        helper.make_node("Constant", [], ["first_w"], value=first),
        helper.make_node("MatMul", ["x", "first_w"], ["h"]),
        helper.make_node("If", ["which"], ["y"], then_branch=branch("then"), else_branch=branch("other")),
    ]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 16]),
                     helper.make_tensor_value_info("which", TensorProto.BOOL, [])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 16])],
    )  # fmt: skip
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(made)
    onnx.save(made, tmp_path / "if.onnx")
    model, samples = with_data(
        tmp_path / "if.onnx", x=random.standard_normal((4, 16)).astype(np.float32), which=np.ones(4, bool)
    )
    cells = check(model, samples)
    assert {cell.layer for cell in cells if cell.tier == 0} == {"other_w"}
    assert {cell.layer for cell in cells} == {"first_w", "then_w", "other_w"}


def test_a_float16_weight(make_model: Callable[..., Path], with_data: WithData) -> None:
    weight = np.random.default_rng(4).normal(0, 0.4, (32, 8)).astype(np.float16)
    nodes = [
        helper.make_node("Cast", ["w"], ["wf"], to=TensorProto.FLOAT), helper.make_node("MatMul", ["x", "wf"], ["y"])
    ]  # fmt: skip
    path = make_model(nodes, {"w": weight}, {"x": ["n", 32]}, {"y": ["n", 8]})
    check(*with_data(path, x=np.random.default_rng(2).standard_normal((5, 32)).astype(np.float32)))


def test_a_model_whose_samples_meet_in_a_run_takes_one_at_a_time(
    make_model: Callable[..., Path], with_data: WithData
) -> None:
    """Its output is centred over axis 0, so two samples together give something else than each alone."""
    weight = np.random.default_rng(4).normal(0, 0.4, (16, 16)).astype(np.float32)
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node("ReduceSum", ["h", "axes"], ["s"], keepdims=1),
        helper.make_node("Add", ["h", "s"], ["y"]),
    ]
    weights = {"w": weight, "axes": np.array([0], np.int64)}
    path = make_model(nodes, weights, {"x": ["n", 16]}, {"y": ["n", 16]})
    check(*with_data(path, x=np.random.default_rng(2).standard_normal((5, 16)).astype(np.float32)))


def test_a_layer_that_no_output_depends_on_says_so(make_model: Callable[..., Path], with_data: WithData) -> None:
    weights = {name: np.random.default_rng(4).normal(0, 0.4, (16, 16)).astype(np.float32) for name in ("w", "dead")}
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"]), helper.make_node("MatMul", ["x", "dead"], ["z"])]
    model, samples = with_data(
        make_model(nodes, weights, {"x": ["n", 16]}, {"y": ["n", 16]}), x=np.ones((3, 16), np.float32)
    )
    with Suffixes(model) as suffixes:
        sizes = frontier_sizes(model, suffixes, samples.feed(0))
        originals = run_originals(model, suffixes, samples, SILENT)
        found = {f.layer: f for f in Measuring(model, suffixes, originals, trials_for(model).of).layers(
            model.layers, sizes, SILENT)}  # fmt: skip
    assert found["dead"].skipped[-1].reason == "not measured: no output of the model depends on it"
    assert all(cell.tier == 0 for cell in found["dead"].cells)
    assert "same for all 3 samples" in originals.notes[0]


def test_outputs_that_are_no_numbers_name_the_layer(make_model: Callable[..., Path], with_data: WithData) -> None:
    weights = {"w": np.eye(4, dtype=np.float32), "bad": np.full((4, 4), 3e38, np.float32)}
    weights["v"] = np.eye(4, dtype=np.float32)
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("MatMul", ["h", "bad"], ["i"]),
        helper.make_node("MatMul", ["i", "v"], ["y"]),
    ]  # fmt: skip
    model, samples = with_data(
        make_model(nodes, weights, {"x": ["n", 4]}, {"y": ["n", 4]}), x=np.full((2, 4), 1e3, np.float32)
    )
    with Suffixes(model) as suffixes, pytest.raises(DataError, match="first behind layer bad"):
        run_originals(model, suffixes, samples, SILENT)


def test_outputs_that_are_all_zero_are_refused(make_model: Callable[..., Path], with_data: WithData) -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    path = make_model(nodes, {"w": np.ones((4, 4), np.float32)}, {"x": ["n", 4]}, {"y": ["n", 4]})
    model, samples = with_data(path, x=np.zeros((2, 4), np.float32))
    with Suffixes(model) as suffixes, pytest.raises(DataError, match="zero on all samples"):
        run_originals(model, suffixes, samples, SILENT)
