"""What counts as a kept quality: a margin while plans are compared, enough samples, and sequences that stay whole."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from core.data import Samples, load_samples
from core.model.model import Model
from core.model.readers import open_model
from core.planning.budgets import Budget, Goal
from core.planning.evaluation import Evaluator, Measured
from core.planning.planner import apart
from core.planning.smallest import kept, samples_wanted, spare, standard_error

POINT = Budget(Goal.DROP, 1.0)


def measured(drop: float, changed: float | None, metric: str = "accuracy", samples: int = 400) -> Measured:
    return Measured(samples, 20.0, 0.01, metric, 0.9 - drop / 100, 0.9, changed=changed)


def test_the_error_of_a_drop_follows_from_the_answers_that_changed() -> None:
    assert standard_error(measured(0.0, 0.04)) == pytest.approx(100 * math.sqrt(0.04 / 400))
    assert standard_error(measured(1.0, 0.04)) == pytest.approx(100 * math.sqrt((0.04 - 0.0001) / 400))
    assert standard_error(measured(1.0, None, "decisions")) == pytest.approx(100 * math.sqrt((0.01 - 0.0001) / 400))
    assert standard_error(measured(1.0, 0.04, "overlap")) == 0.0  # counts no answers


def test_two_coins_thrown_on_the_same_samples_scatter_as_the_error_says() -> None:
    random = np.random.default_rng(0)
    changed, n = 0.06, 500
    kinds = random.choice([-1, 0, 1], p=[0.02, 1 - changed, 0.04], size=(4000, n))
    found = measured(2.0, changed, samples=n)
    assert standard_error(found) == pytest.approx(100 * kinds.mean(1).std(), rel=0.05)


def test_a_plan_that_just_passes_is_not_fine_unless_it_loses_one_answer() -> None:
    assert kept(POINT, measured(0.9, 0.02), 0.1)
    assert not kept(POINT, measured(0.9, 0.02), 0.1, spare=0.3)
    assert not kept(POINT, measured(0.1, 0.02), math.inf)
    assert spare(POINT, measured(0.5, 0.02)) == pytest.approx(0.5 * standard_error(measured(0.5, 0.02)))
    assert spare(POINT, measured(0.5, 0.9)) == pytest.approx(0.75)  # one of 400 answers is a quarter of a point
    assert spare(POINT, measured(0.5, 0.02, samples=50)) == 0.0
    assert spare(POINT, measured(0.5, None, "overlap", samples=10)) == pytest.approx(0.1)


def test_a_small_drop_wants_many_samples() -> None:
    assert samples_wanted((POINT,)) == 300
    assert samples_wanted((Budget(Goal.DROP, 0.5), POINT)) == 600
    assert samples_wanted((Budget(Goal.SIZE, 1000),)) == 0


@pytest.fixture
def leaky(tmp_path: Path) -> tuple[Model, Samples]:
    """next = state / 2 + x, y = sum(next); 64 samples recorded in one sequence."""
    graph = helper.make_graph(
        [
            helper.make_node("Mul", ["state", "half"], ["kept"]), helper.make_node("Add", ["kept", "x"], ["next"]),
            helper.make_node("ReduceSum", ["next"], ["y"], keepdims=0),
        ],
        "leaky",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3]) for name in ("x", "state")],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, []),
         helper.make_tensor_value_info("next", TensorProto.FLOAT, [1, 3])],
        [helper.make_tensor("half", TensorProto.FLOAT, [], [0.5])],
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9), tmp_path / "m.onnx")
    x = np.random.default_rng(0).standard_normal((64, 1, 3)).astype(np.float32)
    states = np.zeros_like(x)
    for i in range(1, len(x)):
        states[i] = np.float32(0.5) * states[i - 1] + x[i - 1]
    np.savez(tmp_path / "data.npz", x=x, state=states)
    model = open_model(tmp_path / "m.onnx")
    return model, load_samples(tmp_path / "data.npz", model.inputs)


def test_samples_of_a_model_with_state_are_parted_into_sequences(leaky: tuple[Model, Samples]) -> None:
    model, samples = leaky
    first, second = apart(samples, model)
    assert first is not None and second is not None
    assert first.order.tolist() == list(range(32))
    assert second.order.tolist() == list(range(32, 64))
    mixed, _ = apart(samples)
    assert mixed is not None and mixed.order.tolist() != list(range(32))


def test_a_plan_is_run_on_its_own_states(leaky: tuple[Model, Samples], tmp_path: Path) -> None:
    model, samples = leaky
    changed = onnx.load(model.path)
    changed.graph.initializer[0].float_data[:] = [0.6]  # a state that decays more slowly: errors add up
    onnx.save(changed, tmp_path / "changed.onnx")
    found = Evaluator(model, model, samples, limit=64).measure_file(tmp_path / "changed.onnx")
    alone, _ = samples.split(32, seed=3)
    single = Evaluator(model, model, alone, limit=4).measure_file(tmp_path / "changed.onnx")
    assert found.sqnr_db < single.sqnr_db
