"""The cards of the Methods lens: what is recommended, the chart, the table."""

from __future__ import annotations

import html
import re

from PySide6.QtCore import QPointF, QSize, Qt, Signal
from PySide6.QtGui import QFontMetrics, QPainter, QPaintEvent
from PySide6.QtWidgets import (
    QButtonGroup,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from core.method_comparison.recommend import Recommendation
from gui.charts.card import Card, with_role
from gui.methods_study.chart import X_AXES, MethodsChart
from gui.methods_study.families import draw, in_order, look
from gui.methods_study.table import MethodsTable
from gui.theme import theme
from gui.units import MINUS, unbroken

_DOTS = "\N{HORIZONTAL ELLIPSIS}"
SIGNS = (("\N{BLACK STAR}", "plan"), ("\N{WHITE CIRCLE}", "recommended"), ("\N{BLACK CIRCLE}", "filled: not beaten"))
"""What the chart marks beside families."""
_X_TITLES = {"size": "Size", "latency": "Latency", "memory": "Memory"}


class Choice(QWidget):
    """A row of small buttons of which one is pressed.

    chosen(key)  the person pressed another
    """

    chosen = Signal(str)

    def __init__(self, titles: dict[str, str], hint: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._keys = tuple(titles)
        self._group = QButtonGroup(self)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(2)
        for number, title in enumerate(titles.values()):
            button = QToolButton(self)
            button.setText(title)
            button.setCheckable(True)
            button.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
            button.setToolTip(f"{hint} {title[:1].lower() + title[1:] if title[1:2].islower() else title}")
            with_role(button, "segment")
            self._group.addButton(button, number)
            row.addWidget(button)
        self._group.button(0).setChecked(True)
        self._group.idClicked.connect(lambda number: self.chosen.emit(self._keys[number]))

    @property
    def key(self) -> str:
        """Of the pressed one."""
        return self._keys[self._group.checkedId()]

    def choose(self, key: str) -> None:
        """Press one."""
        self._group.button(self._keys.index(key)).click()

    def enable(self, key: str, possible: bool, why_not: str = "") -> None:
        """Whether one can be pressed; where the pressed one cannot, the first is."""
        button = self._group.button(self._keys.index(key))
        button.setEnabled(possible)
        if why_not and not possible:
            button.setToolTip(why_not)
        if not possible and button.isChecked():
            self._group.button(0 if key != self._keys[0] else 1).setChecked(True)


class Legend(QWidget):
    """The families of the points, with their shapes, then what a star and a ring say where there is room."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._families: list[str] = []
        self.setFixedHeight(18)
        theme().changed.connect(self.update)

    def set_families(self, families: list[str]) -> None:
        """Show these."""
        if families != self._families:
            self._families = families
            self.setAccessibleName("Families: " + ", ".join(families))
            self.update()

    def sizeHint(self) -> QSize:
        return QSize(200, 18)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        now, x = theme(), 6.0
        painter.setFont(now.font("tiny"))
        metrics = QFontMetrics(painter.font())
        for family in self._families:
            width = metrics.horizontalAdvance(family)
            if x + 10 + width > self.width():
                break
            role, symbol = look(family)
            draw(painter, symbol, QPointF(x, 9), now.color(role))
            painter.setPen(now.color("muted"))
            painter.drawText(QPointF(x + 9, 9 + metrics.capHeight() / 2), family)
            x += width + 26
        for sign, words in SIGNS:
            width = metrics.horizontalAdvance(f"{sign} {words}")
            if x + width > self.width():
                break
            painter.setPen(now.color("muted"))
            painter.drawText(QPointF(x - 5, 9 + metrics.capHeight() / 2), f"{sign} {words}")
            x += width + 16
        painter.end()


class AdviceCard(Card):
    """The recommendation in words, with the button that puts it in force.

    used(key)  the person wants the recommended setting
    """

    used = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Recommendation", parent)
        self._key = ""
        self.use_button = QPushButton("Use this", self)
        with_role(self.use_button, "primary")
        self.use_button.clicked.connect(lambda _checked=False: self.used.emit(self._key))
        self.why_button = QToolButton(self)
        self.why_button.setText("Why")
        self.why_button.setCheckable(True)
        self.why_button.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.why_button.setToolTip("Show the reasons, and what every other family lacks")
        with_role(self.why_button, "segment")
        self.corner.addWidget(self.why_button)
        self.corner.addWidget(self.use_button)
        self.headline, self.picks, self.reasons, self.cautions = (QLabel(self) for _ in range(4))
        with_role(self.headline, "title")
        for label in (self.picks, self.reasons, self.cautions):
            with_role(label, "small")
        for label in (self.headline, self.picks, self.reasons, self.cautions):
            label.setWordWrap(True)
            label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
            self.body.addWidget(label)
        for label in (self.picks, self.reasons):
            label.setTextFormat(Qt.TextFormat.RichText)
        self.why_button.toggled.connect(lambda on: self.reasons.setVisible(on and bool(self.reasons.text())))
        self.body.setSpacing(6)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)

    def hasHeightForWidth(self) -> bool:
        return True

    def show_advice(self, advice: Recommendation, *, running: bool, in_force: bool, unfinished: str = "") -> None:
        """Show it; `unfinished` says what it rests on while not all has been tried."""
        self._key = advice.key
        self.title.setText("Recommendation so far" if running or unfinished else "Recommendation")
        self.caption.set_template(f"from {unfinished}" if unfinished else "")
        texts = (
            (self.headline, _shown(advice.headline)),
            (self.picks, _listed([f"<b>{_html(pick.title)}</b>: {_html(pick.text)}" for pick in advice.picks])),
            (self.reasons, _listed([_html(text) for text in (*advice.reasons, *advice.losing)])),
            (self.cautions, _shown(" ".join(advice.cautions))),
        )
        for label, text in texts:
            label.setText(text)
            label.setVisible(bool(text) and (label is not self.reasons or self.why_button.isChecked()))
        self.why_button.setVisible(bool(self.reasons.text()))
        self.use_button.setVisible(bool(advice.key))
        self.use_button.setEnabled(not in_force)
        self.use_button.setText("In use" if in_force else "Use this")
        self.use_button.setToolTip("Give every layer these steps; Undo takes it back")


def _shown(text: str) -> str:
    """A sentence as the window writes it: real minus signs, and no line that ends before a unit."""
    return unbroken(re.sub(r"(?<![\w])-(?=\d)", MINUS, text))


def _html(text: str) -> str:
    return html.escape(_shown(text), quote=False)


def _listed(lines: list[str]) -> str:
    items = "".join(f'<li style="margin-bottom:2px">{text}</li>' for text in lines)
    return f'<ul style="margin:0; -qt-list-indent:0; margin-left:12px">{items}</ul>' if items else ""


class ChartCard(Card):
    """The chart with the choice of its axes.

    axes_chosen()  the person chose other axes
    """

    axes_chosen = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("What each method costs", parent)
        self.chart = MethodsChart()
        self.legend = Legend(self)
        self.across = Choice(_X_TITLES, "To the right:", self)
        self.up = Choice({"metric": "Metric", "error": "SQNR"}, "Upward:", self)
        over = QLabel("over", self)
        with_role(over, "small")
        for widget in (self.up, over, self.across):
            self.corner.addWidget(widget)
        for choice in (self.up, self.across):
            choice.chosen.connect(lambda _key: self.axes_chosen.emit())
        self.body.addWidget(self.legend)
        self.body.addWidget(self.chart, 1)

    def x_label(self) -> str:
        """What the x axis is."""
        return X_AXES[self.across.key]

    def show_families(self, families: set[str]) -> None:
        """The legend."""
        self.legend.set_families(in_order(families))


class TableCard(Card):
    """The table with the buttons that save it, start and stop.

    html_asked(), csv_asked(), run_asked(), use_asked(key)
    """

    html_asked = Signal()
    csv_asked = Signal()
    run_asked = Signal()
    use_asked = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Trials", parent)
        self.table = MethodsTable(self)
        self.use_button = self._button("Use", "Give every layer the steps of the selected row; Undo takes it back")
        self.run_button = self._button("Compare again", "Try every method again; what is kept comes at once")
        self.html_button = self._button(f"Save HTML{_DOTS}", "Save chart, table and recommendation as one web page")
        self.csv_button = self._button(f"Save CSV{_DOTS}", "Save the table for a spreadsheet")
        self.use_button.clicked.connect(lambda _checked=False: self.use_asked.emit(self.table.key))
        self.run_button.clicked.connect(lambda _checked=False: self.run_asked.emit())
        self.html_button.clicked.connect(lambda _checked=False: self.html_asked.emit())
        self.csv_button.clicked.connect(lambda _checked=False: self.csv_asked.emit())
        self.body.addWidget(self.table, 1)

    def _button(self, text: str, hint: str) -> QToolButton:
        button = QToolButton(self)
        button.setText(text)
        button.setToolTip(hint)
        button.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.corner.addWidget(button)
        return button


def column_of(parent: QWidget, *widgets: tuple[QWidget, int, int]) -> QWidget:
    """Widgets below each other: (widget, least height, stretch)."""
    content = with_role(QWidget(parent), "plain")
    column = QVBoxLayout(content)
    column.setContentsMargins(12, 12, 12, 12)
    column.setSpacing(12)
    for widget, least, stretch in widgets:
        if least:
            widget.setMinimumHeight(least)
            widget.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Expanding)
        column.addWidget(widget, stretch)
    return content
