"""Multiply-adds, against what the formulas give on paper."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

from core.analysis.comparison import compare_models
from core.analysis.operations import multiply_adds
from core.data import load_samples
from core.exporting.export import export
from core.model.readers import open_model
from core.pipeline import compress
from core.recipe import Recipe, Step

node = helper.make_node


def weights(**shapes: tuple[int, ...]) -> dict[str, np.ndarray]:
    return {name: np.random.default_rng(0).normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def zeros(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float32)


def test_linear_layers(mlp_path: Path) -> None:
    count = multiply_adds(open_model(mlp_path), {"x": zeros(3, 16)})
    assert count.per_layer == {"fc1.weight": 3 * 16 * 32, "fc2.weight": 3 * 32 * 4}
    assert count.total == sum(count.per_layer.values()) and count.uncounted == ()


def test_convolutions(cnn_path: Path) -> None:
    count = multiply_adds(open_model(cnn_path), {"x": zeros(2, 3, 8, 8)})
    assert count.per_layer == {
        "conv.weight": 2 * 64 * 8 * 3 * 9,
        "depthwise.weight": 2 * 64 * 8 * 9,
        "pointwise.weight": 2 * 64 * 16 * 8,
        "fc.weight": 2 * 16 * 4,
    }


def test_strides_groups_and_transposed_convolutions(make_model: Callable[..., Path]) -> None:
    nodes = [
        node("Conv", ["x", "a"], ["h"], strides=[2, 2], group=2),  # 9 x 9 -> 4 x 4
        node("ConvTranspose", ["h", "b"], ["y"], strides=[2, 2], group=3),  # 4 x 4 -> 9 x 9
    ]
    path = make_model(nodes, weights(a=(6, 2, 3, 3), b=(6, 5, 3, 3)), {"x": [1, 4, 9, 9]}, {"y": [1, 15, 9, 9]})
    count = multiply_adds(open_model(path), {"x": zeros(1, 4, 9, 9)})
    assert count.per_layer == {"a": 6 * 16 * 2 * 9, "b": 6 * 16 * 5 * 9}


@pytest.mark.parametrize(("op", "gates"), [("LSTM", 4), ("GRU", 3), ("RNN", 1)])
@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
def test_recurrent_layers(make_model: Callable[..., Path], op: str, gates: int, direction: str) -> None:
    n = 2 if direction == "bidirectional" else 1
    made = weights(w=(n, gates * 8, 6), r=(n, gates * 8, 8))
    nodes = [node(op, ["x", "w", "r"], ["y"], hidden_size=8, direction=direction)]
    path = make_model(nodes, made, {"x": [5, 2, 6]}, {"y": [5, n, 2, 8]})
    count = multiply_adds(open_model(path), {"x": zeros(5, 2, 6)})
    assert count.per_layer == {"w": 5 * 2 * n * gates * 8 * 6, "r": 5 * 2 * n * gates * 8 * 8}
    assert count.total == 5 * 2 * n * gates * 8 * 14


@pytest.mark.parametrize(
    ("op", "shapes", "attributes", "expected"),
    [
        ("MatMul", ((2, 3, 4, 5), (2, 3, 5, 6)), {}, 2 * 3 * 4 * 6 * 5),
        ("MatMul", ((4, 5), (5,)), {}, 4 * 5),
        ("Gemm", ((5, 4), (6, 5)), {"transA": 1, "transB": 1}, 4 * 6 * 5),
    ],
)
def test_products_of_two_values(make_model: Callable[..., Path], op: str, shapes: Any, attributes: Any,
                                expected: int) -> None:  # fmt: skip
    feed = {"a": zeros(*shapes[0]), "b": zeros(*shapes[1])}
    first, second = (feed[name].T if f"trans{name.upper()}" in attributes else feed[name] for name in "ab")
    nodes = [node(op, ["a", "b"], ["y"], **attributes)]
    inputs = {name: list(array.shape) for name, array in feed.items()}
    path = make_model(nodes, {}, inputs, {"y": list((first @ second).shape)})
    count = multiply_adds(open_model(path), feed)
    assert (count.total, count.per_layer) == (expected, {})


def test_what_is_computed_from_constants_costs_nothing(make_model: Callable[..., Path]) -> None:
    nodes = [node("MatMul", ["u", "v"], ["w"]), node("MatMul", ["x", "w"], ["y"])]
    path = make_model(nodes, weights(u=(8, 2), v=(2, 8)), {"x": [1, 8]}, {"y": [1, 8]})
    assert multiply_adds(open_model(path), {"x": zeros(1, 8)}).total == 64


def test_only_the_branch_that_runs_counts(make_model: Callable[..., Path]) -> None:
    def branch(name: str, weight: str) -> Any:
        outputs = [helper.make_tensor_value_info(name, 1, [1, 4])]
        return helper.make_graph([node("MatMul", ["x", weight], [name])], name, [], outputs)

    nodes = [
        node("ReduceSum", ["x"], ["sum"], keepdims=0),
        node("Greater", ["sum", "limit"], ["positive"]),
        node("If", ["positive"], ["y"], then_branch=branch("t", "first"), else_branch=branch("e", "second")),
    ]
    made = weights(first=(8, 4), second=(8, 4)) | {"limit": np.float32(0)}
    path = make_model(nodes, made, {"x": [1, 8]}, {"y": [1, 4]})
    for sign, name in ((1, "first"), (-1, "second")):
        count = multiply_adds(open_model(path), {"x": zeros(1, 8) + sign})
        assert (count.total, count.per_layer) == (32, {name: 32})


def test_a_product_in_a_loop_is_not_counted_and_says_so(make_model: Callable[..., Path]) -> None:
    value = helper.make_tensor_value_info
    body = helper.make_graph(
        [node("MatMul", ["state", "w"], ["next"]), node("Identity", ["go"], ["on"])],
        "body",
        [value("step", 7, []), value("go", 9, []), value("state", 1, [1, 4])],
        [value("on", 9, []), value("next", 1, [1, 4])],
    )
    made = weights(w=(4, 4)) | {"times": np.array(3), "true": np.array(True)}
    path = make_model([node("Loop", ["times", "true", "x"], ["y"], body=body)], made, {"x": [1, 4]}, {"y": [1, 4]})
    count = multiply_adds(open_model(path), {"x": zeros(1, 4)})
    assert (count.total, count.uncounted) == (0, ("MatMul",))


def test_low_rank_layers_take_fewer(make_model: Callable[..., Path], tmp_path: Path) -> None:
    path = make_model([node("MatMul", ["x", "w"], ["y"])], weights(w=(64, 64)), {"x": ["n", 64]}, {"y": ["n", 64]})
    model, target = open_model(path), tmp_path / "out.onnx"
    export(model, compress(model, Recipe((Step.make("low_rank", by="rank", rank=8),))), target)
    np.savez(tmp_path / "data.npz", x=zeros(2, 64))
    samples = load_samples(tmp_path / "data.npz", model.inputs)
    found = compare_models(path, target, samples, latency=False, memory=False)
    assert (found.multiply_adds_before, found.multiply_adds_after) == (64 * 64, 2 * 64 * 8)
    assert found.to_dict()["multiply_adds_after"] == 1024
    assert multiply_adds(open_model(target), {"x": zeros(1, 64)}).total == 1024


@pytest.mark.models
@pytest.mark.parametrize(("name", "expected"), [("lenet300", 266_200), ("lenet5", 2_293_000)])
def test_public_models(models_dir: Path, name: str, expected: int) -> None:
    model = open_model(models_dir / name / "model.onnx")
    samples = load_samples(models_dir / name / "calib.npz", model.inputs)
    count = multiply_adds(model, samples.feed(0))
    assert (count.total, sum(count.per_layer.values()), count.uncounted) == (expected, expected, ())
