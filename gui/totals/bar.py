"""The bar at the bottom: what the plan costs and saves in all, and what is running."""

from __future__ import annotations

from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QWidget

from gui.charts.card import with_role
from gui.session import Session
from gui.totals.card import TotalCard
from gui.totals.figures import Figure, figures
from gui.totals.status import TaskStatus

_STATUS_WIDTH = 290


class TotalsBar(QFrame):
    """Cards for the session's figures, then the task status."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        with_role(self, "bar")
        self._session = session
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        self._cards: list[tuple[TotalCard, QWidget]] = []
        for _figure in figures(session):
            card, rule = TotalCard(self), with_role(QFrame(self), "rule")
            self._cards.append((card, rule))
            rule.setFixedWidth(1)
            layout.addWidget(card, 1)
            layout.addWidget(rule)
        self.status = TaskStatus(session, self)
        layout.addWidget(self.status)
        self.setFixedHeight(76)
        for signal in (session.modelChanged, session.dataChanged, session.resultChanged, session.previewsChanged,
                       session.recipeChanged, session.stateChanged, session.plans.changed,
                       session.plans.chosenChanged):
            signal.connect(self._update)
        self._update()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self.status.setFixedWidth(min(_STATUS_WIDTH, self.width() // 4))

    @property
    def shown(self) -> tuple[Figure, ...]:
        """What the cards show."""
        return tuple(card.figure for card, _rule in self._cards if card.isVisibleTo(self))

    def _update(self, *_names: object) -> None:
        for (card, rule), figure in zip(self._cards, figures(self._session), strict=True):
            card.setVisible(figure is not None)
            rule.setVisible(figure is not None)
            if figure is not None:
                card.set_figure(figure)
