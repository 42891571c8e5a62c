"""How figures read."""

from __future__ import annotations

import math

import pytest

from core.figures import MINUS, count_text, db_text, percent_text, signed_text, size_text


@pytest.mark.parametrize(
    ("nbytes", "text"), [(0, "0 B"), (999, "999 B"), (1_000, "1.0 kB"), (41_349, "41.3 kB"), (10_857_958, "10.86 MB")]
)
def test_sizes(nbytes: int, text: str) -> None:
    assert size_text(nbytes) == text


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0"), (999, "999"), (266_200, "266.2 k"), (2_293_000, "2.29 M"), (2_410_000_000, "2.41 G")]
)
def test_counts(count: int, text: str) -> None:
    assert count_text(count) == text


@pytest.mark.parametrize(
    ("value", "text"), [(None, "not measured"), (math.inf, "exact"), (-math.inf, "not finite"), (47.06, "47.1 dB")]
)
def test_decibels(value: float | None, text: str) -> None:
    assert db_text(value) == text


def test_shares_and_changes() -> None:
    assert (percent_text(0.5), percent_text(-0.0812, 1)) == ("50 %", f"{MINUS}8.1 %")
    assert (signed_text(3.14, ".1f"), signed_text(-0.004, ".2g")) == ("+3.1", f"{MINUS}0.004")
