"""The dialog: what a limit means as it is typed, what needs data, and what is asked for in the end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from core.planning.budgets import Goal, Originals
from core.planning.plan import Plan
from gui.planning.dialog import BudgetDialog
from gui.planning.limits import Known, explain
from gui.planning.wish import Wish
from gui.session import Session

ALL = Known(Originals(10_900_000, 8.2, 1_610_000_000), True, (900_000, 10_000_000), ("accuracy", 97.8))


@pytest.mark.parametrize(
    ("goal", "limit", "words"),
    [
        (Goal.SIZE, "25%", "25 % of 10.9 MB = 2.73 MB; reachable: 0.90 MB to 10.0 MB"),
        (Goal.SIZE, "2MB", "2.00 MB = 18.3 % of 10.9 MB; reachable: 0.90 MB to 10.0 MB"),
        (Goal.LATENCY, "2x", "50 % of 8.20 ms = 4.10 ms"),
        (Goal.MULTIPLY_ADDS, "60%", "60 % of 1.61 G = 966 M"),
        (Goal.SQNR, "30", "the outputs' error is at most 3.2 % of their size"),
        (Goal.DROP, "1", "accuracy of at least 96.8 %, the original has 97.8 %"),
    ],
)
def test_a_limit_is_explained(goal: Goal, limit: str, words: str) -> None:
    told = explain(goal, limit, ALL)
    assert told.fine and not told.note and told.text == words


def test_what_is_out_of_reach_or_met_already_is_said() -> None:
    low, high = explain(Goal.SIZE, "1%", ALL), explain(Goal.SIZE, "20MB", ALL)
    assert low.fine and low.note and "smallest plan found so far has 0.90 MB" in low.text
    assert high.fine and high.note and "meets this already" in high.text


@pytest.mark.parametrize(("limit", "words"), [("100%", "loses everything"), ("40", "a large loss")])
def test_a_loss_that_nobody_means_is_warned_of(limit: str, words: str) -> None:
    for known in (ALL, Known(Originals(1000), True)):
        told = explain(Goal.DROP, limit, known)
        assert told.fine and told.note and words in told.text


@pytest.mark.parametrize(("goal", "limit"), [(Goal.SIZE, "25 apples"), (Goal.SQNR, "-3"), (Goal.DROP, "200")])
def test_wrong_limits_have_the_cores_sentence(goal: Goal, limit: str) -> None:
    told = explain(goal, limit, ALL)
    assert not told.fine and repr(limit) in told.text and "give" in told.text


def test_what_is_not_known_yet_is_measured_first() -> None:
    nothing = Known(Originals(1000), True)
    assert "measured first" in explain(Goal.LATENCY, "2x", nothing).text
    assert explain(Goal.LATENCY, "4.9ms", nothing).text == "at most 4.90 ms"


@pytest.fixture
def ready(session: Session, opened: Callable[[Session, Path], Session], planned: tuple[Path, Path, Plan]) -> Session:
    return opened(session, planned[0])


def test_without_data_only_counted_things_can_be_limited(qtbot: QtBot, ready: Session) -> None:
    dialog = BudgetDialog(ready)
    qtbot.addWidget(dialog)
    dialog.show()
    assert dialog.note.isVisible() and "No data is loaded" in dialog.note.text()
    assert [button.isEnabled() for button in dialog.presets] == [True, True, True, False, False]
    dialog.first.put(Goal.DROP, "1")
    assert not dialog.plan_button.isEnabled() and "Load data" in dialog.plan_button.toolTip()


def test_the_wish_says_what_was_chosen(qtbot: QtBot, ready: Session) -> None:
    dialog = BudgetDialog(ready)
    qtbot.addWidget(dialog)
    dialog.show()
    assert dialog.wish() == Wish("size", "25%")
    assert all(box.width() >= box.sizeHint().width() for box in dialog.families.values())
    dialog.presets[2].click()
    family = next(iter(dialog.families))
    dialog.families[family].setChecked(False)
    dialog.keep.setChecked(True)
    dialog.more.setChecked(True)
    assert dialog.wish() is None  # the second limit is still empty
    dialog.second.put(Goal.SIZE, "50%")
    assert dialog.wish() is None and "Both budgets" in dialog.plan_button.toolTip()
    dialog.second.put(Goal.MULTIPLY_ADDS, "50%")
    wish = dialog.wish()
    assert wish is not None and (wish.goal, wish.limit, wish.also) == ("size", "10%", (("multiply_adds", "50%"),))
    assert family not in wish.families and wish.pinned == ready.selection
    dialog.first.limit.setText("")
    assert dialog.wish() is None


def test_return_plans(qtbot: QtBot, ready: Session) -> None:
    dialog = BudgetDialog(ready)
    qtbot.addWidget(dialog)
    dialog.show()
    with qtbot.waitSignal(dialog.accepted):
        qtbot.keyClick(dialog.first.limit, Qt.Key.Key_Return)


def test_no_family_is_no_plan(qtbot: QtBot, ready: Session) -> None:
    dialog = BudgetDialog(ready)
    qtbot.addWidget(dialog)
    for box in dialog.families.values():
        box.setChecked(False)
    assert dialog.wish() is None and "at least one family" in dialog.plan_button.toolTip()
