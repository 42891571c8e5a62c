"""What a model makes of its data before anything is measured."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from core import cli
from core.analysis.comparison import compare_models
from core.analysis.finite import first_broken
from core.data import load_samples
from core.data_job import look_at_outputs, look_spec
from core.errors import DataError
from core.model.readers import open_model
from core.planning.evaluation import Evaluator


@pytest.fixture
def data(mlp_path: Path) -> Path:
    path = mlp_path.with_name("data.npz")
    random = np.random.default_rng(3)
    np.savez(path, x=random.normal(size=(20, 16)).astype(np.float32), labels=random.integers(0, 4, 20))
    return path


def broken(path: Path, name: str) -> Path:
    """The model with NaN in one weight."""
    model = onnx.load(path)
    for tensor in model.graph.initializer:
        if tensor.name == name:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * np.float32(np.nan), name))
    target = path.with_name("broken.onnx")
    onnx.save(model, target)
    return target


def test_a_look_says_what_fits(mlp_path: Path, data: Path) -> None:
    samples = load_samples(data, open_model(mlp_path).inputs)
    look = look_at_outputs(pickle.loads(pickle.dumps(look_spec(str(mlp_path), samples))))
    assert look == pickle.loads(pickle.dumps(look))
    assert look.outputs == (("logits", "1 x 4 float32"),) and look.fitting == "accuracy" and look.notes == ()
    reasons = {metric.name: metric.why_not for metric in look.metrics}
    assert reasons["accuracy"] == "" and "class numbers, not text" in reasons["characters"]
    assert "4 classes" in reasons["top5"]


def test_the_layer_that_breaks_first_is_named(mlp_path: Path, data: Path) -> None:
    names = [layer.name for layer in open_model(mlp_path).layers]
    path = broken(mlp_path, names[1])
    model = open_model(path)
    samples = load_samples(data, model.inputs)
    found = first_broken(model, samples.feed(0))
    assert found is not None and found.layer == names[1] and found.what == "NaN"
    assert first_broken(open_model(mlp_path), samples.feed(0)) is None
    look = look_at_outputs(look_spec(str(path), samples))
    assert f"layer {names[1]!r} ({found.operator}) is the first that gives NaN" in look.notes[0]
    with pytest.raises(DataError, match=f"NaN or infinity on the first sample: layer '{names[1]}'"):
        Evaluator(model, model, samples, limit=4)


def test_infinite_data_is_told(mlp_path: Path) -> None:
    path = mlp_path.with_name("inf.npz")
    np.savez(path, x=np.full((3, 16), np.inf, np.float32))
    found = first_broken(open_model(mlp_path), load_samples(path, open_model(mlp_path).inputs).feed(0))
    assert found is not None and found.layer == open_model(mlp_path).layers[0].name


def test_constant_outputs_are_told(make_model, tmp_path: Path) -> None:
    nodes = [helper.make_node("Mul", ["x", "zero"], ["y"])]
    path = make_model(nodes, {"zero": np.zeros(4, np.float32)}, {"x": ["n", 4]}, {"y": ["n", 4]})
    np.savez(tmp_path / "data.npz", x=np.arange(20, dtype=np.float32).reshape(5, 4))
    samples = load_samples(tmp_path / "data.npz", open_model(path).inputs)
    look = look_at_outputs(look_spec(str(path), samples))
    assert look.notes == ("Output 'y' is the same for all of the first 4 samples.",)
    notes = compare_models(path, path, samples, latency=False, memory=False).notes
    assert "Output 'y' of the original is the same for all 5 samples." in notes


def test_the_command_line_measures_by_any_metric(
    mlp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["compare", str(mlp_path), str(mlp_path), "--data", str(data), "--quiet"]
    assert cli.main([*command, "--metric", "f1"]) == 0
    assert "F1 (mean over the classes): " in capsys.readouterr().out
    assert cli.main([*command, "--metric", "mse"]) == 2
    assert "the labels are class numbers, not floats" in capsys.readouterr().err
    assert cli.main([*command, "--mean", "1,2"]) == 2
    assert "give one number, or three" in capsys.readouterr().err
    assert cli.main([*command, "--mean", "imagenet", "--std", "1"]) == 2
    assert "leave --std out" in capsys.readouterr().err


def test_the_command_line_runs_code_only_when_allowed(
    mlp_path: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = tmp_path / "mine.py"
    trace = "from pathlib import Path\nPath(__file__).with_name('ran').touch()\n"
    function = "def f(outputs, labels, inputs):\n    return len(inputs['x']) / len(labels)\n"
    code.write_text(trace + function, encoding="utf-8")
    command = ["compare", str(mlp_path), str(mlp_path), "--data", str(data), "--quiet"]
    command += ["--metric-callable", f"{code}:f"]
    assert cli.main(command) == 2
    assert "add --allow-code to run it" in capsys.readouterr().err and not (tmp_path / "ran").exists()
    assert cli.main([*command, "--allow-code"]) == 0
    assert "f in mine.py: 1 -> 1 (unchanged)" in capsys.readouterr().out and (tmp_path / "ran").exists()
