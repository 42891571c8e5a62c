"""What charts draw of curves: lines, the range worth seeing, marks, read-outs."""

from __future__ import annotations

from dataclasses import replace

import jobs
import pytest
from PySide6.QtWidgets import QVBoxLayout, QWidget
from pytestqt.qtbot import QtBot

from core.training.events import Started, StepDone
from core.training.settings import TrainingSettings
from gui.training.chart import LearningChart
from gui.training.curves import Series
from gui.training.pictures import MOST_MARKS, loss_picture, metric_picture, metric_text, rate_picture
from gui.training.words import advice, best_words

STARTED = Started("run", "lenet5", 9, "accuracy (top-1)")


def series(epochs: int, *, stages: int = 2) -> Series:
    points = tuple(jobs.fake_epoch(e, 9, stage=f"stage {e * stages // 10}") for e in range(1, epochs + 1))
    return Series(STARTED, points, tuple(StepDone(e / 3, 1.0) for e in range(3 * epochs)))


def test_loss_shows_both_curves_the_best_and_where_they_part() -> None:
    picture = loss_picture((series(9),), 0)
    train, valid = (line for line in picture.lines if line.name)
    assert (train.name, valid.name) == ("train", "validation") and len(valid.x) == 9
    assert picture.ring == (6.0, pytest.approx(1 / 6)) and picture.parted == 7.0
    assert picture.marks == ((0.5, "stage 0"), (4.5, "stage 1"))
    assert picture.tips[5][1] == "epoch 6 (stage 1): train 0.15, validation 0.1667 \N{MIDDLE DOT} best"
    assert picture.low < min(valid.y) and picture.high > max(valid.y)


def test_losses_that_fall_far_get_a_logarithmic_axis_unless_chosen_otherwise() -> None:
    far = replace(series(2), points=tuple(replace(p, train_loss=10.0 ** (1 - p.epoch * 2)) for p in series(2).points))
    assert loss_picture((far,), 0).logarithmic and not loss_picture((far,), 0, logarithmic=False).logarithmic
    negative = replace(far, points=tuple(replace(p, train_loss=-1.0) for p in far.points))
    assert not loss_picture((negative,), 0, logarithmic=True).logarithmic


def test_the_first_epoch_has_its_steps_alone() -> None:
    first = Series(STARTED, (), (StepDone(0.2, 2.0), StepDone(0.4, 1.5)))
    picture = loss_picture((first,), 0)
    assert (picture.begins, picture.ends, picture.first) == (0.0, 1.0, True)
    assert not picture.empty and metric_picture((first,), 0).empty


def test_metric_is_in_per_cent_with_the_original_beside_it() -> None:
    picture = metric_picture((series(9),), 0, (0.98, "original"))
    assert picture.reference == (98.0, "original") and picture.unit == "%"
    assert picture.ring is not None and picture.ring[1] == pytest.approx(96.0)
    assert metric_text(0.9312, STARTED) == "93.12 %"
    assert metric_text(0.012, replace(STARTED, share=False)) == "0.012"


def test_other_members_are_faint_lines_behind() -> None:
    picture = loss_picture((series(9), series(3)), 1)
    assert [line.faint for line in picture.lines if not line.name] == [True, True]
    assert picture.ends > 9  # the others' epochs fit as well


def test_too_many_stages_are_not_marked() -> None:
    many = tuple(jobs.fake_epoch(e, 30, stage=f"prune to {e} %") for e in range(1, MOST_MARKS + 2))
    assert loss_picture((Series(STARTED, many),), 0).marks == ()


def test_advice_names_what_was_not_tried_yet() -> None:
    assert advice(series(6), None) == ""
    words = advice(series(9), TrainingSettings(dropout=0.2))
    assert "since epoch 7" in words and "Try weight decay, augmentation or more data." in words
    assert "The state of epoch 6 is kept." in words
    assert best_words(series(9)) == "best: epoch 6, 96.00 %"


def test_chart_shows_reads_out_and_walks_through_epochs(qtbot: QtBot) -> None:
    window = QWidget()  # never the chart itself: closing a pyqtgraph view takes it apart
    qtbot.addWidget(window)
    chart = LearningChart("Loss")
    QVBoxLayout(window).addWidget(chart)
    window.resize(500, 240)
    window.show()
    for epochs in (1, 9, 4):  # grows, then another training with fewer
        chart.show_picture(loss_picture((series(epochs),), 0))
    assert chart.stops() == (1.0, 2.0, 3.0, 4.0)
    found = chart.read_out(2.7, 0.0)
    assert found is not None and found[0] == 3.0 and "epoch 3" in found[1]
    chart.show_picture(metric_picture((series(9),), 0, (0.98, "original")))
    chart.show_picture(rate_picture((series(9),), 0))
    assert "learning rate" in chart.picture.tips[0][1]
