"""Where heads can be cut."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from core.data import load_samples
from core.errors import ModelFileError, ParameterError
from core.model.model import Model
from core.model.readers import open_model
from core.transfer.cuts import choose, find_cuts

FEED = {"image": np.zeros((1, 1, 8, 8), np.float32)}


def test_the_last_linear_layer_is_recommended_and_others_are_listed(make: Callable[..., Model]) -> None:
    cuts = find_cuts(make(), FEED)
    best = choose(cuts, "")
    assert (best.layer, best.features, best.axes, best.removed) == ("fc2.weight", 16, (), ("fc2.weight",))
    assert "16 features into the 2 scores" in best.reason
    assert [cut.layer for cut in cuts] == ["", "fc2.weight", "fc1.weight", "conv2.weight"]
    assert sum(cut.recommended for cut in cuts) == 1


def test_a_convolution_s_input_is_averaged_over_positions(make: Callable[..., Model]) -> None:
    cut = choose(find_cuts(make(), FEED), "conv2")
    assert (cut.axes, cut.features, cut.shape) == ((2, 3), 8, (1, 8, 8, 8))
    assert cut.kept_weights == 8 * 9


def test_a_place_that_is_none_is_told_with_those_there_are(make: Callable[..., Model]) -> None:
    with pytest.raises(ParameterError, match=r"cannot be cut at 'fc3'; cut at .*'fc"):
        choose(find_cuts(make(), FEED), "fc3")


def test_values_inside_a_residual_block_are_not_offered(tmp_path: Path) -> None:
    """x -> a -> h; h + c(Relu(b(h))) -> d: only what reads h and the sum can begin a head."""
    weights = [numpy_helper.from_array(np.full((4, 4), 0.1, np.float32), name) for name in "abcd"]
    nodes = [helper.make_node("MatMul", ["x", "a"], ["h"]), helper.make_node("MatMul", ["h", "b"], ["b1"]),
             helper.make_node("Relu", ["b1"], ["b2"]), helper.make_node("MatMul", ["b2", "c"], ["c1"]),
             helper.make_node("Add", ["h", "c1"], ["sum"]), helper.make_node("MatMul", ["sum", "d"], ["y"])]
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 4]) for name in "xy"]
    graph = helper.make_graph(nodes, "g", ports[:1], ports[1:], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "m.onnx")
    cuts = find_cuts(open_model(tmp_path / "m.onnx"), {"x": np.ones((1, 4), np.float32)})
    assert [cut.key for cut in cuts] == ["y", "sum", "h"]
    assert choose(cuts, "").key == "sum"


def test_a_vector_that_no_last_layer_gives_is_kept_whole(tmp_path: Path) -> None:
    """A norm behind the last Linear layer: the answer is an embedding, and the tokens are averaged by the mask."""
    weights = [numpy_helper.from_array(np.eye(32, dtype=np.float32), "w"),
               numpy_helper.from_array(np.ones((10, 32), np.float32), "table"),
               numpy_helper.from_array(np.ones(32, np.float32), "scale")]
    nodes = [helper.make_node("Gather", ["table", "ids"], ["e"]), helper.make_node("MatMul", ["e", "w"], ["h"]),
             helper.make_node("LayerNormalization", ["h", "scale"], ["n"]),
             helper.make_node("Cast", ["mask"], ["ones"], to=1),
             helper.make_node("Unsqueeze", ["ones", "last"], ["wide"]), helper.make_node("Mul", ["n", "wide"], ["m"]),
             helper.make_node("ReduceSum", ["m", "first"], ["vector"], keepdims=0)]
    weights += [numpy_helper.from_array(np.array([axis]), name) for axis, name in ((2, "last"), (1, "first"))]
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, ["n", "t"]) for name in ("ids", "mask")]
    output = helper.make_tensor_value_info("vector", TensorProto.FLOAT, ["n", 32])
    graph = helper.make_graph(nodes, "g", inputs, [output], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "m.onnx")
    feed = {"ids": np.array([[1, 2, 3]]), "mask": np.array([[1, 1, 0]])}
    cuts = find_cuts(open_model(tmp_path / "m.onnx"), feed)
    best = choose(cuts, "")
    assert (best.key, best.layer, best.features, best.removed) == ("vector", "", 32, ())
    tokens = next(cut for cut in cuts if cut.key == "h")
    assert (tokens.axes, tokens.mask) == ((1,), "mask")


def test_a_model_of_branches_says_why_its_head_cannot_be_cut(tmp_path: Path) -> None:
    def branch(name: str) -> onnx.GraphProto:
        weight = numpy_helper.from_array(np.ones((4, 4), np.float32), f"{name}.w")
        node = helper.make_node("MatMul", ["x", f"{name}.w"], [f"{name}.y"])
        output = helper.make_tensor_value_info(f"{name}.y", TensorProto.FLOAT, ["n", 4])
        return helper.make_graph([node], name, [], [output], [weight])

    node = helper.make_node("If", ["yes"], ["y"], then_branch=branch("a"), else_branch=branch("b"))
    total = helper.make_node("ReduceSum", ["y"], ["z"], keepdims=1)
    graph = helper.make_graph([node, total], "g", [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4]),
        helper.make_tensor_value_info("yes", TensorProto.BOOL, []),
    ], [helper.make_tensor_value_info("z", TensorProto.FLOAT, [1, 1])])  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "m.onnx")
    feed = {"x": np.ones((1, 4), np.float32), "yes": np.array(True)}
    with pytest.raises(ModelFileError, match="its head cannot be cut: all its layers lie inside branches"):
        find_cuts(open_model(tmp_path / "m.onnx"), feed)


@pytest.mark.models
@pytest.mark.parametrize(("name", "layer", "features"), [
    ("lenet5", "7.weight", 500), ("vit_digits", "head.weight", 128), ("ppocr_cls", "fc_0.w_0", 200),
    ("ppocr_rec", "linear_85.w_0", 120), ("ppocr_det", "conv2d_159.w_0", 96), ("minilm", "", 384),
])  # fmt: skip
def test_recommended_places_of_public_models(models_dir: Path, name: str, layer: str, features: int) -> None:
    if not (models_dir / name / "model.onnx").is_file():
        pytest.skip(f"{name} is not in {models_dir}")
    model = open_model(models_dir / name / "model.onnx")
    samples = load_samples(models_dir / name / "calib.npz", model.inputs)
    cut = choose(find_cuts(model, samples.feed(0)), "")
    assert (cut.layer, cut.features) == (layer, features)
