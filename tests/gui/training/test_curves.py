"""Events become curves: series, stages, best, where they part, time left, going on after an interruption."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from core.training.events import Started, StepDone
from gui.training.curves import MOST_STEPS, Heard
from gui.training.pictures import loss_picture
from gui.training.words import best_words

sys.path.insert(0, str(Path(__file__).parents[1]))
import jobs

STARTED = Started("run", "lenet5", 9, "accuracy (top-1)")


def heard(epochs: int) -> Heard:
    made = Heard()
    made.start(STARTED)
    for epoch in range(1, epochs + 1):
        made.epoch(jobs.fake_epoch(epoch, 9, stage="prune" if epoch < 5 else "16 levels"))
    return made


def test_a_series_knows_its_best_its_stages_and_where_it_parts() -> None:
    (series,) = heard(9).series
    assert [point.epoch for point in series.points] == list(range(1, 10))
    assert series.best is not None and series.best.epoch == 6
    assert series.parted is not None and series.parted.epoch == 7
    assert series.stages == ((1, "prune"), (5, "16 levels"))
    assert series.epochs_done == 9


def test_only_an_epoch_of_the_last_stage_is_the_best() -> None:
    made = Heard()
    made.start(replace(STARTED, last_stage="16 levels"))
    for epoch in range(1, 5):
        made.epoch(jobs.fake_epoch(epoch, 9, stage="prune"))
    (series,) = made.series
    assert series.best is None and best_words(series) == "" and loss_picture((series,), 0).ring is None
    made.epoch(jobs.fake_epoch(5, 9, stage="16 levels"))
    (series,) = made.series
    assert series.best is not None and series.best.epoch == 5 and loss_picture((series,), 0).ring is not None
    unknown = replace(series, started=replace(STARTED, last_stage=None))
    assert unknown.best is None


def test_curves_that_came_together_again_have_not_parted() -> None:
    made = heard(8)
    made.epoch(replace(jobs.fake_epoch(9, 9), parted=False))
    assert made.series[-1].parted is None


def test_time_left_counts_the_epochs_that_remain() -> None:
    series = heard(5).series[-1]
    assert series.seconds_left(0.0) == pytest.approx(4 * 0.5)
    assert series.seconds_left(0.3) == pytest.approx(4 * 0.5 - 0.3)
    assert series.seconds_left(100.0) == pytest.approx(3 * 0.5)  # a slow epoch does not eat the others' time
    assert heard(0).series[-1].seconds_left(1.0) is None


def test_each_member_begins_a_series() -> None:
    made = heard(3)
    made.start(replace(STARTED, title="member 2"))
    made.epoch(jobs.fake_epoch(1, 9))
    assert [(series.title, len(series.points)) for series in made.series] == [("lenet5", 3), ("member 2", 1)]


def test_a_resumed_training_goes_on_with_its_curve() -> None:
    made = heard(5)
    made.start(replace(STARTED, done=4))  # the fifth epoch was not on disk
    made.epoch(jobs.fake_epoch(5, 9))
    (series,) = made.series
    assert [point.epoch for point in series.points] == [1, 2, 3, 4, 5]
    assert series.started.done == 4
    made.start(replace(STARTED, title="member 2"))
    made.start(replace(STARTED, done=3))  # a job of several takes one up again
    assert [(one.title, len(one.points)) for one in made.series] == [("member 2", 0), ("lenet5", 3)]


def test_the_only_curve_of_a_run_goes_on_whatever_it_was_called() -> None:
    made = Heard()
    made.go_on_with(heard(4).series)
    made.start(replace(STARTED, title="lenet5: 16 levels", done=4))
    made.epoch(jobs.fake_epoch(5, 9))
    (series,) = made.series
    assert series.title == "lenet5: 16 levels" and [point.epoch for point in series.points] == [1, 2, 3, 4, 5]


def test_steps_are_bounded_and_keep_the_mean() -> None:
    made = Heard()
    made.step(StepDone(0.0, 1.0))  # before anything has begun
    made.start(STARTED)
    for i in range(10 * MOST_STEPS):
        made.step(StepDone(i / MOST_STEPS, float(i % 2)))
    made.step(StepDone(10.0, float("nan")))
    steps = made.series[-1].steps
    assert MOST_STEPS / 2 <= len(steps) <= MOST_STEPS
    assert steps[0].loss == pytest.approx(0.5)
    assert list(steps) == sorted(steps, key=lambda step: step.epoch)
