"""Plans for times and multiply-adds on public models: what is told of them agrees with the files they give."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.analysis.operations import multiply_adds
from core.data import load_samples
from core.exporting.export import export
from core.model.readers import open_model
from core.pipeline import compress
from core.plan_job import PlanSpec, plan_file

pytestmark = pytest.mark.models


@pytest.fixture
def folder(models_dir: Path, request: pytest.FixtureRequest) -> Path:
    found = models_dir / request.param
    if not (found / "model.onnx").is_file():
        pytest.skip(f"{request.param} is not in {models_dir}")
    return found


@pytest.mark.parametrize("folder", ["lenet5"], indirect=True)
def test_twice_as_fast(folder: Path) -> None:
    plan = plan_file(PlanSpec(str(folder / "model.onnx"), "latency", "2x", str(folder / "calib.npz"), minutes=1.0))
    assert plan.latency is not None
    assert plan.measured is not None
    assert plan.met == (plan.latency.ratio <= 0.5)
    assert plan.latency.ratio < 0.7
    assert plan.measured.value > 0.9
    assert {variant.label for variant in plan.variants} >= {"channels −10 %", "channels −25 %"}


@pytest.mark.parametrize("folder", ["vit_digits"], indirect=True)
def test_fewer_multiply_adds_and_a_smaller_file(folder: Path, tmp_path: Path) -> None:
    spec = PlanSpec(
        str(folder / "model.onnx"), "multiply_adds", "80%", str(folder / "calib.npz"), minutes=1.0,
        also=(("size", "40%"),),
    )  # fmt: skip
    plan = plan_file(spec)
    model = open_model(folder / "model.onnx")
    assert plan.met
    assert plan.bytes_predicted <= 0.4 * model.file_bytes
    calibration, test = load_samples(folder / "calib.npz", model.inputs).split(64)
    report = export(model, compress(model, plan.recipe, samples=calibration), tmp_path / "out.onnx", test)
    assert report.bytes_after == pytest.approx(plan.bytes_predicted, rel=0.01)
    feed = test.feed(0)
    count = multiply_adds(open_model(tmp_path / "out.onnx"), feed).total
    assert count == pytest.approx(plan.multiply_adds_after, rel=0.01)
    assert count <= 0.8 * multiply_adds(model, feed).total
