"""Plans for public models: smaller and nearer to the original than one setting for all layers."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from core.plan_job import PlanSpec, plan_file
from core.planning.plan import Plan, PlanPoint

pytestmark = pytest.mark.models

NEAR_DB = 3.0  # predicted against measured output error of a finished plan


def plan_for(
    models_dir: Path, name: str, goal: str, limit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Plan:
    if not (models_dir / name / "model.onnx").is_file():
        pytest.skip(f"{name} is not in {models_dir}")
    monkeypatch.setattr("core.analysis.sensitivity.table.cache_folder", lambda: tmp_path / "cache")
    folder = models_dir / name
    return plan_file(PlanSpec(str(folder / "model.onnx"), goal, limit, str(folder / "calib.npz"), minutes=1.0))


def beaten(plan: Plan) -> list[PlanPoint]:
    """Uniform settings of no more bytes that were measured."""
    return [point for point in plan.uniform if point.measured is not None and point.bytes <= plan.bytes_predicted]


@pytest.mark.parametrize("name", ["lenet5", "vit_digits"])
def test_a_seventh_of_the_file(models_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    plan = plan_for(models_dir, name, "size", "15%", tmp_path, monkeypatch)
    assert plan.met
    assert plan.measured is not None
    assert plan.sqnr_predicted_db == pytest.approx(plan.measured.sqnr_db, abs=NEAR_DB)
    assert plan.measured.drop <= 1.0
    assert beaten(plan)
    best = max(point.measured.sqnr_db for point in beaten(plan) if point.measured)
    print(f"\n{name}: {plan.measured.sqnr_db:.1f} dB, uniform {best:.1f} dB, in {plan.seconds:.1f} s")
    assert plan.measured.sqnr_db > best + 3.0


def test_a_drop_of_one_point(models_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_for(models_dir, "lenet5", "drop", "1", tmp_path, monkeypatch)
    assert plan.met
    assert plan.measured is not None
    assert plan.measured.drop <= 1.0
    share = plan.bytes_predicted / plan.bytes_before
    print(f"\nlenet5: {share:.3f} of the file at {plan.measured.drop:.2f} points")
    assert share < 0.075  # a plain planner reaches 0.071
    assert math.isfinite(plan.error_predicted)
