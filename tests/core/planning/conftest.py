"""A model worth planning for, samples of it, and its sensitivities."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from core.analysis.sensitivity.cells import Sensitivity, Setting, Tier
from core.analysis.sensitivity.table import Asked, sensitivity
from core.data import Samples, load_samples
from core.model.model import Model
from core.model.readers import open_model
from core.planning.candidates import Candidates, candidates, plan_settings
from core.recipe import Recipe, Step

SETTINGS: tuple[Setting, ...] = (
    *((Step.make("quantize", bits=bits),) for bits in (8, 6, 4, 3, 2)),
    (Step.make("prune", ratio=0.8), Step.make("quantize:codebook", bits=4)),
)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("planning")


@pytest.fixture(scope="session")
def path(folder: Path) -> Path:
    """x (batch x 48) -> Gemm a -> Relu -> Gemm b -> Relu -> Gemm c -> logits (batch x 6); b matters least."""
    random = np.random.default_rng(0)
    shapes, sizes = {"a.weight": (96, 48), "b.weight": (96, 96), "c.weight": (6, 96)}, {"b.weight": 0.03}
    weights = {n: random.normal(0, sizes.get(n, 0.2), s).astype(np.float32) for n, s in shapes.items()}
    weights["b.bias"] = random.uniform(0.5, 1.5, 96).astype(np.float32)
    nodes = [
        helper.make_node("Gemm", ["x", "a.weight"], ["h1"], transB=1), helper.make_node("Relu", ["h1"], ["r1"]),
        helper.make_node("Gemm", ["r1", "b.weight", "b.bias"], ["h2"], transB=1),
        helper.make_node("Relu", ["h2"], ["r2"]), helper.make_node("Gemm", ["r2", "c.weight"], ["logits"], transB=1),
    ]  # fmt: skip
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes, "planned", [value("x", TensorProto.FLOAT, ["batch", 48])],
        [value("logits", TensorProto.FLOAT, ["batch", 6])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9), folder / "m.onnx")
    return folder / "m.onnx"


@pytest.fixture(scope="session")
def model(path: Path) -> Model:
    return open_model(path)


@pytest.fixture(scope="session")
def data_path(folder: Path) -> Path:
    data = folder / "data.npz"
    np.savez(data, x=np.random.default_rng(1).normal(0, 1, (60, 48)).astype(np.float32))
    return data


@pytest.fixture(scope="session")
def samples(model: Model, data_path: Path) -> tuple[Samples, Samples]:
    """Samples to learn from, and others to measure on."""
    return load_samples(data_path, model.inputs).split(30)


@pytest.fixture(scope="session")
def weight_table(model: Model, folder: Path) -> Sensitivity:
    """What is known without samples."""
    return sensitivity(model, None, Asked(Tier.FREE, SETTINGS), cache=folder)


@pytest.fixture(scope="session")
def table(model: Model, samples: tuple[Samples, Samples], folder: Path) -> Sensitivity:
    """The KL divergence with one layer alone compressed."""
    return sensitivity(model, samples[0], Asked(Tier.MEASURED, SETTINGS, everything=True), cache=folder)


@pytest.fixture
def found(model: Model, table: Sensitivity) -> Candidates:
    return candidates(model, table, Recipe())


@pytest.fixture
def all_settings() -> tuple[Setting, ...]:
    return plan_settings()
