"""The cards of the Training lens: how it stands, the curves, what came of it."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject, Qt, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import (
    QComboBox,
    QFrame,
    QGridLayout,
    QLabel,
    QLayout,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QStackedLayout,
    QVBoxLayout,
    QWidget,
)

from gui.charts.card import Card, label, with_role
from gui.charts.empty import EmptyState
from gui.methods_study.cards import Choice
from gui.training.asked import ResultView
from gui.training.chart import LearningChart
from gui.training.pictures import Picture

_STEPS = 1000
_DOTS = "\N{HORIZONTAL ELLIPSIS}"


class WordsCard(Card):
    """A card that is as high as its words are at its width: there is no chart in it to share the room with."""

    def __init__(self, title: str, parent: QWidget | None = None) -> None:
        super().__init__(title, parent)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)

    def hasHeightForWidth(self) -> bool:
        return True

    def heightForWidth(self, width: int) -> int:
        layout = self.layout()
        return layout.heightForWidth(width) if layout is not None else super().heightForWidth(width)


class RunCard(WordsCard):
    """What is trained and how far it is, with what can be done about it."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("", parent)
        self.bar = QProgressBar(self)
        self.bar.setRange(0, _STEPS)
        self.bar.setTextVisible(False)
        self.bar.setAccessibleName("Progress of the training")
        self.problem, self.advice = label("", "small_bad", self), label("", "small_warn", self)
        for words in (self.problem, self.advice):
            words.setWordWrap(True)
            words.setTextFormat(Qt.TextFormat.PlainText)
            words.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        for widget in (self.bar, self.problem, self.advice):
            self.body.addWidget(widget)
        self.body.setSpacing(6)
        self.pause = self._button("Pause", "Wait between two batches; nothing is lost")
        self.resume = self._button("Resume", "Go on from the last whole epoch")
        self.cancel = self._button("Cancel", "Stop; the last whole epoch is kept and can be resumed")
        self.again = self._button(f"Fine-tune{_DOTS}", "Train with other settings (Ctrl+T)")
        with_role(self.resume, "primary")

    def _button(self, text: str, hint: str) -> QPushButton:
        button = QPushButton(text, self)
        button.setToolTip(hint)
        self.corner.addWidget(button)
        return button

    def say(self, words: QLabel, text: str) -> None:
        """Show a sentence, or nothing."""
        words.setText(text)
        words.setVisible(bool(text))

    def show_progress(self, done: float, *, at_work: bool) -> None:
        """How far the whole job is."""
        self.bar.setVisible(at_work)
        self.bar.setValue(round(_STEPS * done))


class CurveCard(Card):
    """A learning chart, a choice of what it shows, and what is there instead while there are no figures.

    chosen(key)  the person chose another view
    """

    chosen = Signal(str)

    def __init__(self, title: str, choices: dict[str, str], hint: str, parent: QWidget | None = None) -> None:
        super().__init__(title, parent)
        self.chart = LearningChart(title)
        self.empty = EmptyState("curve")
        self.choice = Choice(choices, hint, self)
        self.choice.chosen.connect(self.chosen)
        self.corner.addWidget(self.choice)
        holder = QWidget(self)
        self._stack = QStackedLayout(holder)
        self._stack.addWidget(self.chart)
        self._stack.addWidget(self.empty)
        self.body.addWidget(holder)

    def show_picture(self, picture: Picture, caption: str, y_label: str, why_empty: tuple[str, str]) -> None:
        """Show curves; `why_empty` (a sentence, what to do) where there are none."""
        self._stack.setCurrentIndex(1 if picture.empty else 0)
        self.caption.set_template("" if picture.empty else caption)
        if picture.empty:
            self.empty.say(*why_empty)
        else:
            self.chart.set_labels(x="the first epoch" if picture.first else "epoch", y=y_label)
            self.chart.show_picture(picture)


class SeriesBox(QComboBox):
    """Which of several trainings of one job is shown: that at work, until the person picks another.

    picked()  the person did
    """

    picked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        with_role(self, "flat")
        self.setAccessibleName("Training that is shown")
        self.setToolTip("Which training is shown; the others are the thin lines behind it")
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContents)
        self._follows = True
        self.activated.connect(self._pick)
        self.hide()

    def set_titles(self, titles: list[str]) -> None:
        """Of all trainings so far; fewer than two need no choice."""
        if titles != [self.itemText(place) for place in range(self.count())]:
            if len(titles) < self.count():
                self._follows = True
            at = self.currentIndex()
            self.clear()
            self.addItems(titles)
            self.setCurrentIndex(len(titles) - 1 if self._follows else min(at, len(titles) - 1))
        self.setVisible(len(titles) > 1)

    def _pick(self, place: int) -> None:
        self._follows = place == self.count() - 1
        self.picked.emit()


class _Sideways(QScrollArea):
    """As high as what it holds; moves it sideways where there is not the room, rather than cutting words."""

    def __init__(self, inner: QWidget, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._inner = with_role(inner, "plain")
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setWidget(inner)
        inner.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if watched is self._inner and event.type() == QEvent.Type.Resize:
            self._fit()
        return super().eventFilter(watched, event)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        bar = self.horizontalScrollBar().sizeHint().height() if self._inner.width() > self.width() else 0
        self.setFixedHeight(self._inner.height() + bar)


class ResultCard(WordsCard):
    """What came of it as a small table, and what to do with it."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Result", parent)
        self.caption.hide()
        self._view: ResultView | None = None
        self.headline, self.notes = label("", "title", self), label("", "small", self)
        for words in (self.headline, self.notes):
            words.setWordWrap(True)
            words.setTextFormat(Qt.TextFormat.PlainText)
            words.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._table = QWidget(self)
        self._grid = QGridLayout(self._table)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setHorizontalSpacing(18)
        self._grid.setVerticalSpacing(5)
        self._grid.setSizeConstraint(QLayout.SizeConstraint.SetMinAndMaxSize)
        self._area = _Sideways(self._table, self)
        self.body.addWidget(self.headline)
        self.body.addWidget(self._area)
        self.body.addWidget(self.notes)
        self.body.setSpacing(8)
        self.use = QPushButton("Use as result", self)
        self.use.setToolTip("Show it in the Compare lens and the totals; Export saves it then")
        with_role(self.use, "primary")
        self.export = QPushButton(f"Export{_DOTS}", self)
        for button in (self.use, self.export):
            self.corner.addWidget(button)

    def show_view(self, view: ResultView | None) -> None:
        """Show an outcome; None hides the card."""
        self.setVisible(view is not None)
        if view is None or view == self._view:
            self._view = view
            return
        self._view = view
        self.headline.setText(view.headline)
        self.notes.setText("\n".join(filter(None, (*view.notes, view.advice))))
        self.notes.setVisible(bool(self.notes.text()))
        while (item := self._grid.takeAt(0)) is not None:
            widget = item.widget()
            if widget is not None:
                widget.setParent(None)
                widget.deleteLater()
        for column, head in enumerate(view.columns):
            self._put(0, column, head, "small")
        for row, texts in enumerate(view.rows, start=1):
            role = "title" if row - 1 == view.chosen else "caption"
            for column, text in enumerate(texts):
                self._put(row, column, text, role)
        self._area.setVisible(bool(view.rows))
        self._table.setAccessibleName("; ".join(", ".join(filter(None, row)) for row in (view.columns, *view.rows)))

    def _put(self, row: int, column: int, text: str, role: str) -> None:
        side = Qt.AlignmentFlag.AlignLeft if column == 0 else Qt.AlignmentFlag.AlignRight
        self._grid.addWidget(label(text, role, self._table), row, column, side)

    def texts(self) -> list[str]:
        """All cells, row by row; for tests."""
        found = []
        for place in range(self._grid.count()):
            item = self._grid.itemAt(place)
            widget = item.widget() if item is not None else None
            if isinstance(widget, QLabel):
                found.append(widget.text())
        return found


def column(*parts: tuple[QWidget, int, int]) -> QWidget:
    """Cards below each other: (card, least height or 0, share of the height)."""
    page = with_role(QWidget(), "plain")
    layout = QVBoxLayout(page)
    layout.setContentsMargins(12, 12, 12, 12)
    layout.setSpacing(12)
    for card, least, share in parts:
        if least:
            card.setMinimumHeight(least)
        layout.addWidget(card, share)
    return page


LOSS_CHOICES = {"auto": "Auto", "linear": "Linear", "log": "Log"}
METRIC_CHOICES = {"metric": "Metric", "rate": "Learning rate"}
