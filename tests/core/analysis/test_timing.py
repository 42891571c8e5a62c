"""Timing by turns, with a clock of the test's own."""

from __future__ import annotations

import pytest

from core.analysis.timing import FEWEST_ROUNDS, Pace, take_turns
from core.errors import Cancelled
from core.progress import Reporter


class Machine:
    """A clock that only runs advance."""

    def __init__(self) -> None:
        self.now, self.order = 0.0, []

    def run(self, name: str, seconds: float):
        def one(number: int) -> None:
            self.order.append((name, number))
            self.now += seconds

        return one

    def clock(self) -> float:
        return self.now


def test_contestants_take_turns_on_the_same_feeds() -> None:
    machine = Machine()
    runs = [machine.run("a", 0.004), machine.run("b", 0.008)]
    turns = take_turns(runs, Pace(rounds=4), clock=machine.clock)
    assert machine.order[:4] == [("a", 0), ("a", 0), ("b", 0), ("b", 0)]  # warming up
    assert machine.order[4:] == [("a", 0), ("b", 0), ("b", 1), ("a", 1), ("a", 2), ("b", 2), ("b", 3), ("a", 3)]
    assert turns.spread(0) == pytest.approx((4.0, 4.0, 4.0))
    assert turns.spread(1)[0] == pytest.approx(8.0)


def test_short_runs_are_timed_in_blocks() -> None:
    machine = Machine()
    runs = [machine.run("a", 0.001), machine.run("b", 0.1)]
    turns = take_turns(runs, Pace(rounds=3, block=0.01), clock=machine.clock)
    assert turns.size == 10
    assert turns.spread(0)[0] == pytest.approx(1.0)


def test_the_time_bounds_the_rounds_but_slow_runs_get_a_few() -> None:
    machine = Machine()
    assert take_turns([machine.run("a", 0.01)], Pace(1.0), clock=machine.clock).blocks.shape == (1, 100)
    assert take_turns([machine.run("a", 9.0)], Pace(1.0), clock=machine.clock).blocks.shape == (1, FEWEST_ROUNDS)


def test_the_spread_leaves_out_what_hits_one_block() -> None:
    machine = Machine()
    durations = iter([0.01] * 8 + [5.0] + [0.01] * 100)

    def run(_: int) -> None:
        machine.now += next(durations)

    median, low, high = take_turns([run], Pace(rounds=40), clock=machine.clock).spread(0)
    assert (median, low, high) == pytest.approx((10.0, 10.0, 10.0))


def test_cancelling_between_blocks() -> None:
    class Stop:
        asked = 0

        def is_set(self) -> bool:
            self.asked += 1
            return self.asked > 3

    machine = Machine()
    with pytest.raises(Cancelled):
        take_turns([machine.run("a", 1.0)], Pace(1e9), reporter=Reporter(cancel=Stop()), clock=machine.clock)
    assert len(machine.order) < 8
