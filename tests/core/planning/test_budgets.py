"""Budgets as people write them."""

from __future__ import annotations

import pytest

from core.errors import ParameterError
from core.planning.budgets import (
    Budget,
    Goal,
    check_budget,
    drop_budget,
    latency_budget,
    multiply_adds_budget,
    size_budget,
    sqnr_budget,
)


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


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [("2x", 5.0), ("2.5 x", 4.0), ("50%", 5.0), ("4.9ms", 4.9), ("800 us", 0.8), ("0.02 s", 20.0), ("1x", 10.0)],
)
def test_times(text: str, milliseconds: float) -> None:
    budget = latency_budget(text, 10.0)
    assert budget.goal is Goal.LATENCY
    assert budget.value == pytest.approx(milliseconds)


@pytest.mark.parametrize("text", ["", "0.5x", "2", "fast", "-2x", "0ms", "2 min"])
def test_nonsense_times_name_what_is_allowed(text: str) -> None:
    with pytest.raises(ParameterError) as caught:
        latency_budget(text, 10.0)
    assert "4.9ms" in str(caught.value)


def test_a_ratio_needs_the_original() -> None:
    assert latency_budget("4.9ms", None).value == 4.9
    with pytest.raises(ParameterError, match="not known"):
        latency_budget("2x", None)


@pytest.mark.parametrize(
    ("text", "count"), [("60%", 600), ("2x", 500), ("1.2G", 1_200_000_000), ("300 M", 300_000_000), ("500", 500)]
)
def test_multiply_adds(text: str, count: int) -> None:
    assert multiply_adds_budget(text, 1_000) == Budget(Goal.MULTIPLY_ADDS, count)


def test_limits_are_checked_before_the_original_is_known() -> None:
    assert check_budget("latency", "2x") is Goal.LATENCY
    assert check_budget("multiply_adds", "70%") is Goal.MULTIPLY_ADDS
    for goal, limit in (("latency", "soon"), ("speed", "2x"), ("multiply_adds", "few")):
        with pytest.raises(ParameterError):
            check_budget(goal, limit)


def test_texts_say_the_limit() -> None:
    assert Budget(Goal.SIZE, 2_000_000).text == "at most 2.00 MB"
    assert "30 dB" in Budget(Goal.SQNR, 30.0).text
    assert "0.5 points" in Budget(Goal.DROP, 0.5).text
    assert Budget(Goal.LATENCY, 4.9).text == "at most 4.90 ms a run"
    assert Budget(Goal.MULTIPLY_ADDS, 1.2e9).text == "at most 1.20 G multiply-adds"
