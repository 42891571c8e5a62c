"""Figures: checked against their definitions written out in float64."""

from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest
from scipy.special import rel_entr, softmax

from core.analysis.metrics import (
    CHUNK,
    SqnrSum,
    Task,
    is_distribution,
    json_number,
    kl_divergence,
    sqnr_db,
    task_kind,
    top_k,
)
from core.errors import InternalError

RANDOM = np.random.default_rng(0)


def reference(original: np.ndarray, changed: np.ndarray) -> float:
    first, second = original.astype(np.float64), changed.astype(np.float64)
    return float(10 * np.log10(np.sum(first**2) / np.sum((first - second) ** 2)))


@pytest.mark.parametrize("shape", [(), (5,), (3 * CHUNK + 7,), (300, 400), (2, 3, 500, 70)])
def test_sqnr(shape: tuple[int, ...]) -> None:
    original = RANDOM.normal(size=shape).astype(np.float32)
    changed = original + np.float32(0.01) * RANDOM.normal(size=shape).astype(np.float32)
    changed = np.asarray(changed, np.float32)
    assert sqnr_db(np.asarray(original), changed) == pytest.approx(reference(original, changed), abs=1e-9)


def test_sqnr_of_views_that_are_not_contiguous() -> None:
    original = RANDOM.normal(size=(400, 300)).astype(np.float32)
    changed = original.round(2)
    assert sqnr_db(original.T, changed.T) == pytest.approx(reference(original, changed), abs=1e-9)
    assert sqnr_db(original[::2], changed[::2]) == pytest.approx(reference(original[::2], changed[::2]), abs=1e-9)


def test_sqnr_sums_over_lists() -> None:
    arrays = [RANDOM.normal(size=n).astype(np.float32) for n in (10, 1000)]
    changed = [a.round(1) for a in arrays]
    assert sqnr_db(arrays, changed) == pytest.approx(reference(np.concatenate(arrays), np.concatenate(changed)))
    total = SqnrSum()
    total.merge(SqnrSum(1.0, 0.1))
    total.merge(SqnrSum(1.0, 0.1))
    assert total.db == pytest.approx(10.0)


def test_sqnr_of_special_values() -> None:
    one = np.ones(4, np.float32)
    assert sqnr_db(one, one) == math.inf
    assert sqnr_db(one * 0, one * 0) == math.inf
    assert sqnr_db(one * 0, one) == -math.inf
    assert sqnr_db(one, one * np.float32(np.nan)) == -math.inf
    assert sqnr_db(one, one * np.float32(np.inf)) == -math.inf
    assert math.isnan(sqnr_db(one * np.float32(np.nan), one))
    assert sqnr_db(np.ones(0, np.float32), np.ones(0, np.float32)) == math.inf


def test_sqnr_takes_no_full_size_copy() -> None:
    original = np.ones(4_000_000, np.float32)
    changed = original * np.float32(1.5)
    tracemalloc.start()
    sqnr_db(original, changed)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * CHUNK * 8


def test_sqnr_refuses_other_shapes() -> None:
    with pytest.raises(InternalError, match=r"shape \(2,\) and \(3,\)"):
        sqnr_db(np.ones(2), np.ones(3))
    with pytest.raises(InternalError, match="1 and 2 arrays"):
        sqnr_db([np.ones(2)], [np.ones(2), np.ones(2)])


def test_task_kind() -> None:
    scores = np.array([[3.0, -1.0, 2.0]], np.float32)
    assert task_kind(scores, "logits", np.array([0, 2])) == (Task.CLASSES, "")
    task, reason = task_kind(scores, "logits", np.array([0, 3]))
    assert task is Task.SCORES and "up to class 3 and output 'logits' has shape 1 x 3" in reason
    assert task_kind(scores, "embedding", None) == (Task.VALUES, "the samples have no labels")
    assert task_kind(softmax(scores, -1), "y", None)[0] is Task.SCORES
    task, reason = task_kind(np.stack([softmax(scores, -1)] * 2, 1), "y", np.array(["a"]))
    assert task is Task.SCORES and "text" in reason
    assert task_kind(np.zeros((1, 1), np.float32), "probability", None)[0] is Task.VALUES


def test_kl_divergence() -> None:
    first, second = RANDOM.normal(size=(4, 10)), RANDOM.normal(size=(4, 10))
    expected = rel_entr(softmax(first, -1), softmax(second, -1)).sum(-1).mean()
    assert kl_divergence(first, second) == pytest.approx(expected)
    assert kl_divergence(softmax(first, -1), softmax(second, -1)) == pytest.approx(expected, rel=1e-6)
    assert kl_divergence(first, first) == 0.0
    certain = np.array([[1.0, 0.0]])
    assert 20 < kl_divergence(certain, certain[:, ::-1]) < 30


def test_distributions() -> None:
    assert is_distribution(np.array([[0.25, 0.75]], np.float32))
    assert not is_distribution(np.array([[0.5, 0.6]], np.float32))
    assert not is_distribution(np.array([[1.5, -0.5]], np.float32))
    assert not is_distribution(np.array([[1.0]], np.float32))


def test_top_k() -> None:
    classes, scores = top_k(np.array([[0.5, np.nan, 2.0, 0.5]], np.float32), 3)
    assert classes == (2, 0, 3)
    assert scores == (2.0, 0.5, 0.5)


def test_json_numbers() -> None:
    assert [json_number(v) for v in (1.5, math.inf, -math.inf, math.nan, None)] == [1.5, 200.0, -200.0, None, None]
