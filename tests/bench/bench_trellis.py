"""The trellis on a million Gaussian weights: error, bytes, search, loading, and what is left in the loaded graph.

Yardsticks in the same run: the rate-distortion limit of a Gaussian (6.02 dB a bit), the best codebook of as many bits,
and the time that ONNX Runtime takes to load the same model with float32 weights.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from core.encoding import Float
from core.exporting.writer import assemble
from core.methods.base import Context
from core.methods.quantize_codebook import CodebookParams, QuantizeCodebook
from core.methods.quantize_trellis import QuantizeTrellis, TrellisParams
from core.model.layer import Kind, Layer
from core.model.readers import open_model

pytestmark = [pytest.mark.bench, pytest.mark.timeout(1800)]

SIDE = 1000


def gaussian_model(folder: Path) -> Path:
    """y = x W with W of SIDE x SIDE normal numbers."""
    weight = np.random.default_rng(5).standard_normal((SIDE, SIDE), np.float32)
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", SIDE]) for name in ("x", "y")]
    tensor = helper.make_tensor("w", TensorProto.FLOAT, weight.shape, weight.tobytes(), raw=True)
    graph = helper.make_graph(nodes, "g", ports[:1], ports[1:], [tensor])
    path = folder / "gaussian.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return path


def loading_ms(path: Path, optimised: Path | None = None) -> float:
    """The median time to load a session, one thread."""
    times = []
    for _ in range(7):
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        if optimised is not None:
            options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
            options.optimized_model_filepath = str(optimised)
        start = time.perf_counter()
        ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        times.append(time.perf_counter() - start)
    return 1000 * sorted(times)[3]


def test_a_million_gaussian_weights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import onnx_ir as ir

    path = gaussian_model(tmp_path)
    model = open_model(path)
    weight = np.ascontiguousarray(model.weight("w"))
    energy = float(np.square(weight, dtype=np.float64).sum())
    layer = Layer("w", Kind.LINEAR, weight.shape, "float32", weight.nbytes, 1, 0)
    plain = loading_ms(path)
    rows = [f"float32: loaded in {plain:.1f} ms"]
    for bits, states in ((1.0, 1024), (1.5, 1024), (2.0, 256), (2.0, 1024), (2.0, 4096), (2.5, 4096), (3.0, 1024),
                         (3.5, 4096), (4.0, 1024)):  # fmt: skip
        wall, busy = time.perf_counter(), time.process_time()
        found = QuantizeTrellis().apply(Float(weight), TrellisParams(bits=bits, states=states), Context(layer))
        wall, busy = time.perf_counter() - wall, time.process_time() - busy
        db = 10 * np.log10(energy / np.square(found.decode() - weight, dtype=np.float64).sum())
        best = ""
        if bits == int(bits):
            table = QuantizeCodebook().apply(Float(weight), CodebookParams(int(bits)), Context(layer))
            error = np.square(table.decode() - weight, dtype=np.float64).sum()
            best = f", best codebook {10 * np.log10(energy / error):.2f}"
        target = tmp_path / f"{bits}.onnx"
        ir.save(assemble(model, {"w": found}).graph, target)
        loaded = loading_ms(target, tmp_path / "optimised.onnx")
        left = sorted({node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node})
        assert left == ["MatMul"]
        share = target.stat().st_size / path.stat().st_size
        rows.append(
            f"{bits:g} bits, {states} states: {db:.2f} dB (limit {20 * np.log10(2) * bits:.2f}{best}), file "
            f"{share:.4f} x, search {wall:.2f} s ({busy:.2f} s of processor), loaded in {loaded:.1f} ms, left {left}"
        )
    with capsys.disabled():
        print("\n" + "\n".join(rows))
