"""The message bar: one message at a time with its own buttons, and nothing of the page below what stays."""

from __future__ import annotations

import pytest
from PySide6.QtWidgets import QVBoxLayout, QWidget
from pytestqt.qtbot import QtBot

from gui.message_bar import MessageBar


@pytest.fixture
def window(qtbot: QtBot) -> QWidget:
    window = QWidget()
    qtbot.addWidget(window)
    return window


@pytest.fixture
def host(window: QWidget) -> QWidget:
    """A page that fills the window; the bar floats over it."""
    column = QVBoxLayout(window)
    page, content = QWidget(window), QWidget()
    QVBoxLayout(page).addWidget(content)
    column.addWidget(page)
    window.resize(800, 500)
    window.show()
    return page


@pytest.fixture
def bar(window: QWidget, host: QWidget) -> MessageBar:
    bar = MessageBar(window)
    bar.float_over(host)
    return bar


def test_buttons_of_the_message_before_are_gone_at_once(bar: MessageBar) -> None:
    bar.say("No samples are loaded.", actions=(("Load data", lambda: None),))
    button = bar.action("Load data")
    assert button is not None and button.isVisible()
    bar.say("Planned.")
    assert button.isHidden() and bar.action("Load data") is None


def test_what_stays_covers_nothing_and_news_moves_nothing(bar: MessageBar, host: QWidget) -> None:
    bar.say("It was saved.")
    assert host.contentsMargins().bottom() == 0
    bar.say("It could not be saved. " * 20)
    assert host.contentsMargins().bottom() > bar.height()
    bar.say("It could not be saved.", tone="bad")
    assert host.height() - host.contentsMargins().bottom() <= bar.y() - host.y()
    bar.dismiss()
    assert host.contentsMargins().bottom() == 0
