"""Estimates of the time left follow the recent pace, and are not held on to."""

from __future__ import annotations

import itertools
import math

from gui.pace import Pace

STEP = 0.1


def estimates(pace: Pace, start: float, seconds: float, first: float, last: float, text: str) -> list[float | None]:
    """What is estimated every tenth of a second while progress goes evenly from `first` to `last`."""
    found = []
    for i in range(round(seconds / STEP)):
        now = start + i * STEP
        pace.hear(now, first + (last - first) * i * STEP / seconds, f"{text} {i}")
        found.append(pace.seconds_left(now))
    return found


def test_nothing_is_said_in_the_first_second() -> None:
    pace = Pace()
    assert pace.seconds_left(5.0) is None
    assert estimates(pace, 100.0, 0.9, 0.0, 0.5, "sample") == [None] * 9


def test_too_little_progress_says_nothing_yet() -> None:
    """The first steps of a phase load and compile: they would foretell many times what it takes."""
    pace = Pace()
    assert set(estimates(pace, 0.0, 3.0, 0.0, 0.005, "sample")) == {None}
    found = estimates(pace, 3.0, 3.0, 0.005, 0.5, "sample")
    assert found[0] is None and found[-1] is not None


def test_slow_phase_after_a_quick_one_is_estimated_from_itself() -> None:
    pace = Pace()
    estimates(pace, 0.0, 2.0, 0.0, 0.75, "Compressing")
    found = estimates(pace, 2.0, 20.0, 0.75, 1.0, "sample")
    assert found[:9] == [None] * 9
    for i, left in enumerate(found[15:], start=15):
        assert left is not None and abs(left - (20.0 - i * STEP)) < 1.0


def test_phase_that_slows_down_is_followed_within_the_window() -> None:
    pace = Pace()
    estimates(pace, 0.0, 4.0, 0.0, 0.8, "sample")
    found = estimates(pace, 4.0, 20.0, 0.8, 1.0, "sample")
    late = found[80]
    assert late is not None and abs(late - 12.0) < 1.5


def test_figure_that_stands_longer_than_it_says_is_given_up() -> None:
    """Ever slower, so that there are always about 5 s left."""
    pace, found = Pace(), []
    for i in range(300):
        pace.hear(i * STEP, 1.0 - math.exp(-i * STEP / 6.0), "sample")
        found.append(pace.seconds_left(i * STEP))
    figures = [round(left) for left in found if left]
    assert figures and found[-1] == 0.0
    longest = max(len(list(same)) * STEP for _figure, same in itertools.groupby(figures))
    assert longest <= max(figures) + STEP


def test_silence_makes_the_estimate_longer_not_shorter() -> None:
    pace = Pace()
    estimates(pace, 0.0, 3.0, 0.0, 0.5, "sample")
    silent = [pace.seconds_left(3.0 + i * STEP) for i in range(100)]
    assert silent[-1] is not None and silent[-1] > 5.0
