"""Whole plans by size and quality: a front that can be dragged along, uniform settings for reference, a budget."""

from __future__ import annotations

import math

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QPointF, QRectF, Qt, Signal
from PySide6.QtGui import QFontMetricsF, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen, QPixmap, QResizeEvent
from PySide6.QtWidgets import QWidget

from core.encoding.base import Array
from gui.charts.axis import Axis
from gui.charts.plot import Plot
from gui.charts.whole_plans import Scene, size_ticks
from gui.theme import theme

_REACH = 26.0
"""Pixels from the front or a point within which a press begins a drag."""
_CLOSE = 8.0
"""Pixels within which a click means the very point under it."""
_RING, _POINT, _SQUARE = 9.0, 7, 8
_GAP = 11.0
_PAD = 0.05
"""Share of the height that stays free above the best and below the worst plan."""
_TICK_WIDTH = 62


class TradeoffChart(Plot):
    """Bytes to the right (logarithmic), quality upward; every mark is a whole plan.

    moved(index, finished)  the person chose the mark of this place; finished: and let go
    """

    moved = Signal(int, bool)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent, x_label="bytes of the file (logarithmic)")
        self._y_axis = Axis("left")
        self.plotItem.setAxisItems({"left": self._y_axis, "bottom": Axis("bottom")})
        self._y_axis.setWidth(60)
        self.plotItem.showGrid(x=False, y=False)
        self._scene = Scene((), "")
        self._stops: tuple[int, ...] = ()  # marks on the front, by size
        self._dragging = False
        self._still: QPixmap | None = None  # all but the ring, while it is dragged
        self._pixels: tuple[QRectF, list[QPointF]] | None = None
        self._line = pg.PlotCurveItem()
        self._solid = pg.ScatterPlotItem(symbol="o", size=_POINT, pxMode=True)
        self._hollow = pg.ScatterPlotItem(symbol="o", size=_POINT, pxMode=True)
        self._uniform = pg.ScatterPlotItem(symbol="s", size=_SQUARE, pxMode=True)
        self._uniform_hollow = pg.ScatterPlotItem(symbol="s", size=_SQUARE, pxMode=True)
        self._below = pg.ScatterPlotItem(symbol="t", size=_POINT + 1, pxMode=True)
        for z, item in enumerate((self._line, self._uniform, self._uniform_hollow, self._below, self._hollow,
                                  self._solid)):
            item.setZValue(z)
            self.plotItem.addItem(item, ignoreBounds=True)
        self.setAccessibleName("Plans by size and quality")
        self.retheme()

    # -- what is shown ----------------------------------------------------------------------------------------------

    def set_scene(self, scene: Scene) -> None:
        """Show plans; only the ring moves when nothing else differs."""
        before, self._scene = self._scene, scene
        if (scene.marks, scene.low, scene.budget_x, scene.budget_y) != (
            before.marks, before.low, before.budget_x, before.budget_y
        ):  # fmt: skip
            self._place()
        if scene.y_label != before.y_label:
            self.set_labels(y=scene.y_label)
        self.setAccessibleDescription(scene.ring)
        self.viewport().update()

    def scene_shown(self) -> Scene:
        """What is shown."""
        return self._scene

    def stops_shown(self) -> tuple[int, ...]:
        """Places of the marks that the front goes through, by size."""
        return self._stops

    def write_y(self, write: object) -> None:
        """How numbers of the y axis are written: a callable (value, step) -> text."""
        self._y_axis.write = write  # type: ignore[assignment]
        self._y_axis.picture = None

    def _place(self) -> None:
        marks = self._scene.marks
        self._pixels = None
        known = self._known()
        self._stops = tuple(sorted((i for i in known if marks[i].on_front), key=lambda i: marks[i].x))
        points = np.array([(math.log10(max(marks[i].x, 1.0)), self._shown_y(i)) for i in known]).reshape(-1, 2)
        low = np.array([marks[i].y < self._scene.low for i in known], bool)
        solid = np.array([marks[i].measured for i in known], bool)
        uniform = np.array([bool(marks[i].label) for i in known], bool)
        for item, here in (
            (self._solid, solid & ~uniform & ~low), (self._hollow, ~solid & ~uniform & ~low),
            (self._uniform, solid & uniform & ~low), (self._uniform_hollow, ~solid & uniform & ~low),
            (self._below, low),
        ):  # fmt: skip
            item.setData(points[here, 0], points[here, 1])
        # Measured values are noisy: the line rises from the best to the better one, the marks stay where they are.
        heights = np.maximum.accumulate([self._shown_y(i) for i in self._stops] or [0.0])
        widths = [math.log10(max(marks[i].x, 1.0)) for i in self._stops]
        self._line.setData(widths, heights[: len(widths)])
        self._set_ranges(points)

    def _shown_y(self, index: int) -> float:
        return max(self._scene.marks[index].y, self._scene.low)

    def _set_ranges(self, points: Array) -> None:
        if not len(points):
            return
        low, high = points.min(axis=0), points.max(axis=0)
        extra = [y for y in (self._scene.budget_y,) if y is not None]
        bottom, top = min([low[1], *extra]), max([high[1], *extra])
        span = max(top - bottom, 1e-9 + 0.01 * abs(top))
        left, right = low[0] - 0.03, high[0] + 0.03
        if self._scene.budget_x:
            left = min(left, math.log10(self._scene.budget_x) - 0.03)
        box = self.plotItem.getViewBox()
        self._pixels = None
        box.setRange(xRange=(left, right), yRange=(bottom - _PAD * span, top + 2 * _PAD * span), padding=0)
        self._set_ticks()

    def _set_ticks(self) -> None:
        (left, right), _ = self.plotItem.getViewBox().viewRange()
        most = max(2, int(self.plotItem.getViewBox().width() / _TICK_WIDTH))
        self.plotItem.getAxis("bottom").setTicks([size_ticks(left, right, most)])

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        if hasattr(self, "_still"):  # pyqtgraph resizes itself while it is being built
            self._pixels = self._still = None
            self._set_ticks()

    def retheme(self) -> None:
        super().retheme()
        now = theme()
        accent, warn, surface, quiet = (now.color(role) for role in ("accent", "warn", "surface", "strong_border"))
        self._line.setPen(pg.mkPen(now.color("accent", 0.55), width=1))
        for item, color, fill in (
            (self._solid, accent, accent), (self._hollow, accent, surface), (self._uniform, warn, warn),
            (self._uniform_hollow, warn, surface), (self._below, quiet, quiet),
        ):  # fmt: skip
            item.setPen(pg.mkPen(color, width=1.3))
            item.setBrush(fill)
        self._still = None
        self.viewport().update()

    # -- drawn over it ----------------------------------------------------------------------------------------------

    def pixel(self, index: int) -> QPointF:
        """Where a mark is, in the widget's coordinates."""
        return self._spots()[index]

    def _spots(self) -> list[QPointF]:
        """Pixels of all marks, for the present size and ranges."""
        area = self._area()
        if self._pixels is None or self._pixels[0] != area:
            spots = [self._pixel(math.log10(max(mark.x, 1.0)), self._shown_y(i))
                     for i, mark in enumerate(self._scene.marks)]
            self._pixels = area, spots
        return self._pixels[1]

    def _pixel(self, x: float, y: float) -> QPointF:
        return QPointF(self.mapFromScene(self.plotItem.getViewBox().mapViewToScene(QPointF(x, y))))

    def _area(self) -> QRectF:
        return QRectF(self.mapFromScene(self.plotItem.getViewBox().sceneBoundingRect()).boundingRect())

    def paintEvent(self, event: QPaintEvent) -> None:
        if self._still is None:
            super().paintEvent(event)
        if not self._scene.marks:
            return
        painter = QPainter(self.viewport())
        if self._still is not None:
            painter.drawPixmap(0, 0, self._still)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        area, now = self._area(), theme()
        spots = self._spots()
        taken = [QRectF(spots[i].x() - 5, spots[i].y() - 5, 10, 10) for i in self._known()]
        self._paint_budget(painter, area, taken)
        self._paint_ring(painter, area, taken)
        painter.setFont(now.font("tiny"))
        painter.setPen(now.color("muted"))
        for index in self._labelled():
            self._paint_label(painter, area, taken, spots[index], self._scene.marks[index].label)
        painter.end()

    def _hold_still(self) -> None:
        """Keep what a drag does not change as a picture: drawing it anew takes longer than all the rest."""
        self._show(None)
        ratio = self.devicePixelRatioF()
        still = QPixmap(self.viewport().size() * ratio)
        still.setDevicePixelRatio(ratio)
        still.fill(theme().color("surface"))
        painter = QPainter(still)
        self.render(painter, QRectF(self.viewport().rect()), self.viewport().rect())
        painter.end()
        self._still = still

    def _known(self) -> list[int]:
        return [i for i, mark in enumerate(self._scene.marks) if math.isfinite(mark.y)]

    def _labelled(self) -> list[int]:
        """Uniform settings that no other one beats, best first; what is off the scale is not of use."""
        marks = self._scene.marks
        fine = [i for i in self._known() if marks[i].label and marks[i].y >= self._scene.low]
        best = -math.inf
        found = []
        for i in sorted(fine, key=lambda i: (marks[i].x, -marks[i].y)):
            if marks[i].y > best:
                best = marks[i].y
                found.append(i)
        return sorted(found, key=lambda i: (not marks[i].measured, -marks[i].y))

    def _paint_budget(self, painter: QPainter, area: QRectF, taken: list[QRectF]) -> None:
        """A dashed line, with its words at an end where no plan is."""
        scene, now = self._scene, theme()
        painter.setFont(now.font("tiny"))
        metrics = QFontMetricsF(painter.font())
        width, height = metrics.horizontalAdvance(scene.budget_words), metrics.height()
        if scene.budget_x is not None:
            x = self._pixel(math.log10(max(scene.budget_x, 1.0)), 0.0).x()
            line = QPointF(x, area.top()), QPointF(x, area.bottom())
            places = [QRectF(left, top, width, height) for top in (area.bottom() - height - 2, area.top())
                      for left in (x + 5, x - 5 - width)]
        elif scene.budget_y is not None:
            y = self._pixel(0.0, scene.budget_y).y()
            line = QPointF(area.left(), y), QPointF(area.right(), y)
            places = [QRectF(left, top, width, height) for left in (area.right() - width - 4, area.left() + 4)
                      for top in (y + 2, y - 2 - height)]
        else:
            return
        if not area.adjusted(-1, -1, 1, 1).contains(line[0]):
            return
        painter.setPen(QPen(now.color("strong_border"), 1, Qt.PenStyle.DashLine))
        painter.drawLine(*line)
        inside = [place for place in places if area.contains(place)] or places[:1]
        place = next((p for p in inside if not any(map(p.intersects, taken))), inside[0])
        painter.setPen(now.color("muted"))
        painter.drawText(place, Qt.AlignmentFlag.AlignCenter, scene.budget_words)
        taken.append(place)

    def _paint_ring(self, painter: QPainter, area: QRectF, taken: list[QRectF]) -> None:
        scene, now = self._scene, theme()
        if scene.chosen is None or not math.isfinite(scene.marks[scene.chosen].y):
            return
        at = self.pixel(scene.chosen)
        painter.setPen(QPen(now.color("text"), 2))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawEllipse(at, _RING, _RING)
        painter.setFont(now.font("small", strong=True, figures=True))
        painter.setPen(now.color("text"))
        taken.append(QRectF(at.x() - _RING, at.y() - _RING, 2 * _RING, 2 * _RING))
        self._paint_label(painter, area, taken, at, scene.ring, always=True)

    def _paint_label(self, painter: QPainter, area: QRectF, taken: list[QRectF], at: QPointF, text: str, *,
                     always: bool = False) -> None:
        """A label beside its mark where nothing else is; none where there is no room."""
        metrics = QFontMetricsF(painter.font())
        width, height = metrics.horizontalAdvance(text), metrics.height()
        gap = _GAP + (4 if always else 0)
        right, left, center = at.x() + gap, at.x() - gap - width, at.x() - width / 2
        level, above, below = at.y() - height / 2, at.y() - gap - height, at.y() + gap
        corners = [
            (right, below - 4), (right, level), (left, level), (left, above + 4), (center, below), (center, above),
        ]  # fmt: skip
        if always:
            corners += [(x, y) for k in (1.5, 3.0, 5.0) for x in (right, center, left)
                        for y in (above - k * gap, below + k * gap)]
        places = [QRectF(x, y, width, height) for x, y in corners]
        if not always:
            places[0], places[1] = places[1], places[0]
        inside = [place for place in places if area.contains(place)]
        near = [other for other in taken if abs(other.center().x() - at.x()) < width + other.width() + 4 * gap
                and abs(other.center().y() - at.y()) < 8 * gap]
        free = next((p for p in inside if not any(map(p.adjusted(-2, -1, 2, 1).intersects, near))), None)
        if free is None and not (always and inside):
            return
        place = inside[0] if free is None else free
        if free is None:
            painter.fillRect(place, theme().color("surface", 0.85))
        painter.drawText(place, Qt.AlignmentFlag.AlignCenter, text)
        taken.append(place)

    # -- pointer and keyboard ---------------------------------------------------------------------------------------

    def nearest(self, at: QPointF) -> int | None:
        """The mark that a press here means: the one under it, else the nearest of the front; None when far away."""
        known = self._known()
        if not known:
            return None
        def away(i: int) -> float:
            spot = self.pixel(i) - at
            return math.hypot(spot.x(), spot.y())

        under = min(known, key=away)
        if away(under) <= _CLOSE:
            return under
        along = self.along(at.x())
        if along is None:
            return None
        close = min(away(i) for i in self._stops)
        return along if close <= _REACH or abs(self._line_y(at.x()) - at.y()) <= _REACH else None

    def along(self, x: float) -> int | None:
        """The plan of the front that is nearest to an x in pixels."""
        return min(self._stops, key=lambda i: abs(self.pixel(i).x() - x), default=None)

    def _line_y(self, x: float) -> float:
        spots = [self.pixel(i) for i in self._stops]
        return float(np.interp(x, [p.x() for p in spots], np.minimum.accumulate([p.y() for p in spots])))

    def mousePressEvent(self, event: QMouseEvent) -> None:
        super().mousePressEvent(event)
        index = self.nearest(event.position()) if event.button() == Qt.MouseButton.LeftButton else None
        if index is not None:
            self._dragging = True
            self._hold_still()
            self._choose(index)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        if self._dragging:
            index = self.along(event.position().x())
            if index is not None:
                self._choose(index)
            return
        super().mouseMoveEvent(event)
        near = self.nearest(event.position()) is not None
        self.viewport().setCursor(Qt.CursorShape.PointingHandCursor if near else Qt.CursorShape.ArrowCursor)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        super().mouseReleaseEvent(event)
        if self._dragging and event.button() == Qt.MouseButton.LeftButton:
            self._dragging, self._still = False, None
            self.viewport().update()
            if self._scene.chosen is not None:
                self.moved.emit(self._scene.chosen, True)

    def _choose(self, index: int) -> None:
        if index != self._scene.chosen:
            self.moved.emit(index, False)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Left and right walk along the front; Home and End are its ends."""
        moves = {Qt.Key.Key_Left: -1, Qt.Key.Key_Right: 1, Qt.Key.Key_Home: -len(self._stops),
                 Qt.Key.Key_End: len(self._stops)}
        key = Qt.Key(event.key())
        if key not in moves or not self._stops:
            event.ignore()
            return
        chosen = self._scene.chosen
        if chosen is None:
            place = 0 if moves[key] > 0 else len(self._stops) - 1
        else:
            x = self._scene.marks[chosen].x
            here = min(range(len(self._stops)), key=lambda k: abs(self._scene.marks[self._stops[k]].x - x))
            place = min(max(here + moves[key], 0), len(self._stops) - 1)
        self.moved.emit(self._stops[place], False)

    def keyReleaseEvent(self, event: QKeyEvent) -> None:
        super().keyReleaseEvent(event)
        keys = (Qt.Key.Key_Left, Qt.Key.Key_Right, Qt.Key.Key_Home, Qt.Key.Key_End)
        if not event.isAutoRepeat() and event.key() in keys and self._scene.chosen is not None:
            self.moved.emit(self._scene.chosen, True)

    def read_out(self, x: float, y: float) -> tuple[float, str] | None:
        known = self._known()
        if not known:
            return None
        spot = self._pixel(x, y)

        def away(i: int) -> float:
            there = self.pixel(i) - spot
            return math.hypot(there.x(), there.y())

        index = min(known, key=away)
        if away(index) > _REACH:
            along = self.along(spot.x())
            if along is None or abs(self._line_y(spot.x()) - spot.y()) > _REACH:
                return None
            index = along
        return math.log10(max(self._scene.marks[index].x, 1.0)), self._scene.marks[index].words
