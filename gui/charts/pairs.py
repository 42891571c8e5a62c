"""Pairs of bars, original beside compressed: accuracy by class, and both models' top answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QFontMetricsF, QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from gui.charts.axis import Axis
from gui.charts.plot import Plot
from gui.theme import theme
from gui.units import MINUS

_MOST_LABELS = 24


@dataclass(frozen=True)
class Pair:
    """One name with the original's and the compressed model's value.

    before, after   values, or None where a model has none
    note            a few words for the read-out ("97 of 100 before, 96 after")
    unknown         what is said in place of a value that is None
    """

    name: str
    before: float | None
    after: float | None
    note: str = ""
    unknown: str = "none"


class PairChart(Plot):
    """Upright pairs of shares 0 to 1, shown per cent."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent, y_label="right, %")
        left = Axis("left", lambda value, step: f"{100 * value:.0f}")
        self.plotItem.setAxisItems({"left": left, "bottom": Axis("bottom")})
        left.setWidth(40)
        none = np.zeros(0)
        self._bars = {
            role: pg.BarGraphItem(x0=none, x1=none, y0=none, y1=none, pen=None) for role in ("before", "after", "warn")
        }
        self._marks = pg.ScatterPlotItem(symbol="t", size=7, pen=None)
        for item in (*self._bars.values(), self._marks):
            self.plotItem.addItem(item, ignoreBounds=True)
        self._pairs: tuple[Pair, ...] = ()
        self.setAccessibleName("Accuracy by class")
        self.retheme()

    def set_pairs(self, pairs: Sequence[Pair], x_label: str = "class") -> None:
        """Show the pairs, in the given order; classes that got worse have a triangle above."""
        self._pairs = tuple(pairs)
        self.set_labels(x=x_label)
        before = np.array([p.before or 0.0 for p in pairs])
        after = np.array([p.after or 0.0 for p in pairs])
        left = np.arange(len(pairs)) + 0.12
        worse = after < before - 1e-9
        for role, x, heights, here in (
            ("before", left, before, np.ones(len(pairs), bool)),
            ("after", left + 0.39, after, ~worse),
            ("warn", left + 0.39, after, worse),
        ):
            self._bars[role].setOpts(
                x0=x[here], x1=x[here] + 0.37, y0=np.zeros(int(here.sum())), y1=heights[here]
            )
        self._marks.setData(left[worse] + 0.575, after[worse] + 0.035)
        every = max(1, -(-len(pairs) // _MOST_LABELS))
        ticks = [(i + 0.5, p.name) for i, p in enumerate(pairs) if i % every == 0]
        self.plotItem.getAxis("bottom").setTicks([ticks])
        box = self.plotItem.getViewBox()
        box.setRange(xRange=(-0.3, max(len(pairs), 1) + 0.3), yRange=(0.0, 1.08), padding=0)

    def pairs(self) -> tuple[Pair, ...]:
        """What is shown."""
        return self._pairs

    def retheme(self) -> None:
        super().retheme()
        now = theme()
        for role, bars in self._bars.items():
            bars.setOpts(brush=now.color(role), pen=pg.mkPen(None))
        self._marks.setBrush(now.color("warn"))

    def stops(self) -> tuple[float, ...]:
        return tuple(i + 0.5 for i in range(len(self._pairs)))

    def read_out(self, x: float, y: float) -> tuple[float, str] | None:
        index = int(np.floor(x))
        if not 0 <= index < len(self._pairs):
            return None
        pair = self._pairs[index]
        return index + 0.5, f"{pair.name}: {pair.note or _words(pair)}"


class ScoreBars(QWidget):
    """Lying pairs: each answer's name, its score in the original above its score in the compressed model.

    Negative scores go to the left of a zero line.
    """

    _ROW, _BAR = 30, 8

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._pairs: tuple[Pair, ...] = ()
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        theme().changed.connect(self.update)

    def set_pairs(self, pairs: Sequence[Pair]) -> None:
        """Show the answers; the bars' scale reaches from the lowest score or 0 to the highest or 1."""
        self._pairs = tuple(pairs)
        self.setAccessibleName("; ".join(f"{p.name}: {_words(p)}" for p in pairs))
        self.updateGeometry()
        self.update()

    def pairs(self) -> tuple[Pair, ...]:
        """What is shown."""
        return self._pairs

    def sizeHint(self) -> QSize:
        return QSize(220, self._ROW * max(1, len(self._pairs)))

    def minimumSizeHint(self) -> QSize:
        return self.sizeHint()

    def paintEvent(self, event: QPaintEvent) -> None:
        if not self._pairs:
            return
        painter = QPainter(self)
        now = theme()
        painter.setFont(now.font("small", figures=True))
        metrics = QFontMetricsF(painter.font())
        name_width = min(max(metrics.horizontalAdvance(p.name) for p in self._pairs) + 10, 0.4 * self.width())
        low, high = score_range(self._pairs)
        scale = self._bar_room(metrics, name_width, high - low) / (high - low)
        zero = name_width - low * scale
        if low < 0:
            painter.fillRect(QRectF(zero - 1, 0, 1, self._ROW * len(self._pairs) - 4), now.color("strong_border"))
        for row, pair in enumerate(self._pairs):
            y = row * self._ROW
            painter.setPen(now.color("text"))
            name = metrics.elidedText(pair.name, Qt.TextElideMode.ElideRight, name_width - 8)
            painter.drawText(QRectF(0, y, name_width, self._ROW - 4), Qt.AlignmentFlag.AlignVCenter, name)
            for line, (role, score) in enumerate((("before", pair.before), ("after", pair.after))):
                middle = y + 7 + line * 13
                ends = sorted((zero, zero + (score or 0.0) * scale))
                if score is not None:
                    width = max(ends[1] - ends[0], 1.0)
                    painter.fillRect(QRectF(ends[0], middle - self._BAR / 2, width, self._BAR), now.color(role))
                painter.setPen(now.color("muted"))
                place = QRectF(ends[1] + 5, middle - 8, self.width() - ends[1] - 5, 16)
                painter.drawText(place, Qt.AlignmentFlag.AlignVCenter, _score(score, pair.unknown))
        painter.end()

    def _bar_room(self, metrics: QFontMetricsF, name_width: float, span: float) -> float:
        """Width for the bars so that every score has room behind its own bar's end."""
        room = self.width() - name_width - 8
        low = score_range(self._pairs)[0]
        found = room
        for pair in self._pairs:
            for score in (pair.before, pair.after):
                share = (max(score or 0.0, 0.0) - low) / span  # of the bars' width that lies before the words
                words = metrics.horizontalAdvance(_score(score, pair.unknown)) + 5
                if share > 0:
                    found = min(found, (room - words) / share)
        return max(found, 1.0)


def score_range(pairs: Sequence[Pair]) -> tuple[float, float]:
    """The lowest and highest end of the bars; zero and one are always within."""
    scores = [s for p in pairs for s in (p.before, p.after) if s is not None]
    return min([0.0, *scores]), max([1.0, *scores])


def _score(score: float | None, unknown: str) -> str:
    return unknown if score is None else f"{score:.3f}".replace("-", MINUS)


def _words(pair: Pair) -> str:
    return f"{_score(pair.before, pair.unknown)} before, {_score(pair.after, pair.unknown)} after"
