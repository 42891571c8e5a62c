"""The range of values in each output channel, before and after, sorted by magnitude."""

from __future__ import annotations

import numpy as np
import pyqtgraph as pg
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QWidget

from core.analysis.channels import ChannelRanges
from core.encoding.base import Array
from gui.charts.axis import Axis, plain
from gui.charts.plot import Plot
from gui.theme import theme

_PIXELS_A_BAR = 4
"""When there is less room than this for a channel, neighbours in the order share a bar with their joint range."""

_MOST_NUMBERS = 5
_STEPS = tuple(m * 10**p for p in range(9) for m in (1, 2, 5))


class RangeChart(Plot):
    """One upright bar per channel from its smallest to its largest weight; wide ones red and with a triangle on top.

    Channels of a single weight have no range: their bars go from zero to the weight.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent, x_label="channels, smallest first", y_label="weight")
        self.plotItem.setAxisItems({"left": Axis("left"), "bottom": Axis("bottom")})
        self.plotItem.getAxis("left").setWidth(46)
        none = np.zeros(0)
        self._bars = {
            role: pg.BarGraphItem(x0=none, x1=none, y0=none, y1=none, pen=None)
            for role in ("before_fill", "bad", "after")
        }
        self._marks = pg.ScatterPlotItem(symbol="t", size=7, pen=None)
        for item in (*self._bars.values(), self._marks):
            self.plotItem.addItem(item, ignoreBounds=True)
        self._order: Array = none
        self._before: ChannelRanges | None = None
        self._after: ChannelRanges | None = None
        self._from_zero = False
        self.setAccessibleName("Range per output channel")
        self.retheme()

    def set_ranges(self, before: ChannelRanges, after: ChannelRanges | None = None) -> None:
        """Show the channels in the order of their magnitude before; channels without a finite weight are left out."""
        known = before.order[np.isfinite(before.magnitude[before.order])]
        self._order, self._before, self._after = known[::-1], before, after
        self._from_zero = single_weights(before)
        self.set_waiting(False)
        self._draw()

    def clear_ranges(self) -> None:
        """Show that the ranges are being computed."""
        self._before = None
        self.set_waiting(True)
        self._remove_bars()

    def _remove_bars(self) -> None:
        for bars in self._bars.values():
            _set_bars(bars, *[np.zeros(0)] * 4)
        self._marks.setData([], [])

    def retheme(self) -> None:
        super().retheme()
        now = theme()
        for role, bars in self._bars.items():
            bars.setOpts(brush=now.color(role), pen=pg.mkPen(None))
        self._marks.setBrush(now.color("bad"))

    def outlier_bars(self) -> int:
        """How many bars are marked as outliers; for tests."""
        return len(self._marks.data)

    def _starts(self) -> Array:
        """The first channel (in the sorted order) of each bar."""
        room = max(int(self.plotItem.getViewBox().width()) // _PIXELS_A_BAR, 16)
        channels = len(self._order)
        return np.linspace(0, channels, min(channels, room), endpoint=False).astype(np.int64)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        if getattr(self, "_before", None) is not None:  # pyqtgraph resizes itself while it is being built
            self._draw()

    def _joint(self, ranges: ChannelRanges, starts: Array) -> tuple[Array, Array]:
        """Lowest and highest weight of each bar's channels."""
        low, high = np.nan_to_num(ranges.low[self._order]), np.nan_to_num(ranges.high[self._order])
        if self._from_zero:
            low, high = np.minimum(low, 0), np.maximum(high, 0)
        return (
            np.minimum.reduceat(low, starts).astype(np.float64),
            np.maximum.reduceat(high, starts).astype(np.float64),
        )

    def _draw(self) -> None:
        if self._before is None or not len(self._order):
            self._remove_bars()
            return
        starts = self._starts()
        low, high = self._joint(self._before, starts)
        odd = np.logical_or.reduceat(self._before.outlier[self._order], starts)
        left = np.arange(len(starts)) + 0.12
        right = left + 0.76
        _set_bars(self._bars["before_fill"], left[~odd], right[~odd], low[~odd], high[~odd])
        _set_bars(self._bars["bad"], left[odd], right[odd], low[odd], high[odd])
        after_low, after_high = self._draw_after(starts, left, right)
        bottom, top = min(float(low.min()), after_low, 0.0), max(float(high.max()), after_high, 0.0)
        span = top - bottom or 1.0
        self._marks.setData(left[odd] + 0.38, high[odd] + 0.045 * span)
        box = self.plotItem.getViewBox()
        box.setRange(xRange=(-0.5, len(starts) + 0.5), yRange=(bottom - 0.04 * span, top + 0.1 * span), padding=0)
        channels = len(self._order)
        every = next(step for step in _STEPS if channels / step <= _MOST_NUMBERS)
        ticks = [((i - 0.5) * len(starts) / channels, f"{i:,}") for i in range(every, channels + 1, every)]
        self.plotItem.getAxis("bottom").setTicks([ticks])

    def _draw_after(self, starts: Array, left: Array, right: Array) -> tuple[float, float]:
        """Draw the ranges after compression; their lowest and highest value."""
        if self._after is None:
            _set_bars(self._bars["after"], *[np.zeros(0)] * 4)
            return 0.0, 0.0
        low, high = self._joint(self._after, starts)
        inset = 0.25 * (right - left)
        _set_bars(self._bars["after"], left + inset, right - inset, low, high)
        return float(low.min()), float(high.max())

    def stops(self) -> tuple[float, ...]:
        return tuple((np.arange(len(self._starts())) + 0.5).tolist()) if self._before else ()

    def read_out(self, x: float, y: float) -> tuple[float, str] | None:
        if self._before is None:
            return None
        starts = self._starts()
        bar = int(np.floor(x))
        if not 0 <= bar < len(starts):
            return None
        end = starts[bar + 1] if bar + 1 < len(starts) else len(self._order)
        channels = self._order[starts[bar] : end]
        name = f"channel {channels[0]}" if len(channels) == 1 else f"{len(channels)} channels"
        text = f"{name}: {_range_words(self._before, channels)}"
        if self._after is not None:
            text += f", after {_range_words(self._after, channels)}"
        return bar + 0.5, text + (", unusually wide" if self._before.outlier[channels].any() else "")


def _range_words(ranges: ChannelRanges, channels: Array) -> str:
    low, high = float(ranges.low[channels].min()), float(ranges.high[channels].max())
    return plain(low) if low == high else f"{plain(low)} to {plain(high)}"


def single_weights(ranges: ChannelRanges) -> bool:
    """Whether every channel is one weight (or one value), so that there are values rather than ranges."""
    known = np.isfinite(ranges.low)
    return bool(known.any() and np.array_equal(ranges.low[known], ranges.high[known]))


def _set_bars(bars: pg.BarGraphItem, left: Array, right: Array, low: Array, high: Array) -> None:
    bars.setOpts(x0=left, x1=right, y0=low, y1=high)
