"""What calibration measures, against the same figures worked out the long way."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from core.analysis.calibration import FEW, Calibration
from core.analysis.exposing import Exposed
from core.data import Samples, load_samples
from core.data.layer_inputs import Need
from core.errors import Cancelled, DataError, LayerSkipped
from core.methods.base import Context, require_inputs
from core.model.matrix import as_rows, has_rows
from core.model.model import Model
from core.model.readers import open_model
from core.progress import Progress, Reporter

RANDOM = np.random.default_rng(5)
ALL = frozenset({Need.MEANS, Need.MOMENTS, Need.OUTPUTS, Need.RANGES})


def opened(path: Path, folder: Path, **arrays: np.ndarray) -> tuple[Model, Samples]:
    np.savez(folder / "data.npz", **arrays)
    model = open_model(path)
    return model, load_samples(folder / "data.npz", model.inputs)


def collected(model: Model, samples: Samples, needs: frozenset[Need] = ALL, **words: int) -> Calibration:
    calibration = Calibration(model, samples, **words)
    calibration.collect({layer.name: needs for layer in model.layers})
    return calibration


def one_layer(make_model, node: str, weight: np.ndarray, shape: list[int], folder: Path, n: int = 3, **attributes):
    """A model of one node without bias, its calibration, and its outputs on the samples."""
    rank = len(shape) + 1
    if node == "MatMulLeft":
        made = helper.make_node("MatMul", ["w", "x"], ["y"], name="it")
    else:
        made = helper.make_node(node, ["x", "w"], ["y"], name="it", **attributes)
    path = make_model([made], {"w": weight}, {"x": ["n", *shape]}, {"y": [None] * rank})
    model, samples = opened(path, folder, x=RANDOM.normal(1, 2, (n, *shape)).astype(np.float32))
    with Exposed(model.graph(), {"y": 1}, where="test") as exposed:
        outputs = [exposed.run(samples.feed(i))["y"] for i in range(n)]
    return model, collected(model, samples), outputs


CONVS = [
    ((6, 4, 3, 3), [4, 9, 7], {"pads": [1, 0, 2, 1], "strides": [2, 1], "dilations": [1, 2]}),
    ((6, 2, 3, 2), [4, 8, 8], {"group": 2, "auto_pad": "SAME_UPPER", "strides": [2, 3]}),
    ((6, 2, 2, 2), [4, 8, 8], {"group": 2, "auto_pad": "SAME_LOWER"}),
    ((4, 1, 3, 3), [4, 8, 8], {"group": 4, "auto_pad": "VALID"}),
    ((5, 3, 4), [3, 20], {"pads": [2, 1], "strides": [3]}),
    ((4, 2, 2, 3, 2), [2, 4, 5, 6], {"pads": [1] * 6}),
]


@pytest.mark.parametrize(("shape", "entry", "attributes"), CONVS, ids=range(len(CONVS)))
def test_moments_of_a_convolution_explain_its_outputs(make_model, tmp_path: Path, shape, entry, attributes) -> None:
    """The mean of the squared output is w M w^T: it holds only if patches are cut out and ordered as the weight is."""
    weight = RANDOM.normal(0, 1, shape).astype(np.float32)
    model, calibration, outputs = one_layer(make_model, "Conv", weight, entry, tmp_path, **attributes)
    found, layer = calibration.layer("w"), model.layer("w")
    rows = as_rows(weight, layer)
    assert found.rows == sum(y[:, 0].size for y in outputs)
    squares = np.mean(np.concatenate([y.reshape(y.shape[1], -1) for y in outputs], axis=1) ** 2, axis=1)
    means = np.mean(np.concatenate([y.reshape(y.shape[1], -1) for y in outputs], axis=1), axis=1)
    explained = np.einsum("god,gde,goe->go", rows, found.moments, rows).reshape(-1)
    np.testing.assert_allclose(explained, squares, rtol=1e-4)
    np.testing.assert_allclose(np.einsum("god,gd->go", rows, found.mean).reshape(-1), means, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(np.diagonal(found.moments, axis1=1, axis2=2), found.square, rtol=1e-5)
    np.testing.assert_allclose(found.output_square, squares, rtol=1e-4)


@pytest.mark.parametrize(
    ("node", "weight", "entry", "attributes"),
    [
        ("MatMul", (5, 7), [3, 5], {}),
        ("MatMulLeft", (7, 5), [5, 3], {}),
        ("ConvTranspose", (4, 3, 2, 2), [4, 3, 5], {"group": 2}),
    ],
)
def test_inputs_of_other_products(make_model, tmp_path: Path, node, weight, entry, attributes) -> None:
    values = RANDOM.normal(0, 1, weight).astype(np.float32)
    model, calibration, _ = one_layer(make_model, node, values, entry, tmp_path, **attributes)
    found = calibration.layer("w")
    x = np.load(tmp_path / "data.npz")["x"].astype(np.float64)
    last = np.moveaxis(x, 1, -1) if node != "MatMul" else x
    groups = attributes.get("group", 1)
    vectors = last.reshape(-1, groups, last.shape[-1] // groups)
    np.testing.assert_allclose(found.mean, vectors.mean(axis=0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found.moments, np.einsum("ngd,nge->gde", vectors, vectors) / len(vectors), rtol=1e-4,
                               atol=1e-5)
    assert found.mean.shape[::2] == as_rows(values, model.layer("w")).shape[::2] or found.mean.shape[0] == groups
    assert found.output_mean is not None


def test_both_weights_of_a_recurrent_layer_see_what_they_multiply(make_model, tmp_path: Path) -> None:
    """Forward and backward; R sees the state before each step, the first of which is zero."""
    weights = {"W": RANDOM.normal(0, 1, (2, 9, 4)), "R": RANDOM.normal(0, 1, (2, 9, 3))}
    node = helper.make_node("GRU", ["x", "W", "R"], ["y"], name="it", hidden_size=3, direction="bidirectional")
    weights = {name: value.astype(np.float32) for name, value in weights.items()}
    path = make_model([node], weights, {"x": [6, "n", 4]}, {"y": [6, 2, "n", 3]})
    # samples are cut along axis 0, so each array is one sequence of its own
    model, samples = opened(path, tmp_path, x=RANDOM.normal(0, 1, (3, 6, 1, 4)).astype(np.float32))
    calibration = collected(model, samples)
    x = np.load(tmp_path / "data.npz")["x"]
    np.testing.assert_allclose(calibration.layer("W").mean, np.tile(x.mean(axis=(0, 1, 2)), (2, 1)), atol=1e-6)
    with Exposed(model.graph(), {"y": 1}, where="test") as exposed:
        states = np.stack([exposed.run(samples.feed(i))["y"] for i in range(3)]).astype(np.float64)
    forward, backward = states[:, :-1, 0].sum(axis=(0, 1, 2)) / 18, states[:, 1:, 1].sum(axis=(0, 1, 2)) / 18
    np.testing.assert_allclose(calibration.layer("R").mean, [forward, backward], atol=1e-6)
    assert calibration.layer("R").rows == 18


def test_a_tied_weight_counts_all_its_uses(make_model, tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"], name="first"),
        helper.make_node("MatMul", ["h", "w"], ["y"], name="second"),
    ]
    weight = RANDOM.normal(0, 1, (4, 4)).astype(np.float32)
    path = make_model(nodes, {"w": weight}, {"x": ["n", 4]}, {"y": ["n", 4]})
    x = RANDOM.normal(0, 1, (5, 4)).astype(np.float32)
    model, samples = opened(path, tmp_path, x=x)
    found = collected(model, samples).layer("w")
    both = np.concatenate([x, x @ weight]).astype(np.float64)
    assert found.rows == 10
    np.testing.assert_allclose(found.moments[0], both.T @ both / 10, rtol=1e-4, atol=1e-5)


def test_output_channels_are_seen_behind_bias_norm_and_activation(make_model, tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"], name="linear"),
        helper.make_node("Add", ["h", "b"], ["s"], name="bias"),
        helper.make_node("Relu", ["s"], ["y"], name="relu"),
    ]
    weight, bias = RANDOM.normal(0, 1, (4, 6)).astype(np.float32), np.float32([9, -9, 0, 1, -1, 0])
    path = make_model(nodes, {"w": weight, "b": bias}, {"x": ["n", 4]}, {"y": ["n", 6]})
    x = RANDOM.normal(0, 1, (40, 4)).astype(np.float32)
    model, samples = opened(path, tmp_path, x=x)
    found = collected(model, samples, frozenset({Need.OUTPUTS})).layer("w")
    right = np.maximum(x @ weight + bias, 0)
    np.testing.assert_allclose(found.output_mean, right.mean(axis=0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found.output_square, (right**2).mean(axis=0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found.active, (right > 0).mean(axis=0), atol=1e-6)
    assert found.active[1] == 0
    assert found.moments is None


def test_ranges_are_the_histogram_of_what_was_seen(mlp_path: Path, tmp_path: Path) -> None:
    x = RANDOM.normal(0, 1, (30, 16)).astype(np.float32)
    x[:, 3] = 0
    model, samples = opened(mlp_path, tmp_path, x=x)
    calibration = collected(model, samples, frozenset({Need.RANGES}))
    found = calibration.layer("fc1.weight").input_range
    assert (found.minimum, found.maximum, found.zeros, found.n) == (x.min(), x.max(), 30, x.size)
    right = np.histogram(x, 2048, (found.minimum, found.maximum))[0]
    assert np.abs(found.counts - right).sum() <= 4  # rounding at edges
    assert found.counts.sum() == x.size
    assert calibration.layer("fc2.weight").input_range.minimum == 0
    by_name = calibration.ranges(["active", "nonsense", "x"])
    assert set(by_name) == {"active", "x"}
    assert by_name["active"].n == calibration.layer("fc2.weight").input_range.n


def test_the_same_samples_give_the_same_figures_and_are_measured_once(cnn_path: Path, tmp_path: Path) -> None:
    model, samples = opened(cnn_path, tmp_path, x=RANDOM.normal(0, 1, (9, 3, 8, 8)).astype(np.float32))
    first, second = collected(model, samples), collected(model, samples)
    told: list[Progress] = []
    first.collect({layer.name: ALL for layer in model.layers}, Reporter(told.append))
    assert told == []
    for layer in model.layers:
        one, two = first.layer(layer.name), second.layer(layer.name)
        np.testing.assert_array_equal(one.moments, two.moments)
        np.testing.assert_array_equal(one.active, two.active)


def test_means_come_first_and_products_later(mlp_path: Path, tmp_path: Path) -> None:
    model, samples = opened(mlp_path, tmp_path, x=RANDOM.normal(0, 1, (9, 16)).astype(np.float32))
    calibration = Calibration(model, samples)
    assert calibration.layer("fc1.weight") is None
    calibration.collect({"fc1.weight": frozenset({Need.MEANS})})
    assert calibration.layer("fc1.weight").moments is None
    before = calibration.layer("fc1.weight").square
    calibration.collect({"fc1.weight": frozenset({Need.MOMENTS})})
    np.testing.assert_allclose(calibration.layer("fc1.weight").square, before, rtol=1e-5)
    assert calibration.layer("fc1.weight").moments.shape == (1, 16, 16)
    assert calibration.layer("fc2.weight") is None


def test_products_that_do_not_fit_are_refused_largest_first(mlp_path: Path, tmp_path: Path) -> None:
    model, samples = opened(mlp_path, tmp_path, x=RANDOM.normal(0, 1, (4, 16)).astype(np.float32))
    calibration = collected(model, samples, frozenset({Need.MOMENTS}), max_bytes=8 * 16 * 16)
    assert calibration.layer("fc1.weight").moments is not None
    wide = calibration.layer("fc2.weight")
    assert wide.moments is None
    assert "32 inputs" in wide.why_no_moments
    assert wide.mean.shape == (1, 32)


def test_a_file_gives_back_what_was_measured(cnn_path: Path, mlp_path: Path, tmp_path: Path) -> None:
    model, samples = opened(cnn_path, tmp_path, x=RANDOM.normal(0, 1, (5, 3, 8, 8)).astype(np.float32))
    calibration = collected(model, samples)
    calibration.save(tmp_path / "measured.npz")
    again = Calibration.load(tmp_path / "measured.npz", model)
    assert again.n == 5
    for layer in model.layers:
        one, two = calibration.layer(layer.name), again.layer(layer.name)
        for name in ("mean", "square", "moments", "output_mean", "output_square", "active"):
            np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
        np.testing.assert_array_equal(one.input_range.counts, two.input_range.counts)
    with pytest.raises(DataError, match="not measured on mlp"):
        Calibration.load(tmp_path / "measured.npz", open_model(mlp_path))


@pytest.mark.parametrize("harm", ["short", "other", "text"])
def test_a_damaged_file_is_told(mlp_path: Path, tmp_path: Path, harm: str) -> None:
    model, samples = opened(mlp_path, tmp_path, x=np.ones((2, 16), np.float32))
    path = tmp_path / "measured.npz"
    collected(model, samples).save(path)
    if harm == "short":
        path.write_bytes(path.read_bytes()[:-300])
    elif harm == "other":
        np.savez(path, a=np.zeros(3))
    else:
        np.savez(path, index=np.frombuffer(b'{"format": 1}', np.uint8), data=np.zeros(1, np.float32),
                 counts=np.zeros((0, 0), np.int64))
    with pytest.raises(DataError):
        Calibration.load(path, model)


def test_inputs_that_are_no_numbers_are_left_out_and_told(mlp_path: Path, tmp_path: Path) -> None:
    x = RANDOM.normal(0, 1, (6, 16)).astype(np.float32)
    x[2, 4], x[5, 0] = np.nan, np.inf
    model, samples = opened(mlp_path, tmp_path, x=x)
    calibration = collected(model, samples)
    good = x[[0, 1, 3, 4]].astype(np.float64)
    found = calibration.layer("fc1.weight")
    assert found.rows == 4
    np.testing.assert_allclose(found.moments[0], good.T @ good / 4, rtol=1e-4, atol=1e-5)
    assert any("fc1.weight: 2 of 6 input vectors" in note for note in calibration.notes)
    assert found.input_range.n == x.size - 2


@pytest.mark.parametrize(("need", "says"), [
    (Need.MOMENTS, "all 3 input vectors hold NaN or infinite numbers"),
    (Need.RANGES, "all 48 values at its input are NaN or infinite"),
    (Need.OUTPUTS, "all 3 positions of its output hold NaN or infinite numbers"),
])  # fmt: skip
def test_samples_without_a_single_number_say_why(mlp_path: Path, tmp_path: Path, need: Need, says: str) -> None:
    model, samples = opened(mlp_path, tmp_path, x=np.full((3, 16), np.nan, np.float32))
    calibration = collected(model, samples, frozenset({need}))
    assert says in calibration.why_not("fc1.weight")
    calibration.save(tmp_path / "measured.npz")
    for known in (calibration, Calibration.load(tmp_path / "measured.npz", model)):
        found = known.layer("fc1.weight")
        with pytest.raises(LayerSkipped) as told:
            require_inputs(Context(model.layer("fc1.weight"), inputs=found), need)
        assert says in str(told.value)


def test_a_result_that_overflows_says_so(make_model, tmp_path: Path) -> None:
    node = helper.make_node("MatMul", ["x", "w"], ["y"], name="it")
    path = make_model([node], {"w": np.full((4, 2), 10, np.float32)}, {"x": ["n", 4]}, {"y": ["n", 2]})
    model, samples = opened(path, tmp_path, x=np.full((3, 4), 3e38, np.float32))
    calibration = collected(model, samples, frozenset({Need.RANGES}))
    found = calibration.layer("w")
    assert found.input_range is not None and found.output_range is None
    assert found.why_no_ranges == "all 6 values at its output are NaN or infinite on these samples"


@pytest.mark.parametrize("value", [0.0, 3.5])
def test_constant_inputs_and_one_sample_are_no_trouble(mlp_path: Path, tmp_path: Path, value: float) -> None:
    model, samples = opened(mlp_path, tmp_path, x=np.full((1, 16), value, np.float32))
    found = collected(model, samples).layer("fc1.weight")
    np.testing.assert_allclose(found.moments[0], np.full((16, 16), value**2), rtol=1e-6)
    assert found.input_range.minimum == found.input_range.maximum == value
    assert found.input_range.counts.sum() == 16


def test_no_samples_are_refused(mlp_path: Path, tmp_path: Path) -> None:
    model, samples = opened(mlp_path, tmp_path, x=np.ones((2, 16), np.float32))
    none = Samples(samples.inputs, samples.columns, "empty.npz", np.zeros(0, np.int64))
    with pytest.raises(DataError, match="no samples"):
        Calibration(model, none)


def test_a_cancel_is_heard(mlp_path: Path, tmp_path: Path) -> None:
    model, samples = opened(mlp_path, tmp_path, x=np.ones((2, 16), np.float32))
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Cancelled):
        Calibration(model, samples).collect({"fc1.weight": ALL}, Reporter(cancel=cancel))


@pytest.mark.models
@pytest.mark.parametrize("name", ["vit_digits", "ppocr_cls", "silero_vad", "magika"])
def test_public_models(models_dir: Path, name: str) -> None:
    """Every layer with rows that runs gets statistics of the weight's width."""
    model = open_model(models_dir / name / "model.onnx")
    samples = load_samples(models_dir / name / "calib.npz", model.inputs)
    calibration = collected(model, samples, limit=2)
    measured = 0
    for layer in model.layers:
        found = calibration.layer(layer.name)
        if has_rows(layer) and not calibration.why_not(layer.name):
            groups, _, d = as_rows(model.weight(layer.name), layer).shape
            assert found.moments.shape == (groups, d, d)
            assert found.active.shape == (layer.shape[layer.output_axis],)
            measured += 1
        else:
            assert calibration.why_not(layer.name)
    assert measured > 0
    assert calibration.n == 2 < FEW
