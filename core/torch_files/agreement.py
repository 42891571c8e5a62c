"""Whether a converted graph computes what the PyTorch module does: both are run on the same inputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from core.errors import ModelFileError

LIMIT = 1e-4
"""Largest difference that is accepted, relative to the largest output (or to 1 when that is smaller)."""

Call = Callable[..., Sequence[torch.Tensor]]


def difference(graph: Path, call: Call, batches: Sequence[Sequence[torch.Tensor]], where: str) -> float:
    """The largest difference over all outputs of all batches, relative to the largest output.

    call     the module, giving its output tensors in order
    batches  each the tensors of one call, in the order of the graph's inputs

    Raises ModelFileError when the graph does not load, does not run, or gives something else.
    """
    session = _session(graph, where)
    inputs = session.get_inputs()
    worst = 0.0
    for tensors in batches:
        expected = [output.detach().cpu().numpy() for output in call(*tensors)]
        feed = {port.name: tensor.numpy() for port, tensor in zip(inputs, tensors, strict=True)}
        try:
            got = session.run(None, feed)
        except Exception as error:  # ONNX Runtime raises its own kinds
            raise _failed(f"ONNX Runtime cannot run it on {_shapes(tensors)} ({_line(error)})", where) from error
        if len(got) != len(expected):
            raise _failed(f"it gives {len(got)} outputs, and PyTorch {len(expected)}", where)
        worst = max([worst, *(_apart(a, b, where) for a, b in zip(expected, got, strict=True))])
    if not worst <= LIMIT:
        raise _failed(f"its outputs differ from PyTorch's by {worst:.2g} of the largest, more than {LIMIT:g}", where)
    return worst


def _session(graph: Path, where: str):  # type: ignore[no-untyped-def]
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime raises its own kinds
        raise _failed(f"ONNX Runtime does not load it ({_line(error)})", where) from error


def _apart(expected: np.ndarray, got: np.ndarray, where: str) -> float:
    if expected.shape != got.shape:
        raise _failed(f"it gives the shape {list(got.shape)}, and PyTorch {list(expected.shape)}", where)
    if not expected.size:
        return 0.0
    a, b = expected.astype(np.float64), got.astype(np.float64)
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    if not np.isfinite(a[~same]).all() or not np.isfinite(b[~same]).all():
        return float("inf")
    largest = float(np.abs(a[np.isfinite(a)]).max(initial=0.0))
    return float(np.abs(np.where(same, 0.0, a - b)).max()) / max(largest, 1.0)


def _failed(what: str, where: str) -> ModelFileError:
    return ModelFileError(f"it was converted to ONNX, but {what}", where=where,
                          do="export it to ONNX yourself, or change the operators that do not convert")


def _shapes(tensors: Sequence[torch.Tensor]) -> str:
    return " and ".join("x".join(map(str, tensor.shape)) or "a single number" for tensor in tensors)


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
