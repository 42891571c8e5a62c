"""The chart of a training: curves over epochs that grow while it runs."""

from __future__ import annotations

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QWidget

from gui.charts.axis import Axis, plain
from gui.charts.plot import Plot
from gui.theme import theme
from gui.training.pictures import Line, Picture, What
from gui.units import MINUS

_AXIS_WIDTH = 52
_FAINT, _SHADE = 0.35, 0.10
_RING, _DOT = 11, 6
_HEADROOM = 0.14
_LEAST = 1e-12
"""What is drawn on a logarithmic axis for a value that has no logarithm."""


class LearningChart(Plot):
    """Curves of one picture. Items are kept between pictures, so that a growing curve costs what its points cost."""

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent, x_label="epoch")
        self._picture = Picture(What.LOSS)
        self._lone: list[Line] = []
        self._left = Axis("left", self._write)
        self._left.setWidth(_AXIS_WIDTH)
        self.plotItem.setAxisItems({"left": self._left, "bottom": Axis("bottom", _whole)})
        self._curves: list[pg.PlotCurveItem] = []
        self._marks: list[tuple[pg.InfiniteLine, pg.TextItem]] = []
        self._region = pg.LinearRegionItem(movable=False)
        self._region.setZValue(-20)
        self._begins = pg.TextItem("overfitting begins", anchor=(0.0, 1.0))
        self._reference = pg.InfiniteLine(angle=0, movable=False)
        self._level = pg.TextItem("", anchor=(1.0, 0.0))
        self._ring = pg.ScatterPlotItem(size=_RING, symbol="o")
        self._ring.setZValue(30)
        self._dots = pg.ScatterPlotItem(size=_DOT, symbol="o")
        self._dots.setZValue(20)
        for item in (self._region, self._begins, self._reference, self._level, self._dots, self._ring):
            self.plotItem.addItem(item, ignoreBounds=True)
        self.setAccessibleName(name)
        self.show_picture(self._picture)
        self.retheme()

    @property
    def picture(self) -> Picture:
        """What is shown."""
        return self._picture

    def show_picture(self, picture: Picture) -> None:
        """Show a picture in the place of the one before."""
        marks_differ = picture.marks != self._picture.marks
        self._picture = picture
        for place, line in enumerate(picture.lines):
            self._draw(self._curve(place), line)
        for curve in self._curves[len(picture.lines):]:
            curve.setData([], [])
        low, high = self._height(picture.low), self._height(picture.high)
        box = self.plotItem.getViewBox()
        if picture.marks:
            high += _HEADROOM * (high - low)  # for their words, above the curves
        across = picture.ends - picture.begins
        box.setRange(xRange=(picture.begins, picture.ends + 0.01 * across), yRange=(low, high), padding=0)
        if marks_differ:
            self._set_marks()
        for _line, text in self._marks:
            text.setPos(text.pos().x(), high)
        self._show_parted(low)
        self._show_reference(low, high)
        # a curve of one point has no line
        self._lone = [line for line in picture.lines if line.name and len(line.x) == 1]
        self._dots.setData([line.x[0] for line in self._lone], [self._height(line.y[0]) for line in self._lone])
        ring = picture.ring
        self._ring.setData([ring[0]] if ring else [], [self._height(ring[1])] if ring else [])
        self._color()
        self._left.picture = None  # numbers are written anew also where the ticks stay
        self._left.update()

    def _curve(self, place: int) -> pg.PlotCurveItem:
        while len(self._curves) <= place:
            curve = pg.PlotCurveItem(antialias=True)
            self._curves.append(curve)
            self.plotItem.addItem(curve, ignoreBounds=True)
        return self._curves[place]

    def _draw(self, curve: pg.PlotCurveItem, line: Line) -> None:
        y = np.asarray(line.y, np.float64)
        if self._picture.logarithmic:
            y = np.log10(np.maximum(y, _LEAST))
        curve.setData(np.asarray(line.x, np.float64), y)
        curve.setZValue(0 if line.faint else 10)

    def _height(self, value: float) -> float:
        return float(np.log10(max(value, _LEAST))) if self._picture.logarithmic else value

    def _set_marks(self) -> None:
        for pair in self._marks:
            for item in pair:
                self.plotItem.removeItem(item)
        self._marks = []
        for x, words in self._picture.marks:
            line, text = pg.InfiniteLine(pos=x, angle=90, movable=False), pg.TextItem(words, anchor=(0.0, 0.0))
            text.setPos(x, 0.0)
            self._marks.append((line, text))
            self.plotItem.addItem(line, ignoreBounds=True)
            self.plotItem.addItem(text, ignoreBounds=True)

    def _show_parted(self, low: float) -> None:
        parted = self._picture.parted
        self._region.setVisible(parted is not None)
        self._begins.setVisible(parted is not None)
        if parted is not None:
            self._region.setRegion((parted - 0.5, self._picture.ends + 1.0))
            late = parted > 0.6 * self._picture.ends
            self._begins.setAnchor((1.0 if late else 0.0, 1.0))
            self._begins.setPos(parted - 0.5, low)

    def _show_reference(self, low: float, high: float) -> None:
        found = self._picture.reference
        self._reference.setVisible(found is not None)
        self._level.setVisible(found is not None)
        if found is not None:
            self._reference.setValue(self._height(found[0]))
            self._level.setPlainText(found[1])
            below = self._height(found[0]) > (low + high) / 2
            self._level.setAnchor((1.0, 0.0 if below else 1.0))
            self._level.setPos(self._picture.ends, self._height(found[0]))

    # -- looks --------------------------------------------------------------------------------------------------------

    def retheme(self) -> None:
        super().retheme()
        if hasattr(self, "_ring"):
            self._color()

    def _color(self) -> None:
        now = theme()
        for line, curve in zip(self._picture.lines, self._curves, strict=False):
            named = bool(line.name)
            curve.setPen(pg.mkPen(now.color(line.role, _FAINT if line.faint and line.role != "strong_border" else 1.0),
                                  width=1.5 if named else 1))
        self._dots.setPen(pg.mkPen(None))
        self._dots.setBrush([pg.mkBrush(now.color(line.role)) for line in self._lone] or pg.mkBrush(None))
        for mark, text in self._marks:
            mark.setPen(pg.mkPen(now.color("strong_border"), width=1, style=Qt.PenStyle.DashLine))
            self._dress(text, "muted")
        self._region.setBrush(pg.mkBrush(now.color("warn", _SHADE)))
        for edge, role in zip(self._region.lines, ("warn", "surface"), strict=True):
            edge.setPen(pg.mkPen(now.color(role), width=1, style=Qt.PenStyle.DashLine))
        self._dress(self._begins, "warn")
        self._reference.setPen(pg.mkPen(now.color("before"), width=1, style=Qt.PenStyle.DashLine))
        self._dress(self._level, "muted")
        self._ring.setPen(pg.mkPen(now.color("text"), width=1.5))
        self._ring.setBrush(pg.mkBrush(None))

    def _dress(self, text: pg.TextItem, role: str) -> None:
        text.setColor(theme().color(role))
        text.setFont(theme().font("tiny", figures=True))

    def _write(self, value: float, step: float) -> str:
        if self._picture.what is What.RATE and value:
            return f"{value:.1e}".replace("-", MINUS)
        if not self._picture.logarithmic:
            return f"{plain(value, step)} {self._picture.unit}".strip()
        if step < 1.0 and abs(value - round(value)) > 1e-6 and step > 0.31:
            return ""
        return plain(float(f"{10.0 ** value:.2g}"))

    # -- read-out -----------------------------------------------------------------------------------------------------

    def stops(self) -> tuple[float, ...]:
        return tuple(epoch for epoch, _words in self._picture.tips)

    def read_out(self, x: float, y: float) -> tuple[float, str] | None:
        tips = self._picture.tips
        return min(tips, key=lambda tip: abs(tip[0] - x)) if tips else None


def _whole(value: float, step: float) -> str:
    """Epochs are whole; a tick between them has no number."""
    return f"{value:,.0f}" if abs(value - round(value)) < 1e-6 else ""
