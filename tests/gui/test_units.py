"""How numbers read."""

from __future__ import annotations

import math

import pytest

from gui import units


@pytest.mark.parametrize(("n", "text"), [
    (0, "0 B"), (812, "812 B"), (1700, "1.7 kB"), (33_000, "33 kB"), (99_400, "99 kB"), (99_600, "0.10 MB"),
    (520_000, "0.52 MB"), (10_857_958, "10.9 MB"), (90_470_172, "90.5 MB"), (250_000_000, "250 MB"),
    (1_200_000_000, "1.20 GB"),
])
def test_file_size(n: int, text: str) -> None:
    assert units.file_size(n) == text


@pytest.mark.parametrize(("n", "text"), [(512, "512"), (1_610_000_000, "1.61 G"), (131_072, "131 k"), (2620, "2.62 k")])
def test_count(n: int, text: str) -> None:
    assert units.count(n) == text


@pytest.mark.parametrize(("before", "after", "text"), [
    (100, 19, "−81 %"), (100, 103, "+3.0 %"), (100, 99.6, "−0.4 %"), (100, 100.01, "unchanged"), (0, 5, ""),
])
def test_percent_change(before: float, after: float, text: str) -> None:
    assert units.percent_change(before, after) == text


def test_decibels() -> None:
    assert units.decibels(33.42) == "33.4 dB"
    assert units.decibels(-3.0) == "−3.0 dB"
    assert units.decibels(math.inf) == "exact"
    assert units.decibels(math.nan) == "—"


@pytest.mark.parametrize(("ms", "text"), [(0.021, "0.021 ms"), (8.24, "8.24 ms"), (29.1, "29.1 ms"), (1200, "1.20 s")])
def test_milliseconds(ms: float, text: str) -> None:
    assert units.milliseconds(ms) == text


@pytest.mark.parametrize(("seconds", "text"), [
    (None, ""), (0.5, "almost done"), (9.2, "about 9 s left"), (200, "about 3 min left"),
])
def test_time_left(seconds: float | None, text: str) -> None:
    assert units.time_left(seconds) == text


def test_lines_end_only_between_phrases() -> None:
    kept = units.unbroken("Conv · 12,000 weights · 33 kB · < 0.1 % of the file · before {before} · 2 bits")
    assert kept.replace(units.NBSP, "_") == (
        "Conv_· 12,000 weights_· 33_kB_· <_0.1_% of the file_· before_{before}_· 2_bits"
    )
