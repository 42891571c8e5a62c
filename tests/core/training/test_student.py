"""The student: the compressed graph in training, its batches, its ties, and what is written of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from core.data import Samples, load_samples
from core.encoding import Float, Sparse
from core.errors import FeatherweightError
from core.exporting.sizes import predict_bytes
from core.model.model import Model
from core.model.readers import open_model
from core.pipeline import Compression, compress
from core.recipe import Recipe
from core.training.batching import ONE_BY_ONE
from core.training.exporting import export_trained, trained_compression, trained_model
from core.training.feeding import batch
from core.training.student import REST, TABLES, WEIGHTS, Student

RNG = np.random.default_rng(0)


def saved(path: Path, nodes, inputs, outputs, tensors, opset: int = 17) -> Path:
    def info(name, shape):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    initializers = [numpy_helper.from_array(array, name) for name, array in tensors.items()]
    graph = helper.make_graph(nodes, "g", [info(*i) for i in inputs], [info(*o) for o in outputs], initializers)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.checker.check_model(made)
    onnx.save(made, path)
    return path


def floats(*shape: int, scale: float = 0.2) -> np.ndarray:
    return (RNG.standard_normal(shape) * scale).astype(np.float32)


def net(path: Path, first: int | str = "n") -> Path:
    """Conv, batch norm, Relu, Reshape, MatMul, Add, Relu, Gemm; `first` is the batch axis."""
    tensors = {
        "conv.weight": floats(8, 1, 3, 3), "bn.g": floats(8) + 1, "bn.b": floats(8), "bn.m": floats(8),
        "bn.v": np.abs(floats(8)) + 1, "shape": np.array([1 if first == 1 else -1, 288], np.int64),
        "fc.weight": floats(288, 24), "fc.bias": floats(24), "out.weight": floats(24, 4), "out.bias": floats(4),
    }  # fmt: skip
    nodes = [
        helper.make_node("Conv", ["x", "conv.weight"], ["c"], "conv"),
        helper.make_node("BatchNormalization", ["c", "bn.g", "bn.b", "bn.m", "bn.v"], ["n1"], "bn"),
        helper.make_node("Relu", ["n1"], ["r1"], "relu1"),
        helper.make_node("Reshape", ["r1", "shape"], ["flat"], "flatten"),
        helper.make_node("MatMul", ["flat", "fc.weight"], ["m"], "fc"),
        helper.make_node("Add", ["m", "fc.bias"], ["a"], "add"),
        helper.make_node("Relu", ["a"], ["r2"], "relu2"),
        helper.make_node("Gemm", ["r2", "out.weight", "out.bias"], ["y"], "out"),
    ]
    return saved(path, nodes, [("x", [first, 1, 8, 8])], [("y", [first, 4])], tensors)


@pytest.fixture
def model(tmp_path: Path) -> Model:
    return open_model(net(tmp_path / "net.onnx"))


@pytest.fixture
def samples(tmp_path: Path, model: Model) -> Samples:
    np.savez(tmp_path / "data.npz", x=floats(12, 1, 8, 8, scale=1.0))
    return load_samples(tmp_path / "data.npz", model.inputs)


def compressed(model: Model, steps: str, samples: Samples | None = None) -> Compression:
    return compress(model, Recipe.parse(f"featherweight: 1\ndefaults: [{steps}]\n"), samples=samples)


def trained(student: Student, samples: Samples, steps: int = 4) -> Student:
    wanted = torch.from_numpy(floats(samples.n, 4, scale=1.0))
    optimiser = torch.optim.Adam(student.parameters(), lr=1e-2)
    student.train()
    for _ in range(steps):
        optimiser.zero_grad()
        torch.nn.functional.mse_loss(student(batch(samples, range(samples.n)))["y"], wanted).backward()
        optimiser.step()
    return student.eval()


def by_runtime(path: Path, samples: Samples) -> np.ndarray:
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, samples.feed(place))[0] for place in range(samples.n)])


def by_student(student: Student, samples: Samples) -> np.ndarray:
    with torch.no_grad():
        return student(batch(samples, range(samples.n)))["y"].numpy()


@pytest.mark.parametrize("steps", [
    "{prune: {ratio: 0.7}}, {quantize: {scheme: codebook, bits: 4}}", "{quantize: {bits: 4}}", "float16",
    "{low_rank: {rank: 4}}", "{prune_channels: {ratio: 0.5}}, {quantize: {scheme: ternary}}",
    "{quantize: {scheme: static}}", "{quantize: {scheme: dynamic}}",
])  # fmt: skip
def test_the_file_gives_what_was_trained(model: Model, samples: Samples, steps: str, tmp_path: Path) -> None:
    done = compressed(model, steps, samples)
    assert any(result.encoding is not None for result in done.layers)
    student = Student(model, done)
    before = by_student(student, samples)
    trained(student, samples)
    after = by_student(student, samples)
    assert np.abs(after - before).max() > 0.05
    report = export_trained(model, done, student.trained(), tmp_path / "out.onnx", samples)
    assert all(check.passed for check in report.checks if check.name != "bytes")
    tolerance = 0.05 if "static" in steps or "dynamic" in steps else 1e-4
    np.testing.assert_allclose(by_runtime(tmp_path / "out.onnx", samples), after, atol=tolerance)
    assert abs(report.bytes_predicted - report.bytes_after) <= 64


def test_an_untrained_student_is_the_model(model: Model, samples: Samples) -> None:
    np.testing.assert_allclose(by_student(Student(model), samples), by_runtime(model.path, samples), atol=1e-5)


def test_without_a_recipe_everything_but_statistics_is_trained(model: Model, samples: Samples, tmp_path: Path) -> None:
    student = trained(Student(model), samples)
    result = student.trained()
    assert not result.encodings
    assert set(result.tensors) == {"conv.weight", "bn.g", "bn.b", "fc.weight", "fc.bias", "out.weight", "out.bias"}
    assert sorted(student.groups()) == sorted((WEIGHTS, TABLES, REST))
    export_trained(model, None, result, tmp_path / "out.onnx", samples)
    np.testing.assert_allclose(by_runtime(tmp_path / "out.onnx", samples), by_student(student, samples), atol=1e-4)


def test_kept_layers_stay_with_their_biases_and_norms(model: Model, samples: Samples) -> None:
    student = trained(Student(model, keep=["conv.weight", "fc.weight"]), samples)
    assert set(student.trained().tensors) == {"out.weight", "out.bias"}
    reasons = dict(student.frozen)
    assert reasons["conv.weight"] == reasons["fc.weight"] == "kept as it was"
    np.testing.assert_array_equal(student.latent("out.weight"), student.trained().tensors["out.weight"])


def test_without_the_rest_only_encodings_are_trained(model: Model, samples: Samples) -> None:
    student = Student(model, compressed(model, "{quantize: {bits: 4}}"), train_rest=False)
    assert not student.groups()[REST]
    result = trained(student, samples).trained()
    assert not result.tensors
    assert result.encodings


@pytest.mark.parametrize("reshapes", [True, False])
def test_a_graph_of_one_sample_takes_batches_or_runs_one_by_one(tmp_path: Path, reshapes: bool) -> None:
    path = net(tmp_path / "one.onnx", first=1)
    if not reshapes:  # an Expand to one sample, which no other shape mends
        graph = onnx.load(path)
        graph.graph.node[-1].output[0] = "z"
        graph.graph.node.append(helper.make_node("ReduceMean", ["z"], ["mean"], axes=[0], keepdims=1))
        graph.graph.node.append(helper.make_node("Sub", ["z", "mean"], ["d"]))
        graph.graph.node.append(helper.make_node("Add", ["d", "z"], ["y"]))
        onnx.save(graph, path)
    model = open_model(path)
    np.savez(tmp_path / "data.npz", x=floats(5, 1, 8, 8, scale=1.0))
    samples = load_samples(tmp_path / "data.npz", model.inputs)
    student = Student(model)
    np.testing.assert_allclose(by_student(student, samples), by_runtime(path, samples), atol=1e-5)
    assert student.notes == (() if reshapes else (ONE_BY_ONE,))


def test_features_and_names(model: Model, samples: Samples) -> None:
    student = Student(model)
    assert student.feature_names() == ("c", "m")
    found = student(batch(samples, [0, 1, 2]), features=("m",))
    assert found["m"].shape == (3, 24)
    cut = Student(model, compressed(model, "{prune_channels: {ratio: 0.5}}"))
    assert cut.feature_names() == ()


def test_latents_are_the_original_weights_and_go_on(model: Model, samples: Samples) -> None:
    half = compressed(model, "{prune: {ratio: 0.5}}")
    student = Student(model, half)
    for name in ("conv.weight", "fc.weight"):
        np.testing.assert_array_equal(student.latent(name), model.weight(name))
    keys = {key: value.shape for key, value in student.state_dict().items()}
    trained(student, samples)
    latent, parameters = student.latent("fc.weight"), {id(p) for p in student.parameters()}
    mask = np.abs(latent) > np.quantile(np.abs(latent), 0.8)
    more = Sparse.encode(Float(latent[mask]), mask)
    student.replace("fc.weight", more)
    np.testing.assert_array_equal(student.latent("fc.weight"), latent)
    assert {key: value.shape for key, value in student.state_dict().items()} == keys
    assert {id(p) for p in student.parameters()} == parameters
    now = student.trained().encodings["fc.weight"].decode()
    np.testing.assert_array_equal(now != 0, more.decode() != 0)
    original = np.array(model.weight("fc.weight"))
    student.replace("fc.weight", Sparse.encode(Float(original[mask]), mask), original)
    np.testing.assert_array_equal(student.latent("fc.weight"), model.weight("fc.weight"))


def test_a_layer_that_gets_integer_inputs_later_rounds_them_then(model: Model, samples: Samples) -> None:
    student, done = Student(model), compressed(model, "{quantize: {scheme: dynamic}}", samples)
    encoding = next(result.encoding for result in done.layers if result.name == "fc.weight")
    assert encoding is not None
    plain = by_student(student, samples)
    student.replace("fc.weight", encoding)
    assert not np.array_equal(by_student(student, samples), plain)
    assert student.trained().encodings["fc.weight"].rounds_inputs


def test_dropout_leaves_values_out_in_training_alone(model: Model, samples: Samples) -> None:
    student = Student(model, dropout=0.5).eval()
    before = by_student(student, samples)
    np.testing.assert_array_equal(by_student(student, samples), before)
    student.train()
    assert not np.array_equal(by_student(student, samples), before)
    student.dropout = 0.0
    np.testing.assert_array_equal(by_student(student, samples), before)


def test_equal_tensors_stay_one(tmp_path: Path) -> None:
    """The file holds them once; trained apart, it would hold them twice."""
    twin = floats(32, 32)
    tensors = {"a": twin, "b": twin.copy(), "c": floats(32, 4)}
    nodes = [
        helper.make_node("MatMul", ["x", "a"], ["h"]), helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("MatMul", ["r", "b"], ["i"]), helper.make_node("MatMul", ["i", "c"], ["y"]),
    ]  # fmt: skip
    model = open_model(saved(tmp_path / "twins.onnx", nodes, [("x", ["n", 32])], [("y", ["n", 4])], tensors))
    np.savez(tmp_path / "data.npz", x=floats(8, 32, scale=1.0))
    samples = load_samples(tmp_path / "data.npz", model.inputs)
    for steps in ("{quantize: {bits: 4}}", "{prune: {ratio: 0.5}}"):
        done = compressed(model, steps)
        student = trained(Student(model, done), samples)
        result = student.trained()
        np.testing.assert_array_equal(result.encodings["a"].decode(), result.encodings["b"].decode())
        report = export_trained(model, done, result, tmp_path / "out.onnx", samples)
        assert report.bytes_after <= predict_bytes(model, result.encodings) + 64
    plain = trained(Student(model), samples).trained().tensors
    np.testing.assert_array_equal(plain["a"], plain["b"])


def test_a_trained_model_is_a_model(model: Model, samples: Samples) -> None:
    done = compressed(model, "{quantize: {bits: 4}}")
    student = trained(Student(model, done), samples)
    whole = trained_model(model, student.trained(), decoded=True)
    np.testing.assert_allclose(by_student(Student(whole), samples), by_student(student, samples), atol=1e-5)
    after = {result.name: result for result in trained_compression(model, done, student.trained()).layers}
    assert all(np.isfinite(after[name].weight_sqnr_db) for name in ("conv.weight", "fc.weight", "out.weight"))


def test_float16_storage_and_constant_nodes(tmp_path: Path) -> None:
    """A weight in float16 behind a Cast, and one that a Constant node holds: trained, and stored as they were."""
    nodes = [
        helper.make_node("Cast", ["w16"], ["w"], to=TensorProto.FLOAT), helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node("Constant", [], ["v"], value=numpy_helper.from_array(floats(24, 4), "v")),
        helper.make_node("MatMul", ["h", "v"], ["y"]),
    ]  # fmt: skip
    path = saved(tmp_path / "half.onnx", nodes, [("x", ["n", 16])], [("y", ["n", 4])],
                 {"w16": floats(16, 24).astype(np.float16)})  # fmt: skip
    model = open_model(path)
    np.savez(tmp_path / "data.npz", x=floats(8, 16, scale=1.0))
    samples = load_samples(tmp_path / "data.npz", model.inputs)
    student = trained(Student(model), samples)
    assert set(student.trained().tensors) == {"w16", "v"}
    export_trained(model, None, student.trained(), tmp_path / "out.onnx", samples)
    np.testing.assert_allclose(by_runtime(tmp_path / "out.onnx", samples), by_student(student, samples), atol=1e-4)
    assert open_model(tmp_path / "out.onnx").layer("w16").dtype == "float16"


def test_missing_operators_are_named_before_anything_starts(tmp_path: Path) -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("Det", ["h"], ["y"])]
    path = saved(tmp_path / "det.onnx", nodes, [("x", [4, 4])], [("y", [])], {"w": floats(4, 4)})
    with pytest.raises(FeatherweightError, match=r"operator Det"):
        Student(open_model(path))
