"""Trials as points: what they take to the right, how good they are upward; one colour and shape a family."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyqtgraph as pg
from PySide6.QtCore import QPointF, Qt, Signal
from PySide6.QtGui import QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QWidget

from gui.charts.axis import Axis, plain
from gui.charts.plot import Plot
from gui.methods_study.families import in_order, look
from gui.theme import theme

if TYPE_CHECKING:
    from core.method_comparison.rows import Row, Study

_REACH = 14.0
_SIZE = 9
X_AXES = {
    "size": "% of the file (logarithmic)", "latency": "time, % of the original's (logarithmic)",
    "memory": "memory, % of the original's (logarithmic)",
}  # fmt: skip
Y_AXES = {"metric": "metric", "error": "output SQNR, dB"}
_FRONT_WIDTH = 1.2
_TICKS = (1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100, 150, 200, 300, 500, 1000)


@dataclass(frozen=True)
class Point:
    """One trial; y is NaN or infinite where it is not known or exact."""

    key: str
    family: str
    x: float
    y: float
    words: str


def points(study: Study, x: str, y: str) -> tuple[Point, ...]:
    """The trials that have both figures. x is in % of the original."""
    found = []
    for row in study.measured:
        share, height = _share(row, study, x), _height(row, y)
        if share is not None and height is not None and share > 0.0:
            found.append(Point(row.key, row.family, share, height, row.title))
    return tuple(found)


def _share(row: Row, study: Study, axis: str) -> float | None:
    original = study.original
    if axis == "latency":
        return 100.0 * row.times.ratio if row.times is not None else None
    if axis == "memory":
        if row.memory is None or original is None or not original.memory:
            return None
        return 100.0 * row.memory / original.memory
    return None if row.nbytes is None else 100.0 * row.nbytes / max(study.bytes_before, 1)


def _height(row: Row, axis: str) -> float | None:
    quality = row.quality
    if quality is None:
        return None
    value = quality.sqnr_db if axis == "error" else 100.0 * quality.value if quality.unit == "share" else quality.value
    return value if math.isfinite(value) else None


class MethodsChart(Plot):
    """A point a trial. Those of the Pareto set are filled and joined by a line.

    picked(key)   the person clicked a point, or pressed Enter on it
    """

    picked = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._y_axis = Axis("left")
        self._y_axis.setWidth(46)
        self.plotItem.setAxisItems({"left": self._y_axis, "bottom": Axis("bottom", _percent)})
        self._points: tuple[Point, ...] = ()
        self._pareto: frozenset[str] = frozenset()
        self._selected = self._recommended = ""
        self._reference: float | None = None
        self._front = pg.PlotCurveItem()
        self._level = pg.InfiniteLine(angle=0, movable=False)
        self._low = -math.inf
        self._items: dict[tuple[str, bool], pg.ScatterPlotItem] = {}  # by family, and whether filled
        for item in (self._front, self._level):
            self.plotItem.addItem(item, ignoreBounds=True)
        self.setAccessibleName("Trials by what they take and how good they are")
        self.retheme()

    def set_points(self, shown: Sequence[Point], pareto: frozenset[str], recommended: str, labels: tuple[str, str],
                   reference: float | None, *, joined: bool, low: float = -math.inf) -> None:
        """Show these.

        labels     of x and y
        reference  the original's y, or None
        low        worse points are drawn at this y
        joined     whether a line joins the Pareto set; it means nothing on other axes than its own
        """
        self._points, self._pareto, self._recommended = tuple(shown), pareto, recommended
        self._reference, self._low = reference, low
        self.set_labels(x=labels[0], y=labels[1])
        self._place(joined)

    def select(self, key: str) -> None:
        """Ring the point of this row."""
        self._selected = key
        self.viewport().update()

    @property
    def shown(self) -> tuple[Point, ...]:
        """The points, as they were given."""
        return self._points

    def _place(self, joined: bool) -> None:
        for item in self._items.values():
            item.clear()
        families = in_order(point.family for point in self._points)
        if any(not point.family for point in self._points):  # the plan
            families.append("")
        for family in families:
            here = [point for point in self._points if point.family == family]
            for filled in (False, True):
                some = [point for point in here if self._is_filled(point) == filled]
                xs, ys = [math.log10(point.x) for point in some], [self._shown_y(point) for point in some]
                self._item(family, filled).setData(xs, ys)
        joined_up = [point for point in self._points if joined and point.key in self._pareto]
        front = sorted(joined_up, key=lambda point: point.x)
        self._front.setData([math.log10(point.x) for point in front], [self._shown_y(point) for point in front])
        self._level.setVisible(self._reference is not None)
        if self._reference is not None:
            self._level.setValue(self._reference)
        self._set_range()
        self.viewport().update()

    def _is_filled(self, point: Point) -> bool:
        return point.key in self._pareto or not point.family

    def _shown_y(self, point: Point) -> float:
        return max(point.y, self._low)

    def _item(self, family: str, filled: bool) -> pg.ScatterPlotItem:
        if (family, filled) not in self._items:
            symbol = look(family)[1]
            item = pg.ScatterPlotItem(symbol=symbol, size=_SIZE + 4 if symbol == "star" else _SIZE, pxMode=True)
            self._items[family, filled] = item
            self.plotItem.addItem(item, ignoreBounds=True)
            self._paint_item(family, filled)
        return self._items[family, filled]

    def _paint_item(self, family: str, filled: bool) -> None:
        color, item = theme().color(look(family)[0]), self._items[family, filled]
        item.setPen(pg.mkPen(color, width=1.3))
        item.setBrush(color if filled else theme().color("surface"))

    def _set_range(self) -> None:
        if not self._points:
            return
        xs = [math.log10(point.x) for point in self._points]
        level = [self._reference] if self._reference is not None else []
        ys = [self._shown_y(point) for point in self._points] + level
        span_x, span_y = max(max(xs) - min(xs), 0.05), max(max(ys) - min(ys), 1e-6 + 0.01 * abs(max(ys)))
        self.plotItem.getViewBox().setRange(
            xRange=(min(xs) - 0.05 * span_x, max(xs) + 0.05 * span_x),
            yRange=(min(ys) - 0.07 * span_y, max(ys) + 0.09 * span_y), padding=0,
        )  # fmt: skip
        low, high = min(xs), max(xs)
        wanted = [(math.log10(v), f"{v:g}") for v in _TICKS]
        self.plotItem.getAxis("bottom").setTicks([[tick for tick in wanted if low - 0.05 <= tick[0] <= high + 0.05]])

    def retheme(self) -> None:
        super().retheme()
        now = theme()
        self._front.setPen(pg.mkPen(now.color("strong_border"), width=_FRONT_WIDTH))
        self._level.setPen(pg.mkPen(now.color("before"), width=1, style=Qt.PenStyle.DotLine))
        for family, filled in self._items:
            self._paint_item(family, filled)
        self.viewport().update()

    # -- pointer and keyboard -----------------------------------------------------------------------------------------

    def pixel(self, point: Point) -> QPointF:
        """Where a point is, in the widget's coordinates."""
        box = self.plotItem.getViewBox()
        return QPointF(self.mapFromScene(box.mapViewToScene(QPointF(math.log10(point.x), self._shown_y(point)))))

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        painter = QPainter(self.viewport())
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        for point in self._points:
            if point.key == self._selected:
                painter.setPen(QPen(theme().color("text"), 1.6))
                painter.drawEllipse(self.pixel(point), 8.5, 8.5)
            if point.key == self._recommended:
                painter.setPen(QPen(theme().color("good"), 2))
                painter.drawEllipse(self.pixel(point), 11, 11)
        painter.end()

    def nearest(self, at: QPointF) -> Point | None:
        """The point under a position, in pixels."""
        def away(point: Point) -> float:
            spot = self.pixel(point) - at
            return math.hypot(spot.x(), spot.y())

        found = min(self._points, key=away, default=None)
        return found if found is not None and away(found) <= _REACH else None

    def read_out(self, x: float, y: float) -> tuple[float, str] | None:
        spot = QPointF(self.mapFromScene(self.plotItem.getViewBox().mapViewToScene(QPointF(x, y))))
        found = self.nearest(spot)
        return None if found is None else (math.log10(found.x), self._words(found))

    def _words(self, point: Point) -> str:
        return f"{point.words}\n{point.x:.1f} % \N{MIDDLE DOT} {plain(round(point.y, 2))}"

    def mousePressEvent(self, event: QMouseEvent) -> None:
        super().mousePressEvent(event)
        found = self.nearest(event.position()) if event.button() == Qt.MouseButton.LeftButton else None
        if found is not None:
            self.picked.emit(found.key)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Left and right go from point to point; what they reach is selected."""
        moves = {Qt.Key.Key_Left: -1, Qt.Key.Key_Right: 1, Qt.Key.Key_Home: -len(self._points),
                 Qt.Key.Key_End: len(self._points)}
        key = Qt.Key(event.key())
        if key not in moves or not self._points:
            event.ignore()
            return
        order = sorted(self._points, key=lambda point: (point.x, point.y))
        here = next((i for i, point in enumerate(order) if point.key == self._selected), -1)
        self.picked.emit(order[min(max(here + moves[key], 0), len(order) - 1)].key)


def _percent(value: float, _step: float = 0.0) -> str:
    return plain(10.0**value)
