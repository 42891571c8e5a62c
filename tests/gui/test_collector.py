"""Garbage waits for a quiet moment: nothing collects by itself while the window lives."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest
from pytestqt.qtbot import QtBot

from gui.collector import Collector
from gui.session import Session


class _Knot:
    def __init__(self) -> None:
        self.itself = self


@pytest.fixture
def collector(session: Session) -> Iterator[Collector]:
    made = Collector(session)
    yield made
    made.end()


def test_nothing_is_collected_while_somebody_works(collector: Collector) -> None:
    assert not gc.isenabled()
    knot = weakref.ref(_Knot())
    knots = [[] for _ in range(5_000)]
    assert knot() is not None
    del knots


def test_garbage_goes_when_the_session_is_quiet(collector: Collector, session: Session, qtbot: QtBot) -> None:
    collector.set_aside()
    knot = weakref.ref(_Knot())
    kept = [[i] for i in range(5_000)]  # enough to be worth a look
    session.select(("some layer",))
    qtbot.waitUntil(lambda: knot() is None, timeout=10_000)
    assert len(kept) == 5_000


def test_the_process_gets_its_own_collection_back(session: Session) -> None:
    assert gc.isenabled()
    collector = Collector(session)
    collector.set_aside()
    assert gc.get_freeze_count() > 0
    collector.end()
    assert gc.isenabled() and gc.get_freeze_count() == 0
