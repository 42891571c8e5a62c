"""KL divergence and squared error of outputs, against the plain figures of `metrics` and numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from core.analysis.metrics import kl_divergence
from core.analysis.sensitivity.cells import Measure
from core.analysis.sensitivity.divergence import Divergence, error_of
from core.errors import DataError

RANDOM = np.random.default_rng(1)


def _softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(-1, keepdims=True))
    return (e / e.sum(-1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("made", [lambda x: x, _softmax], ids=["logits", "distributions"])
def test_kl_is_that_of_metrics(made: object) -> None:
    logits = RANDOM.normal(0, 2, (6, 5, 7)).astype(np.float32)
    first, second = made(logits), made(logits + RANDOM.normal(0, 0.3, logits.shape).astype(np.float32))  # type: ignore[operator]
    divergence = Divergence.choose({"logits": first}, None, "m")
    assert divergence.measure is Measure.KL
    reference = divergence.against({"logits": first}, 6)
    error = error_of(reference.sums({"logits": second}), reference.scale)
    assert error == pytest.approx(kl_divergence(first, second), rel=1e-4)
    assert error_of(reference.sums({"logits": first}), reference.scale) == 0.0


def test_squared_error_is_the_mean_over_outputs() -> None:
    outputs = {"a": np.array([[3.0, 4.0]], np.float32), "b": np.array([[2.0]], np.float32), "n": np.array([[7]])}
    divergence = Divergence.choose(outputs, None, "m")
    assert divergence == Divergence(Measure.SQUARED, ("a", "b"))
    reference = divergence.against(outputs, 1)
    changed = {"a": np.array([[3.0, 5.0]], np.float32), "b": np.array([[0.0]], np.float32)}
    assert error_of(reference.sums(changed), reference.scale) == pytest.approx((1 / 25 + 4 / 4) / 2)


def test_an_output_that_is_zero_in_the_original() -> None:
    outputs = {"a": np.zeros((1, 2), np.float32), "b": np.ones((1, 2), np.float32)}
    reference = Divergence(Measure.SQUARED, ("a", "b")).against(outputs, 1)
    half = {**outputs, "b": np.full((1, 2), 0.5, np.float32)}
    assert error_of(reference.sums(half), reference.scale) == pytest.approx(0.25)
    assert error_of(reference.sums({**outputs, "a": half["b"]}), reference.scale) == np.inf


@pytest.mark.parametrize("measure", list(Measure)[:2])
def test_changed_outputs_that_are_no_numbers_cost_infinitely(measure: Measure) -> None:
    outputs = {"a": np.ones((1, 3), np.float32)}
    reference = Divergence(measure, ("a",)).against(outputs, 1)
    for bad in (np.array([[1, np.nan, 1]], np.float32), np.ones((1, 2), np.float32)):
        assert error_of(reference.sums({"a": bad}), reference.scale) == np.inf


def test_no_float_output() -> None:
    with pytest.raises(DataError, match="none of its outputs holds floats"):
        Divergence.choose({"n": np.array([1])}, None, "m")
