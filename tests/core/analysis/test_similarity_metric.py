"""The order of similarities against scipy's rank correlation, and where it cannot be had."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from scipy import stats

from core.analysis.task_metrics.base import facts_from
from core.analysis.task_metrics.registry import choose
from core.analysis.task_metrics.similarity import FEWEST, MOST, Similarity, ranks, similarities
from core.data.options import DataOptions
from core.errors import DataError

RANDOM = np.random.default_rng(11)
BEFORE = RANDOM.normal(size=(40, 1, 24)).astype(np.float32)
AFTER = (BEFORE + RANDOM.normal(size=BEFORE.shape) * 0.6).astype(np.float32)


Rows = Sequence[np.ndarray] | np.ndarray


def measured(before: Rows, after: Rows, count: int | None = None) -> Similarity:
    metric = Similarity(facts_from(["y"], [before[0]], None, {}, count=count))
    for i, (first, second) in enumerate(zip(before, after, strict=True)):
        metric.add(i, [first], [second])
    return metric


def plain(before: np.ndarray, after: np.ndarray) -> float:
    """Pair by pair, ranked by scipy."""
    found = []
    for vectors in (before, after):
        rows = [np.ravel(row).astype(np.float64) for row in vectors]
        cosines = [a @ b / np.linalg.norm(a) / np.linalg.norm(b) for a, b in itertools.combinations(rows, 2)]
        found.append(np.round(cosines, 10))
    return float(stats.spearmanr(found[0], found[1]).statistic)


def test_it_is_spearmans_rank_correlation_of_cosines() -> None:
    score = measured(BEFORE, AFTER).score()
    assert 0.5 < score.value < 0.99 and score.value == pytest.approx(plain(BEFORE, AFTER), abs=1e-12)
    assert score.reference == 1.0 and score.drop == pytest.approx(100.0 * (1.0 - score.value))
    assert score.words == "order of similarities" and score.assumed == "" and score.value_text.endswith(" %")


def test_ties_share_their_rank() -> None:
    values = RANDOM.integers(0, 4, 50).astype(np.float64)
    np.testing.assert_allclose(ranks(values), stats.rankdata(values) - 1.0)
    corners = RANDOM.integers(-1, 2, (30, 1, 4)).astype(np.float32)
    corners[(corners == 0).all(-1)] = 1.0
    others = np.roll(corners, 1, axis=0)
    assert measured(corners, others).values()[1] == pytest.approx(max(0.0, plain(corners, others)), abs=1e-12)


def test_what_keeps_the_order_costs_nothing() -> None:
    turned, _ = np.linalg.qr(RANDOM.normal(size=(24, 24)))
    for same in (BEFORE, 3.0 * BEFORE, BEFORE[..., ::-1]):
        assert measured(BEFORE, same).values()[1] == pytest.approx(1.0, abs=1e-6)
    assert measured(BEFORE, BEFORE @ turned).values()[1] == pytest.approx(1.0, abs=1e-6)
    assert measured(BEFORE, BEFORE).score().drop == 0.0
    assert measured(BEFORE, RANDOM.permutation(BEFORE)).values()[1] < 0.3  # samples mixed up


def test_more_samples_than_are_kept_are_drawn() -> None:
    before = RANDOM.normal(size=(MOST + 200, 1, 8)).astype(np.float32)
    after = before + RANDOM.normal(size=before.shape).astype(np.float32) * 0.3
    metric = measured(before, after, count=len(before))
    assert [len(kept) for kept in metric._kept] == [MOST, MOST]
    whole = stats.spearmanr(similarities(before[:, 0]), similarities(after[:, 0])).statistic
    assert metric.values()[1] == pytest.approx(whole, abs=0.01)
    assert metric.values() == measured(before, after, count=len(before)).values()  # the same ones each time
    assert metric.score().assumed == "Compared are the pairs of 1,000 samples, drawn at random."


def test_a_changed_model_that_has_no_order_has_lost_everything() -> None:
    broken = AFTER.copy()
    broken[3] = np.nan
    shorter = AFTER[:, :, :20]
    for after in (np.ones_like(AFTER), np.zeros_like(AFTER), broken, shorter):
        assert measured(BEFORE, after).values() == (1.0, 0.0)


def test_one_row_of_zeros_is_like_none() -> None:
    zero = BEFORE.copy()
    zero[5] = 0.0
    assert np.isfinite(similarities(zero[:, 0])).all() and 0.8 < measured(BEFORE, zero).values()[1] < 1.0


@pytest.mark.parametrize(
    ("name", "output", "count", "why"),
    [
        ("y", np.ones((1, 24), np.int64), 40, "the model has no float output"),
        ("y", np.ones((5, 24), np.float32), 40, "output 'y' is no vector of several numbers for each sample"),
        ("y", np.ones((1, 1), np.float32), 40, "output 'y' is no vector of several numbers for each sample"),
        ("logits", BEFORE[0], 40, "output 'logits' holds class scores"),
        ("y", np.full((1, 4), 0.25, np.float32), 40, "output 'y' holds class scores"),
        ("y", BEFORE[0], FEWEST - 1, "there are fewer than 8 samples to be alike"),
        ("y", BEFORE[0], FEWEST, ""),
        ("y", BEFORE[0], None, ""),
    ],
)
def test_why_it_does_not_fit(name: str, output: np.ndarray, count: int | None, why: str) -> None:
    found = facts_from([name], [output], None, {}, count=count)
    assert Similarity.why_not(found) == why
    if why:
        with pytest.raises(DataError, match=f"'similarity' cannot be measured: {why}"):
            choose(found, DataOptions(metric="similarity"), where="data.npz")


def test_originals_without_an_order_are_told() -> None:
    lengths = [BEFORE[i, :, : 24 - (i == 30)] for i in range(40)]
    broken = BEFORE.copy()
    broken[7, 0, 0] = np.inf
    for before, why in (
        (np.ones_like(BEFORE), "the original finds all samples equally alike"),
        (broken, "the original gives NaN or infinity"),
        (lengths, "the original's vectors are not equally long for all samples"),
    ):
        with pytest.raises(DataError, match=f"'similarity' cannot be measured: {why}"):
            measured(before, before).score()
        automatic = choose(facts_from(["y"], [before[0]], None, {}, count=40), DataOptions(), where="data.npz")
        assert automatic is not None
        metric = automatic.start()
        for i in range(40):
            metric.add(i, [before[i]], [before[i]])
        assert metric.score().metric in ("correlation", "overlap", "decisions")


def test_few_samples_are_judged_by_correlation() -> None:
    for count, wanted in ((FEWEST - 1, "correlation"), (FEWEST, "similarity")):
        choice = choose(facts_from(["y"], [BEFORE[0]], None, {}, count=count), DataOptions(), where="data.npz")
        assert choice is not None
        metric = choice.start()
        for i in range(4):  # as a look at the data does: what is chosen is by the samples that there are
            metric.add(i, [BEFORE[i]], [BEFORE[i]])
        assert metric.score().metric == wanted
