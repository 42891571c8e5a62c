"""The public models run by torch: the same outputs as ONNX Runtime, and gradients for their layers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
import torch
from onnxruntime import InferenceSession

from core.analysis.importance import gradient_squares
from core.analysis.runtime import Feed, output_names, run, session
from core.data import Samples
from core.interpreter.module import TorchGraph, missing_operators
from core.interpreter.tensors import from_array
from core.model.model import Model

pytestmark = pytest.mark.models


PARITY = 1e-4


def test_parity(name: str, folder: Path, model: Model, calib: Samples) -> None:
    """To 1e-4; where the runtime's own rounding is larger, torch is at least as near to the graph in float64.

    magika takes the variance over 512 equal values as E[x^2] - E[x]^2: what is left is the rounding of the sums, and
    the runtime adds one after the other.
    """
    lacking = missing_operators(model.graph())
    feeds = list(calib.feeds(8))
    wanted = _by_name(session(folder / "model.onnx"), feeds)
    got = _by_torch(model.graph(), feeds)
    worst = _largest(got, wanted)
    print(f"\n{name}: max relative difference {worst:.1e}, missing operators: {', '.join(lacking) or 'none'}")
    assert not lacking
    if worst > PARITY:
        exact = _by_torch(
            _in_double(model.graph()), [{key: _double(value) for key, value in feed.items()} for feed in feeds]
        )
        ours, theirs = _largest(got, exact), _largest(wanted, exact)
        print(f"{name}: torch is {ours:.1e} from float64, ONNX Runtime {theirs:.1e}")
        assert ours <= max(PARITY, theirs)


def _by_name(reference: InferenceSession, feeds: Sequence[Feed]) -> list[dict[str, np.ndarray]]:
    return [dict(zip(output_names(reference), run(reference, feed), strict=True)) for feed in feeds]


def _by_torch(graph: ir.Model, feeds: Sequence[Feed]) -> list[dict[str, np.ndarray]]:
    module = TorchGraph(graph)
    with torch.no_grad():
        runs = [module({key: from_array(array) for key, array in feed.items()}) for feed in feeds]
    return [{key: value.numpy() for key, value in results.items()} for results in runs]


def _largest(got: list[dict[str, np.ndarray]], wanted: list[dict[str, np.ndarray]]) -> float:
    """The largest difference of any output on any feed, relative to its largest magnitude there."""
    worst = 0.0
    for ours, theirs in zip(got, wanted, strict=True):
        assert {key: value.shape for key, value in ours.items()} == {key: value.shape for key, value in theirs.items()}
        worst = max(
            worst, *(float(np.abs(ours[key] - theirs[key]).max() / np.abs(theirs[key]).max()) for key in theirs)
        )
    return worst


def _double(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float64) if array.dtype == np.float32 else array


def _in_double(graph: ir.Model) -> ir.Model:
    """The same graph computing in float64 wherever it computed in float32."""
    for part in (graph.graph, *graph.graph.subgraphs()):
        for value in part.initializers.values():
            if value.const_value is not None and value.const_value.dtype == ir.DataType.FLOAT:
                value.const_value = ir.Tensor(value.const_value.numpy().astype(np.float64), name=value.name)
    for node in graph.graph.all_nodes():
        for attribute in list(node.attributes.values()):
            if node.op_type == "Cast" and attribute.name == "to" and attribute.value == ir.DataType.FLOAT:
                node.attributes["to"] = ir.AttrInt64("to", int(ir.DataType.DOUBLE))
            elif attribute.type == ir.AttributeType.TENSOR and attribute.value.dtype == ir.DataType.FLOAT:
                node.attributes[attribute.name] = ir.AttrTensor(
                    attribute.name, ir.Tensor(attribute.value.numpy().astype(np.float64))
                )
    return graph


def test_gradients(name: str, model: Model, calib: Samples) -> None:
    """All layers have them; of silero_vad those of the branch for the samples' rate, which is half of its layers."""
    names = [layer.name for layer in model.layers if not layer.locked]
    found = gradient_squares(model, calib, names, limit=2)
    assert len(found) == (len(names) // 2 if name == "silero_vad" else len(names))
    assert {key: values.shape for key, values in found.items()} == {key: model.layer(key).shape for key in found}
    assert all(np.isfinite(values).all() for values in found.values())
    assert np.mean([values.any() for values in found.values()]) > 0.9
