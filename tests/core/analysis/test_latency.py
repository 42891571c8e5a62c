"""Latency: both models in turn, on the same feeds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from core.analysis import timing
from core.analysis.latency import compare_latency
from core.errors import Cancelled, DataError
from core.progress import Progress, Reporter

FEEDS = [{"x": np.ones((1, 16), np.float32)}, {"x": np.zeros((1, 16), np.float32)}]


def test_a_fixed_number_of_rounds(mlp_path: Path) -> None:
    found = compare_latency(mlp_path, mlp_path, FEEDS, rounds=9)
    assert found.before.n == found.after.n == 9
    assert found.runs >= 9 * 2  # a run of microseconds is timed in blocks of many
    for timed in (found.before, found.after):
        assert 0 < timed.low_ms <= timed.median_ms <= timed.high_ms
        assert timed.load_ms > 0
    assert json.loads(json.dumps(found.to_dict()))["ratio"] == pytest.approx(found.ratio)


def test_the_slower_model_is_seen(make_model) -> None:
    random = np.random.default_rng(0)

    def chain(length: int) -> Path:
        nodes = [helper.make_node("MatMul", [f"v{i}" if i else "x", f"w{i}"], [f"v{i + 1}"]) for i in range(length)]
        weights = {f"w{i}": random.normal(0, 0.06, (256, 256)).astype(np.float32) for i in range(length)}
        return make_model(nodes, weights, {"x": ["n", 256]}, {f"v{length}": ["n", 256]}, name=f"{length}.onnx")

    feeds = [{"x": np.ones((64, 256), np.float32)}]
    assert compare_latency(chain(1), chain(12), feeds, rounds=7).ratio > 3


def test_the_time_is_bounded_and_progress_is_real(mlp_path: Path) -> None:
    told: list[Progress] = []
    found = compare_latency(mlp_path, mlp_path, FEEDS, seconds=0.05, reporter=Reporter(told.append))
    assert timing.FEWEST_ROUNDS <= found.before.n <= timing.MOST_ROUNDS
    assert [p.done for p in told] == sorted(p.done for p in told)
    assert told[-1].done == 1.0


def test_cancelling(mlp_path: Path) -> None:
    class AfterSome:
        asked = 0

        def is_set(self) -> bool:
            self.asked += 1
            return self.asked > 20

    with pytest.raises(Cancelled):
        compare_latency(mlp_path, mlp_path, FEEDS, seconds=60, reporter=Reporter(cancel=AfterSome()))


def test_without_samples(mlp_path: Path) -> None:
    with pytest.raises(DataError, match="latency cannot be measured without a sample"):
        compare_latency(mlp_path, mlp_path, [])
