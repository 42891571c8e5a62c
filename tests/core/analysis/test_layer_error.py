"""Error at layers' outputs. With one layer changed, accumulated and isolated error there are the same figure."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from core.analysis.layer_error import NOT_RUN, LayerProbe, accumulated_errors
from core.analysis.metrics import sqnr_db
from core.analysis.runtime import run, session
from core.data import Samples, load_samples
from core.errors import Cancelled, InternalError
from core.model.readers import open_model
from core.progress import Progress, Reporter

RANDOM = np.random.default_rng(11)


def data(folder: Path, **arrays: np.ndarray) -> Path:
    np.savez(folder / "data.npz", **arrays)
    return folder / "data.npz"


def tensors(graph: onnx.GraphProto) -> list[onnx.TensorProto]:
    """All stored tensors, subgraphs included."""
    found = list(graph.initializer)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                attribute.t.name = node.output[0]
                found.append(attribute.t)
            if attribute.HasField("g"):
                found += tensors(attribute.g)
    return found


def with_weight(path: Path, name: str, weight: np.ndarray) -> Path:
    model = onnx.load(path)
    tensor = next(t for t in tensors(model.graph) if t.name == name)
    tensor.CopyFrom(numpy_helper.from_array(weight.astype(numpy_helper.to_array(tensor).dtype), name))
    target = path.with_name("one_changed.onnx")
    onnx.save(model, target)
    return target


def check_every_layer(path: Path, source: Path, *, reasons: dict[str, str] | None = None) -> None:
    """Round each layer alone; probe it, write the file with it, and compare the two errors."""
    model = open_model(path)
    samples = load_samples(source, model.inputs)
    probe = LayerProbe(model, samples, limit=4)
    assert {layer.name: probe.why_not(layer.name) for layer in model.layers if probe.why_not(layer.name)} == (
        reasons or {}
    )
    for layer in model.layers:
        weight = model.weight(layer.name)
        assert layer.name in (reasons or {}) or probe.error(layer.name, weight.copy()) == np.inf
        changed = weight + np.float32(0.05) * RANDOM.normal(size=weight.shape).astype(np.float32)
        changed = changed.astype(layer.dtype).astype(np.float32)
        isolated = probe.error(layer.name, changed)
        errors = accumulated_errors(model, open_model(with_weight(path, layer.name, changed)), samples, limit=4)
        there = {error.name: error for error in errors}[layer.name]
        if layer.name in (reasons or {}):
            assert isolated is None and there.accumulated_sqnr_db is None and there.reason == probe.why_not(layer.name)
        else:
            assert isolated is not None and 0 < isolated < 60
            assert there.accumulated_sqnr_db == pytest.approx(isolated, abs=0.01)


def test_linear_layers(mlp_path: Path) -> None:
    check_every_layer(mlp_path, data(mlp_path.parent, x=RANDOM.normal(size=(9, 16)).astype(np.float32)))


def test_convolutions(cnn_path: Path) -> None:
    check_every_layer(cnn_path, data(cnn_path.parent, x=RANDOM.normal(size=(9, 3, 8, 8)).astype(np.float32)))


def scale_error(path: Path, samples: Samples) -> float:
    """SQNR when the scale of the last LayerNormalization is doubled: y - bias is the noise."""
    model = open_model(path)
    chosen = [0, 2, 3, 5]  # four of six samples, evenly
    y = np.concatenate([run(session(path), samples.feed(i))[0] for i in chosen])
    return sqnr_db(y, 2 * y - model.weight("bias"))


def test_tied_weight_behind_transpose_and_norm(tmp_path: Path, make_model) -> None:
    nodes = [
        helper.make_node("Transpose", ["w"], ["wt"], perm=[1, 0]),
        helper.make_node("MatMul", ["x", "wt"], ["a"], name="first"),
        helper.make_node("Relu", ["a"], ["r"]),
        helper.make_node("MatMul", ["r", "w"], ["b"], name="second"),
        helper.make_node("LayerNormalization", ["b", "scale", "bias"], ["y"], name="norm"),
    ]
    weights = {
        "w": RANDOM.normal(size=(80, 70)).astype(np.float32),
        "scale": RANDOM.normal(1, 0.2, 70).astype(np.float32),
        "bias": RANDOM.normal(0, 0.5, 70).astype(np.float32),
    }
    path = make_model(nodes, weights, {"x": ["n", 70]}, {"y": ["n", 70]})
    model = open_model(path)
    assert len(model.layer("w").uses) == 2
    samples = load_samples(data(tmp_path, x=RANDOM.normal(size=(6, 70)).astype(np.float32)), model.inputs)
    probe = LayerProbe(model, samples, limit=4)
    doubled = probe.error("w", 2 * model.weight("w"))
    assert doubled == pytest.approx(0.0, abs=1e-3)  # the error is as large as each node's output
    assert probe.error("scale", 2 * model.weight("scale")) == pytest.approx(scale_error(path, samples), abs=1e-3)


def test_float16_behind_cast(make_model, tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Cast", ["half"], ["w"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["x", "w"], ["y"], name="mm"),
    ]
    weights = {"half": RANDOM.normal(size=(16, 16)).astype(np.float16)}
    path = make_model(nodes, weights, {"x": ["n", 16]}, {"y": ["n", 16]})
    check_every_layer(path, data(tmp_path, x=RANDOM.normal(size=(5, 16)).astype(np.float32)))


def branched(path: Path) -> Path:
    """y = x w0, then by the sign of `which`: y w1 or y w2, in branches with an inner If around w1."""
    weights = {n: RANDOM.normal(size=(16, 16)).astype(np.float32) for n in ("w0", "w1", "w2")}
    value = lambda name, kind=TensorProto.FLOAT, shape=None: helper.make_tensor_value_info(name, kind, shape)  # noqa: E731

    def branch(name: str, nodes: list[onnx.NodeProto], output: str, *stored: str) -> onnx.GraphProto:
        kept = [numpy_helper.from_array(weights[n], n) for n in stored]
        return helper.make_graph(nodes, name, [], [value(output)], kept)

    inner = helper.make_node(
        "If",
        ["positive"],
        ["inner_out"],
        name="inner",
        then_branch=branch("t", [helper.make_node("MatMul", ["y", "w1"], ["deep"], name="mm1")], "deep", "w1"),
        else_branch=branch("e", [helper.make_node("Neg", ["y"], ["negated"])], "negated"),
    )
    outer = helper.make_node(
        "If",
        ["positive"],
        ["z"],
        name="outer",
        then_branch=branch("T", [inner, helper.make_node("Relu", ["inner_out"], ["out_t"])], "out_t"),
        else_branch=branch("E", [helper.make_node("MatMul", ["y", "w2"], ["out_e"], name="mm2")], "out_e", "w2"),
    )
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "w0"], ["y"], name="mm0"),
            helper.make_node("Greater", ["which", "zero"], ["positive"]),
            outer,
        ],
        "branched",
        [value("x", shape=["n", 16]), value("which", TensorProto.INT64, [])],
        [value("z", shape=["n", 16])],
        [numpy_helper.from_array(weights["w0"], "w0"), numpy_helper.from_array(np.array(0), "zero")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.mark.parametrize(("which", "missing"), [(1, {"w2": NOT_RUN}), (-1, {"w1": NOT_RUN}), (None, {})])
def test_layers_inside_branches(tmp_path: Path, which: int | None, missing: dict[str, str]) -> None:
    path = branched(tmp_path / "branched.onnx")
    chosen = np.array([1, -1, 1, -1, 1]) if which is None else np.full(5, which)
    check_every_layer(
        path, data(tmp_path, x=RANDOM.normal(size=(5, 16)).astype(np.float32), which=chosen), reasons=missing
    )


def test_layers_inside_a_loop_have_a_reason(tmp_path: Path) -> None:
    body = helper.make_graph(
        [
            helper.make_node("MatMul", ["state", "w"], ["next"], name="mm"),
            helper.make_node("Identity", ["going"], ["goes_on"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("state", TensorProto.FLOAT, ["n", 16]),
        ],
        [
            helper.make_tensor_value_info("goes_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, ["n", 16]),
        ],
        [numpy_helper.from_array(RANDOM.normal(size=(16, 16)).astype(np.float32), "w")],
    )
    shape = ["n", 16]
    graph = helper.make_graph(
        [helper.make_node("Loop", ["times", "", "x"], ["y"], name="loop", body=body)],
        "looped",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(np.array(2), "times")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "l.onnx")
    model = open_model(tmp_path / "l.onnx")
    samples = load_samples(data(tmp_path, x=np.ones((3, 16), np.float32)), model.inputs)
    probe = LayerProbe(model, samples)
    assert [layer.name for layer in model.layers] == ["w"]
    assert "inside a loop" in probe.why_not("w")
    assert probe.error("w", model.weight("w")) is None and probe.n == 0


def test_a_node_that_the_export_merged_has_a_reason(mlp_path: Path) -> None:
    model = onnx.load(mlp_path)
    model.graph.node[0].output[0] = model.graph.node[1].input[0] = "renamed"
    onnx.save(model, mlp_path.with_name("other.onnx"))
    original = open_model(mlp_path)
    samples = load_samples(data(mlp_path.parent, x=np.ones((2, 16), np.float32)), original.inputs)
    first, second = accumulated_errors(original, open_model(mlp_path.with_name("other.onnx")), samples)
    assert first.accumulated_sqnr_db is None and "merged with another on export" in first.reason
    assert second.accumulated_sqnr_db == np.inf


def test_memory_is_bounded(cnn_path: Path) -> None:
    model = open_model(cnn_path)
    samples = load_samples(data(cnn_path.parent, x=RANDOM.normal(size=(9, 3, 8, 8)).astype(np.float32)), model.inputs)
    assert LayerProbe(model, samples, limit=8).n == 8
    few = LayerProbe(model, samples, limit=8, max_bytes=40_000)
    assert 1 <= few.n < 8 and not any(few.why_not(layer.name) for layer in model.layers)
    tiny = LayerProbe(model, samples, limit=8, max_bytes=2_500)
    told = {layer.name for layer in model.layers if "MB a sample" in tiny.why_not(layer.name)}
    assert "pointwise.weight" in told and "fc.weight" not in told
    assert tiny.error("fc.weight", 2 * model.weight("fc.weight")) is not None


def test_a_wrong_shape_is_our_own_fault(mlp_path: Path) -> None:
    model = open_model(mlp_path)
    samples = load_samples(data(mlp_path.parent, x=np.ones((2, 16), np.float32)), model.inputs)
    with pytest.raises(InternalError, match=r"probed with shape \(2, 2\) instead of \(32, 16\)"):
        LayerProbe(model, samples).error("fc1.weight", np.ones((2, 2), np.float32))


def test_progress_and_cancel(mlp_path: Path) -> None:
    model = open_model(mlp_path)
    samples = load_samples(data(mlp_path.parent, x=np.ones((9, 16), np.float32)), model.inputs)
    told: list[Progress] = []
    LayerProbe(model, samples, limit=5, reporter=Reporter(told.append))
    assert told[-1].text == "recording activations, sample 5 of 5"

    class Stop:
        def is_set(self) -> bool:
            return True

    with pytest.raises(Cancelled):
        LayerProbe(model, samples, reporter=Reporter(cancel=Stop()))
    with pytest.raises(Cancelled):
        accumulated_errors(model, model, samples, reporter=Reporter(cancel=Stop()))


@pytest.mark.models
@pytest.mark.parametrize("name", ["vit_digits", "ppocr_cls", "silero_vad", "minilm"])
def test_public_models(models_dir: Path, name: str) -> None:
    model = open_model(models_dir / name / "model.onnx")
    samples = load_samples(models_dir / name / "calib.npz", model.inputs)
    probe = LayerProbe(model, samples, limit=2)
    open_to_steps = [layer for layer in model.layers if not layer.locked]  # a norm that is folded is none
    seen = [layer for layer in open_to_steps if not probe.why_not(layer.name)]
    assert {probe.why_not(layer.name) for layer in open_to_steps} - {""} <= {NOT_RUN}
    assert len(seen) >= len(open_to_steps) / 2  # of silero_vad's two branches one runs
    for layer in seen[:: max(1, len(seen) // 6)]:
        error = probe.error(layer.name, 1.01 * model.weight(layer.name))
        assert error is not None and np.isfinite(error)
    same = accumulated_errors(model, model, samples, limit=2)
    assert {e.accumulated_sqnr_db for e in same} <= {np.inf, None}
