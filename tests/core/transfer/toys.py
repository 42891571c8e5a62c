"""A small network that knows two kinds of bars, and pictures of four kinds for it to be transferred to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Array = np.ndarray[Any, np.dtype[Any]]
SIDE = 8


def bars(n: int, seed: int = 0, classes: int = 4) -> tuple[Array, Array]:
    """(n, 1, 8, 8) pictures of one bright row or column, in one half or the other, and their class."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    pictures = 0.1 * rng.random((n, 1, SIDE, SIDE), np.float32)
    for picture, label in zip(pictures, labels, strict=True):
        place = int(rng.integers(1, 3)) + 4 * (label // 2)
        line = picture[0, place] if label % 2 == 0 else picture[0, :, place]
        line += 1.0
    return pictures, labels.astype(np.int64)


def save(path: Path, n: int = 48, seed: int = 0, classes: int = 4, name: str = "image") -> Path:
    pictures, labels = bars(n, seed, classes)
    np.savez(path, **{name: pictures, "labels": labels})
    return path


def network(path: Path, *, channels: int = 8, dead: int = 0, seed: int = 1) -> Path:
    """Conv, Relu, Conv, Relu, Flatten, Linear fc1, Relu, Linear fc2; the first `dead` channels of conv1 give 0."""
    rng = np.random.default_rng(seed)

    def drawn(*shape: int) -> Array:
        return (rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))).astype(np.float32)

    weights = {
        "conv1.weight": drawn(channels, 1, 3, 3), "conv1.bias": np.zeros(channels, np.float32),
        "conv2.weight": drawn(6, channels, 3, 3), "conv2.bias": np.zeros(6, np.float32),
        "fc1.weight": drawn(16, 6 * 4 * 4), "fc1.bias": np.zeros(16, np.float32),
        "fc2.weight": drawn(2, 16), "fc2.bias": np.zeros(2, np.float32),
    }  # fmt: skip
    weights["conv1.weight"][:dead] = 0
    weights["conv1.bias"][:dead] = 0.5
    nodes = [
        helper.make_node("Conv", ["image", "conv1.weight", "conv1.bias"], ["c1"], "conv1", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c1"], ["r1"], "relu1"),
        helper.make_node("Conv", ["r1", "conv2.weight", "conv2.bias"], ["c2"], "conv2", strides=[2, 2],
                         pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c2"], ["r2"], "relu2"),
        helper.make_node("Flatten", ["r2"], ["flat"], "flatten"),
        helper.make_node("Gemm", ["flat", "fc1.weight", "fc1.bias"], ["g1"], "fc1", transB=1),
        helper.make_node("Relu", ["g1"], ["r3"], "relu3"),
        helper.make_node("Gemm", ["r3", "fc2.weight", "fc2.bias"], ["g2"], "fc2", transB=1),
        helper.make_node("Softmax", ["g2"], ["answer"], "softmax"),
    ]  # fmt: skip
    graph = helper.make_graph(
        nodes, "bars", [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 1, SIDE, SIDE])],
        [helper.make_tensor_value_info("answer", TensorProto.FLOAT, ["n", 2])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    model.metadata_props.add(key="character", value="ab")
    onnx.save(model, path)
    return path
