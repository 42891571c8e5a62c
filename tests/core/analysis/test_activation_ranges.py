"""What another function would give, predicted from the input's distribution, against the elements themselves."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from core.analysis.activation_ranges import replaced_output
from core.analysis.value_ranges import RangeCounter
from core.data.layer_inputs import ValueRange
from core.model.activation_functions import KNOWN

X = np.random.default_rng(3).normal(0.3, 2, 50_000).astype(np.float32)


def counted(values: np.ndarray) -> ValueRange:
    counter = RangeCounter()
    counter.see(values)
    counter.count(values)
    found = counter.result()
    assert found is not None
    return found


@pytest.mark.parametrize("name", ["Relu", "Relu6", "HardSwish", "HardSigmoid", "HardTanh"])
def test_the_predicted_distribution_is_that_of_the_elements(name: str) -> None:
    function = KNOWN[name]
    found, right = replaced_output(counted(X), function), counted(np.asarray(function(X), np.float32))
    assert found.predicted and not right.predicted
    assert (found.n, found.counts.sum()) == (X.size, X.size)
    assert found.minimum == pytest.approx(right.minimum, abs=1e-5)  # HardSwish turns inside a bin
    assert found.maximum == pytest.approx(right.maximum, abs=1e-5)
    assert found.share_of_zeros == pytest.approx(right.share_of_zeros, abs=0.001)
    for share in (0.1, 0.5, 0.9, 0.99):
        assert found.quantile(share) == pytest.approx(right.quantile(share), abs=0.01)


def test_exact_zeros_of_the_input_stay_zeros() -> None:
    x = np.where(X > 0, X, 0).astype(np.float32)
    share = float((x == 0).mean())
    assert replaced_output(counted(x), lambda v: np.clip(v, 0, 1)).share_of_zeros == pytest.approx(share, abs=1e-4)
    mixed = np.where(np.arange(X.size) % 4, X, 0).astype(np.float32)
    assert replaced_output(counted(mixed), lambda v: v).share_of_zeros == pytest.approx(0.25, abs=1e-4)
    assert replaced_output(counted(x), lambda v: v + 1).zeros == 0


@pytest.mark.parametrize(("x", "function", "says"), [
    (np.full(9, -2.0), KNOWN["Relu"], (0, 0, 9, 9)), (np.full(9, 2.0), KNOWN["Relu"], (2, 2, 0, 9)),
    (np.zeros(5), lambda v: v, (0, 0, 5, 5)), (np.array([-3.0, 3.0]), KNOWN["Relu"], (0, 3, 1, 2)),
    (np.array([-3.0, 0.0]), lambda v: v, (-3, 0, 1, 2)),
    (np.array([0.0, 3.0]), lambda v: np.log(v), (np.log(3), np.log(3), 0, 1)),
])  # fmt: skip
def test_few_and_constant_elements(
    x: np.ndarray, function: Callable[[np.ndarray], np.ndarray], says: tuple[float, float, int, int]
) -> None:
    found = replaced_output(counted(x.astype(np.float32)), function)
    assert (found.minimum, found.maximum, found.zeros, found.n) == says


def test_a_function_without_finite_results_is_refused() -> None:
    with pytest.raises(ValueError, match="no finite number"):
        replaced_output(counted(X), lambda v: np.full_like(v, np.nan))
