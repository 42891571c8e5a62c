"""The nine public models: nearly all float bytes belong to layers, and opening takes milliseconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from core.model.layer import Kind
from core.model.readers import open_model

pytestmark = pytest.mark.models

KINDS = {
    "lenet300": {Kind.LINEAR: 3},
    "lenet5": {Kind.CONV: 2, Kind.LINEAR: 2},
    "vit_digits": {Kind.LINEAR: 17, Kind.NORM: 18, Kind.CONV: 1, Kind.OTHER: 1},
    "ppocr_cls": {Kind.CONV: 42, Kind.DEPTHWISE: 11, Kind.LINEAR: 1, Kind.NORM: 140},
    "ppocr_det": {Kind.CONV: 48, Kind.DEPTHWISE: 14, Kind.CONV_TRANSPOSE: 2},
    "ppocr_rec": {Kind.LINEAR: 9},
    "silero_vad": {Kind.CONV: 12, Kind.RECURRENT: 4},
    "magika": {Kind.CONV: 1, Kind.LINEAR: 2},
    "minilm": {Kind.EMBEDDING: 1, Kind.LINEAR: 36, Kind.NORM: 26, Kind.OTHER: 1},
}


@pytest.mark.parametrize("name", KINDS)
def test_layers_cover_the_float_bytes(models_dir: Path, name: str) -> None:
    model = open_model(models_dir / name / "model.onnx")
    layers = sum(layer.nbytes for layer in model.layers)
    left = sum(left.nbytes for left in model.left_out if "float" in left.dtype)
    assert layers / (layers + left) >= 0.99
    assert all(left.reason for left in model.left_out)
    assert all(layer.kind == Kind.NORM and "on export" in layer.locked for layer in model.layers if layer.locked)
    assert model.notes == ()
    counts = {kind: sum(layer.kind == kind for layer in model.layers) for kind in KINDS[name]}
    assert counts == KINDS[name]


@pytest.mark.parametrize("name", KINDS)
def test_every_weight_is_what_onnx_reads(models_dir: Path, name: str) -> None:
    import onnx
    from onnx import numpy_helper

    path = models_dir / name / "model.onnx"
    wanted: dict[bytes, int] = {}

    def collect(graph: onnx.GraphProto) -> None:
        tensors = [*graph.initializer, *(a.t for n in graph.node if n.op_type == "Constant" for a in n.attribute)]
        for tensor in tensors:
            if tensor.data_type == onnx.TensorProto.FLOAT:
                data = numpy_helper.to_array(tensor).tobytes()
                wanted[data] = wanted.get(data, 0) + 1
        for n in graph.node:
            for attribute in n.attribute:
                if attribute.HasField("g"):
                    collect(attribute.g)

    collect(onnx.load(path).graph)
    model = open_model(path)
    for layer in model.layers:
        weight = model.weight(layer.name)
        assert weight.shape == layer.shape
        assert np.asarray(weight).tobytes() in wanted


def test_made_up_names_have_titles(models_dir: Path) -> None:
    titles = [layer.title for layer in open_model(models_dir / "minilm" / "model.onnx").layers]
    assert "layers.0.query.weight" in titles
    assert not any(title.startswith("val_") for title in titles)
