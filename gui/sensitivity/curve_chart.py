"""Error against size of one layer's settings, a curve for each family."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QPointF, Qt, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QWidget

from gui.charts.axis import Axis, plain
from gui.charts.plot import Plot
from gui.charts.whole_plans import better
from gui.theme import theme
from gui.units import MINUS

ROLES = ("series_1", "series_2", "series_3", "series_4")
_SYMBOLS = ("o", "s", "t", "d")
_SIZE, _RING = 7, 15
_REACH = 40.0
"""Pixels within which the pointer takes hold of a point."""
_LOWEST = -9.0
"""log10 of the error that is drawn for none at all."""


@dataclass(frozen=True)
class Spot:
    """One setting.

    column    of the table
    share     size in per cent of float32
    error     not negative and finite
    measured  drawn solid; else it is predicted, and hollow
    words     for the read-out
    """

    column: int
    family: str
    share: float
    error: float
    measured: bool
    words: str


class SizeCurves(Plot):
    """The chart: SQNR upward, divergences likewise; the left is smaller. The ring is the plan's choice.

    picked(column)   the person clicked a setting, or pressed Enter on it
    """

    picked = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent, x_label="size of the layer, % of float32")
        self._nats = False
        left = Axis("left", self._error_text)
        self.plotItem.setAxisItems({"left": left, "bottom": Axis("bottom", plain)})
        left.setWidth(52)
        self._spots: tuple[Spot, ...] = ()
        self._chosen = -1
        self._held = -1
        self._lines: dict[str, tuple[pg.PlotCurveItem, pg.ScatterPlotItem]] = {}
        self._ring = pg.ScatterPlotItem(size=_RING, symbol="o")
        self._ring.setZValue(30)
        self.plotItem.addItem(self._ring, ignoreBounds=True)
        self.setAccessibleName("Error against size of the selected layer")
        self.retheme()

    def set_spots(self, spots: Sequence[Spot], families: Sequence[str], chosen: int, *, nats: bool) -> None:
        """Show settings.

        families  in the order of their colours
        chosen    column of the plan's setting, -1 for none among these
        nats      errors are divergences; else shares of a sum of squares, shown in dB
        """
        self._spots, self._chosen, self._nats = tuple(sorted(spots, key=lambda s: (s.share, -s.error))), chosen, nats
        self._held = -1
        self._show(None)
        self.set_labels(y="\N{LEFTWARDS ARROW} better \N{MIDDLE DOT} mnat" if nats
                        else "dB \N{MIDDLE DOT} better \N{RIGHTWARDS ARROW}")
        for items in self._lines.values():
            for item in items:
                self.plotItem.removeItem(item)
        self._lines = {}
        for family in families:
            mine = [spot for spot in self._spots if spot.family == family]
            if mine:
                x, y = np.array([s.share for s in mine]), np.array([self.height_of(s.error) for s in mine])
                front = better([(s.share, -s.error) for s in mine])  # the others are beaten in both, and stay points
                curve, dots = pg.PlotCurveItem(x[front], y[front], antialias=True), pg.ScatterPlotItem(x, y, size=_SIZE)
                self._lines[family] = (curve, dots)
                for item in (curve, dots):
                    self.plotItem.addItem(item, ignoreBounds=True)
        self._families = tuple(families)
        self._fit()
        self._color()

    def spots(self) -> tuple[Spot, ...]:
        """What is shown, by size."""
        return self._spots

    @property
    def chosen(self) -> int:
        return self._chosen

    def height_of(self, error: float) -> float:
        """Where an error lies on the y axis: its log10, downward where decibels are shown."""
        power = float(np.log10(error)) if error > 10**_LOWEST else _LOWEST
        return power if self._nats else -power

    def _fit(self) -> None:
        heights = [self.height_of(spot.error) for spot in self._spots] or [0.0]
        widest = max((spot.share for spot in self._spots), default=100.0)
        low, high = min(heights), max(heights)
        pad = 0.09 * (high - low) or 0.5
        self.plotItem.getViewBox().setRange(xRange=(0.0, 1.04 * widest), yRange=(low - pad, high + pad), padding=0)
        ring = [spot for spot in self._spots if spot.column == self._chosen]
        self._ring.setData([spot.share for spot in ring], [self.height_of(spot.error) for spot in ring])

    def _color(self) -> None:
        now = theme()
        for family, (curve, dots) in self._lines.items():
            number = self._families.index(family)
            color = now.color(ROLES[number % len(ROLES)])
            curve.setPen(pg.mkPen(color, width=1))
            mine = [spot for spot in self._spots if spot.family == family]
            dots.setSymbol(_SYMBOLS[number % len(_SYMBOLS)])
            dots.setPen(pg.mkPen(color, width=1.5))
            surface = now.color("surface")
            dots.setBrush([pg.mkBrush(color if spot.measured else surface) for spot in mine])
        self._ring.setPen(pg.mkPen(now.color("text"), width=2))
        self._ring.setBrush(pg.mkBrush(None))

    def retheme(self) -> None:
        super().retheme()
        if hasattr(self, "_ring"):
            self._color()

    def _error_text(self, value: float, step: float) -> str:
        if not self._nats:
            return f"{10 * value:.0f} dB".replace("-", MINUS) if abs(value) > 1e-9 else "0 dB"
        if step < 1.0 and abs(value - round(value)) > 1e-6:
            return ""
        power = value + 3.0  # thousandths of a nat
        return plain(10.0**power) if power > -4.5 else f"1e{MINUS}{-round(power)}"

    # -- pointer and keyboard -----------------------------------------------------------------------------------------

    def read_out(self, x: float, y: float) -> tuple[float, str] | None:
        box = self.plotItem.getViewBox()
        here = box.mapViewToDevice(QPointF(x, y))
        best, nearest = -1, _REACH
        for at, spot in enumerate(self._spots):
            there = box.mapViewToDevice(QPointF(spot.share, self.height_of(spot.error)))
            if here is None or there is None:
                continue
            away = float(np.hypot(here.x() - there.x(), here.y() - there.y()))
            if away < nearest:
                best, nearest = at, away
        self._held = best
        self.setCursor(Qt.CursorShape.PointingHandCursor if best >= 0 else Qt.CursorShape.ArrowCursor)
        return (self._spots[best].share, self._spots[best].words) if best >= 0 else None

    def activated(self, x: float) -> None:
        if 0 <= self._held < len(self._spots):
            self.picked.emit(self._spots[self._held].column)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        last = len(self._spots) - 1
        moves = {Qt.Key.Key_Left: self._held - 1 if self._held >= 0 else last, Qt.Key.Key_Right: self._held + 1,
                 Qt.Key.Key_Home: 0, Qt.Key.Key_End: last}
        if self._spots and event.key() in moves:
            self._held = min(max(moves[Qt.Key(event.key())], 0), last)
            self._show((self._spots[self._held].share, self._spots[self._held].words))
        elif event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space):
            self.activated(0.0)
        else:
            event.ignore()
