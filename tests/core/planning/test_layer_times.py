"""Layers' own graphs, timed with a clock that ticks when it is looked at."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from core.exporting.sizes import SizeModel
from core.model.model import Model
from core.model.readers import open_model
from core.planning.budgets import Goal
from core.planning.candidates import Candidates
from core.planning.layer_times import LayerTime, LayerTimes, machine
from core.planning.run_costs import RunCosts, changes_runs, run_costs
from core.planning.workshop import Workshop
from core.recipe import Step

FEED = {"x": np.ones((1, 48), np.float32)}
FACTORS = (Step.make("low_rank", share=0.25),)
DYNAMIC = (Step.make("quantize", scheme="dynamic"),)


class Ticking:
    """A millisecond passes at each look."""

    def __init__(self) -> None:
        self.looks = itertools.count()

    def __call__(self) -> float:
        return next(self.looks) / 1e3


@pytest.fixture
def workshop(model: Model) -> Workshop:
    return Workshop(model, SizeModel(model), None)


def test_each_form_runs_as_it_would_in_the_file(model: Model, workshop: Workshop, tmp_path: Path) -> None:
    encodings = [workshop.encodings({"b.weight": steps})["b.weight"] for steps in (FACTORS, DYNAMIC)]
    with LayerTimes(model, FEED, cache=tmp_path, clock=Ticking()) as times:
        own, factors, dynamic = times.of("b.weight", encodings)
    assert own is not None and factors is not None and dynamic is not None
    assert own.multiply_adds == 96 * 96
    assert factors.multiply_adds == encodings[0].nbytes // 4  # one sample: each number of the factors once
    assert dynamic.multiply_adds == 96 * 96
    assert own.ratio == 1.0
    assert all(0 < t.low_ms <= t.median_ms <= t.high_ms for t in (own, factors, dynamic))


def test_times_are_kept_by_what_they_depend_on(model: Model, workshop: Workshop, tmp_path: Path) -> None:
    encodings = [workshop.encodings({"b.weight": DYNAMIC})["b.weight"]]
    with LayerTimes(model, FEED, cache=tmp_path, clock=Ticking()) as times:
        first = times.of("b.weight", encodings)
    assert len(list(tmp_path.glob("*.json"))) == 1
    clock = Ticking()
    with LayerTimes(model, FEED, cache=tmp_path, clock=clock) as times:
        assert times.of("b.weight", encodings) == first
    assert next(clock.looks) == 0  # nothing was timed
    with LayerTimes(model, {"x": np.ones((4, 48), np.float32)}, cache=tmp_path, clock=clock) as times:
        other = times.of("b.weight", encodings)  # other shapes are another question
    assert other[0].multiply_adds == 4 * 96 * 96
    next(tmp_path.glob("*.json")).write_text("{damaged")
    with LayerTimes(model, FEED, cache=tmp_path, clock=Ticking()) as times:
        assert times.of("b.weight", [])[0] is not None
    assert "onnxruntime" in machine()


def test_counting_needs_no_clock(model: Model, tmp_path: Path) -> None:
    def never() -> float:
        raise AssertionError("a clock was read")

    with LayerTimes(model, FEED, timed=False, cache=tmp_path, clock=never) as times:
        assert times.of("a.weight", [])[0].multiply_adds == 96 * 48
    assert not list(tmp_path.iterdir())


def test_a_layer_in_a_loop_is_told(make_model, tmp_path: Path) -> None:
    weight = np.ones((4, 4), np.float32)
    body = helper.make_graph(
        [helper.make_node("MatMul", ["state", "w"], ["next"]), helper.make_node("Identity", ["go"], ["again"])],
        "body",
        [helper.make_tensor_value_info("i", 7, []), helper.make_tensor_value_info("go", 9, []),
         helper.make_tensor_value_info("state", 1, [1, 4])],
        [helper.make_tensor_value_info("again", 9, []), helper.make_tensor_value_info("next", 1, [1, 4])],
    )  # fmt: skip
    nodes = [helper.make_node("Loop", ["n", "", "x"], ["y"], body=body)]
    path = make_model(nodes, {"w": weight, "n": np.array(3, np.int64)}, {"x": [1, 4]}, {"y": [1, 4]})
    with LayerTimes(open_model(path), {"x": np.ones((1, 4), np.float32)}, cache=tmp_path, clock=Ticking()) as times:
        assert times.of("w", []) == [None]
        assert "loop" in times.why_not("w")


def test_only_forms_that_the_runtime_computes_with_change_runs() -> None:
    assert changes_runs(FACTORS)
    assert changes_runs(DYNAMIC)
    assert not changes_runs((Step.make("quantize", bits=4),))
    assert not changes_runs((Step.make("prune", ratio=0.5),))
    assert not changes_runs(())


def test_cells_get_what_their_runs_take(found: Candidates) -> None:
    own = LayerTime(0.5, 0.4, 0.6, 0.4, 9_216)
    costs = RunCosts({("b.weight", ()): own}, 2.0, 1.5, 300)
    filled = costs.filled(found)
    assert filled.fixed == {Goal.LATENCY: 1.5, Goal.MULTIPLY_ADDS: 300.0}
    by_layer = {of[0].layer: of for of in filled.cells}
    assert all(cell.milliseconds == 0.8 for cell in by_layer["b.weight"])  # what only the file holds runs alike
    assert all(cell.multiply_adds == 9_216 for cell in by_layer["b.weight"])
    assert by_layer["a.weight"][0].milliseconds == 0.0  # not run by itself: among what is fixed
    options = np.zeros(len(filled.cells), np.int64)
    assert filled.cost_of(options, Goal.LATENCY) == pytest.approx(2.3)


def test_layers_and_the_rest_add_up_to_the_whole(model: Model, table, workshop, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(LayerTimes, "share", lambda *_: 0.75)
    monkeypatch.setattr("core.planning.layer_times.user_cache", lambda: tmp_path)
    costs = run_costs(model, table, workshop, FEED, whole=model.path, milliseconds=8.0, count=20_000)
    own = [found.low_ms * costs.scale for (_, setting), found in costs.cells.items() if not setting]
    assert sum(own) == pytest.approx(6.0)
    assert costs.fixed_ms == pytest.approx(2.0)
    assert costs.fixed_count == 20_000 - (96 * 48 + 96 * 96 + 6 * 96)
