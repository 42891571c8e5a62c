"""The use that new data makes of channels: bars by layer, the most used first, and the limit below which they go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import Qt
from PySide6.QtGui import QBrush
from PySide6.QtWidgets import QWidget

from core.encoding.base import Array
from gui.charts.plot import Plot
from gui.theme import theme

if TYPE_CHECKING:
    from core.transfer.usage import ChannelUse

_TOP = 3.0
"""Use at which bars are cut off: 1 is an average channel, and what is far above it needs no telling apart."""
_GAP = 0.04
"""Room between two layers, as a share of all channels."""
_PLACES = 400
"""Bars at most: of more channels, neighbours of one layer share a bar that shows the lowest of them."""


class UseChart(Plot):
    """One bar a channel. Bars below the threshold have the warning colour and a hatch: those channels go."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent, x_label="channels by layer, the most used first", y_label="use (1 is the average)")
        none = np.zeros(0)
        self._bars = {k: pg.BarGraphItem(x0=none, x1=none, y0=none, y1=none, pen=None) for k in ("stays", "goes")}
        self._line = pg.InfiniteLine(angle=0, movable=False)
        self._line.setZValue(20)
        for item in (*self._bars.values(), self._line):
            self.plotItem.addItem(item, ignoreBounds=True)
        self._layers: tuple[ChannelUse, ...] = ()
        self._threshold = 0.0
        self._left, self._use, self._of = none, none, np.zeros(0, np.int64)
        self.setAccessibleName("Use of the channels on the new data")
        self.retheme()

    def set_use(self, layers: Sequence[ChannelUse], threshold: float) -> None:
        """Show the channels of these layers. threshold: use below which a channel goes, 0 for none."""
        self._layers, self._threshold = tuple(layers), threshold
        self._arrange()
        self._draw()

    def set_threshold(self, threshold: float) -> None:
        self._threshold = threshold
        self._draw()

    @property
    def going(self) -> int:
        """Channels below the threshold."""
        return sum(one.below(self._threshold) for one in self._layers)

    def retheme(self) -> None:
        super().retheme()
        now = theme()
        self._bars["stays"].setOpts(brush=now.color("after"), pen=pg.mkPen(None))
        hatch = QBrush(now.color("warn"), Qt.BrushStyle.BDiagPattern)
        self._bars["goes"].setOpts(brush=hatch, pen=pg.mkPen(now.color("warn"), width=1))
        self._line.setPen(pg.mkPen(now.color("bad"), width=1, style=Qt.PenStyle.DashLine))

    def _arrange(self) -> None:
        """The bars' places: layer beside layer, every bar as wide."""
        total = sum(one.units for one in self._layers)
        each = max(1, -(-total // _PLACES))
        parts: list[Array] = []
        ticks, place, left, of = [], 0.0, [], []
        for number, one in enumerate(self._layers):
            ordered = np.sort(one.use)[::-1]
            chunks = [ordered[start : start + each].min() for start in range(0, ordered.size, each)]
            parts.append(np.array(chunks, np.float64))
            left.append(place + np.arange(len(chunks)))
            of.append(np.full(len(chunks), number))
            ticks.append((place + len(chunks) / 2, one.title))
            place += len(chunks) + max(1.0, _GAP * total / each)
        self._left = np.concatenate(left) if left else np.zeros(0)
        self._use = np.concatenate(parts) if parts else np.zeros(0)
        self._of = np.concatenate(of) if of else np.zeros(0, np.int64)
        self.plotItem.getAxis("bottom").setTicks([ticks if len(ticks) <= 12 else ticks[:: -(-len(ticks) // 12)]])
        self.plotItem.getViewBox().setRange(xRange=(-1.0, max(place, 1.0)), yRange=(0.0, _TOP * 1.05), padding=0)

    def _draw(self) -> None:
        heights = np.minimum(self._use, _TOP)
        goes = self._use < self._threshold
        for kind, here in (("stays", ~goes), ("goes", goes)):
            tall = np.maximum(heights[here], 0.03)  # a channel that never changes is seen as well
            self._bars[kind].setOpts(
                x0=self._left[here], x1=self._left[here] + 1.0, y0=np.zeros(int(here.sum())), y1=tall
            )
        self._line.setVisible(self._threshold > 0)
        self._line.setValue(min(self._threshold, _TOP))

    def stops(self) -> tuple[float, ...]:
        return tuple(self._left + 0.5)

    def read_out(self, x: float, y: float) -> tuple[float, str] | None:
        here = np.flatnonzero((self._left <= x) & (x < self._left + 1.0))
        if not here.size:
            return None
        place = int(here[0])
        layer = self._layers[int(self._of[place])]
        told = f"{layer.title}: use {self._use[place]:.3f}, {layer.below(self._threshold):,} of {layer.units:,} go"
        return float(self._left[place]) + 0.5, told
