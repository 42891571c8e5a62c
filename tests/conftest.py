"""What every test may use: small models made on the spot, the sample, and the folder of public models."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

# Before Qt is imported anywhere: no screen, and the same pixels on every machine.
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ["QT_SCALE_FACTOR"] = "1"

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from core.sample import SamplePaths, sample_paths

DEFAULT_MODELS = Path.home() / ".cache" / "featherweight-models"  # where packaging/test.py builds them


@pytest.fixture(scope="session")
def models_dir() -> Path:
    """The folder of the public test models, one folder each; skips when they are not there."""
    folder = Path(os.environ.get("FEATHERWEIGHT_MODELS") or DEFAULT_MODELS)
    if not any(folder.glob("*/meta.json")):
        pytest.skip(f"no models in {folder}; packaging/test.py builds them, FEATHERWEIGHT_MODELS names another folder")
    return folder


@pytest.fixture(scope="session")
def sample() -> SamplePaths:
    """The files of the sample that ships with the program."""
    return sample_paths()


@pytest.fixture(autouse=True)
def runs_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where runs are kept in a test, also by processes that it starts: never among the person's own."""
    folder = tmp_path / "kept runs"
    monkeypatch.setenv("FEATHERWEIGHT_RUNS", str(folder))
    return folder


@pytest.fixture
def mlp_path(tmp_path: Path) -> Path:
    """A file with two Linear layers: x (batch x 16) -> Gemm fc1 -> Relu -> MatMul fc2 -> logits (batch x 4)."""
    return small_mlp(tmp_path / "mlp.onnx")


@pytest.fixture
def cnn_path(tmp_path: Path) -> Path:
    """A file with Conv, depthwise Conv, Conv 1x1 and a Linear layer: x (batch x 3 x 8 x 8) -> logits (batch x 4)."""
    return small_cnn(tmp_path / "cnn.onnx")


@pytest.fixture
def make_model(tmp_path: Path) -> Callable[..., Path]:
    """make_model(nodes, weights, inputs, outputs, name=..., opset=...) writes any small graph and returns its path."""

    def make(
        nodes: list[onnx.NodeProto],
        weights: dict[str, np.ndarray],
        inputs: dict[str, list[int | str]],
        outputs: dict[str, list[int | str]],
        name: str = "model.onnx",
        opset: int = 20,
    ) -> Path:
        return write_model(tmp_path / name, nodes, weights, inputs, outputs, opset)

    return make


def write_model(
    path: Path,
    nodes: list[onnx.NodeProto],
    weights: dict[str, np.ndarray],
    inputs: dict[str, list[int | str]],
    outputs: dict[str, list[int | str]],
    opset: int = 20,
) -> Path:
    """A checked single-file model with float32 inputs and outputs of the given shapes."""
    graph = helper.make_graph(
        nodes,
        path.stem,
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    onnx.checker.check_model(proto, full_check=True)
    onnx.save(proto, path)
    return path


def small_mlp(path: Path, seed: int = 0) -> Path:
    random = np.random.default_rng(seed)
    weights = {
        "fc1.weight": random.normal(0, 0.3, (32, 16)).astype(np.float32),
        "fc1.bias": random.normal(0, 0.1, 32).astype(np.float32),
        "fc2.weight": random.normal(0, 0.3, (32, 4)).astype(np.float32),
    }
    nodes = [
        helper.make_node("Gemm", ["x", "fc1.weight", "fc1.bias"], ["hidden"], name="fc1", transB=1),
        helper.make_node("Relu", ["hidden"], ["active"], name="relu"),
        helper.make_node("MatMul", ["active", "fc2.weight"], ["logits"], name="fc2"),
    ]
    return write_model(path, nodes, weights, {"x": ["batch", 16]}, {"logits": ["batch", 4]})


def small_cnn(path: Path, seed: int = 0) -> Path:
    random = np.random.default_rng(seed)
    shapes = {"conv.weight": (8, 3, 3, 3), "depthwise.weight": (8, 1, 3, 3), "pointwise.weight": (16, 8, 1, 1)}
    weights = {name: random.normal(0, 0.3, shape).astype(np.float32) for name, shape in shapes.items()}
    weights["fc.weight"] = random.normal(0, 0.1, (4, 16)).astype(np.float32)
    weights["fc.bias"] = random.normal(0, 0.1, 4).astype(np.float32)
    pad = [1, 1, 1, 1]
    nodes = [
        helper.make_node("Conv", ["x", "conv.weight"], ["c1"], name="conv", pads=pad),
        helper.make_node("Relu", ["c1"], ["r1"], name="relu"),
        helper.make_node("Conv", ["r1", "depthwise.weight"], ["c2"], name="depthwise", pads=pad, group=8),
        helper.make_node("Conv", ["c2", "pointwise.weight"], ["c3"], name="pointwise"),
        helper.make_node("GlobalAveragePool", ["c3"], ["pooled"], name="pool"),
        helper.make_node("Flatten", ["pooled"], ["flat"], name="flatten"),
        helper.make_node("Gemm", ["flat", "fc.weight", "fc.bias"], ["logits"], name="fc", transB=1),
    ]
    return write_model(path, nodes, weights, {"x": ["batch", 3, 8, 8]}, {"logits": ["batch", 4]})
