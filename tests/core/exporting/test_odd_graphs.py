"""Graphs that are right but unusual, through the whole export: it passes the gate and nothing stays in the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from core.exporting.export import export
from core.exporting.gate import relative_difference
from core.exporting.report import ExportReport
from core.model.readers import open_model
from core.pipeline import compress
from core.recipe import Recipe

node = helper.make_node
RECIPES = ["[quantize]", "[low_rank: {by: rank, rank: 2}]", "[low_rank: {by: rank, rank: 2}, quantize]"]
TYPES = [TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16]


def weight_of(kind: int) -> onnx.TensorProto:
    values = np.random.default_rng(3).normal(0, 0.2, (64, 64)).astype(np.float32)
    return numpy_helper.from_array(values.astype(helper.tensor_dtype_to_np_dtype(kind)), "w")


def saved(path: Path, nodes: list[onnx.NodeProto], weight: onnx.TensorProto, output: onnx.ValueInfoProto,
          *, kind: int = TensorProto.FLOAT, as_input: bool = False) -> Path:
    inputs = [helper.make_tensor_value_info("x", kind, ["n", 64])]
    if as_input:
        inputs.append(helper.make_tensor_value_info("w", kind, [64, 64]))
    graph = helper.make_graph(nodes, "g", inputs, [output], [weight])
    onnx.save(helper.make_model(graph, ir_version=9, opset_imports=[helper.make_opsetid("", 17)]), path)
    return path


def exported(path: Path, recipe: str) -> ExportReport:
    model = open_model(path)
    plan = Recipe.parse(f"featherweight: 1\ndefaults: {recipe}\n")
    report = export(model, compress(model, plan), path.with_name("out.onnx"))
    assert not report.layers[0].skipped and report.parity is not None and report.parity <= 1e-5
    assert path.with_name("out.onnx").stat().st_size < path.stat().st_size
    return report


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("kind", TYPES)
def test_a_weight_that_is_cast_before_it_is_used(tmp_path: Path, kind: int, recipe: str) -> None:
    nodes = [node("Cast", ["w"], ["wide"], to=TensorProto.FLOAT), node("MatMul", ["x", "wide"], ["y"])]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 64])
    exported(saved(tmp_path / "m.onnx", nodes, weight_of(kind), output), recipe)


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("kind", [TensorProto.FLOAT16, TensorProto.DOUBLE])
def test_a_layer_that_computes_in_another_float_type(tmp_path: Path, kind: int, recipe: str) -> None:
    output = helper.make_tensor_value_info("y", kind, ["n", 64])
    exported(saved(tmp_path / "m.onnx", [node("MatMul", ["x", "w"], ["y"])], weight_of(kind), output, kind=kind),
             recipe)


def test_a_weight_that_a_caller_may_replace_leaves_nothing_behind(tmp_path: Path) -> None:
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 64])
    path = saved(tmp_path / "m.onnx", [node("MatMul", ["x", "w"], ["y"])], weight_of(TensorProto.FLOAT), output,
                 as_input=True)
    report = exported(path, "[low_rank: {by: rank, rank: 2}]")
    assert report.bytes_after < 2000  # two factors of 64 x 2, not the weight of 16 kB as well
    session = onnxruntime.InferenceSession(str(tmp_path / "out.onnx"), providers=["CPUExecutionProvider"])
    assert [port.name for port in session.get_inputs()] == ["x"]


def test_sequence_outputs_are_compared_by_their_numbers(tmp_path: Path) -> None:
    nodes = [node("MatMul", ["x", "w"], ["h"]), node("SplitToSequence", ["h"], ["y"], axis=1)]
    output = helper.make_tensor_sequence_value_info("y", TensorProto.FLOAT, None)
    exported(saved(tmp_path / "m.onnx", nodes, weight_of(TensorProto.FLOAT), output), "[low_rank: {by: rank, rank: 2}]")
    one, other = np.array([1.0, 2.0]), np.array([1.0, 2.5])
    assert relative_difference([one, one], [one, other]) == pytest.approx(0.2)
    assert relative_difference([one], [one, one]) == float("inf")
    assert relative_difference([], []) == 0.0
