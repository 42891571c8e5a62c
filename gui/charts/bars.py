"""One bar per layer: the error at its output, against a budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QBrush, QFontMetricsF, QResizeEvent
from PySide6.QtWidgets import QWidget

from core.encoding.base import Array
from gui.charts.axis import Axis, plain
from gui.charts.plot import Plot
from gui.theme import theme

_PENDING_HEIGHT = 0.04
"""Height of a bar that has no value yet, as a share of the axis."""


_MOST_NAMES = 12
_NAME_GAP = 8  # pixels between two names
_FEWEST_LETTERS = 6  # of a cut name: fewer tell nothing
_MOST_NUMBERS = 12
_STEPS = tuple(m * 10**p for p in range(7) for m in (1, 2, 5))


class ErrorBars(Plot):
    """Signal-to-noise ratio in dB for each layer: higher is better.

    Bars below the budget line have the warning colour, a hatch and a triangle; bars without a value yet are short and
    grey; a layer whose output is exactly the original's reaches the top and is outlined.

    picked(index)   the person clicked a bar, or pressed Enter on it
    """

    picked = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent, x_label="layers, in the order of the graph", y_label="SQNR, dB (higher is better)")
        self.plotItem.setAxisItems({"left": Axis("left"), "bottom": Axis("bottom")})
        self.plotItem.getAxis("left").setWidth(40)
        self._names: tuple[str, ...] = ()
        self._db: Array = np.zeros(0)
        self._budget: float | None = None
        self._selected: frozenset[int] = frozenset()
        self._reasons: dict[str, str] = {}
        none = np.zeros(0)
        kinds = ("fine", "over", "exact", "pending", "selected")
        self._bars = {k: pg.BarGraphItem(x0=none, x1=none, y0=none, y1=none, pen=None) for k in kinds}
        self._marks = pg.ScatterPlotItem(symbol="t", size=7, pen=None)
        self._line = pg.InfiniteLine(angle=0, movable=False)
        self._line_text = pg.TextItem(anchor=(1, 1))
        self._line.setZValue(20)
        self._line_text.setZValue(30)
        for item in (*self._bars.values(), self._marks, self._line, self._line_text):
            self.plotItem.addItem(item, ignoreBounds=True)
        self.setAccessibleName("Error at each layer's output")
        self.retheme()

    def set_bars(
        self,
        names: Sequence[str],
        db: Array,
        budget: float | None,
        selected: Sequence[int] = (),
        reasons: Mapping[str, str] | None = None,
    ) -> None:
        """Show the layers.

        names     one per bar
        db        shape (n,): dB; NaN while not known, inf where nothing changed
        budget    dB that no layer should go below, or None
        selected  indices of the layers selected elsewhere
        reasons   why a layer has no value, by name, for the read-out
        """
        self._names, self._db, self._budget = tuple(names), np.asarray(db, np.float64), budget
        self._selected, self._reasons = frozenset(selected), dict(reasons or {})
        self._draw()

    def kinds(self) -> tuple[str, ...]:
        """How each bar is drawn: "fine", "over" the budget, "exact" or "pending"; for tests and screen readers."""
        return tuple(self._kind(value) for value in self._db)

    def retheme(self) -> None:
        super().retheme()
        now = theme()
        fills = {"fine": now.color("after"), "pending": now.color("border"), "selected": now.color("selection")}
        for kind, color in fills.items():
            self._bars[kind].setOpts(brush=color, pen=pg.mkPen(None))
        hatch = QBrush(now.color("warn"), Qt.BrushStyle.BDiagPattern)
        self._bars["over"].setOpts(brush=hatch, pen=pg.mkPen(now.color("warn"), width=1))
        self._bars["exact"].setOpts(brush=now.color("surface"), pen=pg.mkPen(now.color("after"), width=1))
        self._marks.setBrush(now.color("warn"))
        self._line.setPen(pg.mkPen(now.color("bad"), width=1, style=Qt.PenStyle.DashLine))
        self._line_text.setColor(now.color("bad"))
        self._line_text.fill = pg.mkBrush(now.color("surface", 0.85))
        self._line_text.setFont(now.font("tiny", figures=True))

    def _kind(self, value: float) -> str:
        if np.isnan(value):
            return "pending"
        if np.isposinf(value):
            return "exact"
        return "over" if self._budget is not None and value < self._budget else "fine"

    def _draw(self) -> None:
        count = len(self._db)
        finite = self._db[np.isfinite(self._db)]
        top = max(float(finite.max(initial=0.0)) * 1.1, (self._budget or 0.0) * 1.25, 10.0)
        low = min(float(finite.min(initial=0.0)) * 1.1, 0.0)
        heights = np.nan_to_num(np.minimum(self._db, top), nan=_PENDING_HEIGHT * top)
        kinds = np.array(self.kinds())
        left = np.arange(count) + 0.12
        for kind in ("fine", "over", "exact", "pending"):
            here = kinds == kind
            self._bars[kind].setOpts(
                x0=left[here], x1=left[here] + 0.76, y0=np.zeros(int(here.sum())), y1=heights[here]
            )
        chosen = np.array(sorted(self._selected), dtype=np.float64)
        self._bars["selected"].setOpts(
            x0=chosen, x1=chosen + 1, y0=np.full(len(chosen), low), y1=np.full(len(chosen), top * 1.06)
        )
        self._bars["selected"].setZValue(-10)
        over = kinds == "over"
        self._marks.setData(left[over] + 0.38, np.maximum(heights[over], 0.0) + 0.035 * top)
        self.plotItem.getViewBox().setRange(xRange=(-0.5, max(count, 1) + 0.5), yRange=(low, top * 1.06), padding=0)
        self._draw_line(count)
        self._draw_names(count)

    def _draw_names(self, count: int) -> None:
        """Few bars have their names below, many their numbers."""
        names = self._fitting_names(count)
        if names:
            ticks = [(i + 0.5, name) for i, name in enumerate(names)]
        else:
            every = next(step for step in _STEPS if count / step <= _MOST_NUMBERS)
            ticks = [(i - 0.5, f"{i}") for i in range(every, count + 1, every)]
        self.plotItem.getAxis("bottom").setTicks([ticks])

    def _fitting_names(self, count: int) -> list[str]:
        """All names, cut to the room of a bar; none when there are many, or when too little of one would be left."""
        if not 0 < count <= _MOST_NAMES:
            return []
        metrics = QFontMetricsF(theme().font("tiny", figures=True))
        room = self.plotItem.getViewBox().width() / (count + 1) - _NAME_GAP
        names = [metrics.elidedText(name, Qt.TextElideMode.ElideLeft, room) for name in self._names]
        cut = [len(name) < min(len(whole), _FEWEST_LETTERS) for name, whole in zip(names, self._names, strict=True)]
        return [] if any(cut) else names

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        if hasattr(self, "_names"):  # pyqtgraph resizes itself while it is being built
            self._draw_names(len(self._names))

    def _draw_line(self, count: int) -> None:
        shown = self._budget is not None and count > 0
        self._line.setVisible(shown)
        self._line_text.setVisible(shown)
        if self._budget is not None and shown:
            self._line.setValue(self._budget)
            self._line_text.setText(f"{plain(self._budget)} dB")
            self._line_text.setPos(count + 0.5, self._budget)

    def stops(self) -> tuple[float, ...]:
        return tuple(i + 0.5 for i in range(len(self._names)))

    def read_out(self, x: float, y: float) -> tuple[float, str] | None:
        index = int(np.floor(x))
        if not 0 <= index < len(self._names):
            return None
        value = self._db[index]
        waiting = self._reasons.get(self._names[index], "not measured yet")
        words = {"pending": waiting, "exact": "same as the original"}
        text = words.get(self._kind(value)) or f"{value:.1f} dB"
        if self._kind(value) == "over":
            text += ", below the budget"
        return index + 0.5, f"{self._names[index]}: {text}"

    def activated(self, x: float) -> None:
        index = int(np.floor(x))
        if 0 <= index < len(self._names):
            self.picked.emit(index)
