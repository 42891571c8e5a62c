"""Filters on public models: the export loads, gives what the decoded weights give, and has the predicted size."""

from __future__ import annotations

from pathlib import Path

import onnx_ir as ir
import pytest

from core.data import load_samples
from core.exporting.gate import ROUNDING_MARGIN, relative_difference
from core.exporting.sizes import predict_bytes
from core.exporting.writer import assemble, simulate
from core.model.readers import open_model
from core.pipeline import compress
from core.recipe import Recipe

pytestmark = pytest.mark.models

FILTERS = ("dct", "fourier", "wavelet", "gaussian", "smooth")


@pytest.mark.parametrize("scheme", FILTERS)
@pytest.mark.parametrize("name", ["ppocr_det", "ppocr_rec", "silero_vad", "minilm"])
def test_filters(name: str, scheme: str, models_dir: Path, tmp_path: Path) -> None:
    from core.analysis.runtime import run, session

    model = open_model(models_dir / name / "model.onnx")
    done = compress(model, Recipe.parse(f"featherweight: 1\ndefaults: [{{filter: {{scheme: {scheme}}}}}]\n"))
    encodings = {r.name: r.encoding for r in done.layers if r.encoding is not None}
    assert encodings
    assembly = assemble(model, encodings)
    assert assembly.left == {}
    encodings = {layer: encoding for layer, encoding in encodings.items() if layer not in assembly.folded}
    target, decoded = tmp_path / "out.onnx", tmp_path / "decoded.onnx"
    ir.external_data.load_to_model(assembly.graph)
    target.write_bytes(ir.to_proto(assembly.graph).SerializeToString(deterministic=True))
    ir.save(simulate(model, encodings), decoded, external_data="decoded.data")
    assert predict_bytes(model, encodings) == pytest.approx(target.stat().st_size, rel=0.01)
    assert target.stat().st_size < (models_dir / name / "model.onnx").stat().st_size
    feeds = list(load_samples(models_dir / name / "calib.npz", model.inputs).feeds(2))

    def outputs(path: Path, optimize: bool = True) -> list:
        made = session(path, threads=2, optimize=optimize)
        return [value for feed in feeds for value in run(made, feed)]

    wanted = outputs(decoded)
    difference = max(map(relative_difference, outputs(target), wanted))
    ratio = target.stat().st_size / (models_dir / name / "model.onnx").stat().st_size
    print(f"\n{name}, {scheme}: {len(encodings)} layers, file {ratio:.3f}, difference {difference:.1e}")
    if difference > 1e-5:  # a deep network turns the last bit of float32 into more: as much as its own two ways to run
        own = max(map(relative_difference, outputs(decoded, optimize=False), wanted))
        assert difference <= ROUNDING_MARGIN * own
