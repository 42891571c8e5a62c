"""The graph as a module: parameters by name, branches, calls, gradients, and errors that name the node."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from core.analysis.runtime import run, session
from core.errors import DataError, FeatherweightError, InternalError, ModelFileError
from core.exporting.writer import assemble
from core.interpreter.module import TorchGraph, missing_operators
from core.interpreter.tensors import from_array
from core.model.readers import open_model
from core.pipeline import compress
from core.recipe import Recipe

X = np.random.default_rng(1).standard_normal((3, 3, 8, 8)).astype(np.float32)


def test_outputs_and_parameters(cnn_path: Path) -> None:
    graph = TorchGraph(ir.load(cnn_path), ["conv.weight", "fc.bias"])
    outputs = graph({"x": from_array(X)})
    (expected,) = run(session(cnn_path), {"x": X})
    np.testing.assert_allclose(outputs["logits"].detach().numpy(), expected, rtol=1e-4, atol=1e-6)
    assert list(graph.weights) == ["conv.weight", "fc.bias"]
    assert [tuple(parameter.shape) for parameter in graph.parameters()] == [(8, 3, 3, 3), (4,)]


def test_a_gradient_is_the_difference_quotient(cnn_path: Path) -> None:
    graph = TorchGraph(ir.load(cnn_path), ["depthwise.weight"])
    weight, feeds = graph.weights["depthwise.weight"], {"x": from_array(X)}
    graph(feeds)["logits"].square().sum().backward()
    place, step = (2, 0, 1, 1), 1e-2
    with torch.no_grad():
        weight[place] += step
        above = graph(feeds)["logits"].double().square().sum()
        weight[place] -= 2 * step
        below = graph(feeds)["logits"].double().square().sum()
    assert weight.grad is not None
    assert float(weight.grad[place]) == pytest.approx(float((above - below) / (2 * step)), rel=1e-2)


@pytest.mark.parametrize("recipe", ["{quantize: {bits: 3}}", "{quantize: {scheme: codebook, bits: 4}}",
                                    "{prune: {ratio: 0.9}}", "float16"])  # fmt: skip
def test_an_export_runs(mlp_path: Path, recipe: str, tmp_path: Path) -> None:
    """The nodes that rebuild an encoded weight are run like all others."""
    model = open_model(mlp_path)
    target = tmp_path / "out.onnx"
    done = compress(model, Recipe.parse(f"featherweight: 1\ndefaults: [{recipe}]\n"))
    encodings = {result.name: result.encoding for result in done.layers if result.encoding is not None}
    assert encodings
    ir.save(assemble(model, encodings).graph, target)
    x = X.reshape(-1, 16)
    (expected,) = run(session(target), {"x": x})
    (result,) = TorchGraph(ir.load(target))({"x": from_array(x)}).values()
    np.testing.assert_allclose(result.numpy(), expected, rtol=1e-4, atol=1e-5)


def _branches(path: Path) -> Path:
    """y = x * w (then) or an operator that nothing runs (else), by the sign of x's sum; w lies in the branch."""
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [4])
    weight = numpy_helper.from_array(np.array([1, 2, 3, 4], np.float32))
    then = helper.make_graph(
        [
            helper.make_node("Constant", [], ["w"], value=weight),
            helper.make_node("Mul", ["x", "w"], ["then"]),
        ],
        "then",
        [],
        [helper.make_tensor_value_info("then", TensorProto.FLOAT, [4])],
    )
    broken = helper.make_node("Reshape", ["x", "shape"], ["else"], name="broken")
    otherwise = helper.make_graph([broken], "else", [], [onnx.ValueInfoProto(name="else")])
    nodes = [
        helper.make_node("ReduceSum", ["x"], ["sum"], keepdims=0),
        helper.make_node("Greater", ["sum", "zero"], ["positive"]),
        helper.make_node("If", ["positive"], ["y"], then_branch=then, else_branch=otherwise),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [4])
    stored = [numpy_helper.from_array(np.float32(0), "zero"), numpy_helper.from_array(np.array([7, 7]), "shape")]
    onnx.save(helper.make_model(helper.make_graph(nodes, "branches", [x], [y], stored), ir_version=9,
                                opset_imports=[helper.make_opsetid("", 20)]), path)  # fmt: skip
    return path


def test_only_the_branch_taken_runs(tmp_path: Path) -> None:
    graph = TorchGraph(ir.load(_branches(tmp_path / "if.onnx")), ["w"])
    (result,) = graph({"x": torch.ones(4)}).values()
    result.sum().backward()
    assert result.tolist() == [1, 2, 3, 4]
    assert graph.weights["w"].grad is not None
    assert graph.weights["w"].grad.tolist() == [1, 1, 1, 1]
    with pytest.raises(ModelFileError, match="Reshape 'broken': it does not fit its inputs"):
        graph({"x": -torch.ones(4)})


def test_a_function_with_attributes_is_called() -> None:
    model = onnx.parser.parse_model("""
        <ir_version: 9, opset_import: ["": 20, "own": 1]>
        main (float[2] x) => (float[2] y) { h = own.scaled <by = 3.0> (x) y = own.scaled <by = 2.0> (h) }
        <domain: "own", opset_import: ["": 20]>
        scaled <by> (a) => (b) { c = Constant <value_float: float = @by> () b = Mul (a, c) }
    """)
    graph = ir.serde.deserialize_model(model)
    assert missing_operators(graph) == ()
    assert TorchGraph(graph)({"x": torch.tensor([1.0, -2.0])})["y"].tolist() == [6, -12]


def test_missing_operators_are_named() -> None:
    model = onnx.parser.parse_model("""
        <ir_version: 9, opset_import: ["": 20, "com.microsoft": 1]>
        main (float[N] x) => (float[N] y) { h = Det (x) g = com.microsoft.FastGelu (h) y = Relu (g) }
    """)
    graph = ir.serde.deserialize_model(model)
    assert missing_operators(graph) == ("Det", "com.microsoft.FastGelu")
    with pytest.raises(FeatherweightError, match=r"does not run the operators Det, com\.microsoft\.FastGelu"):
        TorchGraph(graph)


def test_missing_inputs_and_names(mlp_path: Path, make_model: Callable[..., Path]) -> None:
    with pytest.raises(DataError, match="input 'x' is missing"):
        TorchGraph(ir.load(mlp_path))({})
    with pytest.raises(InternalError, match="stores no tensor 'nothing'"):
        TorchGraph(ir.load(mlp_path), ["nothing"])
    nodes = [helper.make_node("Reshape", ["x", "shape"], ["y"])]
    path = make_model(nodes, {"shape": np.array([4])}, {"x": [2, 2]}, {"y": [4]})
    with pytest.raises(FeatherweightError, match="'shape' holds whole numbers"):
        TorchGraph(ir.load(path), ["shape"])
