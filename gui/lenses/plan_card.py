"""The first card of the Trade-off lens: every point a whole plan, and the front to drag along."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QButtonGroup, QPushButton, QStackedLayout, QToolButton, QVBoxLayout, QWidget

from gui.charts.card import Card, with_role
from gui.charts.empty import EmptyState
from gui.charts.tradeoff import TradeoffChart

_DOTS = "\N{HORIZONTAL ELLIPSIS}"


class PlanCard(Card):
    """The chart with the switch of its y, or why there is none with what to do.

    quality_chosen()  the person moved the switch
    plan_asked()      the person wants to plan
    smallest_asked()  the person wants the smallest file instead of one that cannot be reached
    """

    quality_chosen = Signal()
    plan_asked = Signal()
    smallest_asked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("What a smaller file costs", parent)
        self.chart = TradeoffChart()
        self.empty = EmptyState("curve")
        self.plan_button = QPushButton(f"Plan to budget{_DOTS}", self)
        with_role(self.plan_button, "primary")
        self.plan_button.clicked.connect(lambda _checked=False: self.plan_asked.emit())
        self.smallest_button = QPushButton("Plan for the smallest", self)
        self.smallest_button.clicked.connect(lambda _checked=False: self.smallest_asked.emit())
        self._key = ""
        self._keys: tuple[str, ...] = ()
        self._switch = QButtonGroup(self)
        self._switch.idClicked.connect(self._chosen)
        page = QWidget(self)
        column = QVBoxLayout(page)
        column.addWidget(self.empty)
        for button in (self.plan_button, self.smallest_button):
            column.addWidget(button, 0, Qt.AlignmentFlag.AlignHCenter)
        column.addStretch(1)
        holder = QWidget(self)
        self._stack = QStackedLayout(holder)
        self._stack.addWidget(self.chart)
        self._stack.addWidget(page)
        self.body.addWidget(holder)

    @property
    def key(self) -> str:
        """Which quality the person wants to see; "" when none was chosen."""
        return self._key

    def choose(self, key: str) -> None:
        """Press the switch."""
        self._switch.button(self._keys.index(key)).click()

    def set_qualities(self, titles: dict[str, str], shown: str) -> None:
        """Offer these, by key; no switch where there is one only."""
        keys = tuple(titles)
        if keys != self._keys:
            for button in self._switch.buttons():
                self._switch.removeButton(button)
                self.corner.removeWidget(button)
                button.deleteLater()
            for index, title in enumerate(titles.values() if len(titles) > 1 else ()):
                self._switch.addButton(self._button(title), index)
            self._keys = keys
        if len(keys) > 1:
            self._switch.button(keys.index(shown)).setChecked(True)

    def _button(self, title: str) -> QToolButton:
        button = QToolButton(self)
        button.setText(title)
        with_role(button, "segment")
        button.setCheckable(True)
        button.setToolTip(f"Show {title[:1].lower() + title[1:]} over size")
        button.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.corner.addWidget(button)
        return button

    def _chosen(self, index: int) -> None:
        self._key = self._keys[index]
        self.quality_chosen.emit()

    def show_chart(self) -> None:
        self._stack.setCurrentIndex(0)

    def show_empty(self, sentence: str, advice: str, *, plan: bool = False, smallest: bool = False) -> None:
        """Say why there is nothing; with the buttons that help."""
        self.caption.set_template("")
        self.set_qualities({}, "")
        self.empty.say(sentence, advice)
        self.plan_button.setVisible(plan)
        self.smallest_button.setVisible(smallest)
        self._stack.setCurrentIndex(1)
