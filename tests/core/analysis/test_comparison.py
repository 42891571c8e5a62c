"""Original against compressed model: every figure checked against one worked out here."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from core.analysis.comparison import compare_models
from core.analysis.metrics import Task, sqnr_db
from core.analysis.runtime import run, session
from core.data import Samples, load_samples
from core.errors import Cancelled, ModelFileError
from core.model.layer import Port
from core.progress import Progress, Reporter

MLP = (Port("x", "float32", ("batch", 16)),)


def change(path: Path, new: Callable[[np.ndarray], np.ndarray], name: str = "changed.onnx") -> Path:
    """A copy of a model with other weights."""
    model = onnx.load(path)
    for tensor in model.graph.initializer:
        tensor.CopyFrom(numpy_helper.from_array(new(numpy_helper.to_array(tensor)).astype(np.float32), tensor.name))
    target = path.with_name(name)
    onnx.save(model, target)
    return target


def rounded(weight: np.ndarray) -> np.ndarray:
    return np.round(weight * 4) / 4


def samples_for(path: Path, n: int = 40, labels: np.ndarray | None = None, **more: np.ndarray) -> Samples:
    x = np.random.default_rng(5).normal(size=(n, 16)).astype(np.float32)
    if labels is not None:
        more["labels"] = labels
    np.savez(path.with_name("data.npz"), x=x, **more)
    return load_samples(path.with_name("data.npz"), MLP)


def outputs(path: Path, samples: Samples) -> np.ndarray:
    sess = session(path)
    return np.concatenate([run(sess, feed)[0] for feed in samples.feeds()])


def test_every_figure(mlp_path: Path) -> None:
    changed = change(mlp_path, rounded)
    labels = np.random.default_rng(1).integers(0, 4, 40)
    samples = samples_for(mlp_path, labels=labels)
    found = compare_models(mlp_path, changed, samples, latency=False, memory=False, threads=1)
    before, after = outputs(mlp_path, samples), outputs(changed, samples)
    right = before.argmax(1) == labels, after.argmax(1) == labels

    assert found.n == 40 and found.task is Task.CLASSES and found.no_accuracy == ""
    assert found.output_sqnr_db == pytest.approx(sqnr_db(before, after), abs=1e-4)
    assert found.outputs[0].name == "logits" and found.outputs[0].sqnr_db == found.output_sqnr_db
    assert found.max_relative == pytest.approx(np.abs(after - before).max() / np.abs(before).max(), rel=1e-4)
    assert found.accuracy_before == pytest.approx(right[0].mean())
    assert found.accuracy_after == pytest.approx(right[1].mean())
    assert found.top5_before is None  # of four classes
    assert found.agreement == pytest.approx(np.mean(before.argmax(1) == after.argmax(1)))
    assert found.changed == np.sum(before.argmax(1) != after.argmax(1)) > 0
    assert found.newly_wrong == np.sum(right[0] & ~right[1])
    assert found.newly_right == np.sum(~right[0] & right[1])
    assert found.kl_divergence is not None and found.kl_divergence > 0
    for result in found.classes:
        chosen = labels == result.label
        assert (result.count, result.before) == (chosen.sum(), pytest.approx(right[0][chosen].mean()))
        assert result.after == pytest.approx(right[1][chosen].mean())
    assert sum(result.count for result in found.classes) == 40


def test_samples_come_worst_first_with_both_answers(mlp_path: Path) -> None:
    changed = change(mlp_path, rounded)
    samples = samples_for(mlp_path, labels=np.zeros(40, int))
    found = compare_models(mlp_path, changed, samples, latency=False, memory=False)
    errors = [result.sqnr_db for result in found.samples]
    assert errors == sorted(errors) and len(errors) == 40
    before, after = outputs(mlp_path, samples), outputs(changed, samples)
    worst = found.samples[0]
    assert worst.sqnr_db == pytest.approx(sqnr_db(before[worst.index], after[worst.index]), abs=1e-3)
    assert worst.before is not None and worst.after is not None
    assert worst.before.classes == tuple(np.argsort(-before[worst.index]))
    assert worst.after.scores[0] == pytest.approx(after[worst.index].max(), rel=1e-5)
    assert worst.changed == (worst.before.best != worst.after.best)


def test_the_same_model_twice(mlp_path: Path) -> None:
    found = compare_models(mlp_path, mlp_path, samples_for(mlp_path, 6), limit=4)
    assert found.n == 4 and found.output_sqnr_db == np.inf and found.max_relative == 0.0
    assert found.agreement == 1.0 and found.changed == 0 and found.kl_divergence == 0.0
    assert found.latency is not None and found.latency.threads == 1
    assert found.memory_before is not None and found.memory_before > 0
    assert pickle.loads(pickle.dumps(found)) == found
    plain = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert plain["output_sqnr_db"] == 200.0 and plain["task"] == "scores"
    assert plain["latency"]["before"]["median_ms"] > 0
    assert len(plain["samples"]) == 4


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        (None, "the samples have no labels"),
        (np.array(["a"] * 40), "the labels are text"),
        (np.full(40, 4), "the labels go up to class 4 and output 'logits' has shape 1 x 4"),
    ],
)
def test_why_there_is_no_accuracy(mlp_path: Path, labels: np.ndarray | None, reason: str) -> None:
    samples = samples_for(mlp_path, labels=labels)
    found = compare_models(mlp_path, change(mlp_path, rounded), samples, latency=False, memory=False)
    assert found.accuracy_before is None and found.classes == () and reason in found.no_accuracy
    assert found.agreement is not None  # the output is called logits


def test_nan_of_the_compressed_model_is_named(mlp_path: Path) -> None:
    broken = change(mlp_path, lambda w: w * np.float32(np.nan))
    found = compare_models(mlp_path, broken, samples_for(mlp_path, 3), latency=False, memory=False)
    assert found.output_sqnr_db == -np.inf
    assert found.notes == (
        "Output 'logits' of the compressed model has NaN or infinity in 3 of 3 samples.",
        "In the compressed model, layer 'fc1.weight' (Gemm) is the first that gives NaN (sample 0).",
    )
    json.dumps(found.to_dict(), allow_nan=False)


def test_top_five_and_class_names(tmp_path: Path, make_model) -> None:
    eye = {"w": np.eye(16, dtype=np.float32)}
    path = make_model(
        [helper.make_node("MatMul", ["x", "w"], ["scores"])], eye, {"x": ["n", 16]}, {"scores": ["n", 16]}
    )
    x = np.tile(np.arange(16, 0, -1, dtype=np.float32), (4, 1))
    np.savez(tmp_path / "data.npz", x=x, labels=np.array([0, 4, 5, 15]))
    found = compare_models(path, path, load_samples(tmp_path / "data.npz", MLP), latency=False, memory=False)
    assert (found.accuracy_before, found.top5_before, found.top5_after) == (0.25, 0.5, 0.5)


def test_outputs_of_another_shape_are_named(tmp_path: Path, make_model) -> None:
    whole = make_model([helper.make_node("Relu", ["x"], ["y"])], {}, {"x": ["n", 16]}, {"y": ["n", "m"]}, name="a.onnx")
    index = {"i": np.arange(8)}
    part = make_model(
        [helper.make_node("Gather", ["x", "i"], ["y"], axis=1)],
        index,
        {"x": ["n", 16]},
        {"y": ["n", "m"]},
        name="b.onnx",
    )
    found = compare_models(whole, part, samples_for(whole, 3), latency=False, memory=False)
    assert found.outputs[0].sqnr_db is None and found.outputs[0].differing_shapes == 3
    assert found.notes[0].startswith("Output 'y' has another shape in 3 of 3 samples")


def test_models_that_are_not_alike(mlp_path: Path, cnn_path: Path, make_model) -> None:
    samples = samples_for(mlp_path, 3)
    other = make_model([helper.make_node("Relu", ["z"], ["y"])], {}, {"z": ["n", 16]}, {"y": ["n", 16]}, name="z.onnx")
    with pytest.raises(ModelFileError, match=r"z\.onnx: its inputs are 'z' and the samples are for 'x'"):
        compare_models(mlp_path, other, samples)
    two = make_model(
        [helper.make_node("Relu", ["x"], ["y"]), helper.make_node("Neg", ["x"], ["n"])],
        {},
        {"x": ["n", 16]},
        {"y": ["n", 16], "n": ["n", 16]},
        name="two.onnx",
    )
    with pytest.raises(ModelFileError, match=r"it has 2 outputs and the original has 1"):
        compare_models(mlp_path, two, samples)


def test_progress_and_cancel(mlp_path: Path) -> None:
    samples = samples_for(mlp_path)
    told: list[Progress] = []
    compare_models(mlp_path, mlp_path, samples, latency=False, memory=False, reporter=Reporter(told.append))
    assert [p.done for p in told] == sorted(p.done for p in told)
    assert told[-1].done == 1.0 and any(p.text == "sample 7 of 40" for p in told)

    class AtSampleFive:
        def is_set(self) -> bool:
            return len(seen) >= 5

    seen: list[Progress] = []
    with pytest.raises(Cancelled):
        compare_models(mlp_path, mlp_path, samples, reporter=Reporter(seen.append, AtSampleFive()))
    assert len(seen) == 5


@pytest.mark.models
@pytest.mark.parametrize(("name", "task"), [("lenet300", Task.CLASSES), ("silero_vad", Task.VALUES)])
def test_public_models(models_dir: Path, name: str, task: Task) -> None:
    from core.model.readers import open_model

    path = models_dir / name / "model.onnx"
    samples = load_samples(models_dir / name / "test.npz", open_model(path).inputs)
    found = compare_models(path, path, samples, limit=100, latency=False, memory=False)
    assert found.task is task and found.output_sqnr_db == np.inf and found.notes == samples.notes
