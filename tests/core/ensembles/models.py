"""Small models to merge, made in the test."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FEATURES, HIDDEN, CLASSES = 6, 8, 4


def save(
    path: Path, nodes: Sequence[onnx.NodeProto], tensors: dict[str, np.ndarray], *,
    inputs: Sequence[Any] = (("x", TensorProto.FLOAT, ["n", FEATURES]),),
    outputs: Sequence[Any] = (("y", TensorProto.FLOAT, ["n", CLASSES]),),
    opset: int = 17, functions: Sequence[onnx.FunctionProto] = (), metadata: dict[str, str] | None = None,
) -> Path:  # fmt: skip
    """An ONNX file of these nodes."""
    graph = helper.make_graph(
        list(nodes), "g", [helper.make_tensor_value_info(*i) for i in inputs],
        [helper.make_tensor_value_info(*o) for o in outputs],
        [numpy_helper.from_array(array, name) for name, array in tensors.items()],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(f.domain, 1) for f in functions)]
    model = helper.make_model(graph, opset_imports=opsets, functions=list(functions), ir_version=8)
    helper.set_model_props(model, metadata or {})
    onnx.save(model, path)
    return path


def weights(seed: int, hidden: int = HIDDEN) -> dict[str, np.ndarray]:
    """Of two Linear layers."""
    rng = np.random.default_rng(seed)
    shapes = {"a.weight": (FEATURES, hidden), "a.bias": (hidden,), "b.weight": (hidden, CLASSES), "b.bias": (CLASSES,)}
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def classifier(
    path: Path, seed: int, *, last: str = "", trunk: int | None = None, hidden: int = HIDDEN, **options: Any
) -> Path:
    """Linear, Relu, Linear and perhaps `last` (Softmax, LogSoftmax, Sigmoid); `trunk`: the first layer's seed."""
    tensors = weights(seed, hidden)
    if trunk is not None:
        tensors |= {name: array for name, array in weights(trunk, hidden).items() if name.startswith("a.")}
    logits = "z" if last else "y"
    nodes = [
        helper.make_node("Gemm", ["x", "a.weight", "a.bias"], ["h"], name="a"),
        helper.make_node("Relu", ["h"], ["r"], name="relu"),
        helper.make_node("Gemm", ["r", "b.weight", "b.bias"], [logits], name="b"),
    ]
    if last:
        nodes.append(helper.make_node(last, [logits], ["y"], name="last"))
    return save(path, nodes, tensors, **options)


def rows(count: int, seed: int = 0) -> np.ndarray:
    """Inputs."""
    return np.random.default_rng(seed).normal(size=(count, FEATURES)).astype(np.float32)
