"""The compressed graph: what it computes, how large it is, what clean-up did to it."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import helper

from core.encoding import Affine, Codebook, Codes, Float, LowRank, Sparse
from core.exporting.gate import relative_difference
from core.exporting.sizes import SizeModel, predict_bytes
from core.exporting.writer import assemble, simulate
from core.model.readers import open_model

RNG = np.random.default_rng(7)


def int8(weight):
    scale = np.abs(weight).max() / 127
    return Affine(Codes(np.rint(weight / scale).astype(np.int8), 8, signed=True), np.float32(scale))


def few_bits(bits):
    def encode(weight):
        codes = RNG.integers(0, 2**bits, weight.shape).astype(np.uint8)
        return Affine(Codes(codes, bits), np.float32(0.1), np.float32(2**bits // 2))

    return encode


def codebook(weight):
    return Codebook(
        Codes(RNG.integers(0, 16, weight.shape).astype(np.uint8), 4), np.linspace(-0.4, 0.4, 16, dtype=np.float32)
    )


def sparse(weight, inner=Float):
    mask = np.abs(weight) > np.quantile(np.abs(weight), 0.9)
    return Sparse.encode(inner(weight[mask]), mask)


def low_rank(weight):
    if weight.ndim != 2:
        return None
    u, s, v = np.linalg.svd(weight, full_matrices=False)
    return LowRank(Float(np.ascontiguousarray(u[:, :2] * s[:2])), Float(np.ascontiguousarray(v[:2])), weight.shape)


WAYS = {f"{bits} bit": few_bits(bits) for bits in range(1, 8)} | {
    "int8": int8,
    "float16": lambda w: Float(w, "float16"),
    "bfloat16": lambda w: Float(w, "bfloat16"),
    "codebook": codebook,
    "sparse": sparse,
    "sparse codebook": lambda w: sparse(w, codebook),
    "low rank": low_rank,
}


def encodings_of(model, way):
    made = {
        layer.name: WAYS[way](np.ascontiguousarray(model.weight(layer.name)))
        for layer in model.layers
        if not layer.locked
    }
    return {name: encoding for name, encoding in made.items() if encoding is not None}


def save(graph, path):
    ir.external_data.load_to_model(graph)
    path.write_bytes(ir.to_proto(graph).SerializeToString(deterministic=True))
    onnx.checker.check_model(str(path))
    return path


def run(path, feed):
    import onnxruntime

    onnxruntime.set_default_logger_severity(4)
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, feed)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("source", ["mlp_path", "cnn_path"])
def test_every_encoding_gives_the_decoded_result_and_the_predicted_size(source, way, request, tmp_path):
    path = request.getfixturevalue(source)
    model = open_model(path)
    encodings = encodings_of(model, way)
    assert encodings
    out = save(assemble(model, encodings).graph, tmp_path / "out.onnx")
    wanted = save(simulate(model, encodings), tmp_path / "wanted.onnx")
    port = model.inputs[0]
    feed = {port.name: RNG.standard_normal([3, *port.shape[1:]]).astype(np.float32)}
    for a, b in zip(run(out, feed), run(wanted, feed), strict=True):
        assert relative_difference(a, b) <= 1e-5
    predicted = predict_bytes(model, encodings)
    assert abs(predicted - out.stat().st_size) <= 0.01 * out.stat().st_size + 20  # these files are of a kilobyte


def test_low_rank_linear_layers_become_two_thin_layers(mlp_path, tmp_path):
    model = open_model(mlp_path)
    encodings = encodings_of(model, "low rank")
    assembly = assemble(model, encodings)
    assert sorted(assembly.split) == sorted(encodings)
    before = [n.op_type for n in model.graph().graph]
    after = [n.op_type for n in assembly.graph.graph]
    assert after.count("Gemm") + after.count("MatMul") == before.count("Gemm") + before.count("MatMul") + 2


def test_a_factor_used_elsewhere_too_is_rebuilt_instead_of_split(make_model, tmp_path):
    weight = RNG.standard_normal((8, 8)).astype(np.float32)
    path = make_model(
        [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("Add", ["h", "w"], ["y"])],
        {"w": weight},
        {"x": [8, 8]},
        {"y": [8, 8]},
    )
    model = open_model(path)
    encodings = {"w": low_rank(weight)}
    assembly = assemble(model, encodings)
    assert assembly.split == ()
    x = RNG.standard_normal((8, 8)).astype(np.float32)
    got = run(save(assembly.graph, tmp_path / "o.onnx"), {"x": x})[0]
    assert np.allclose(got, x @ encodings["w"].decode() + encodings["w"].decode(), atol=1e-5)


@pytest.mark.parametrize("bias", [False, True])
def test_a_float16_convolution_keeps_its_type_when_a_norm_goes_into_it(tmp_path, bias):
    kind = onnx.TensorProto.FLOAT16
    weights = {"w": RNG.standard_normal((6, 3, 3, 3)), **{name: RNG.uniform(0.5, 2, 6) for name in "bstmv"}}
    if not bias:
        del weights["b"]
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "w", *(["b"] if bias else [])], ["c"]),
            helper.make_node("BatchNormalization", ["c", "s", "t", "m", "v"], ["y"]),
        ],
        "g",
        [helper.make_tensor_value_info("x", kind, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("y", kind, [1, 6, 6, 6])],
        [onnx.numpy_helper.from_array(value.astype(np.float16), name) for name, value in weights.items()],
    )
    path = tmp_path / "half.onnx"
    onnx.save(helper.make_model(graph, ir_version=9, opset_imports=[helper.make_opsetid("", 20)]), path)
    model = open_model(path)
    assembly = assemble(model, {"w": int8(model.weight("w").astype(np.float32))})
    assert assembly.folded == dict.fromkeys("stmv", "w")
    feed = {"x": RNG.standard_normal((1, 3, 8, 8)).astype(np.float16)}
    got, wanted = run(save(assembly.graph, tmp_path / "o.onnx"), feed)[0], run(path, feed)[0]
    assert got.dtype == np.float16
    assert relative_difference(got, wanted) <= 0.03


def norm_model(make_model, *, extra_use=False):
    """x -> Conv(w) -> BatchNormalization -> y, the norm with its own scale, shift, mean and variance."""
    weights = {
        "w": RNG.standard_normal((6, 3, 3, 3)),
        "b": RNG.standard_normal(6),
        "s": RNG.uniform(0.5, 2, 6),
        "t": RNG.standard_normal(6),
        "m": RNG.standard_normal(6),
        "v": RNG.uniform(0.5, 2, 6),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"]),
        helper.make_node("BatchNormalization", ["c", "s", "t", "m", "v"], ["n"]),
        helper.make_node("Add", ["n", "c"], ["y"]) if extra_use else helper.make_node("Relu", ["n"], ["y"]),
    ]
    return make_model(
        nodes, {k: np.asarray(v, np.float32) for k, v in weights.items()}, {"x": [1, 3, 8, 8]}, {"y": [1, 6, 6, 6]}
    )


@pytest.mark.parametrize("way", [None, "int8", "4 bit", "codebook", "float16", "sparse"])
def test_a_folded_batch_norm_changes_nothing(make_model, tmp_path, way):
    path = norm_model(make_model)
    model = open_model(path)
    encodings = {"w": WAYS[way](np.ascontiguousarray(model.weight("w")))} if way else {}
    assembly = assemble(model, encodings)
    assert assembly.folded == dict.fromkeys("stmv", "w")
    out = save(assembly.graph, tmp_path / "o.onnx")
    assert all(node.op_type != "BatchNormalization" for node in onnx.load(out).graph.node)
    feed = {"x": RNG.standard_normal((1, 3, 8, 8)).astype(np.float32)}
    wanted = run(save(simulate(model, encodings), tmp_path / "w.onnx"), feed)[0]
    assert relative_difference(run(out, feed)[0], wanted) <= 1e-5
    assert abs(predict_bytes(model, encodings) - out.stat().st_size) <= 0.01 * out.stat().st_size + 20


def test_a_batch_norm_stays_when_the_convolution_is_used_elsewhere(make_model):
    assembly = assemble(open_model(norm_model(make_model, extra_use=True)), {})
    assert assembly.folded == {}
    assert any(node.op_type == "BatchNormalization" for node in assembly.graph.graph)


def test_exporters_notes_go_and_the_models_own_metadata_stays(mlp_path, tmp_path):
    proto = onnx.load(mlp_path)
    for node in proto.graph.node:
        entry = node.metadata_props.add()
        entry.key, entry.value = "pkg.stack_trace", "somewhere in a source file" * 5
        node.doc_string = "a note"
    entry = proto.metadata_props.add()
    entry.key, entry.value = "character", "abc"
    onnx.save(proto, tmp_path / "noted.onnx")
    model = open_model(tmp_path / "noted.onnx")
    out = save(assemble(model, {}).graph, tmp_path / "o.onnx")
    after = onnx.load(out)
    assert {p.key: p.value for p in after.metadata_props} == {"character": "abc"}
    assert all(not node.metadata_props and not node.doc_string for node in after.graph.node)
    (notes,) = (saving for saving in SizeModel(model, list_savings=True).savings if "notes" in saving.what)
    assert notes.nbytes > 250
    assert model.file_bytes - out.stat().st_size >= notes.nbytes


def test_the_opset_is_raised_only_where_an_encoding_needs_it(make_model, tmp_path):
    weight = RNG.standard_normal((16, 16)).astype(np.float32)
    path = make_model(
        [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("Softmax", ["h"], ["y"], axis=1)],
        {"w": weight},
        {"x": [2, 16]},
        {"y": [2, 16]},
        opset=11,
    )
    model = open_model(path)
    assert assemble(model, {"w": int8(weight)}).opset == 11
    assembly = assemble(model, {"w": Float(weight, "bfloat16")})
    assert assembly.opset == 13
    x = RNG.standard_normal((2, 16)).astype(np.float32)
    got = run(save(assembly.graph, tmp_path / "o.onnx"), {"x": x})[0]
    wanted = run(save(simulate(model, {"w": Float(weight, "bfloat16")}), tmp_path / "w.onnx"), {"x": x})[0]
    assert relative_difference(got, wanted) <= 1e-5


def test_the_same_plan_gives_the_same_bytes(cnn_path, tmp_path):
    model = open_model(cnn_path)
    encodings = {
        name: int8(np.ascontiguousarray(model.weight(name))) for name in (layer.name for layer in model.layers)
    }
    first, second = (
        save(assemble(open_model(cnn_path), encodings).graph, tmp_path / n).read_bytes() for n in ("a.onnx", "b.onnx")
    )
    assert first == second


def test_a_float16_graph_still_gets_float16(tmp_path):
    weight = RNG.standard_normal((16, 16)).astype(np.float16)
    ports = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT16, [1, 16]) for name in "xy"]
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        ports[:1],
        ports[1:],
        [onnx.numpy_helper.from_array(weight, "w")],
    )
    path = tmp_path / "half.onnx"
    onnx.save(helper.make_model(graph, ir_version=9, opset_imports=[helper.make_opsetid("", 20)]), path)
    model = open_model(path)
    encodings = {"w": int8(model.weight("w"))}
    out, wanted = (
        save(assemble(model, encodings).graph, tmp_path / "o.onnx"),
        save(simulate(model, encodings), tmp_path / "w.onnx"),
    )
    feed = {"x": RNG.standard_normal((1, 16)).astype(np.float16)}
    first, second = run(out, feed)[0], run(wanted, feed)[0]
    assert first.dtype == np.float16
    assert np.array_equal(first, second)
    assert abs(predict_bytes(model, encodings) - out.stat().st_size) <= 0.01 * out.stat().st_size + 40
