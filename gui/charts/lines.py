"""A plain line of values: a sample that is a sound or another series."""

from __future__ import annotations

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QWidget

from core.encoding.base import Array
from gui.charts.axis import Axis, plain
from gui.charts.plot import Plot
from gui.theme import theme


class LineChart(Plot):
    """Values over their place in the input."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent, x_label="place", y_label="value")
        self.plotItem.setAxisItems({"left": Axis("left"), "bottom": Axis("bottom")})
        self.plotItem.getAxis("left").setWidth(46)
        self._line = pg.PlotCurveItem()
        self.plotItem.addItem(self._line, ignoreBounds=True)
        self._values: Array = np.zeros(0)
        self.setAccessibleName("Input values")
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.retheme()

    def set_values(self, values: Array) -> None:
        """Show values of shape (n,); NaN leaves a gap."""
        self._values = values
        self._line.setData(np.arange(len(values)), values, connect="finite")
        finite = values[np.isfinite(values)]
        low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
        pad = 0.05 * (high - low) or max(abs(high), 1.0) * 0.05
        box = self.plotItem.getViewBox()
        box.setRange(xRange=(0, max(len(values) - 1, 1)), yRange=(low - pad, high + pad), padding=0)

    def retheme(self) -> None:
        super().retheme()
        self._line.setPen(pg.mkPen(theme().color("before"), width=1))

    def read_out(self, x: float, y: float) -> tuple[float, str] | None:
        place = round(x)
        if not 0 <= place < len(self._values):
            return None
        return float(place), f"{place}: {plain(float(self._values[place]))}"
