"""Layers that multiply integers: what the runtime makes of them, that it is what is simulated, and the file's size."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import helper

from core.analysis.runtime import run, session
from core.data.layer_inputs import LayerInputs, ValueRange
from core.encoding import Affine, Codes
from core.encoding.base import Encoding
from core.encoding.integer import Dynamic, Levels, Static
from core.encoding.packed import PackedEmbedding, PackedLinear
from core.encoding.scaled import scale_channels
from core.errors import GateError
from core.exporting.gate import gate
from core.exporting.sizes import predict_bytes
from core.exporting.writer import assemble, simulate
from core.methods._packed import in_blocks
from core.methods.base import Context
from core.methods.quantize_dynamic import DynamicParams, QuantizeDynamic
from core.methods.quantize_static import QuantizeStatic, StaticParams
from core.model.readers import open_model

RNG = np.random.default_rng(5)


def values_of(path: Path, names: list[str], feed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Inner values of a model on one feed."""
    model = onnx.load(path)
    inner = [name for name in names if name not in feed]
    for name in inner:
        if name not in {value.name for value in model.graph.output}:
            model.graph.output.append(helper.make_empty_tensor_value_info(name))
    found = session(model.SerializeToString()).run(inner, feed)
    return dict(zip(inner, found, strict=True)) | feed


def measured(value: np.ndarray) -> ValueRange:
    low, high = float(value.min()), float(value.max())
    counts = np.histogram(value, 2048, (low, high))[0]
    return ValueRange(low, high, counts, int((value == 0).sum()), value.size)


def static_encodings(path: Path, feed: dict[str, np.ndarray], sides: dict[str, tuple[str, str]], **words) -> dict:
    """Static int8 of the layers in `sides`: name -> names of the values that enter and leave it."""
    model = open_model(path)
    values = values_of(path, [name for pair in sides.values() for name in pair], feed)
    made = {}
    for name, (entering, leaving) in sides.items():
        inputs = LayerInputs(1, input_range=measured(values[entering]), output_range=measured(values[leaving]))
        context = Context(model.layer(name), inputs=inputs)
        made[name] = QuantizeStatic().apply(model.encoding(name), StaticParams(**words), context)
    return made


def dynamic_encodings(path: Path, **words) -> dict[str, Encoding]:
    model = open_model(path)
    method, params = QuantizeDynamic(), DynamicParams(**words)
    return {
        layer.name: method.apply(model.encoding(layer.name), params, Context(layer))
        for layer in model.layers if not method.why_not(layer, params)
    }


def write(graph: ir.Model, path: Path) -> Path:
    ir.save(graph, path)
    onnx.checker.check_model(str(path))
    return path


def optimized(path: Path) -> Counter[str]:
    """The operators that stock ONNX Runtime runs."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(path.with_suffix(".opt.onnx"))
    options.log_severity_level = 4
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return Counter(node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node)


def exported(path: Path, encodings: dict, tmp_path: Path) -> tuple[Path, Path, Path]:
    """(export, simulated, simulated without rounding); the predicted size is checked on the way."""
    model = open_model(path)
    out = write(assemble(model, encodings).graph, tmp_path / "out.onnx")
    assert predict_bytes(model, encodings) == pytest.approx(out.stat().st_size, rel=0.01)
    simulated = write(simulate(model, encodings), tmp_path / "simulated.onnx")
    return out, simulated, write(simulate(model, encodings, round_inputs=False), tmp_path / "unrounded.onnx")


def differences(files: tuple[Path, Path, Path], feed: dict[str, np.ndarray]) -> tuple[float, float]:
    """Of the export to the simulation, and of the simulation to the graph that rounds nothing, by norm."""
    out, simulated, unrounded = (
        run(session(file, optimize=number != 1), feed)[0] for number, file in enumerate(files)
    )
    size = np.linalg.norm(unrounded)
    return float(np.linalg.norm(out - simulated) / size), float(np.linalg.norm(simulated - unrounded) / size)


def pass_gate(path: Path, files: tuple[Path, Path, Path], feed: dict[str, np.ndarray]):
    out, simulated, unrounded = files
    sizes = {"bytes_before": path.stat().st_size, "bytes_after": out.stat().st_size}
    return gate(path, simulated, out, [feed], unrounded=unrounded, **sizes)


def normal(*shape: int, scale: float = 0.1) -> np.ndarray:
    return RNG.normal(0, scale, shape).astype(np.float32)


@pytest.fixture
def residual(make_model) -> tuple[Path, dict[str, np.ndarray], dict[str, tuple[str, str]]]:
    """Conv, Relu, MaxPool, Conv and a branch, Add, Relu, depthwise Conv with Clip, Concat, Flatten, Gemm."""
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["c1"], pads=[1] * 4),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("MaxPool", ["r1"], ["p1"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Conv", ["p1", "w2", "b2"], ["c2"], pads=[1] * 4),
        helper.make_node("Conv", ["p1", "w3"], ["c3"]),
        helper.make_node("Add", ["c2", "c3"], ["a"]),
        helper.make_node("Relu", ["a"], ["ra"]),
        helper.make_node("Conv", ["ra", "w4", "b4"], ["c4"], pads=[1] * 4, group=32),
        helper.make_node("Clip", ["c4", "zero", "six"], ["r4"]),
        helper.make_node("Concat", ["r4", "ra"], ["j"], axis=1),
        helper.make_node("Flatten", ["j"], ["f"]),
        helper.make_node("Gemm", ["f", "w5", "b5"], ["y"], transB=1),
    ]
    weights = {
        "w1": normal(16, 3, 3, 3, scale=0.3), "b1": normal(16), "w2": normal(32, 16, 3, 3), "b2": normal(32),
        "w3": normal(32, 16, 1, 1), "w4": normal(32, 1, 3, 3, scale=0.3), "b4": normal(32), "w5": normal(10, 1024),
        "b5": normal(10), "zero": np.float32(0), "six": np.float32(6),
    }
    path = make_model(nodes, weights, {"x": [1, 3, 8, 8]}, {"y": [1, 10]})
    sides = {"w1": ("x", "c1"), "w2": ("p1", "c2"), "w3": ("p1", "c3"), "w4": ("ra", "c4"), "w5": ("f", "y")}
    return path, {"x": RNG.normal(size=(1, 3, 8, 8)).astype(np.float32)}, sides


def test_static_layers_hand_integers_on(residual, tmp_path) -> None:
    """One conversion in, and none between: convolutions, pooling, Add, Concat and the last layer take bytes."""
    path, feed, sides = residual
    files = exported(path, static_encodings(path, feed, sides), tmp_path)
    ops = optimized(files[0])
    assert ops["QLinearConv"] == 4 and ops["QLinearAdd"] == 1 and ops["QLinearConcat"] == 1 and ops["QGemm"] == 1
    assert not {"Conv", "Gemm", "Add", "Relu", "Clip", "DequantizeLinear"} & set(ops) and ops["QuantizeLinear"] == 1


@pytest.mark.parametrize("weights", ["int7", "uint8"])
@pytest.mark.parametrize("calibration", ["minmax", "percentile", "entropy"])
def test_static_equals_its_simulation(residual, tmp_path, calibration, weights) -> None:
    path, feed, sides = residual
    encodings = static_encodings(path, feed, sides, calibration=calibration, weights=weights)
    files = exported(path, encodings, tmp_path)
    apart, rounding = differences(files, feed)
    assert 0 < rounding < 0.2
    assert apart < rounding
    checks, _ = pass_gate(path, files, feed)
    assert "what rounding to their levels changes" in next(check.text for check in checks if check.name == "parity")


@pytest.mark.parametrize("what", ["input", "weight", "zero"])
def test_the_gate_sees_a_wrong_scale_or_zero_point(residual, tmp_path, what) -> None:
    path, feed, sides = residual
    encodings = static_encodings(path, feed, sides)
    out, simulated, unrounded = exported(path, encodings, tmp_path)
    model = onnx.load(out)
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    made = [node for node in model.graph.node if node.op_type == "DequantizeLinear"]
    weight = next(node for node in made if len(tensors[node.input[1]].dims) == 1)
    value = next(node for node in made if not tensors[node.input[1]].dims and len(node.input) == 3)
    name = {"input": value.input[1], "weight": weight.input[1], "zero": value.input[2]}[what]
    array = onnx.numpy_helper.to_array(tensors[name])
    wrong = array + np.uint8(40) if what == "zero" else array * np.float32(1.3)
    tensors[name].CopyFrom(onnx.numpy_helper.from_array(np.asarray(wrong), name))
    onnx.save(model, out)
    with pytest.raises(GateError, match="integer layers"):
        pass_gate(path, (out, simulated, unrounded), feed)


def test_a_value_of_two_layers_has_one_range(residual, tmp_path) -> None:
    path, feed, sides = residual
    encodings = static_encodings(path, feed, sides)
    narrow = replace(encodings["w3"], input=Levels(encodings["w3"].input.scale / 4, 0))
    files = exported(path, encodings | {"w3": narrow}, tmp_path)
    assert optimized(files[0])["QLinearConv"] == 4
    assert differences(files, feed)[1] < 0.1  # the wider range holds, so nothing is cut off


def test_a_bias_too_large_for_the_products_scale_coarsens_its_channel(make_model, tmp_path) -> None:
    """A nearly dead channel: int32 would not hold its bias at the scale of its tiny weights."""
    weight, bias = normal(4, 3, 3, 3), np.array([0.1, 2.0, -1.0, 0.5], np.float32)
    weight[1] *= 1e-9
    nodes = [helper.make_node("Conv", ["x", "w", "b"], ["y"])]
    path = make_model(nodes, {"w": weight, "b": bias}, {"x": [1, 3, 8, 8]}, {"y": [1, 4, 6, 6]})
    feed = {"x": RNG.normal(size=(1, 3, 8, 8)).astype(np.float32)}
    encodings = static_encodings(path, feed, {"w": ("x", "y")})
    model = open_model(path)
    out = write(assemble(model, encodings).graph, tmp_path / "out.onnx")
    wanted = run(session(write(simulate(model, encodings), tmp_path / "s.onnx"), optimize=False), feed)[0]
    assert optimized(out)["QLinearConv"] == 1
    np.testing.assert_allclose(run(session(out), feed)[0], wanted, atol=1.01 * encodings["w"].output.scale)


def test_folded_norms_go_into_the_scales_whatever_their_sign(make_model, tmp_path) -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("BatchNormalization", ["c", "s", "t", "m", "v"], ["n"]),
        helper.make_node("Relu", ["n"], ["y"]),
    ]
    weights = {
        "w": normal(8, 3, 3, 3), "s": np.array([1, -2, 0.5, 0, 1, -1, 3, 1], np.float32), "t": normal(8),
        "m": normal(8), "v": np.full(8, 0.3, np.float32),
    }
    path = make_model(nodes, weights, {"x": [1, 3, 8, 8]}, {"y": [1, 8, 6, 6]})
    feed = {"x": RNG.normal(size=(1, 3, 8, 8)).astype(np.float32)}
    files = exported_without_size(path, static_encodings(path, feed, {"w": ("x", "n")}), tmp_path)
    assert optimized(files[0])["QLinearConv"] == 1
    apart, rounding = differences(files, feed)
    assert apart < rounding < 0.05


def exported_without_size(path: Path, encodings: dict, tmp_path: Path) -> tuple[Path, Path, Path]:
    model = open_model(path)
    return (
        write(assemble(model, encodings).graph, tmp_path / "out.onnx"),
        write(simulate(model, encodings), tmp_path / "simulated.onnx"),
        write(simulate(model, encodings, round_inputs=False), tmp_path / "unrounded.onnx"),
    )


def test_a_use_that_multiplies_no_inputs_leaves_the_weight_rebuilt(make_model, tmp_path) -> None:
    weight = normal(32, 32)
    nodes = [helper.make_node("MatMul", ["x", "w"], ["m"]), helper.make_node("Add", ["m", "w"], ["y"])]
    path = make_model(nodes, {"w": weight}, {"x": [32, 32]}, {"y": [32, 32]})
    feed = {"x": normal(32, 32, scale=1)}
    for encodings in (static_encodings(path, feed, {"w": ("x", "m")}), dynamic_encodings(path)):
        files = exported_without_size(path, encodings, tmp_path)
        assert differences(files, feed) == (pytest.approx(0, abs=1e-6), pytest.approx(0, abs=1e-6))
        assert "MatMulInteger" not in optimized(files[0])


@pytest.fixture
def linear(make_model) -> Path:
    """x -> two MatMul of the same input, Add, Relu, Gemm."""
    nodes = [
        helper.make_node("MatMul", ["x", "q"], ["a"]), helper.make_node("MatMul", ["x", "k"], ["b"]),
        helper.make_node("Add", ["a", "b"], ["s"]), helper.make_node("Relu", ["s"], ["r"]),
        helper.make_node("Gemm", ["r", "w", "c"], ["y"], transB=1),
    ]
    weights = {"q": normal(48, 64), "k": normal(48, 64), "w": normal(40, 64), "c": normal(40)}
    return make_model(nodes, weights, {"x": ["n", 48]}, {"y": ["n", 40]})


@pytest.mark.parametrize("weights", ["int7", "uint8"])
@pytest.mark.parametrize("granularity", ["channel", "tensor"])
def test_dynamic_layers_multiply_integers(linear, tmp_path, weights, granularity) -> None:
    feed = {"x": normal(6, 48, scale=1)}
    encodings = dynamic_encodings(linear, weights=weights, granularity=granularity)
    assert len(encodings) == 3
    files = exported(linear, encodings, tmp_path)
    assert [node.op_type for node in onnx.load(files[0]).graph.node].count("DynamicQuantizeLinear") == 2
    ops = optimized(files[0])
    assert not {"MatMul", "Gemm"} & set(ops) and ops["DynamicQuantizeMatMul"] + ops["MatMulIntegerToFloat"] == 3
    apart, rounding = differences(files, feed)
    assert apart < rounding < 0.1
    pass_gate(linear, files, feed)


def test_codes_within_63_cannot_overflow_sixteen_bits(linear) -> None:
    for encoding in dynamic_encodings(linear).values():
        assert isinstance(encoding, Dynamic) and np.abs(encoding.codes).max() == 63
        assert 2 * 255 * 63 < 2**15


@pytest.mark.parametrize("accuracy", ["float32", "int8"])
@pytest.mark.parametrize(
    ("bits", "block", "symmetric"), [(4, 32, True), (8, 16, False), (2, 64, False), (4, 256, False)]
)
def test_packed_linear_layers(linear, tmp_path, bits, block, symmetric, accuracy) -> None:
    """Also with a last block that is not full (48 and 64 inputs)."""
    model, feed = open_model(linear), {"x": normal(6, 48, scale=1)}
    encodings = {}
    for layer in model.layers:
        weight = in_blocks(model.weight(layer.name), 1 - layer.output_axis, bits, block, symmetric, Context(layer))
        encodings[layer.name] = PackedLinear(weight, accuracy)
    files = exported(linear, encodings, tmp_path)
    assert optimized(files[0])["MatMulNBits"] == 3
    apart, rounding = differences(files, feed)
    assert apart < (0.5 * rounding if accuracy == "int8" else 1e-5)
    assert (rounding > 1e-3) == (accuracy == "int8")


@pytest.mark.parametrize(("bits", "block", "symmetric"), [(8, 32, True), (4, 16, False), (2, 16, False)])
def test_packed_embeddings(tmp_path, bits, block, symmetric) -> None:
    table = normal(50, 48)
    graph = helper.make_graph(
        [helper.make_node("Gather", ["table", "ids"], ["y"])], "g",
        [helper.make_tensor_value_info("ids", onnx.TensorProto.INT64, ["n"])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["n", 48])],
        [onnx.numpy_helper.from_array(table, "table")],
    )
    path = tmp_path / "embedding.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9), path)
    model = open_model(path)
    encoding = PackedEmbedding(in_blocks(table, 1, bits, block, symmetric, Context(model.layer("table"))))
    out = write(assemble(model, {"table": encoding}).graph, tmp_path / "out.onnx")
    assert predict_bytes(model, {"table": encoding}) == pytest.approx(out.stat().st_size, rel=0.01)
    assert optimized(out)["GatherBlockQuantized"] == 1
    rows = np.array([3, 49, 0, 3])
    np.testing.assert_allclose(run(session(out), {"ids": rows})[0], encoding.decode()[rows], atol=1e-6)


def test_a_factor_goes_into_the_scales_of_integers() -> None:
    codes, scale = np.arange(-6, 6, dtype=np.int8).reshape(3, 4), np.array([[1.0], [2.0], [3.0]], np.float32)
    encoding = Static(Affine(Codes(codes, 8, signed=True), scale), input=Levels(0.1, 3), output=Levels(0.2, 0))
    scaled = scale_channels(encoding, np.array([2.0, -1.0, 0.0], np.float32), 0)
    assert isinstance(scaled, Static) and scaled.input == encoding.input and scaled.nbytes == encoding.nbytes
    np.testing.assert_array_equal(scaled.decode(), encoding.decode() * np.array([[2.0], [-1.0], [0.0]], np.float32))
