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
    """

    name: str
    before: float | None
    after: float | None
    note: str = ""


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
    """Lying pairs: each answer's name, its score in the original above its score in the compressed model."""

    _ROW, _BAR = 34, 8

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._pairs: tuple[Pair, ...] = ()
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        theme().changed.connect(self.update)

    def set_pairs(self, pairs: Sequence[Pair]) -> None:
        """Show the answers; bars are drawn relative to 1 or to the largest score when that is more."""
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
        words = [_score(score) for p in self._pairs for score in (p.before, p.after)]
        score_width = max(metrics.horizontalAdvance(text) for text in words)
        full = self.width() - name_width - score_width - 8
        scores = [abs(s) for p in self._pairs for s in (p.before, p.after) if s is not None]
        top = max([1.0, *scores])
        for row, pair in enumerate(self._pairs):
            y = row * self._ROW
            painter.setPen(now.color("text"))
            name = metrics.elidedText(pair.name, Qt.TextElideMode.ElideRight, name_width - 8)
            painter.drawText(QRectF(0, y, name_width, self._ROW - 4), Qt.AlignmentFlag.AlignVCenter, name)
            for line, (role, score) in enumerate((("before", pair.before), ("after", pair.after))):
                middle = y + 8 + line * 14
                length = full * max(score or 0.0, 0.0) / top
                bar = QRectF(name_width, middle - self._BAR / 2, max(length, 1.0), self._BAR)
                painter.fillRect(bar, now.color(role))
                painter.setPen(now.color("muted"))
                place = QRectF(bar.right() + 5, middle - 8, score_width + 4, 16)
                painter.drawText(place, Qt.AlignmentFlag.AlignVCenter, _score(score))
        painter.end()


def _score(score: float | None) -> str:
    return "none" if score is None else f"{score:.3f}".replace("-", MINUS)


def _words(pair: Pair) -> str:
    return f"{_score(pair.before)} before, {_score(pair.after)} after"
