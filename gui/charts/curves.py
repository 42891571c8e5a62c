"""Curves over one axis, with marks: singular values and their energy, energy by frequency."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QWidget

from core.encoding.base import Array
from gui.charts.axis import Axis
from gui.charts.plot import Plot
from gui.theme import theme

_HEIGHTS = (0.5, 0.35, 0.65, 0.2, 0.8, 0.08)


@dataclass(frozen=True)
class Curve:
    """One line. `role` is its colour; `y` are shares 0..1, shown per cent; `name` is for the read-out."""

    name: str
    role: str
    x: Array
    y: Array


@dataclass(frozen=True)
class Mark:
    """A dashed upright line with a few words."""

    x: float
    text: str


class CurveChart(Plot):
    """Lines of shares (0 to 100 %) over a count: ranks, frequencies. A cut can be dragged along them.

    cut_moved(x, finished)   the person put the cut at a whole x, by drag, click or Enter; finished: and let go
    """

    cut_moved = Signal(int, bool)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent, y_label="share, %")
        percent = Axis("left", lambda value, step: f"{100 * value:.0f}")
        self.plotItem.setAxisItems({"left": percent, "bottom": Axis("bottom")})
        percent.setWidth(40)
        self._lines: list[tuple[str, pg.PlotCurveItem]] = []
        self._marks: list[tuple[pg.InfiniteLine, pg.TextItem]] = []
        self._curves: tuple[Curve, ...] = ()
        self._x_name = ""
        self._cut = pg.InfiniteLine(angle=90, movable=True)
        self._cut.setZValue(40)
        self._cut.hide()
        self.plotItem.addItem(self._cut, ignoreBounds=True)
        self._cut.sigDragged.connect(lambda: self.cut_moved.emit(round(self._cut.value()), False))
        self._cut.sigPositionChangeFinished.connect(lambda: self.cut_moved.emit(round(self._cut.value()), True))
        self.retheme()

    def set_curves(self, curves: Sequence[Curve], marks: Sequence[Mark], x_label: str, x_name: str) -> None:
        """Show the curves; none while they are computed. `x_name` is the word for one x in the read-out ("rank")."""
        self._curves, self._x_name = tuple(curves), x_name
        self.set_labels(x=x_label)
        self._remove_items()
        self.set_waiting(not curves)
        for curve in curves:
            line = pg.PlotCurveItem(curve.x, curve.y)
            self._lines.append((curve.role, line))
            self.plotItem.addItem(line, ignoreBounds=True)
        xs = np.concatenate([c.x for c in curves]) if curves else np.array([0.0, 1.0])
        low, high = float(xs.min()), float(xs.max())
        pad = 0.02 * (high - low or 1.0)
        self.plotItem.getViewBox().setRange(xRange=(low - pad, high + pad), yRange=(-0.02, 1.06), padding=0)
        for mark in marks:
            late = mark.x > (low + high) / 2
            self._add_mark(mark, late, self._free_height(mark.x, -0.3 if late else 0.3, high - low))
        self._color_items()

    def set_cut(self, x: int | None) -> None:
        """Show the cut at x; None: there is nothing to cut."""
        self._cut.setVisible(x is not None)
        if x is not None and self._curves:
            self._cut.setBounds((float(self._curves[0].x[0]), float(self._curves[0].x[-1])))
            self._cut.setValue(x)

    def cut(self) -> int | None:
        """Where the cut is."""
        return round(self._cut.value()) if self._cut.isVisible() else None

    def activated(self, x: float) -> None:
        if self._cut.isVisible() and self._curves:
            ends = self._curves[0].x
            self.cut_moved.emit(round(min(max(x, float(ends[0])), float(ends[-1]))), True)

    def marks(self) -> tuple[tuple[float, str], ...]:
        """Position and words of each mark; for tests."""
        return tuple((float(line.value()), text.toPlainText()) for line, text in self._marks)

    def retheme(self) -> None:
        super().retheme()
        self._color_items()

    def _free_height(self, x: float, reach: float, span: float) -> float:
        """Where words beside x, `reach` of the span wide, are farthest from every curve."""
        beside = x + np.linspace(0.0, reach, 7) * span
        drawn = np.concatenate([np.interp(beside, curve.x, curve.y) for curve in self._curves])
        return max(_HEIGHTS, key=lambda height: float(np.abs(drawn - height).min()))

    def _add_mark(self, mark: Mark, late: bool, height: float) -> None:
        line = pg.InfiniteLine(pos=mark.x, angle=90, movable=False)
        text = pg.TextItem(mark.text, anchor=(1.0 if late else 0.0, 0.5))
        text.setPos(mark.x, height)
        self._marks.append((line, text))
        self.plotItem.addItem(line, ignoreBounds=True)
        self.plotItem.addItem(text, ignoreBounds=True)

    def _remove_items(self) -> None:
        for _, item in self._lines:
            self.plotItem.removeItem(item)
        for pair in self._marks:
            for item in pair:
                self.plotItem.removeItem(item)
        self._lines, self._marks = [], []

    def _color_items(self) -> None:
        now = theme()
        for role, line in self._lines:
            line.setPen(pg.mkPen(now.color(role), width=1))
        self._cut.setPen(pg.mkPen(now.color("accent"), width=2))
        self._cut.setHoverPen(pg.mkPen(now.color("accent"), width=4))
        for mark, text in self._marks:
            mark.setPen(pg.mkPen(now.color("strong_border"), width=1, style=Qt.PenStyle.DashLine))
            text.setColor(now.color("muted"))
            text.fill = pg.mkBrush(now.color("surface"))
            text.setFont(now.font("tiny", figures=True))

    def stops(self) -> tuple[float, ...]:
        return tuple(self._curves[0].x.tolist()) if self._curves else ()

    def read_out(self, x: float, y: float) -> tuple[float, str] | None:
        if not self._curves:
            return None
        first = self._curves[0].x
        index = int(np.argmin(np.abs(first - x)))
        parts = [f"{c.name} {100 * float(c.y[index]):.1f} %" for c in self._curves if index < len(c.y)]
        return float(first[index]), f"{self._x_name} {first[index]:,.0f}: " + ", ".join(parts)
