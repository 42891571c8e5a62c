"""Each layer that multiplies integers is checked by itself: faults that the outputs of a noisy model hide are found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import helper, numpy_helper

from core.data import Samples, load_samples
from core.encoding.base import Encoding
from core.errors import GateError
from core.exporting.export import export
from core.exporting.gate import Check, _distance, gate
from core.exporting.integer_check import check_integer_layers
from core.exporting.integer_nodes import unpacked
from core.exporting.writer import assemble, simulate
from core.model.model import Model
from core.model.readers import open_model
from core.pipeline import compress
from core.recipe import Recipe, Step

RNG = np.random.default_rng(11)
DEPTH = 8


def normal(*shape: int, scale: float = 1.0) -> np.ndarray:
    return RNG.normal(0, scale, shape).astype(np.float32)


class Case:
    """A model compressed with one step, what it must give, and its file, which tests damage."""

    def __init__(self, path: Path, folder: Path, method: str, **values: object) -> None:
        self.model: Model = open_model(path)
        np.savez(folder / "data.npz", x=normal(8, *self.model.inputs[0].shape[1:]))
        self.samples: Samples = load_samples(folder / "data.npz", self.model.inputs)
        done = compress(self.model, Recipe(defaults=(Step.make(method, **values),)), samples=self.samples)
        self.encodings: dict[str, Encoding] = {r.name: r.encoding for r in done.layers if r.encoding is not None}
        self.split = assemble(self.model, self.encodings)
        self.file, self.folder = folder / "out.onnx", folder
        ir.save(self.split.graph, self.file)

    def check(self, feeds: int = 1) -> Check | None:
        encodings = {name: self.encodings[name] for name in self.split.split}
        simulated = simulate(self.model, self.encodings)
        return check_integer_layers(self.model, encodings, simulated, self.file, list(self.samples.feeds(feeds)))

    def whole_model(self) -> tuple[Check, ...]:
        """The gate without the check of each layer."""
        simulated, plain = self.folder / "simulated.onnx", self.folder / "unrounded.onnx"
        ir.save(simulate(self.model, self.encodings), simulated)
        ir.save(simulate(self.model, self.encodings, round_inputs=False), plain)
        sizes = {"bytes_before": 2, "bytes_after": 1}
        return gate(self.model.path, simulated, self.file, list(self.samples.feeds(4)), unrounded=plain, **sizes)[0]

    def damage(self, change: Callable[[onnx.GraphProto], None]) -> None:
        proto = onnx.load(self.file)
        change(proto.graph)
        onnx.save(proto, self.file)


@pytest.fixture
def static(make_model, tmp_path) -> Case:
    """Convolutions with a folded norm, Relu, Clip and a shortcut, and a Gemm; random weights make it noisy."""
    nodes, weights, last = [], {"low": np.float32(0), "high": np.float32(2)}, "x"
    for n in range(DEPTH):
        weights |= {f"w{n}": normal(8, 8, 3, 3, scale=0.2), f"b{n}": normal(8, scale=0.1)}
        nodes.append(helper.make_node("Conv", [last, f"w{n}", f"b{n}"], [f"c{n}"], pads=[1] * 4))
        last = f"c{n}"
        if n == 1:
            weights |= {"s": normal(8), "t": normal(8, scale=0.1), "m": normal(8, scale=0.1)}
            weights["v"] = np.full(8, 1.3, np.float32)
            nodes.append(helper.make_node("BatchNormalization", [last, "s", "t", "m", "v"], ["n"]))
            last = "n"
        follow = ["Clip", last, "low", "high"] if n == 3 else ["Relu", last]
        nodes.append(helper.make_node(follow[0], follow[1:], [f"r{n}"]))
        last = f"r{n}"
        if n == 5:
            nodes.append(helper.make_node("Add", [last, "r4"], ["a"]))
            last = "a"
    nodes += [helper.make_node("Flatten", [last], ["f"]), helper.make_node("Gemm", ["f", "g", "h"], ["y"], transB=1)]
    weights |= {"g": normal(5, 512, scale=0.1), "h": normal(5)}
    path = make_model(nodes, weights, {"x": [1, 8, 8, 8]}, {"y": [1, 5]}, name="deep.onnx")
    return Case(path, tmp_path, "quantize:static")


@pytest.fixture
def linear(make_model) -> Path:
    nodes, weights, last = [], {}, "x"
    for n in range(DEPTH):
        weights[f"w{n}"] = normal(48, 48, scale=0.2)
        op, rest, words = ("Gemm", [f"b{n}"], {"transB": 1}) if n % 2 else ("MatMul", [], {})
        weights |= {name: normal(48) for name in rest}
        nodes.append(helper.make_node(op, [last, f"w{n}", *rest], [f"m{n}"], **words))
        nodes.append(helper.make_node("Tanh", [f"m{n}"], [last := f"t{n}"]))
    return make_model(nodes, weights, {"x": ["n", 48]}, {last: ["n", 48]}, name="linear.onnx")


@pytest.fixture
def one_layer(make_model) -> Path:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["m"]), helper.make_node("Relu", ["m"], ["y"])]
    return make_model(nodes, {"w": normal(32, 24)}, {"x": ["n", 32]}, {"y": ["n", 24]}, name="one.onnx")


def stored(graph: onnx.GraphProto, name: str) -> onnx.TensorProto:
    return next(tensor for tensor in graph.initializer if tensor.name == name)


def replace(graph: onnx.GraphProto, name: str, change: Callable[[np.ndarray], np.ndarray]) -> None:
    tensor = stored(graph, name)
    before = numpy_helper.to_array(tensor)
    tensor.CopyFrom(numpy_helper.from_array(np.asarray(change(before.copy()), before.dtype), name))


def dequantize(graph: onnx.GraphProto, name: str) -> onnx.NodeProto:
    """The DequantizeLinear that gives a layer's weight."""
    return next(node for node in graph.node if name in node.output)


def flip(codes: np.ndarray) -> np.ndarray:
    codes.flat[codes.size // 2] ^= 1
    return codes


def swap(array: np.ndarray) -> np.ndarray:
    return array[[1, 0, *range(2, len(array))]]


def scale_one(scales: np.ndarray) -> np.ndarray:
    scales.flat[scales.size // 2] *= np.float32(1.02)
    return scales


def own_copy(graph: onnx.GraphProto, name: str, change: Callable[[np.ndarray], np.ndarray]) -> str:
    """A changed copy of a tensor that other nodes read as well."""
    before = numpy_helper.to_array(stored(graph, name))
    graph.initializer.append(numpy_helper.from_array(np.asarray(change(before), before.dtype), f"{name}.own"))
    return f"{name}.own"


def move_levels(graph: onnx.GraphProto, layer: str, place: int, change: Callable[[np.ndarray], np.ndarray]) -> None:
    """Change the scale (1) or zero point (2) of the pair on what enters a layer."""
    use = next(node for node in graph.node if node.op_type == "Conv" and node.input[1] == layer)
    back = next(node for node in graph.node if use.input[0] in node.output)
    quantize = next(node for node in graph.node if back.input[0] in node.output)
    name = own_copy(graph, back.input[place], change)
    for node in (quantize, back):
        node.input[place] = name


def test_static_layers_pass_and_the_report_says_how_many(static) -> None:
    found = static.check()
    assert found is not None and found.passed and found.name == "layers"
    assert f"{DEPTH + 1} layers" in found.text and f"what {DEPTH + 1} of them give" in found.text
    without = static.check(feeds=0)
    assert without is not None and "of them give" not in without.text


STATIC_FAULTS = {
    "code": (lambda graph: replace(graph, dequantize(graph, "w4").input[0], flip), "1 stored weights"),
    "scale": (lambda graph: replace(graph, dequantize(graph, "w4").input[1], scale_one), "stored weights"),
    "channels": (lambda graph: replace(graph, dequantize(graph, "w4").input[0], swap), "stored weights"),
    "axis": (lambda graph: dequantize(graph, "w4").attribute[0].__setattr__("i", 1), "stored weights"),
    "zero": (lambda graph: move_levels(graph, "w4", 2, lambda zero: zero + 1), "other levels"),
    "step": (lambda graph: move_levels(graph, "w4", 1, lambda step: step * np.float32(1.01)), "other levels"),
    "bias": (
        lambda graph: replace(graph, dequantize(graph, bias_of(graph, "w4")).input[0], lambda codes: codes + 2),
        "bias is not the planned",
    ),
}


def bias_of(graph: onnx.GraphProto, layer: str) -> str:
    return next(str(node.input[2]) for node in graph.node if node.op_type == "Conv" and node.input[1] == layer)


@pytest.mark.parametrize("fault", STATIC_FAULTS)
def test_a_fault_in_one_static_layer_is_found_and_named(static, fault) -> None:
    change, words = STATIC_FAULTS[fault]
    static.damage(change)
    with pytest.raises(GateError, match=rf"layer w[345]: .*{words}"):
        static.check()


def test_the_whole_models_outputs_do_not_show_one_wrong_code(static) -> None:
    static.damage(STATIC_FAULTS["code"][0])
    assert all(check.passed for check in static.whole_model())


def test_a_layer_that_computes_other_values_from_the_right_numbers_is_found(static) -> None:
    """The bound of a Clip that the runtime takes into the layer."""
    static.damage(lambda graph: replace(graph, "high", lambda high: high * np.float32(0.8)))
    with pytest.raises(GateError, match=r"layer w3: what it gives is .* steps"):
        static.check()


@pytest.mark.parametrize(("first", "second"), [("w1", "w6"), ("w6", "w7")])
def test_weights_of_two_layers_mixed_up_are_found(static, first, second) -> None:
    def change(graph: onnx.GraphProto) -> None:
        one, two = dequantize(graph, first), dequantize(graph, second)
        one.input[0], two.input[0] = two.input[0], one.input[0]

    static.damage(change)
    with pytest.raises(GateError, match=f"layer {first}: "):
        static.check()


@pytest.mark.parametrize("weights", ["int7", "uint8"])
def test_dynamic_layers(linear, tmp_path, weights) -> None:
    case = Case(linear, tmp_path, "quantize:dynamic", weights=weights)
    found = case.check()
    assert found is not None and f"{DEPTH} layers" in found.text
    intact = case.file.read_bytes()
    for layer in ("w2", "w5"):
        scale = next(
            node.input[1] for node in onnx.load(case.file).graph.node if node.op_type == "Mul" and
            any(tensor.name == node.input[1] for tensor in onnx.load(case.file).graph.initializer)
        )  # fmt: skip
        for name, change in ((layer, flip), (layer, swap), (scale, scale_one)):
            case.file.write_bytes(intact)
            case.damage(lambda graph, name=name, change=change: replace(graph, name, change))
            with pytest.raises(GateError, match=f"layer {layer if name == layer else 'w0'}: .*stored weights"):
                case.check()


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("inputs", ["int8", "float32"])
def test_packed_layers(linear, tmp_path, symmetric, inputs) -> None:
    case = Case(linear, tmp_path, "quantize:nbits", symmetric=symmetric, inputs=inputs, block=32)
    found = case.check()
    assert found is not None and f"{DEPTH} layers" in found.text
    nodes = [node for node in onnx.load(case.file).graph.node if node.op_type == "MatMulNBits"]
    intact = case.file.read_bytes()
    parts = [(1, flip), (1, swap), (2, scale_one), (2, swap), *([] if symmetric else [(3, flip)])]
    for part, change in parts:
        case.file.write_bytes(intact)
        case.damage(lambda graph, part=part, change=change: replace(graph, nodes[5].input[part], change))
        with pytest.raises(GateError, match=r"layer w5: .*stored weights"):
            case.check()


def test_a_missing_bias_is_found(linear, tmp_path) -> None:
    case = Case(linear, tmp_path, "quantize:nbits", block=32)

    def change(graph: onnx.GraphProto) -> None:
        node = [node for node in graph.node if node.op_type == "MatMulNBits"][3]
        node.input[5] = ""

    case.damage(change)
    with pytest.raises(GateError, match=r"layer w3: a bias is missing"):
        case.check()


def test_equal_layers_stored_once(make_model, tmp_path) -> None:
    weight = normal(48, 48, scale=0.2)
    nodes = [
        helper.make_node("MatMul", ["x", "p"], ["a"]), helper.make_node("Tanh", ["a"], ["t"]),
        helper.make_node("MatMul", ["t", "q"], ["b"]), helper.make_node("MatMul", ["b", "r"], ["y"]),
    ]
    path = make_model(nodes, {"p": weight, "r": normal(48, 48), "q": weight.copy()}, {"x": ["n", 48]}, {"y": ["n", 48]})
    for method in ("quantize:dynamic", "quantize:nbits"):
        case = Case(path, tmp_path, method)
        found = case.check()
        assert found is not None and "what 3 of them give" in found.text


@pytest.mark.parametrize("weights", ["int7", "uint8"])
def test_a_channel_whose_bias_needs_a_larger_scale_passes(make_model, tmp_path, weights) -> None:
    weight = normal(4, 3, 3, 3, scale=0.1)
    weight[1] *= 1e-9
    nodes = [helper.make_node("Conv", ["x", "w", "b"], ["y"])]
    biases = np.array([0.1, 2.0, -1.0, 0.5], np.float32)
    path = make_model(nodes, {"w": weight, "b": biases}, {"x": [1, 3, 8, 8]}, {"y": [1, 4, 6, 6]})
    found = Case(path, tmp_path, "quantize:static", weights=weights).check()
    assert found is not None and "what 1 of them give" in found.text


@pytest.mark.parametrize("method", ["quantize:dynamic", "quantize:static"])
def test_a_bias_that_is_computed(make_model, tmp_path, method) -> None:
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["m"], keepdims=0), helper.make_node("Add", ["b", "m"], ["c"]),
        helper.make_node("Gemm", ["x", "w", "c"], ["h"]), helper.make_node("Gemm", ["h", "v"], ["y"]),
    ]
    weights = {"w": normal(32, 48), "v": normal(48, 16), "b": normal(48)}
    path = make_model(nodes, weights, {"x": ["n", 32]}, {"y": ["n", 16]})
    case = Case(path, tmp_path, method)
    found = case.check()
    assert found is not None and "what 2 of them give" in found.text


def test_a_node_that_nothing_uses_does_not_matter(make_model, tmp_path) -> None:
    """A second, dead use of a convolution's result: the Relu behind it is taken in all the same."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]), helper.make_node("Sigmoid", ["c"], ["dead"]),
        helper.make_node("Relu", ["c"], ["r"]), helper.make_node("Conv", ["r", "v"], ["y"]),
    ]
    weights = {"w": normal(8, 3, 3, 3), "v": normal(4, 8, 3, 3)}
    path = make_model(nodes, weights, {"x": [1, 3, 9, 9]}, {"y": [1, 4, 5, 5]})
    found = Case(path, tmp_path, "quantize:static").check()
    assert found is not None and "what 2 of them give" in found.text


def test_layers_in_branches(tmp_path) -> None:
    """Only what runs on the sample is compared; what is stored, in both branches."""
    branches = []
    for name in ("w", "v"):
        node = helper.make_node("MatMul", ["x", name], [f"{name}.out"])
        out = helper.make_tensor_value_info(f"{name}.out", onnx.TensorProto.FLOAT, ["n", 40])
        branches.append(helper.make_graph([node], name, [], [out], [numpy_helper.from_array(normal(40, 40), name)]))
    nodes = [
        helper.make_node("ReduceSum", ["x"], ["s"], keepdims=0), helper.make_node("Mul", ["s", "s"], ["q"]),
        helper.make_node("Less", ["none", "q"], ["yes"]),
        helper.make_node("If", ["yes"], ["y"], then_branch=branches[0], else_branch=branches[1]),
    ]
    ends = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n", 40]) for name in "xy"]
    none = numpy_helper.from_array(np.array(-1, np.float32), "none")
    graph = helper.make_graph(nodes, "branches", ends[:1], ends[1:], [none])
    path = tmp_path / "branches.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9), path)
    for method in ("quantize:dynamic", "quantize:nbits"):
        found = Case(path, tmp_path, method).check()
        assert found is not None and "2 layers" in found.text and "what 1 of them give" in found.text


def test_codes_are_unpacked_from_the_lowest_bits() -> None:
    packed = np.array([[0b10_01_11_00]], np.uint8)
    assert unpacked(packed, 2).tolist() == [[0, 3, 1, 2]] and unpacked(packed, 4).tolist() == [[12, 9]]


def test_layers_that_are_rebuilt_as_floats_are_not_looked_at(linear, tmp_path) -> None:
    assert Case(linear, tmp_path, "quantize:affine").check() is None


def test_an_export_reports_the_check(linear, tmp_path) -> None:
    case = Case(linear, tmp_path, "quantize:dynamic")
    done = compress(case.model, Recipe(defaults=(Step.make("quantize:dynamic"),)))
    report = export(case.model, done, tmp_path / "exported.onnx", case.samples)
    names = [check.name for check in report.checks]
    assert names.index("layers") > names.index("parity") and names[-1] == "bytes"


def test_inputs_whose_rounding_spans_fewer_steps_than_their_range(one_layer, tmp_path) -> None:
    """-1 and 1 lie 127.5 steps from zero: both may round inwards, and the rounded values have smaller steps."""
    case = Case(one_layer, tmp_path, "quantize:dynamic")
    encodings = {name: case.encodings[name] for name in case.split.split}
    for largest in np.linspace(0.9, 1.1, 8, dtype=np.float32):
        feed = {"x": np.linspace(-largest, largest, 8 * 32, dtype=np.float32).reshape(8, 32)}
        check = check_integer_layers(case.model, encodings, simulate(case.model, case.encodings), case.file, [feed])
        assert check is not None and check.passed


@pytest.mark.parametrize("method", ["quantize:dynamic", "quantize:nbits"])
def test_a_layer_of_zeros_passes_beside_others(make_model, tmp_path, method: str) -> None:
    nodes = [helper.make_node("MatMul", ["x", name], [f"y_{name}"]) for name in ("zeros", "w")]
    weights = {"zeros": np.zeros((64, 64), np.float32), "w": normal(64, 64)}
    path = make_model(nodes, weights, {"x": ["n", 64]}, {"y_zeros": ["n", 64], "y_w": ["n", 64]})
    case = Case(path, tmp_path, method)
    assert len(case.split.split) == 2
    assert case.check() is not None and case.whole_model()


def test_clip_bounds_in_constant_nodes_limit_what_is_rounded(make_model, tmp_path) -> None:
    """A simulation keeps the nodes, an export makes initializers of them."""
    bounds = [
        helper.make_node("Constant", [], [name], value=numpy_helper.from_array(np.float32(value)))
        for name, value in (("low", 0), ("high", 1))
    ]
    nodes = [helper.make_node("Conv", ["x", "w"], ["c"]), helper.make_node("Clip", ["c", "low", "high"], ["y"])]
    path = make_model([*bounds, *nodes], {"w": normal(8, 8, 3, 3)}, {"x": [1, 8, 8, 8]}, {"y": [1, 8, 6, 6]})
    case = Case(path, tmp_path, "quantize:static")
    check = case.check()
    assert check is not None and check.passed


def test_all_8_bits_of_stacked_matrices_run(make_model, tmp_path) -> None:
    path = make_model(
        [helper.make_node("MatMul", ["x", "w"], ["y"])], {"w": normal(3, 64, 24)}, {"x": ["n", 64]}, {"y": [3, "n", 24]}
    )
    case = Case(path, tmp_path, "quantize:static", weights="uint8")
    assert case.split.split and case.whole_model()
    check = case.check()
    assert check is not None and check.passed


@pytest.mark.filterwarnings("error")
def test_outputs_beyond_float32_are_compared_without_a_warning(one_layer, tmp_path) -> None:
    """inf on both sides is no difference; it reaches no one's terminal either."""
    case = Case(one_layer, tmp_path, "quantize:dynamic")
    encodings = {name: case.encodings[name] for name in case.split.split}
    feed = {"x": np.full((2, 32), 3e38, np.float32)}
    check = check_integer_layers(case.model, encodings, simulate(case.model, case.encodings), case.file, [feed])
    assert check is not None and check.passed
    infinite = [np.array([np.inf, 1.0], np.float32)]
    assert _distance(infinite, infinite) == 0.0
