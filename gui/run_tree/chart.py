"""Runs as points: the file's size to the right, the metric upward; one colour and shape a kind of run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pyqtgraph as pg
from PySide6.QtCore import QPointF, Qt, Signal
from PySide6.QtGui import QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QWidget

from core.figures import size_text
from core.runs.figures import BYTES, BYTES_BEFORE, SCORE, SCORE_BEFORE
from gui.charts.axis import Axis, plain
from gui.charts.plot import Plot
from gui.charts.whole_plans import size_ticks
from gui.run_tree.rows import Row, heights
from gui.theme import theme

_REACH, _SIZE, _RING, _OUTER = 14.0, 9, 8.5, 12.0
_TICK_WIDTH = 62
LOOKS = {
    "compress": ("series_1", "o"), "finetune": ("series_2", "t1"), "merge": ("series_3", "s"),
    "transfer": ("series_4", "d"),
}  # fmt: skip
"""(role of the colour, pyqtgraph's symbol) by kind of run. Cross-validations write no file and have no point."""


@dataclass(frozen=True)
class Point:
    """One run, or the original (key ""). x in bytes."""

    key: str
    kind: str
    x: float
    y: float
    words: str


@dataclass(frozen=True)
class Scene:
    """What the chart shows: the metric in words, the runs, and the original when it is known."""

    label: str = ""
    points: tuple[Point, ...] = ()
    reference: Point | None = None


def scene_of(rows: Sequence[Row]) -> Scene:
    """The runs that have both a size and the metric that most of them share."""
    label, known = heights(rows)
    points, reference = [], None
    percent = label.endswith(", %")
    for row, height in known:
        nbytes, before = row.run.value(BYTES), row.run.figure(SCORE_BEFORE)
        if not nbytes or row.run.kind not in LOOKS:
            continue
        score = row.run.figure(SCORE)
        on = f" on {score.on}" if score is not None and score.on else ""
        unit = " %" if percent else ""
        words = f"{row.texts[0]}\n{size_text(nbytes)} \N{MIDDLE DOT} {plain(round(height, 2))}{unit}{on}"
        points.append(Point(row.key, str(row.run.kind), nbytes, height, words))
        original = row.run.value(BYTES_BEFORE)
        if reference is None and before is not None and original and math.isfinite(before.value):
            y = 100.0 * before.value if percent else before.value
            told = f"The original\n{size_text(original)} \N{MIDDLE DOT} {plain(round(y, 2))}{unit}"
            reference = Point("", "", original, y, told)
    return Scene(label, tuple(points), reference)


class RunsChart(Plot):
    """A point a run.

    picked(key)   the person clicked a point, or reached it with the arrow keys
    """

    picked = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent, x_label="bytes of the file (logarithmic)")
        self._y_axis = Axis("left")
        self._y_axis.setWidth(52)
        self.plotItem.setAxisItems({"left": self._y_axis, "bottom": Axis("bottom")})
        self._scene, self._selected = Scene(), frozenset[str]()
        self._level = pg.InfiniteLine(angle=0, movable=False)
        self._original = pg.ScatterPlotItem(symbol="+", size=_SIZE + 2, pxMode=True)
        self._items = {
            kind: pg.ScatterPlotItem(symbol=look[1], size=_SIZE, pxMode=True) for kind, look in LOOKS.items()
        }
        for item in (self._level, self._original, *self._items.values()):
            self.plotItem.addItem(item, ignoreBounds=True)
        self.setAccessibleName("Runs by size and quality")
        self.retheme()

    @property
    def scene_shown(self) -> Scene:
        """What is shown."""
        return self._scene

    def set_scene(self, scene: Scene) -> None:
        """Show these."""
        if scene == self._scene:
            return
        self._scene = scene
        self.set_labels(y=scene.label)
        for kind, item in self._items.items():
            here = [point for point in scene.points if point.kind == kind]
            item.setData([math.log10(point.x) for point in here], [point.y for point in here])
        reference = scene.reference
        self._level.setVisible(reference is not None)
        self._original.setVisible(reference is not None)
        if reference is not None:
            self._level.setValue(reference.y)
            self._original.setData([math.log10(reference.x)], [reference.y])
        self._set_range()
        self.viewport().update()

    def select(self, keys: Sequence[str]) -> None:
        """Ring the points of these runs."""
        self._selected = frozenset(keys)
        self.viewport().update()

    def _all(self) -> tuple[Point, ...]:
        reference = self._scene.reference
        return self._scene.points if reference is None else (*self._scene.points, reference)

    def _set_range(self) -> None:
        shown = self._all()
        if not shown:
            return
        xs, ys = [math.log10(point.x) for point in shown], [point.y for point in shown]
        span_x, span_y = max(max(xs) - min(xs), 0.1), max(max(ys) - min(ys), 1e-6 + 0.01 * abs(max(ys)))
        self.plotItem.getViewBox().setRange(
            xRange=(min(xs) - 0.06 * span_x, max(xs) + 0.06 * span_x),
            yRange=(min(ys) - 0.1 * span_y, max(ys) + 0.12 * span_y), padding=0,
        )  # fmt: skip
        self._set_ticks()

    def _set_ticks(self) -> None:
        (left, right), _ = self.plotItem.getViewBox().viewRange()
        most = max(2, int(self.plotItem.getViewBox().width() / _TICK_WIDTH))
        self.plotItem.getAxis("bottom").setTicks([size_ticks(left, right, most)])

    def resizeEvent(self, event: object) -> None:
        super().resizeEvent(event)  # type: ignore[arg-type]
        if hasattr(self, "_items"):  # pyqtgraph resizes itself while it is being built
            self._set_ticks()

    def retheme(self) -> None:
        super().retheme()
        now = theme()
        self._level.setPen(pg.mkPen(now.color("before"), width=1, style=Qt.PenStyle.DotLine))
        self._original.setPen(pg.mkPen(now.color("before"), width=1.5))
        self._original.setBrush(now.color("before"))
        for kind, item in self._items.items():
            color = now.color(LOOKS[kind][0])
            item.setPen(pg.mkPen(color, width=1.3))
            item.setBrush(color)
        self.viewport().update()

    # -- pointer and keyboard -----------------------------------------------------------------------------------------

    def pixel(self, point: Point) -> QPointF:
        """Where a point is, in the widget's coordinates."""
        box = self.plotItem.getViewBox()
        return QPointF(self.mapFromScene(box.mapViewToScene(QPointF(math.log10(point.x), point.y))))

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        painter = QPainter(self.viewport())
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(theme().color("text"), 1.6))
        for point in self._scene.points:
            if point.key in self._selected:
                painter.drawEllipse(self.pixel(point), _RING, _RING)
        painter.end()

    def nearest(self, at: QPointF) -> Point | None:
        """The point under a position, in pixels."""
        def away(point: Point) -> float:
            spot = self.pixel(point) - at
            return math.hypot(spot.x(), spot.y())

        found = min(self._all(), key=away, default=None)
        return found if found is not None and away(found) <= _REACH else None

    def read_out(self, x: float, y: float) -> tuple[float, str] | None:
        spot = QPointF(self.mapFromScene(self.plotItem.getViewBox().mapViewToScene(QPointF(x, y))))
        found = self.nearest(spot)
        return None if found is None else (math.log10(found.x), found.words)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        super().mousePressEvent(event)
        found = self.nearest(event.position()) if event.button() == Qt.MouseButton.LeftButton else None
        if found is not None and found.key:
            self.picked.emit(found.key)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Left and right go from run to run by size; what they reach is selected."""
        order = sorted(self._scene.points, key=lambda point: (point.x, point.y))
        moves = {Qt.Key.Key_Left: -1, Qt.Key.Key_Right: 1, Qt.Key.Key_Home: -len(order), Qt.Key.Key_End: len(order)}
        key = Qt.Key(event.key())
        if key not in moves or not order:
            event.ignore()
            return
        here = next((i for i, point in enumerate(order) if point.key in self._selected), -1)
        self.picked.emit(order[min(max(here + moves[key], 0), len(order) - 1)].key)
