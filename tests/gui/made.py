"""Small models and data that tests of the window make for themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def write_planned_model(path: Path) -> Path:
    """x (batch x 48) -> Gemm a -> Relu -> Gemm b -> Relu -> Gemm c -> logits (batch x 6)."""
    random = np.random.default_rng(0)
    shapes = {"a.weight": (96, 48), "b.weight": (96, 96), "c.weight": (6, 96)}
    weights = {name: random.normal(0, 0.2, shape).astype(np.float32) for name, shape in shapes.items()}
    values = ["x", "h1", "r1", "h2", "r2", "logits"]
    ops = [("Gemm", ["a.weight"]), ("Relu", []), ("Gemm", ["b.weight"]), ("Relu", []), ("Gemm", ["c.weight"])]
    nodes = [
        helper.make_node(op, [values[i], *extra], [values[i + 1]], **({"transB": 1} if extra else {}))
        for i, (op, extra) in enumerate(ops)
    ]
    graph = helper.make_graph(
        nodes, "planned", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 48])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 6])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9), path)
    return path


def write_clusters(path: Path, n: int, *, labels: bool = True) -> Path:
    """Points of six clusters in 48 dimensions, which the planned model can learn to tell apart."""
    random = np.random.default_rng(2)
    which = np.arange(n) % 6
    centres = np.random.default_rng(1).normal(0, 1.0, (6, 48))
    x = (centres[which] + random.normal(0, 0.5, (n, 48))).astype(np.float32)
    np.savez(path, x=x, **({"labels": which} if labels else {}))
    return path
