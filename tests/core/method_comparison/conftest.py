"""A small model with a convolution and two linear layers, samples of it, and rows to judge."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from core.method_comparison import run as run_module
from core.method_comparison.rows import Baseline, Quality, Row, Study, Times
from core.model.model import Model
from core.model.readers import open_model


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("methods")


@pytest.fixture(scope="session")
def small_path(folder: Path) -> Path:
    """x (batch x 3 x 8 x 8) -> Conv -> Relu -> mean over the picture -> Gemm -> Relu -> Gemm -> logits (batch x 4)."""
    random = np.random.default_rng(0)
    shapes = {"conv.weight": (16, 3, 3, 3), "fc.weight": (48, 16), "out.weight": (4, 48)}
    weights = {name: random.normal(0, 0.3, shape).astype(np.float32) for name, shape in shapes.items()}
    nodes = [
        helper.make_node("Conv", ["x", "conv.weight"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["p"]), helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Gemm", ["f", "fc.weight"], ["g"], transB=1), helper.make_node("Sigmoid", ["g"], ["s"]),
        helper.make_node("Mul", ["g", "s"], ["h"]),
        helper.make_node("Gemm", ["h", "out.weight"], ["logits"], transB=1),
    ]  # fmt: skip
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes, "small", [value("x", TensorProto.FLOAT, ["batch", 3, 8, 8])],
        [value("logits", TensorProto.FLOAT, ["batch", 4])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )  # fmt: skip
    path = folder / "small.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9), path)
    return path


@pytest.fixture(scope="session")
def small(small_path: Path) -> Model:
    return open_model(small_path)


@pytest.fixture(scope="session")
def data_path(folder: Path) -> Path:
    """24 samples without labels."""
    path = folder / "data.npz"
    np.savez(path, x=np.random.default_rng(1).normal(size=(24, 3, 8, 8)).astype(np.float32))
    return path


@pytest.fixture
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """No seconds are spent on times, and no process is started for the memory; all else is as it is."""
    from core.method_comparison import measuring

    monkeypatch.setattr(measuring, "LATENCY_SECONDS", 0.001)
    monkeypatch.setattr(measuring, "session_memory", lambda path, feed, reporter: 1_000_000)


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """only(n): no more than the first n trials."""
    every = run_module.trials

    def limit(n: int) -> None:
        monkeypatch.setattr(run_module, "trials", lambda *args, **words: every(*args, **words)[:n])

    return limit


RowMaker = Callable[..., Row]


@pytest.fixture
def make_row() -> RowMaker:
    """make_row(setting, share of 1,000 kB, drop in points, dB, ...) gives a row with figures."""

    def make(setting: str, share: float, drop: float | None, db: float = 25.0, *, family: str = "Quantization",
             ratio: float = 1.0, scatter: float = 0.1, memory: int | None = 50_000_000, samples: int = 500,
             baseline: Baseline = Baseline.NONE, **more: Any) -> Row:
        quality = None
        if drop is not None:
            value = 0.95 - drop / 100
            quality = Quality(samples, db, None, "accuracy (top-1)", value, 0.95, drop, "share", f"{100 * value:.2f} %",
                              f"{-drop:+.2f} points" if drop else "unchanged")  # fmt: skip
        times = Times(ratio, ratio * (1 - scatter), ratio * (1 + scatter), 1.0, 1.0 - scatter, 1.0 + scatter)
        return Row(setting, family, f"Method of {family}", setting, f"# {setting}", baseline=baseline,
                   nbytes=round(1_000_000 * share), memory=memory, multiply_adds=1_000, times=times, quality=quality,
                   seconds=1.0, layers=3, of_layers=3, **more)  # fmt: skip

    return make


@pytest.fixture
def make_study(make_row: RowMaker) -> Callable[..., Study]:
    """make_study(rows) puts the original before them."""

    def make(*rows: Row, **more: Any) -> Study:
        known = any(row.quality is not None for row in rows)
        original = make_row("", 1.0, 0.0 if known else None, float("inf"), family="", memory=50_000_000,
                            baseline=Baseline.ORIGINAL)  # fmt: skip
        return Study("m.onnx", "00", 1_000_000, (original, *rows), samples=500 if known else 0, source="d.npz", **more)

    return make
