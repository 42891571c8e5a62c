"""Cards on a page: nothing is cut, whatever the window's size."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QToolButton, QWidget
from pytestqt.qtbot import QtBot

from gui.charts.card import Card
from gui.lenses.page import CardPage


def controls(card: Card, *texts: str) -> tuple[QToolButton, ...]:
    found = []
    for text in texts:
        button = QToolButton()
        button.setText(text)
        card.corner.addWidget(button)
        found.append(button)
    return tuple(found)


@pytest.fixture
def page(qtbot: QtBot) -> CardPage:
    made = CardPage(Card("Top"), Card("Left"), Card("Right"), (58, 42))
    qtbot.addWidget(made)
    return made


@pytest.mark.parametrize(("width", "height", "narrow", "scrolls"), [
    (640, 900, False, False), (640, 400, False, True), (400, 700, True, True), (400, 1200, True, False),
])
def test_a_small_window_scrolls_and_a_narrow_one_stacks(
    width: int, height: int, narrow: bool, scrolls: bool, page: CardPage, qtbot: QtBot
) -> None:
    page.resize(width, height)
    page.show()
    qtbot.waitUntil(lambda: page.narrow == narrow)
    content = page.widget()
    qtbot.waitUntil(lambda: content.width() == page.viewport().width())
    assert (page.verticalScrollBar().maximum() > 0) == scrolls
    cards = content.findChildren(Card, options=Qt.FindChildOption.FindDirectChildrenOnly)
    assert len(cards) == 3 and all(card.height() >= 290 for card in cards)
    assert (cards[1].x() == cards[2].x()) == narrow


def test_controls_that_do_not_fit_beside_the_title_go_below_it(qtbot: QtBot) -> None:
    window = QWidget()  # a card that is a window by itself cannot get too narrow
    qtbot.addWidget(window)
    card = Card("A title of some length", window)
    buttons = controls(card, "Accumulated", "Isolated")
    card.resize(600, 200)
    window.show()
    corner = buttons[0].parentWidget()
    assert corner is not None
    qtbot.waitUntil(lambda: corner.x() > card.title.x())
    card.resize(260, 200)
    qtbot.waitUntil(lambda: corner.y() >= card.title.geometry().bottom())
    assert all(button.width() >= button.sizeHint().width() for button in buttons)
