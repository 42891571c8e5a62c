"""Mean, spread and differences of folds, against numbers worked out by hand; and the advice that follows."""

from __future__ import annotations

import math
from typing import Any

import pytest

from core.analysis.task_metrics.base import Unit
from core.errors import DataError
from core.training.crossval_result import (
    CrossvalResult,
    FoldResult,
    Variant,
    advice,
    difference,
    result_from,
    series_name,
    spread,
)


def result_of(*scores: list[float], unit: Unit = Unit.SHARE, higher: bool = True) -> CrossvalResult:
    variants = (Variant("the base settings"), Variant("dropout 20 %", {"dropout": 0.2}), Variant("L1 penalty 1"))
    folds = tuple(
        FoldResult(variant, fold, score, 0.9, 70, 10, 20, 3, 5, None, 1.0)
        for variant, each in enumerate(scores)
        for fold, score in enumerate(each)
    )
    return CrossvalResult("accuracy", unit, higher, variants[: len(scores)], folds)


def test_mean_and_spread() -> None:
    found = spread([0.8, 0.9, 1.0])
    assert (found.mean, found.deviation, found.n) == (pytest.approx(0.9), pytest.approx(0.1), 3)
    assert found.error == pytest.approx(0.1 / math.sqrt(3))
    assert math.isnan(spread([0.5]).error)


def test_the_error_of_differences_allows_for_folds_that_share_samples() -> None:
    found = difference(1, [0.01, 0.03, 0.02, 0.02], 0.25)
    deviation = math.sqrt(2 * 0.01**2 / 3)
    assert found.error == pytest.approx(deviation * math.sqrt(1 / 4 + 0.25))
    assert found.high - found.mean == pytest.approx(3.182446 * found.error, rel=1e-5)  # t, 95 %, 3 degrees of freedom
    assert (found.better, found.worse) == (4, 0)


def test_one_fold_tells_nothing() -> None:
    assert not difference(1, [0.5], 0.2).certain


def test_differences_are_paired_by_fold_and_turned_for_errors() -> None:
    shares = result_of([0.80, 0.90, 0.70], [0.82, 0.92, 0.72])
    assert shares.difference(1).mean == pytest.approx(0.02)
    errors = result_of([0.80, 0.90, 0.70], [0.82, 0.92, 0.72], unit=Unit.ERROR, higher=False)
    assert errors.difference(1).mean == pytest.approx(-0.02)


def test_only_folds_that_both_have_are_compared() -> None:
    assert result_of([0.8, 0.9], [0.85]).difference(1).mean == pytest.approx(0.05)


def test_advice_takes_what_is_better_for_sure() -> None:
    text = advice(result_of([0.80, 0.81, 0.79, 0.80], [0.84, 0.851, 0.829, 0.84], [0.7, 0.71, 0.69, 0.7]))
    assert text.startswith("Use dropout 20 %: better than the base settings by 4.00 points")
    assert "4 of 4 folds" in text
    assert "best of 2" in text


def test_advice_keeps_the_base_when_the_gain_is_chance_and_names_what_harms() -> None:
    text = advice(result_of([0.80, 0.81, 0.79, 0.80], [0.82, 0.79, 0.80, 0.80], [0.7, 0.711, 0.69, 0.7]))
    assert text.startswith("Stay with the base settings: dropout 20 % is better by")
    assert "chance" in text
    assert text.endswith("L1 penalty 1 made it worse.")
    assert "nothing that was tried is better" in advice(result_of([0.8, 0.8], [0.7, 0.7]))
    assert advice(result_of([0.8, 0.8])) == ""


def test_plain_values_and_back() -> None:
    result = result_of([0.8, 0.9], [0.85, math.nan])
    again = result_from(result.to_dict())
    assert again.variants == result.variants
    assert again.folds[:3] == result.folds[:3]
    assert math.isnan(again.folds[3].score)


@pytest.mark.parametrize("spoil", [{"unit": "miles"}, {"folds": [{}]}, {"variants": 3}, {"variants": []}])
def test_damaged_values_are_told(spoil: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="cross-validation"):
        result_from(result_of([0.8, 0.9]).to_dict() | spoil)


def test_names_of_curves() -> None:
    variants = result_of([0.8], [0.9]).variants
    assert series_name(variants[:1], 0, 2) == "fold 3"
    assert series_name(variants, 1, 0) == "fold 1, dropout 20 %"
