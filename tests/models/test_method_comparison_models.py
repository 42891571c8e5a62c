"""On real models the comparison finds what experts find, and its rows are the files that a person would get."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.jobs import CompressSpec, compress_file
from core.method_comparison.job import MethodsSpec, compare_methods
from core.method_comparison.recommend import recommend
from core.method_comparison.rows import Baseline, Status

pytestmark = pytest.mark.models


@pytest.mark.parametrize("chosen", ["lenet5", "ppocr_cls"])
def test_pruning_against_uniform_int8(models_dir: Path, chosen: str, tmp_path: Path) -> None:
    """Pruning every layer alike without training costs much; what the kept weights take over wins most of it back."""
    folder = models_dir / chosen
    if not (folder / "model.onnx").is_file():
        pytest.skip(f"{chosen} is not in {models_dir}")
    spec = MethodsSpec(str(folder / "model.onnx"), str(folder / "test.npz"), families=("Pruning",), minutes=4,
                       cache=str(tmp_path / "cache"))  # fmt: skip
    study = compare_methods(spec)
    advice = recommend(study)
    assert not [row.reason for row in study.rows if row.status in (Status.FAILED, Status.NOT_TRIED)]
    int8 = next(row for row in study.rows if row.baseline is Baseline.INT8)
    assert int8.nbytes is not None and 0.2 < int8.nbytes / study.bytes_before < 0.45
    assert int8.quality is not None and abs(int8.quality.drop) <= 1.0
    best = next(row for row in study.rows if row.key == advice.key)
    assert best.nbytes is not None
    at80 = [row.quality.value for row in study.rows if row.setting.startswith("prune 80 %") and row.quality is not None]
    plain = next(row for row in study.rows if row.setting == "prune 80 % + 16 levels")
    assert plain.quality is not None and max(at80) > plain.quality.value + 0.02
    assert all(row.nbytes is not None and row.nbytes > 1_000 for row in study.measured) and advice.pareto
    wanted = CompressSpec(spec.model_path, best.recipe, str(tmp_path / "best.onnx"), spec.data_path, live=False)
    again = compress_file(wanted)
    assert again.report.bytes_after == best.nbytes
