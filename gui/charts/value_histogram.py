"""How the inputs and results of an activation are distributed on samples, on one axis."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QWidget

from core.analysis.histogram import Histogram
from core.encoding.base import Array
from gui.charts.axis import plain
from gui.charts.histogram import HistogramChart
from gui.theme import theme
from gui.units import count

if TYPE_CHECKING:
    from core.data.layer_inputs import ValueRange

BINS = 96
_RARE = 5e-4
"""Share of the elements at either end that may be folded into an end bin, so that a few far ones hide nothing."""
_WIDE = 2.0
"""They are folded only where the whole range is this many times as wide as the rest."""


def on_one_axis(first: ValueRange, second: ValueRange, bins: int = BINS) -> tuple[Histogram, Histogram]:
    """Both distributions in the same bins. Elements count where the middle of their fine bin lies."""
    both = (first, second)
    whole = min(one.minimum for one in both), max(one.maximum for one in both)
    inner = min(one.quantile(_RARE) for one in both), max(one.quantile(1 - _RARE) for one in both)
    low, high = inner if whole[1] - whole[0] > _WIDE * (inner[1] - inner[0]) else whole
    if not low < high:
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, bins + 1)
    return _rebinned(first, edges), _rebinned(second, edges)


def _rebinned(found: ValueRange, edges: Array) -> Histogram:
    fine = found.edges
    middles = (fine[:-1] + fine[1:]) / 2
    places = np.searchsorted(edges, middles, side="right") - 1
    places[middles == edges[-1]] = edges.size - 2
    inside = (places >= 0) & (places < edges.size - 1)
    counts = np.bincount(places[inside], found.counts[inside], minlength=edges.size - 1).astype(np.int64)
    below, above = (int(found.counts[side].sum()) for side in (places < 0, places >= edges.size - 1))
    return Histogram(float(edges[0]), float(edges[-1]), counts, below, above)


class ValueHistogram(HistogramChart):
    """Grey bars for what comes in, blue bars for what comes out; dashed lines where a clip cuts."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.set_labels(x="value", y="elements per bin")
        self._clips: tuple[float, ...] = ()
        self._clip_lines = tuple(pg.InfiniteLine(angle=90, movable=False) for _ in range(2))
        for line in self._clip_lines:
            line.setZValue(20)
            line.hide()
            self.plotItem.addItem(line, ignoreBounds=True)
        self.setAccessibleName("Distribution of the activation's input and result")
        self._color_clips()

    def set_ranges(self, before: ValueRange, after: ValueRange, clips: tuple[float, ...] = ()) -> None:
        """Show the distributions, and lines at the values where results are cut off."""
        self._clips = clips[:2]
        self.set_histograms(*on_one_axis(before, after))
        for line, at in zip(self._clip_lines, (*self._clips, None, None), strict=False):
            line.setVisible(at is not None)
            if at is not None:
                line.setValue(at)

    @property
    def clips(self) -> tuple[float, ...]:
        """Where the lines are."""
        return self._clips

    def retheme(self) -> None:
        super().retheme()
        if hasattr(self, "_clip_lines"):  # the base calls it while it is being built
            self._color_clips()

    def _color_clips(self) -> None:
        for line in self._clip_lines:
            line.setPen(pg.mkPen(theme().color("series_2"), width=1, style=Qt.PenStyle.DashLine))

    def read_out(self, x: float, y: float) -> tuple[float, str] | None:
        found = super().read_out(x, y)
        if found is None:
            return None
        at, text = found
        return at, text.replace(" before", " in").replace(" after", " out")


def range_words(found: ValueRange) -> str:
    """"−3.1 to 8.4, 61 k elements"."""
    return f"{plain(found.minimum, 0.01)} to {plain(found.maximum, 0.01)}, {count(found.n)} elements"
