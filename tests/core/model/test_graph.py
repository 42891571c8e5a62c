"""Rewriting graphs: what the exporter does to a stored tensor, in the main graph and in branches."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from core.errors import InternalError
from core.model.graph import (
    find_constant,
    node_key,
    places,
    remove_unused,
    replace_stored,
    stored_tensors,
    takes_float32,
)
from core.model.readers import open_model

Make = Callable[..., Path]
node = helper.make_node


def doubled(stored_name: str, model: ir.Model) -> None:
    """Replace a stored tensor by an Add of its half to its half."""
    stored = find_constant(model, stored_name)
    assert stored.tensor is not None
    half = ir.Value(name=f"half:{stored.name}", const_value=ir.tensor(stored.tensor.numpy().astype(np.float32) / 2))
    add = ir.Node("", "Add", [half, half])
    replace_stored(stored, [add], [half], add.outputs[0])


def run(proto_or_path: onnx.ModelProto | Path, **feeds: np.ndarray) -> np.ndarray:
    source = str(proto_or_path) if isinstance(proto_or_path, Path) else proto_or_path.SerializeToString()
    return ort.InferenceSession(source, providers=["CPUExecutionProvider"]).run(None, feeds)[0]


def test_an_initializer_is_replaced_and_keeps_its_name(mlp_path: Path) -> None:
    graph = open_model(mlp_path).graph()
    doubled("fc1.weight", graph)
    remove_unused(graph)
    proto = ir.to_proto(graph)
    onnx.checker.check_model(proto, full_check=True)
    assert "fc1.weight" in [output for made in proto.graph.node for output in made.output]
    x = np.ones((1, 16), np.float32)
    np.testing.assert_array_equal(run(proto, x=x), run(mlp_path, x=x))


def test_constants_in_branches_are_replaced(tmp_path: Path) -> None:
    inside = numpy_helper.from_array(np.full((4, 4), 3, np.float32))
    branches = {
        name: helper.make_graph(
            [node("Constant", [], ["w"], value=inside), node("MatMul", ["x", "w"], [name])],
            name,
            [],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4])],
        )
        for name in ("then_branch", "else_branch")
    }
    main = helper.make_graph(
        [node("If", ["which"], ["y"], **branches)],
        "g",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4]),
            helper.make_tensor_value_info("which", TensorProto.BOOL, []),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])],
    )
    path = tmp_path / "if.onnx"
    onnx.save(helper.make_model(main, ir_version=9, opset_imports=[helper.make_opsetid("", 20)]), path)
    graph = open_model(path).graph()
    for name in list(stored_tensors(graph)):
        doubled(name, graph)
    proto = ir.to_proto(graph)
    feeds = {"x": np.ones((1, 4), np.float32), "which": np.array(True)}
    np.testing.assert_array_equal(run(proto, **feeds), run(path, **feeds))


def test_an_initializer_that_is_an_input_or_an_output(tmp_path: Path) -> None:
    weight = numpy_helper.from_array(np.eye(4, dtype=np.float32), "w")
    info = helper.make_tensor_value_info("w", TensorProto.FLOAT, [4, 4])
    main = helper.make_graph(
        [node("MatMul", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4]), info],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4]), info],
        [weight],
    )
    path = tmp_path / "io.onnx"
    onnx.save(helper.make_model(main, ir_version=9, opset_imports=[helper.make_opsetid("", 20)]), path)
    model = open_model(path)
    assert [port.name for port in model.inputs] == ["x"]
    graph = model.graph()
    doubled("w", graph)
    proto = ir.to_proto(graph)
    onnx.checker.check_model(proto)
    assert ([i.name for i in proto.graph.input], [o.name for o in proto.graph.output]) == (["x"], ["y", "w"])
    np.testing.assert_array_equal(run(proto, x=np.float32([[1, 2, 3, 4]])), [[1, 2, 3, 4]])


@pytest.mark.parametrize(("reader", "fits"), [("MatMul", False), ("Cast", True)])
def test_where_float32_can_stand_for_float16(tmp_path: Path, reader: str, fits: bool) -> None:
    nodes = [node("MatMul", ["x", "w"], ["y"])]
    if reader == "Cast":
        nodes = [node("Cast", ["w"], ["v"], to=TensorProto.FLOAT16), node("MatMul", ["x", "v"], ["y"])]
    main = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT16, [1, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT16, [1, 4])],
        [numpy_helper.from_array(np.eye(4, dtype=np.float16), "w")],
    )
    path = tmp_path / "half.onnx"
    onnx.save(helper.make_model(main, ir_version=9, opset_imports=[helper.make_opsetid("", 20)]), path)
    assert takes_float32(stored_tensors(open_model(path).graph())["w"]) is fits


def test_graphs_are_independent(mlp_path: Path) -> None:
    model = open_model(mlp_path)
    first = model.graph()
    doubled("fc1.weight", first)
    assert "fc1.weight" in stored_tensors(model.graph())
    assert "fc1.weight" not in stored_tensors(first)
    with pytest.raises(InternalError, match="stores no tensor"):
        find_constant(first, "fc1.weight")


def test_keys_are_unique_and_the_same_every_time(make_model: Make) -> None:
    nodes = [
        node("Relu", ["x"], ["a"]),
        node("Relu", ["a"], ["b"], name="same"),
        node("Relu", ["b"], ["c"], name="same"),
        node("Relu", ["c"], ["y"], name="own"),
    ]
    model = open_model(make_model(nodes, {}, {"x": [1]}, {"y": [1]}))
    keys = [[node_key(n) for place in places(graph) for n in place.graph] for graph in (model.graph(), model.graph())]
    assert keys[0] == ["Relu:a", "same:b", "same:c", "own"]
    assert keys[0] == keys[1]


def test_metadata_is_kept(mlp_path: Path) -> None:
    proto = onnx.load(mlp_path)
    helper.set_model_props(proto, {"character": "abc"})
    onnx.save(proto, mlp_path)
    model = open_model(mlp_path)
    assert model.metadata == {"character": "abc"}
    assert dict(model.graph().metadata_props) == {"character": "abc"}
