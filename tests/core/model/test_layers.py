"""What becomes a layer: kinds, axes, chains, tied weights, subgraphs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from core.errors import Cancelled, FeatherweightError, ModelFileError
from core.model.layer import Kind, Layer, Port
from core.model.model import Model
from core.model.readers import open_model
from core.progress import Progress, Reporter

Make = Callable[..., Path]
node = helper.make_node


def random(*shape: int, dtype: type = np.float32) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(0, 1, shape).astype(dtype)


def only(model: Model) -> Layer:
    (layer,) = model.layers
    return layer


def axes(layer: Layer) -> tuple[int | None, int | None]:
    return layer.output_axis, layer.input_axis


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_conv_of_any_rank(make_model: Make, rank: int) -> None:
    spatial = [8] * rank
    path = make_model(
        [node("Conv", ["x", "w"], ["y"])],
        {"w": random(6, 4, *[3] * rank)},
        {"x": [1, 4, *spatial]},
        {"y": [1, 6, *[6] * rank]},
    )
    layer = only(open_model(path))
    assert (layer.kind, axes(layer), layer.groups, layer.nbytes) == (Kind.CONV, (0, 1), 1, 6 * 4 * 3**rank * 4)


def test_depthwise_needs_one_input_channel_per_group(make_model: Make) -> None:
    nodes = [node("Conv", ["x", "deep"], ["h"], group=4), node("Conv", ["h", "grouped"], ["y"], group=2)]
    path = make_model(
        nodes, {"deep": random(8, 1, 1, 1), "grouped": random(4, 4, 1, 1)}, {"x": [1, 4, 5, 5]}, {"y": [1, 4, 5, 5]}
    )
    deep, grouped = open_model(path).layers
    assert (deep.kind, deep.groups) == (Kind.DEPTHWISE, 4)
    assert (grouped.kind, grouped.groups) == (Kind.CONV, 2)


def test_conv_transpose_has_its_axes_the_other_way_round(make_model: Make) -> None:
    path = make_model(
        [node("ConvTranspose", ["x", "w"], ["y"])], {"w": random(4, 6, 2, 2)}, {"x": [1, 4, 5, 5]}, {"y": [1, 6, 6, 6]}
    )
    layer = only(open_model(path))
    assert (layer.kind, axes(layer)) == (Kind.CONV_TRANSPOSE, (1, 0))


@pytest.mark.parametrize(("transposed", "shape", "expected"), [(0, (16, 4), (1, 0)), (1, (4, 16), (0, 1))])
def test_gemm_axes_follow_trans_b(
    make_model: Make, transposed: int, shape: tuple[int, int], expected: tuple[int, int]
) -> None:
    path = make_model(
        [node("Gemm", ["x", "w"], ["y"], transB=transposed)], {"w": random(*shape)}, {"x": [1, 16]}, {"y": [1, 4]}
    )
    assert axes(only(open_model(path))) == expected


def test_a_left_matmul_operand_makes_one_output_per_row(make_model: Make) -> None:
    path = make_model([node("MatMul", ["w", "x"], ["y"])], {"w": random(4, 16)}, {"x": [16, 2]}, {"y": [4, 2]})
    layer = only(open_model(path))
    assert (layer.kind, axes(layer)) == (Kind.LINEAR, (0, 1))


def test_an_embedding_has_a_row_per_token(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [node("Gather", ["table", "ids"], ["y"]), node("Gather", ["sizes", "ids"], ["z"])],
        "g",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, [3])],
        [
            helper.make_tensor_value_info("y", TensorProto.FLOAT, [3, 8]),
            helper.make_tensor_value_info("z", TensorProto.INT64, [3]),
        ],
        [numpy_helper.from_array(random(20, 8), "table"), numpy_helper.from_array(np.arange(100), "sizes")],
    )
    model = open_model(save(graph, tmp_path))
    layer = only(model)
    assert (layer.name, layer.kind, axes(layer)) == ("table", Kind.EMBEDDING, (0, 1))
    assert [(left.name, left.reason) for left in model.left_out] == [("sizes", "integer table")]


@pytest.mark.parametrize(("op", "gates"), [("LSTM", 4), ("GRU", 3), ("RNN", 1)])
def test_recurrent_weights(make_model: Make, op: str, gates: int) -> None:
    weights = {"W": random(2, gates * 8, 4), "R": random(2, gates * 8, 8), "B": random(2, gates * 16)}
    path = make_model(
        [node(op, ["x", "W", "R", "B"], ["y"], hidden_size=8, direction="bidirectional")],
        weights,
        {"x": [5, 1, 4]},
        {"y": [5, 2, 1, 8]},
    )
    model = open_model(path)
    assert [(layer.name, layer.kind, axes(layer)) for layer in model.layers] == [
        ("W", Kind.RECURRENT, (1, 2)),
        ("R", Kind.RECURRENT, (1, 2)),
    ]
    assert [(left.name, left.reason) for left in model.left_out] == [("B", "bias")]


def test_gates_put_into_order_by_slice_and_concat_are_one_layer(make_model: Make) -> None:
    """PyTorch's gate order (i, f, g, o) becomes ONNX's (i, o, f, g), as in silero_vad."""
    nodes, ints = [], {"zero": [0], "axis": [0]}
    for name in ("w", "r"):
        for start, part in ((0, "i"), (24, "o"), (8, "fg")):
            ints |= {f"{part}_from": [start], f"{part}_to": [start + (16 if part == "fg" else 8)]}
            nodes.append(node("Slice", [name, f"{part}_from", f"{part}_to", "axis"], [f"{name}_{part}"]))
        nodes.append(node("Concat", [f"{name}_i", f"{name}_o", f"{name}_fg"], [f"{name}_all"], axis=0))
        nodes.append(node("Unsqueeze", [f"{name}_all", "zero"], [f"{name}_ready"]))
    nodes.append(node("LSTM", ["x", "w_ready", "r_ready"], ["y"], hidden_size=8))
    weights = {"w": random(32, 4), "r": random(32, 8)} | {k: np.array(v, np.int64) for k, v in ints.items()}
    model = open_model(make_model(nodes, weights, {"x": [5, 1, 4]}, {"y": [5, 1, 1, 8]}))
    assert [(layer.name, axes(layer), layer.locked) for layer in model.layers] == [("w", (0, 1), ""), ("r", (0, 1), "")]
    assert model.layers[0].uses[0].via == ("Slice", "Concat", "Unsqueeze")


def test_norms_and_biases(make_model: Make) -> None:
    names = ("scale", "shift", "mean", "variance")
    nodes = [
        node("Conv", ["x", "w", "b"], ["h"]),
        node("BatchNormalization", ["h", *names], ["n"]),
        node("Mul", ["n", "factor"], ["m"]),
        node("Add", ["m", "positions"], ["y"]),
    ]
    weights = {name: np.abs(random(8)) for name in names} | {
        "w": random(8, 3, 1, 1),
        "b": random(8),
        "factor": random(1, 8, 1, 1),
        "positions": random(1, 8, 4, 4),
    }
    model = open_model(make_model(nodes, weights, {"x": [1, 3, 4, 4]}, {"y": [1, 8, 4, 4]}))
    kinds = {layer.name: layer.kind for layer in model.layers}
    assert kinds == {"w": Kind.CONV, "positions": Kind.OTHER} | dict.fromkeys(names, Kind.NORM)
    assert {left.name: left.reason for left in model.left_out} == {"b": "bias", "factor": "scale"}


# Chains between the stored tensor and its node


def test_axes_are_those_of_the_stored_tensor_behind_a_transpose(make_model: Make) -> None:
    nodes = [
        node("Transpose", ["w"], ["t"], perm=[1, 0]),
        node("Identity", ["t"], ["i"]),
        node("MatMul", ["x", "i"], ["y"]),
    ]
    layer = only(open_model(make_model(nodes, {"w": random(4, 16)}, {"x": [1, 16]}, {"y": [1, 4]})))
    assert (layer.shape, axes(layer), layer.uses[0].via) == ((4, 16), (0, 1), ("Transpose", "Identity"))


def test_a_reshape_keeps_the_axes_that_are_clear(make_model: Make) -> None:
    nodes = [node("Reshape", ["w", "shape"], ["k"]), node("Conv", ["x", "k"], ["y"])]
    path = make_model(
        nodes, {"w": random(6, 36), "shape": np.array([6, 4, 3, -1])}, {"x": [1, 4, 5, 5]}, {"y": [1, 6, 3, 3]}
    )
    layer = only(open_model(path))
    assert (layer.kind, layer.shape, axes(layer)) == (Kind.CONV, (6, 36), (0, None))


def test_squeeze_and_unsqueeze_before_and_after_opset_13(tmp_path: Path) -> None:
    for opset, nodes in (
        (11, [node("Unsqueeze", ["w"], ["u"], axes=[-1])]),
        (13, [node("Unsqueeze", ["w", "axes"], ["u"])]),
    ):
        graph = helper.make_graph(
            [*nodes, node("Conv", ["x", "u"], ["y"])],
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4, 5])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 6, 5])],
            [numpy_helper.from_array(random(6, 4), "w"), numpy_helper.from_array(np.array([-1]), "axes")],
        )
        layer = only(open_model(save(graph, tmp_path, opset)))
        assert (layer.kind, axes(layer)) == (Kind.CONV, (0, 1))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_other_float_types_behind_a_cast(tmp_path: Path, dtype: str) -> None:
    kind = {"float16": TensorProto.FLOAT16, "bfloat16": TensorProto.BFLOAT16, "float64": TensorProto.DOUBLE}[dtype]
    values = np.arange(64, dtype=np.float32).reshape(16, 4) / 8
    stored = helper.make_tensor("w", kind, [16, 4], values.reshape(-1))
    graph = helper.make_graph(
        [node("Cast", ["w"], ["f"], to=TensorProto.FLOAT), node("MatMul", ["x", "f"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])],
        [stored],
    )
    model = open_model(save(graph, tmp_path))
    layer = only(model)
    assert (layer.dtype, layer.locked, axes(layer)) == (dtype, "", (1, 0))
    np.testing.assert_array_equal(model.weight("w"), values)
    encoding = model.encoding("w")
    np.testing.assert_array_equal(encoding.decode(), values)
    assert encoding.nbytes == (128 if dtype != "float64" else 256)


# Uses


def test_a_tied_weight_is_one_layer_of_the_heavier_kind(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [
            node("Gather", ["table", "ids"], ["h"], name="embed"),
            node("Transpose", ["table"], ["t"], perm=[1, 0]),
            node("MatMul", ["h", "t"], ["y"], name="head"),
        ],
        "g",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, [3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [3, 20])],
        [numpy_helper.from_array(random(20, 8), "table")],
    )
    layer = only(open_model(save(graph, tmp_path)))
    assert (layer.kind, axes(layer), [use.node for use in layer.uses]) == (Kind.LINEAR, (0, 1), ["head", "embed"])


def test_equal_tensors_stored_twice_are_two_layers(make_model: Make) -> None:
    nodes = [node("MatMul", ["x", "a"], ["h"]), node("MatMul", ["h", "b"], ["y"])]
    weights = {"a": random(8, 8), "b": random(8, 8)}
    assert [layer.name for layer in open_model(make_model(nodes, weights, {"x": [1, 8]}, {"y": [1, 8]})).layers] == [
        "a",
        "b",
    ]


def test_weights_in_branches_and_from_outside(tmp_path: Path) -> None:
    model = open_model(branching(tmp_path))
    assert [layer.name for layer in model.layers] == ["w", "outer", "w@If:y"]
    by_name = {layer.name: layer for layer in model.layers}
    assert all(by_name[name].uses[0].scope == ("If:y",) for name in ("w", "w@If:y"))
    assert [use.scope for use in by_name["outer"].uses] == [("If:y",), ("If:y",)]
    values = {name: float(model.weight(name)[0, 0]) for name in ("w", "w@If:y")}
    assert values == {"w": 2, "w@If:y": 1}  # helper.make_node sorts attributes: the else branch comes first


def branching(folder: Path) -> Path:
    """An If whose branches each hold a Constant `w` (the same name) and use `outer` of the main graph."""
    branches = {}
    for name, value in (("else_branch", 2), ("then_branch", 1)):
        inside = numpy_helper.from_array(np.full((4, 4), value, np.float32))
        branches[name] = helper.make_graph(
            [
                node("Constant", [], ["w"], value=inside),
                node("MatMul", ["x", "w"], [f"{name}_h"]),
                node("MatMul", [f"{name}_h", "outer"], [f"{name}_y"]),
            ],
            name,
            [],
            [helper.make_tensor_value_info(f"{name}_y", TensorProto.FLOAT, [1, 4])],
        )
    graph = helper.make_graph(
        [node("If", ["which"], ["y"], **branches)],
        "g",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4]),
            helper.make_tensor_value_info("which", TensorProto.BOOL, []),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])],
        [numpy_helper.from_array(random(4, 4), "outer")],
    )
    return save(graph, folder)


def test_a_loop_body_uses_an_outer_weight(tmp_path: Path) -> None:
    body = helper.make_graph(
        [node("MatMul", ["state", "w"], ["next"]), node("Identity", ["go"], ["again"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("state", TensorProto.FLOAT, [1, 4]),
        ],
        [
            helper.make_tensor_value_info("again", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, [1, 4]),
        ],
    )
    graph = helper.make_graph(
        [node("Loop", ["count", "", "x"], ["y"], name="loop", body=body)],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])],
        [numpy_helper.from_array(random(4, 4), "w"), numpy_helper.from_array(np.array(3), "count")],
    )
    layer = only(open_model(save(graph, tmp_path)))
    assert (layer.name, layer.kind, layer.uses[0].scope) == ("w", Kind.LINEAR, ("loop",))


def test_a_function_opens_and_its_constants_are_listed(tmp_path: Path) -> None:
    inside = numpy_helper.from_array(random(4, 4), "inner")
    function = helper.make_function(
        "local",
        "F",
        ["a"],
        ["b"],
        [node("Constant", [], ["k"], value=inside), node("MatMul", ["a", "k"], ["b"])],
        [helper.make_opsetid("", 17)],
    )
    graph = helper.make_graph(
        [node("MatMul", ["x", "w"], ["h"]), node("F", ["h"], ["y"], domain="local")],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])],
        [numpy_helper.from_array(random(4, 4), "w")],
    )
    proto = helper.make_model(
        graph,
        functions=[function],
        ir_version=9,
        opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("local", 1)],
    )
    onnx.save(proto, tmp_path / "f.onnx")
    model = open_model(tmp_path / "f.onnx")
    assert only(model).name == "w"
    assert [(left.name, left.reason) for left in model.left_out] == [("k", "inside the function F")]
    assert model.notes == ()


# Names, notes, the model itself


def test_a_made_up_name_gets_a_title_from_the_module_path(make_model: Make) -> None:
    matmul = node("MatMul", ["x", "val_7"], ["y"], name="node_MatMul_3")
    entry = matmul.metadata_props.add()
    entry.key, entry.value = "pkg.torch.onnx.name_scopes", "['', 'layers.0', 'layers.0.query', 'linear']"
    layer = only(open_model(make_model([matmul], {"val_7": random(8, 8)}, {"x": [1, 8]}, {"y": [1, 8]})))
    assert (layer.name, layer.title) == ("val_7", "layers.0.query.weight")


def test_a_made_up_name_gets_a_title_from_the_nodes_path(make_model: Make) -> None:
    matmul = node("MatMul", ["x", "onnx::MatMul_12"], ["y"], name="/encoder/fc1/MatMul")
    layer = only(open_model(make_model([matmul], {"onnx::MatMul_12": random(8, 8)}, {"x": [1, 8]}, {"y": [1, 8]})))
    assert (layer.name, layer.title) == ("onnx::MatMul_12", "encoder.fc1.weight")


def test_what_a_model_tells(mlp_path: Path) -> None:
    model = open_model(mlp_path)
    assert (model.name, model.opset, model.ir_version) == ("mlp.onnx", 20, 9)
    assert model.inputs == (Port("x", "float32", ("batch", 16)),)
    assert model.file_bytes == mlp_path.stat().st_size
    assert len(model.sha256) == 64
    with pytest.raises(
        FeatherweightError, match=r"mlp.onnx: there is no layer 'fc1.wieght'; did you mean 'fc1.weight'"
    ):
        model.layer("fc1.wieght")


def test_float32_weights_are_read_only_views_of_the_file(mlp_path: Path) -> None:
    model = open_model(mlp_path)
    weight = model.weight("fc1.weight")
    assert weight.dtype == np.float32
    assert not weight.flags.owndata
    assert not weight.flags.writeable
    proto = onnx.load(mlp_path)
    np.testing.assert_array_equal(weight, numpy_helper.to_array(proto.graph.initializer[0]))


def test_no_weights_and_unknown_operators_are_noted(make_model: Make, tmp_path: Path) -> None:
    empty = open_model(make_model([node("Relu", ["x"], ["y"])], {}, {"x": [1]}, {"y": [1]}))
    assert empty.layers == ()
    assert empty.notes == ("No weights were found in this model.",)
    graph = helper.make_graph(
        [node("Magic", ["x", "w"], ["y"], domain="acme")],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
        [numpy_helper.from_array(random(16, 16), "w")],
    )
    strange = open_model(save(graph, tmp_path, domains=("acme",)))
    assert only(strange).kind == Kind.OTHER
    assert "acme.Magic" in strange.notes[0]


@pytest.mark.parametrize(("opset", "problem"), [(6, "opset 6"), (None, "does not say which version")])
def test_too_old_or_missing_opset(tmp_path: Path, opset: int | None, problem: str) -> None:
    graph = helper.make_graph(
        [node("Relu", ["x"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", 1, [1])],
        [helper.make_tensor_value_info("y", 1, [1])],
    )
    proto = helper.make_model(graph, ir_version=7, opset_imports=[helper.make_opsetid("", opset or 7)])
    if opset is None:
        del proto.opset_import[:]
    onnx.save(proto, tmp_path / "old.onnx")
    with pytest.raises(ModelFileError, match=problem):
        open_model(tmp_path / "old.onnx")


def save(graph: onnx.GraphProto, folder: Path, opset: int = 20, domains: tuple[str, ...] = ()) -> Path:
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    path = folder / f"graph{opset}.onnx"
    onnx.save(helper.make_model(graph, ir_version=9, opset_imports=imports), path)
    return path


def test_unknown_dimensions_of_inputs(tmp_path: Path) -> None:
    info = helper.make_tensor_value_info("x", TensorProto.FLOAT, [-1, "rows", None, 0])
    graph = helper.make_graph([node("Relu", ["x"], ["y"])], "g", [info], [helper.make_empty_tensor_value_info("y")])
    model = open_model(save(graph, tmp_path))
    assert model.inputs == (Port("x", "float32", (None, "rows", None, 0)),)
    assert model.outputs == (Port("y", "unknown", None),)


def test_opening_reports_and_can_be_cancelled(mlp_path: Path) -> None:
    told: list[Progress] = []
    open_model(mlp_path, Reporter(told.append))
    assert [progress.done for progress in told] == sorted(progress.done for progress in told)
    assert told[-1].done == 1
    stop = threading.Event()
    stop.set()
    with pytest.raises(Cancelled):
        open_model(mlp_path, Reporter(cancel=stop))


def test_weights_may_be_read_by_many_threads_at_once(cnn_path: Path) -> None:
    model = open_model(cnn_path)
    names = [layer.name for layer in model.layers] * 20
    with ThreadPoolExecutor(8) as pool:
        sums = list(pool.map(lambda name: float(model.weight(name).sum()), names))
    assert sums == [float(model.weight(name).sum()) for name in names]


def test_a_newer_opset_is_noted(mlp_path: Path) -> None:
    proto = onnx.load(mlp_path)
    proto.opset_import[0].version = 999
    onnx.save(proto, mlp_path)
    model = open_model(mlp_path)
    assert model.opset == 999
    assert model.notes[0].startswith("The model uses opset 999; this version knows up to ")
