"""The two cards of the Sensitivity lens: the heat map with its controls, and the selected layer's curves."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QAction, QResizeEvent
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QLabel, QMenu, QPushButton, QStackedLayout, QToolButton, QWidget

from gui.charts.card import Card, with_role
from gui.charts.empty import EmptyState
from gui.sensitivity.curve_chart import ROLES, SizeCurves, Spot
from gui.sensitivity.heat_key import HeatKey
from gui.sensitivity.heat_map import HeatMap
from gui.sensitivity.heat_paint import HEADER, ROW

BY_MODEL, BY_SIZE, BY_WORST = "model", "size", "worst"
ORDERS = {BY_MODEL: "Model order", BY_SIZE: "Largest first", BY_WORST: "Worst first"}
CURVES_LEAST, _HEAT_LEAST = 180, 356
"""Heights in pixels below which the cards cannot be read; the page scrolls instead."""
_FEWEST_ROWS = 5
"""Room for so many rows is always kept."""


class Families(QWidget):
    """A switch for each family; where there is no room for them, one button with all of them in its menu.

    changed   other families are to be shown
    """

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._actions: dict[str, QAction] = {}
        self._chips: list[QToolButton] = []
        self._all = QToolButton(self)
        self._all.setText("Families \N{BLACK DOWN-POINTING SMALL TRIANGLE}")
        self._all.setToolTip("Families of settings to show")
        self._all.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self._all.setMenu(QMenu(self._all))
        with_role(self._all, "segment")
        self._line = QHBoxLayout(self)
        self._line.setContentsMargins(0, 0, 0, 0)
        self._line.setSpacing(4)
        self._line.addWidget(self._all)
        self._line.addStretch(1)

    def set_names(self, names: Sequence[str]) -> None:
        """One switch for each name, all on; none when there is nothing to choose."""
        wanted = tuple(dict.fromkeys(names))
        wanted = wanted if len(wanted) > 1 else ()
        if tuple(self._actions) == wanted:
            return
        for chip in self._chips:
            self._line.removeWidget(chip)
            chip.deleteLater()
        self._all.menu().clear()
        self._actions, self._chips = {}, []
        for place, name in enumerate(wanted):
            action = self._actions[name] = QAction(name, self)
            action.setCheckable(True)
            action.setChecked(True)
            action.setToolTip(f"Show the settings of this family: {name}")
            action.triggered.connect(lambda _on, mine=action: self._switched(mine))
            chip = QToolButton(self)
            chip.setDefaultAction(action)
            chip.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
            with_role(chip, "segment")
            self._line.insertWidget(place, chip)
            self._chips.append(chip)
            self._all.menu().addAction(action)
        self._choose()

    def shows(self, name: str) -> bool:
        """Whether the person wants to see a family."""
        action = self._actions.get(name)
        return action is None or action.isChecked()

    def action(self, name: str) -> QAction:
        """The switch of a family."""
        return self._actions[name]

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._choose()

    def _choose(self) -> None:
        wanted = sum(chip.sizeHint().width() + self._line.spacing() for chip in self._chips)
        fits = wanted <= self.width()
        for chip in self._chips:
            chip.setVisible(fits)
        self._all.setVisible(not fits and bool(self._chips))

    def _switched(self, action: QAction) -> None:
        if not any(other.isChecked() for other in self._actions.values()):
            action.setChecked(True)  # a table without columns says nothing
        self.changed.emit()


class HeatCard(Card):
    """The heat map, families to show, the order of the rows, and a button that measures.

    order_chosen(key)   of `ORDERS`
    """

    order_chosen = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Sensitivity", parent)
        self.map = HeatMap(self)
        self.key = HeatKey(self)
        self.families = Families(self)
        self.order = QComboBox(self)
        with_role(self.order, "flat")
        self.order.setAccessibleName("Order of the layers")
        self.order.setToolTip("Order of the layers; click a heading to sort by that setting")
        for key, text in ORDERS.items():
            self.order.addItem(text, key)
        self.order.activated.connect(lambda _at: self.order_chosen.emit(self.order.currentData()))
        self.button = QPushButton("Measure", self)
        self.corner.addWidget(self.button)
        self._controls_line = QHBoxLayout()
        self._controls_line.setSpacing(4)
        self._controls_line.addWidget(self.families, 1)
        self._controls_line.addWidget(self.order)
        self.body.setSpacing(4)
        self.body.addLayout(self._answer_line())
        self.body.addLayout(self._controls_line)
        self.body.addWidget(self.map, 1)
        self.body.addWidget(self.key)

    def _answer_line(self) -> QHBoxLayout:
        """Which layer hurts, and a button that puts it on top."""
        self.answer = QLabel(self)
        self.answer.setWordWrap(True)
        self.answer.setTextFormat(Qt.TextFormat.PlainText)
        self.worst = QPushButton(ORDERS[BY_WORST], self)
        self.worst.setToolTip("Put the layers that hurt most on top")
        with_role(self.worst, "link")
        self.worst.clicked.connect(lambda _checked=False: self.order_chosen.emit(BY_WORST))
        line = QHBoxLayout()
        line.setSpacing(8)
        line.addWidget(self.answer, 1)
        line.addWidget(self.worst, 0, Qt.AlignmentFlag.AlignTop)
        return line

    def say_answer(self, text: str) -> None:
        """Which layer hurts most; "" while it is not known."""
        self.answer.setText(text)
        self.answer.setVisible(bool(text))
        self.worst.setVisible(bool(text) and self.order.currentData() != BY_WORST)

    def fit_rows(self, count: int) -> None:
        """Take no more height than this many rows need: the curves below have use for it."""
        wanted = HEADER + max(count, _FEWEST_ROWS) * ROW + 2
        bar = self.map.horizontalScrollBar()
        self.map.setMaximumHeight(wanted + (bar.sizeHint().height() if bar.maximum() or self.map.has_others else 0))
        whole = self.map.maximumHeight() + self._height_without_map()
        self.setMaximumHeight(max(whole, _HEAT_LEAST))
        self.setMinimumHeight(_HEAT_LEAST)

    def _height_without_map(self) -> int:
        """Of title, caption, controls, key and margins, at the width that the card has."""
        layout, least = self.layout(), max(self.map.minimumSizeHint().height(), self.map.minimumHeight())
        if layout is None:
            return 0
        whole = layout.totalMinimumHeightForWidth(self.width()) if layout.hasHeightForWidth() else -1
        return max(whole, layout.totalMinimumSize().height()) - least

    def show_order(self, key: str, column_name: str = "") -> None:
        """What the rows are sorted by: a key of `ORDERS`, else a column."""
        self.order.setPlaceholderText(f"By {column_name}")
        self.order.setCurrentIndex(self.order.findData(key))


class CurveCard(Card):
    """Error against size of one layer."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Error against size", parent)
        self._shown: object = None
        self.chart = SizeCurves(self)
        self.empty = EmptyState("curve")
        holder = QWidget(self)
        self._stack = QStackedLayout(holder)
        self._stack.addWidget(self.empty)
        self._stack.addWidget(self.chart)
        self.body.addWidget(holder)

    def show_spots(self, title: str, spots: Sequence[Spot], families: Sequence[str], chosen: int, *,
                   nats: bool) -> None:
        """Show a layer's settings."""
        shown = (title, tuple(spots), tuple(families), chosen, nats)
        if shown == self._shown:
            return
        self._shown = shown
        self.title.setText(f"{title} \N{EM DASH} error against size")
        there = {spot.family for spot in spots}
        colours = "  ".join(f"{{{ROLES[at % len(ROLES)]}}} {family}" for at, family in enumerate(families)
                            if family in there)
        some = any(spot.measured for spot in spots) and not all(spot.measured for spot in spots)
        best = "lower" if nats else "upper"
        words = [colours, f"the {best} left is better", "solid: measured" if some else ""]
        self.caption.set_template(" · ".join(word for word in words if word))
        self.caption.setToolTip("Click a point to use its setting; the ring is what the plan has now")
        self.chart.set_spots(spots, families, chosen, nats=nats)
        self._stack.setCurrentWidget(self.chart)

    def show_empty(self, title: str, sentence: str, advice: str = "") -> None:
        """Say why there is nothing."""
        self._shown = None
        self.title.setText(f"{title} \N{EM DASH} error against size" if title else "Error against size")
        self.caption.set_template("")
        self.empty.say(sentence, advice)
        self._stack.setCurrentWidget(self.empty)
