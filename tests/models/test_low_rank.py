"""Factorised public models: they load, give what the decoded weights give, have the predicted size, and do less."""

from __future__ import annotations

from pathlib import Path

import onnx_ir as ir
import pytest

from core.analysis.operations import multiply_adds
from core.analysis.runtime import run, session
from core.data import Samples, load_samples
from core.exporting.gate import ROUNDING_MARGIN, relative_difference
from core.exporting.sizes import predict_bytes
from core.exporting.writer import assemble, simulate
from core.model.readers import open_model
from core.pipeline import compress
from core.recipe import Recipe, Step

pytestmark = pytest.mark.models

CASES = [  # share of the model's multiply-adds that is left, at most
    ("lenet5", "spatial", 0.45), ("lenet5", "channels", 0.45), ("lenet5", "tucker", 0.45), ("vit_digits", None, 0.35),
    ("ppocr_cls", "channels", 0.5), ("ppocr_rec", "channels", 0.4), ("ppocr_det", "spatial", 0.65),
    ("ppocr_det", "channels", 0.35), ("ppocr_det", "tucker", 0.65), ("minilm", None, 0.5),
]  # fmt: skip


@pytest.mark.parametrize(("name", "scheme", "left"), CASES)
def test_a_quarter_of_the_numbers(models_dir: Path, tmp_path: Path, name: str, scheme: str | None, left: float) -> None:
    if not (models_dir / name / "model.onnx").is_file():
        pytest.skip(f"{name} is not in {models_dir}")
    model = open_model(models_dir / name / "model.onnx")
    samples: Samples = load_samples(models_dir / name / "calib.npz", model.inputs)
    feed = next(iter(samples.feeds(1)))
    step = Step.make("low_rank", scheme=scheme, share=0.25)
    encodings = {r.name: r.encoding for r in compress(model, Recipe((step,))).layers if r.encoding is not None}
    assembly = assemble(model, encodings)
    encodings = {layer: encoding for layer, encoding in encodings.items() if layer not in assembly.folded}
    assert set(assembly.split) == set(encodings)
    target, decoded = tmp_path / "out.onnx", tmp_path / "decoded.onnx"
    ir.external_data.load_to_model(assembly.graph)
    target.write_bytes(ir.to_proto(assembly.graph).SerializeToString(deterministic=True))
    ir.save(simulate(model, encodings), decoded, external_data="decoded.data")
    assert predict_bytes(model, encodings) == pytest.approx(target.stat().st_size, rel=0.01)
    wanted = run(session(decoded), feed)
    worst = max(relative_difference(a, b) for a, b in zip(run(session(target), feed), wanted, strict=True))
    if worst > 1e-5:  # a deep network turns rounding into more: as much as its own two ways to run
        plain = run(session(decoded, optimize=False), feed)
        own = max(relative_difference(a, b) for a, b in zip(plain, wanted, strict=True))
        assert worst <= ROUNDING_MARGIN * own
    share = multiply_adds(open_model(target), feed).total / multiply_adds(model, feed).total
    size = target.stat().st_size / model.file_bytes
    print(f"\n{name} {scheme}: {size:.3f} of the file, {share:.3f} of the multiply-adds")
    assert share <= left
