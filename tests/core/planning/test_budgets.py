"""Budgets as people write them."""

from __future__ import annotations

import pytest

from core.errors import ParameterError
from core.planning.budgets import Budget, Goal, drop_budget, size_budget, sqnr_budget


@pytest.mark.parametrize(
    ("text", "nbytes"),
    [("25%", 250), (" 12.5 % ", 125), ("100%", 1000), ("2MB", 2_000_000), ("300 kB", 300_000), ("1.5MiB", 1_572_864),
     (".5 GB", 500_000_000), ("800", 800), ("800 B", 800)],
)  # fmt: skip
def test_sizes(text: str, nbytes: int) -> None:
    assert size_budget(text, 1000) == Budget(Goal.SIZE, nbytes)


@pytest.mark.parametrize("text", ["", "%", "a quarter", "-25%", "0", "0%", "25 %%", "2 MBit", "nan", "1e5", "2,5 MB"])
def test_nonsense_sizes_name_what_is_allowed(text: str) -> None:
    with pytest.raises(ParameterError) as caught:
        size_budget(text, 1000)
    assert repr(text) in str(caught.value)
    assert "2MB" in str(caught.value)


def test_qualities() -> None:
    assert sqnr_budget("30") == sqnr_budget("30 dB") == Budget(Goal.SQNR, 30.0)
    assert drop_budget("0.5") == drop_budget("0.5 points") == Budget(Goal.DROP, 0.5)
    assert drop_budget("0").value == 0.0


@pytest.mark.parametrize("text", ["", "30%", "-3", "0", "much"])
def test_nonsense_decibels(text: str) -> None:
    with pytest.raises(ParameterError, match="decibels"):
        sqnr_budget(text)


@pytest.mark.parametrize("text", ["", "101", "-1", "half", "1 dB"])
def test_nonsense_drops(text: str) -> None:
    with pytest.raises(ParameterError, match="points"):
        drop_budget(text)


def test_texts_say_the_limit() -> None:
    assert Budget(Goal.SIZE, 2_000_000).text == "at most 2.00 MB"
    assert "30 dB" in Budget(Goal.SQNR, 30.0).text
    assert "0.5 points" in Budget(Goal.DROP, 0.5).text
