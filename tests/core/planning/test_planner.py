"""Plans for budgets of every kind, measured; bad budgets; cancelling."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.analysis.sensitivity.cells import Cell, Sensitivity, Setting
from core.data import Samples, load_samples
from core.errors import Cancelled, FeatherweightError, ParameterError
from core.exporting.export import export
from core.methods.registry import check_families, families
from core.model.model import Model
from core.pipeline import compress
from core.planning.budgets import Budget, Goal, size_budget
from core.planning.candidates import LARGE, Candidates, candidates, plan_settings, refined
from core.planning.evaluation import Evaluator, Measured
from core.planning.knapsack import Unreachable
from core.planning.plan import Plan
from core.planning.planner import Wish, _Planning, make_plan
from core.planning.search import Trial
from core.progress import Progress, Reporter
from core.recipe import Recipe, Step

Both = tuple[Samples, Samples]


def planned(
    model: Model, table: Sensitivity, budget: Budget, samples: Both | None, most: int = 12, **more: Any
) -> Plan:
    found = more.pop("found", None) or candidates(model, table, Recipe())
    calibration, test = samples or (None, None)
    return make_plan(model, table, found, Wish(budget, most), calibration=calibration, test=test, **more)


def test_a_size_is_kept_and_no_uniform_setting_of_that_size_is_better(
    model: Model, table: Sensitivity, samples: Both, tmp_path: Path
) -> None:
    budget = size_budget("20%", model.file_bytes)
    plan = planned(model, table, budget, samples)
    assert plan.met
    assert plan.bytes_predicted <= budget.value
    assert plan.measured is not None
    compression = compress(model, plan.recipe, samples=samples[0])
    report = export(model, compression, tmp_path / "out.onnx", samples[1])
    assert report.bytes_after == pytest.approx(plan.bytes_predicted, rel=0.01)
    fitting = [p for p in plan.uniform if p.bytes <= budget.value]
    assert any(p.measured is not None for p in fitting)
    for point in fitting:
        if point.measured is not None:
            assert plan.error_measured <= point.measured.error("kl")


def test_layers_that_hold_the_plan_back_are_named(model: Model, table: Sensitivity, samples: Both) -> None:
    plan = planned(model, table, size_budget("20%", model.file_bytes), samples)
    assert {layer.name: layer.share for layer in plan.layers}["c.weight"] < 0.5  # small and sensitive: given bits
    assert plan.binding
    assert plan.binding[0].gain_db > 0
    assert plan.binding[0].share == max(layer.share for layer in plan.layers)


def test_the_front_is_predicted_and_partly_measured(model: Model, table: Sensitivity, samples: Both) -> None:
    plan = planned(model, table, size_budget("20%", model.file_bytes), samples)
    measured = [point for point in plan.front if point.measured is not None]
    assert len(measured) == plan.evaluations
    assert len(plan.front) > len(measured)
    predicted = [point for point in plan.front if point.measured is None]
    assert [p.error for p in predicted] == sorted((p.error for p in predicted), reverse=True)
    data = plan.to_dict()
    assert data["output_sqnr_db"]["measured"] is True
    assert {"bytes_predicted", "output_sqnr_db", "layers", "front"} <= set(data)


def test_without_samples_nothing_is_called_measured(model: Model, weight_table: Sensitivity) -> None:
    plan = planned(model, weight_table, size_budget("30%", model.file_bytes), None)
    assert plan.measured is None
    assert plan.sqnr_predicted_db is None
    assert plan.evaluations == 0
    assert plan.met
    assert any("predicted" in note for note in plan.notes)
    assert plan.to_dict()["output_sqnr_db"] == {"value": None, "measured": False, "predicted": None}


@pytest.mark.parametrize("wanted", [25.0, 40.0])
def test_an_output_error_is_kept_by_a_small_file(
    model: Model, table: Sensitivity, samples: Both, wanted: float
) -> None:
    plan = planned(model, table, Budget(Goal.SQNR, wanted), samples, most=25)
    assert plan.met
    assert plan.measured is not None
    assert plan.measured.sqnr_db >= wanted
    smaller = [p for p in plan.front if p.measured is not None and p.measured.sqnr_db >= wanted]
    assert plan.bytes_predicted == min(point.bytes for point in smaller)
    assert plan.bytes_predicted < 0.6 * model.file_bytes


def test_a_drop_is_kept(model: Model, table: Sensitivity, samples: Both) -> None:
    plan = planned(model, table, Budget(Goal.DROP, 5.0), samples, most=25)
    assert plan.met
    assert plan.measured is not None
    assert plan.measured.metric == "agreement"
    assert plan.measured.drop <= 5.0
    assert plan.bytes_predicted < 0.3 * model.file_bytes


def test_a_plan_that_other_samples_refuse_gives_way_to_a_larger_one(
    model: Model, table: Sensitivity, samples: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    budget = Budget(Goal.DROP, 5.0)
    small = planned(model, table, budget, samples, most=25)
    asked: list[int] = []

    def refuse_first(planning: _Planning, best: Trial, found: Measured | None) -> bool:
        asked.append(best.nbytes)
        return best.nbytes > 1.02 * asked[0]

    monkeypatch.setattr(_Planning, "_met", refuse_first)
    larger = planned(model, table, budget, samples, most=25)
    assert asked[0] == small.bytes_predicted
    assert 1.02 * asked[0] < larger.bytes_predicted < 1.5 * asked[0]
    assert larger.measured is not None and small.measured is not None
    assert larger.measured.sqnr_db > small.measured.sqnr_db


def test_a_quality_without_samples_is_refused(model: Model, weight_table: Sensitivity) -> None:
    with pytest.raises(FeatherweightError, match="samples"):
        planned(model, weight_table, Budget(Goal.SQNR, 30.0), None)


def test_a_size_that_cannot_be_reached_says_the_smallest_and_its_cost(
    model: Model, table: Sensitivity, samples: Both
) -> None:
    with pytest.raises(Unreachable) as caught:
        planned(model, table, Budget(Goal.SIZE, 1000), samples)
    assert caught.value.cost > 1000
    assert "smallest file is" in str(caught.value)
    assert "dB" in str(caught.value)
    plan = planned(model, table, Budget(Goal.SIZE, int(caught.value.cost)), samples)  # that one can be
    assert plan.bytes_predicted <= caught.value.cost


def test_a_budget_that_is_met_changes_nothing(model: Model, table: Sensitivity, samples: Both) -> None:
    plan = planned(model, table, size_budget("100%", model.file_bytes), samples)
    assert plan.recipe.does_nothing
    assert plan.met
    assert any("met already" in note for note in plan.notes)


def test_pinned_layers_stay(model: Model, table: Sensitivity, samples: Both) -> None:
    steps = (Step.make("quantize", bits=8),)
    base = Recipe().with_steps({"b.weight": steps})
    cell = next(c for c in table.cells if c.layer == "b.weight" and c.steps == steps)
    found = candidates(model, table, base, [cell])
    plan = planned(model, table, size_budget("25%", model.file_bytes), samples, found=found)
    assert plan.recipe.steps_for("b.weight") == steps
    assert next(layer for layer in plan.layers if layer.name == "b.weight").pinned
    assert plan.met


def test_cancelling_in_every_phase_keeps_the_best_so_far(model: Model, table: Sensitivity, samples: Both) -> None:
    seen: list[float] = []
    watching = Reporter(lambda progress: seen.append(progress.done))
    planned(model, table, size_budget("20%", model.file_bytes), samples, reporter=watching)
    assert len(set(seen)) > 10
    best: list[Plan] = []
    for number in range(0, len(seen), max(1, len(seen) // 12)):
        stop, count = threading.Event(), [0]

        def cancel(progress: Progress, stop=stop, count=count, number=number) -> None:  # type: ignore[no-untyped-def]
            count[0] += 1
            if count[0] > number:
                stop.set()

        best.clear()
        with pytest.raises(Cancelled):
            planned(
                model, table, size_budget("20%", model.file_bytes), samples, reporter=Reporter(cancel, stop),
                on_best=lambda plan: best.append(plan),
            )  # fmt: skip
    assert best
    assert best[-1].met
    assert best[-1].measured is not None


def test_predictions_of_the_finished_plan_are_near(model: Model, table: Sensitivity, samples: Both) -> None:
    plan = planned(model, table, size_budget("20%", model.file_bytes), samples, most=20)
    assert plan.measured is not None
    assert plan.sqnr_predicted_db == pytest.approx(plan.measured.sqnr_db, abs=3.0)


def test_an_evaluator_measures_nothing_where_nothing_changed(model: Model, samples: Both) -> None:
    found = Evaluator(model, model, samples[1], limit=8).measure({})
    assert found.samples == 8
    assert found.sqnr_db == np.inf
    assert found.value == 1.0
    assert found.error("squared") == 0.0


def test_samples_on_which_the_original_breaks_are_left_out(model: Model, tmp_path: Path) -> None:
    values = np.random.default_rng(1).normal(0, 1, (12, 48)).astype(np.float32)
    values[5, 3] = np.nan
    np.savez(tmp_path / "x.npz", x=values)
    evaluator = Evaluator(model, model, load_samples(tmp_path / "x.npz", model.inputs).part(0, 12), limit=12)
    assert evaluator.skipped == 1
    found = evaluator.measure({})
    assert found.samples == 11
    assert found.sqnr_db == np.inf


def test_broken_outputs_are_the_worst_error() -> None:
    broken = Measured(4, -np.inf, 0.1, "agreement", 0.5)
    assert broken.error("kl") == np.inf
    assert broken.error("squared") == np.inf


def test_layers_known_by_their_weight_alone_are_taken_as_typical(model: Model, table: Sensitivity) -> None:
    cells = tuple(
        Cell(c.layer, c.steps, c.bytes, 123.0, 0) if c.layer == "c.weight" else c for c in table.cells
    )
    mixed = Sensitivity(table.model_sha256, 8, "kl", cells, (), table.layer_bytes)
    found = candidates(model, mixed, Recipe())
    errors = {c.steps: c.error for cells in found.cells for c in cells if c.layer == "c.weight" and c.steps}
    others = {s: [c.error for c in table.cells if c.steps == s and c.layer != "c.weight"] for s in errors}
    assert errors == {s: pytest.approx(np.median(known)) for s, known in others.items()}


def test_settings_keep_to_the_families(all_settings: tuple[Setting, ...]) -> None:
    assert "Quantization" in families()
    assert check_families(["low-rank", " PRUNING "]) == {"Low rank", "Pruning"}
    assert check_families([]) == set(families())
    only = plan_settings(check_families(["pruning"]))
    assert only
    assert {step.method for setting in only for step in setting} == {"prune"}
    assert len(set(all_settings)) == len(all_settings) <= 27
    methods = {step.method for setting in all_settings for step in setting}
    large = {step.method for setting in plan_settings(weights=LARGE + 1) for step in setting}
    assert methods - large == {"quantize:trellis"}
    assert plan_settings(weights=1_000_000, seconds=60.0) == plan_settings(weights=LARGE + 1)
    assert plan_settings(weights=1_000_000, seconds=600.0) == all_settings
    with pytest.raises(ParameterError, match="magic"):
        check_families(["magic"])


def test_what_samples_add_keeps_the_bits() -> None:
    setting = (Step.make("prune", ratio=0.5), Step.make("quantize:codebook", bits=4))
    better = refined(setting)
    assert better[0] == setting[0]
    assert better[1].params.rounding == "feedback"
    assert better[1].params.bits == 4
    assert refined(better) == better


def test_a_uniform_choice_leaves_layers_that_cannot(found: Candidates) -> None:
    options = found.uniform((Step.make("quantize", bits=4),))
    assert all(steps in ((), (Step.make("quantize", bits=4),)) for steps in found.steps(options).values())
