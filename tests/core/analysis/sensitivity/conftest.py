"""Small models with data, and the plain way to a cell's error: another file, another session."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from core.analysis.runtime import run, session
from core.analysis.sensitivity.cells import Setting
from core.analysis.sensitivity.trials import Trials
from core.data import Samples, load_samples
from core.exporting.sizes import SizeModel
from core.model.model import Model
from core.model.readers import open_model
from core.recipe import Step

Array = np.ndarray[Any, np.dtype[Any]]
SETTINGS: tuple[Setting, ...] = (
    (Step.make("quantize", bits=8),),
    (Step.make("quantize", bits=3),),
    (Step.make("prune", ratio=0.9),),
)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Tables of tests are kept in a folder of their own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "featherweight" / "sensitivity"


@pytest.fixture
def with_data(tmp_path: Path) -> Callable[..., tuple[Model, Samples]]:
    """with_data(path, x=array) opens a model with samples for its inputs."""

    def open_with(path: Path, **arrays: Array) -> tuple[Model, Samples]:
        model = open_model(path)
        np.savez(tmp_path / "data.npz", **arrays)
        return model, load_samples(tmp_path / "data.npz", model.inputs)

    return open_with


@pytest.fixture
def mlp(mlp_path: Path, with_data: Callable[..., tuple[Model, Samples]]) -> tuple[Model, Samples]:
    return with_data(mlp_path, x=np.random.default_rng(5).standard_normal((20, 16)).astype(np.float32))


@pytest.fixture
def cnn(cnn_path: Path, with_data: Callable[..., tuple[Model, Samples]]) -> tuple[Model, Samples]:
    return with_data(cnn_path, x=np.random.default_rng(6).standard_normal((11, 3, 8, 8)).astype(np.float32))


def trials_for(model: Model, settings: tuple[Setting, ...] = SETTINGS) -> Trials:
    return Trials(model, SizeModel(model), settings)


def rebuilt_outputs(model: Model, samples: Samples, weights: Mapping[str, Array]) -> list[dict[str, Array]]:
    """All outputs for each sample of the file with some of its tensors replaced, wherever they are stored."""
    proto = onnx.load(model.path)

    def visit(graph: onnx.GraphProto) -> None:
        for tensor in graph.initializer:
            if tensor.name in weights:
                tensor.CopyFrom(_tensor(tensor, weights[tensor.name], tensor.name))
        for node in graph.node:
            for attribute in node.attribute:
                if node.op_type == "Constant" and node.output[0] in weights:
                    attribute.t.CopyFrom(_tensor(attribute.t, weights[node.output[0]], ""))
                if attribute.HasField("g"):
                    visit(attribute.g)

    visit(proto.graph)
    sess = session(proto.SerializeToString())
    names = [output.name for output in sess.get_outputs()]
    return [dict(zip(names, run(sess, feed), strict=True)) for feed in samples.feeds()]


def _tensor(like: onnx.TensorProto, value: Array, name: str) -> onnx.TensorProto:
    stored = numpy_helper.to_array(like).dtype
    return numpy_helper.from_array(np.asarray(value).astype(stored), name)
