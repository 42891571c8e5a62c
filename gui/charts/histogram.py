"""How a layer's weights are distributed, before and after, on one axis."""

from __future__ import annotations

import numpy as np
import pyqtgraph as pg
from PySide6.QtWidgets import QWidget

from core.analysis.histogram import Histogram
from core.encoding.base import Array
from gui.charts.axis import Axis, plain
from gui.charts.plot import Plot
from gui.theme import theme
from gui.units import count

_FLOOR = 0.5
"""Where a logarithmic bar starts, so that a bin with one weight is still seen."""
_RUG = 0.035
"""Height of the strip with the level marks below the bars, as a share of the tallest bar."""

_ROOM, _END_ROOM = 0.06, 0.16
"""Free height above the tallest bar; more where the end bins' numbers stand there."""


def folded(histogram: Histogram) -> tuple[Array, Array, Array]:
    """Left edges, right edges and counts, the weights beyond the ends in a bin of their own beside a gap."""
    edges, counts = histogram.edges, histogram.counts
    width = float(edges[1] - edges[0])
    left, right = edges[:-1], edges[1:]
    if histogram.below:
        left, right = np.r_[left[0] - 3 * width, left], np.r_[left[0] - width, right]
        counts = np.r_[histogram.below, counts]
    if histogram.above:
        left, right = np.r_[left, right[-1] + width], np.r_[right, right[-1] + 3 * width]
        counts = np.r_[counts, histogram.above]
    return left, right, counts


class HistogramChart(Plot):
    """Grey bars before, blue bars after, outliers folded into end bins that say how many, level marks below."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent, x_label="weight", y_label="weights per bin")
        self._left_axis, self._bottom_axis = Axis("left"), Axis("bottom")
        self.plotItem.setAxisItems({"left": self._left_axis, "bottom": self._bottom_axis})
        self._left_axis.setWidth(46)
        self._before: Histogram | None = None
        self._after: Histogram | None = None
        self._levels: Array | None = None
        self._log = True
        empty = np.zeros(0)
        self._before_bars = pg.BarGraphItem(x0=empty, x1=empty, y0=empty, y1=empty, pen=None)
        self._after_bars = pg.BarGraphItem(x0=empty, x1=empty, y0=empty, y1=empty, pen=None)
        self._rug = pg.PlotCurveItem(connect="pairs")
        self._ends = (pg.TextItem(anchor=(0, 0)), pg.TextItem(anchor=(1, 0)))
        for item in (self._before_bars, self._after_bars, self._rug, *self._ends):
            self.plotItem.addItem(item, ignoreBounds=True)
        for text in self._ends:
            text.setZValue(30)
        self.setAccessibleName("Weight distribution")
        self.retheme()

    @property
    def logarithmic(self) -> bool:
        return self._log

    def set_logarithmic(self, on: bool) -> None:
        """Count on a logarithmic axis (small bins stay visible) or a linear one."""
        if on != self._log:
            self._log = on
            self._draw()

    def set_histograms(
        self, before: Histogram | None, after: Histogram | None = None, levels: Array | None = None
    ) -> None:
        """Show the distributions; `levels` are the distinct values after compression, or None.

        Without `before` it is being computed.
        """
        self._before, self._after, self._levels = before, after, levels
        self.set_waiting(before is None)
        self._draw()

    def shown(self) -> tuple[Array, Array]:
        """The counts drawn before and after, end bins included; for tests and screen readers."""
        none = np.zeros(0)
        return (
            folded(self._before)[2] if self._before else none,
            folded(self._after)[2] if self._after else none,
        )

    def retheme(self) -> None:
        super().retheme()
        now = theme()
        self._before_bars.setOpts(brush=now.color("before_fill"), pen=pg.mkPen(None))
        self._after_bars.setOpts(brush=now.color("after"), pen=pg.mkPen(None))
        self._rug.setPen(pg.mkPen(now.color("after"), width=1))
        for text in self._ends:
            text.setColor(now.color("muted"))
            text.setFont(now.font("tiny", figures=True))

    # -- drawing -----------------------------------------------------------------------------------------------------

    def _heights(self, counts: Array) -> Array:
        if not self._log:
            return counts.astype(np.float64)
        return np.where(counts > 0, np.log10(np.maximum(counts, 1)) - np.log10(_FLOOR), 0.0)

    def _draw(self) -> None:
        if self._before is None:
            self._clear()
            return
        left, right, counts = folded(self._before)
        before = self._heights(counts)
        self._before_bars.setOpts(x0=left, x1=right, y0=np.zeros_like(before), y1=before)
        top = float(before.max(initial=0.0))
        top = max(top, self._draw_after())
        top = top or 1.0
        low = -_RUG * top if self._levels is not None else 0.0
        self._draw_rug(low)
        edge = max(abs(float(left[0])), abs(float(right[-1])), 1e-12) * 1e-3
        box = self.plotItem.getViewBox()
        ends = bool(self._before.below or self._before.above)
        high = top * (1 + (_END_ROOM if ends else _ROOM))
        self._place_ends(high)
        box.setRange(xRange=(left[0] - edge, right[-1] + edge), yRange=(low, high), padding=0)
        self._draw_count_ticks(top)

    def _clear(self) -> None:
        none = np.zeros(0)
        for bars in (self._before_bars, self._after_bars):
            bars.setOpts(x0=none, x1=none, y0=none, y1=none)
        self._rug.setData([], [])
        for text in self._ends:
            text.hide()

    def _draw_after(self) -> float:
        if self._after is None:
            none = np.zeros(0)
            self._after_bars.setOpts(x0=none, x1=none, y0=none, y1=none)
            return 0.0
        left, right, counts = folded(self._after)
        heights = self._heights(counts)
        inset = 0.12 * (right - left)
        kept = heights > 0
        self._after_bars.setOpts(
            x0=(left + inset)[kept], x1=(right - inset)[kept], y0=np.zeros(int(kept.sum())), y1=heights[kept]
        )
        return float(heights.max(initial=0.0))

    def _draw_rug(self, low: float) -> None:
        if self._levels is None or self._before is None:
            self._rug.setData([], [])
            return
        inside = self._levels[(self._levels >= self._before.low) & (self._levels <= self._before.high)]
        x = np.repeat(inside.astype(np.float64), 2)
        self._rug.setData(x, np.tile([low, low * 0.25], len(inside)))

    def _place_ends(self, high: float) -> None:
        """How many weights the end bins hold, above all bars, so that no bar is hidden."""
        bins = self._before
        if bins is None:
            return
        span = bins.high - bins.low
        sides = ((self._ends[0], bins.below, "<", bins.low), (self._ends[1], bins.above, ">", bins.high))
        for text, outside, sign, edge in sides:
            text.setVisible(bool(outside))
            if outside:
                text.setText(f"{sign} {plain(float(edge), _step(span))}: {outside:,}")
                width = 3 * span / bins.bins
                text.setPos(float(edge) + (-width if sign == "<" else width), high)

    def _draw_count_ticks(self, top: float) -> None:
        if not self._log:
            self._left_axis.write = lambda value, step: count(value) if value >= 1e4 else plain(value, step)
            self._left_axis.setTicks(None)
            return
        shift = float(-np.log10(_FLOOR))
        powers = range(int(np.floor(top - shift)) + 1)
        self._left_axis.setTicks([[(p + shift, _power(p)) for p in powers]])

    # -- read-out ----------------------------------------------------------------------------------------------------

    def stops(self) -> tuple[float, ...]:
        if self._before is None:
            return ()
        left, right, _ = folded(self._before)
        return tuple(((left + right) / 2).tolist())

    def read_out(self, x: float, y: float) -> tuple[float, str] | None:
        bins = self._before
        if bins is None:
            return None
        left, right, counts = folded(bins)
        index = int(np.searchsorted(right, x))
        if index >= len(right) or x < left[index]:
            return None
        span = bins.high - bins.low
        if right[index] < bins.low or left[index] > bins.high:
            low = x < bins.low
            where = f"{'<' if low else '>'} {plain(float(bins.low if low else bins.high), _step(span))}"
        else:
            where = f"{plain(float(left[index]), _step(span))} to {plain(float(right[index]), _step(span))}"
        text = f"{where}: {int(counts[index]):,} before"
        after = self._count_after(x)
        if after is not None:
            text += f", {after:,} after"
        return float((left[index] + right[index]) / 2), text

    def _count_after(self, x: float) -> int | None:
        if self._after is None:
            return None
        left, right, counts = folded(self._after)
        index = int(np.searchsorted(right, x))
        return int(counts[index]) if index < len(right) and x >= left[index] else 0


def _power(exponent: int) -> str:
    """10 to the exponent in few characters: "100", "10 k", "1 M"."""
    unit = ("", " k", " M", " G", " T")[exponent // 3]
    return f"{10 ** (exponent % 3)}{unit}"


def _step(span: float) -> float:
    """A step that tells a thousandth of the span: what a label needs to be exact enough to read."""
    return float(10.0 ** np.floor(np.log10(span / 300))) if span > 0 else 0.0


