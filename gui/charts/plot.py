"""The plot that every chart is made of."""

from __future__ import annotations

import pyqtgraph as pg
from PySide6.QtCore import QEvent, QPointF, Qt, QTimer
from PySide6.QtGui import QFocusEvent, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QResizeEvent, QWheelEvent
from PySide6.QtWidgets import QFrame, QLabel, QWidget

from gui.theme import theme

_PATIENCE_MS = 150
"""What is computed faster than this is drawn without a word in between."""

pg.setConfigOptions(antialias=False, useOpenGL=False)


class Plot(pg.PlotWidget):
    """Two axes and a surface in the theme's colours, with a read-out that follows the pointer or the arrow keys.

    A chart overrides `retheme` (pens and brushes), `read_out` (what is under a position) and, to be walked through with
    the arrow keys, `stops`.
    """

    def __init__(self, parent: QWidget | None = None, *, x_label: str = "", y_label: str = "") -> None:
        super().__init__(parent, enableMenu=False)  # its menus would take two thirds of the time to build a chart
        self._keyboard = False
        self._labels = {"bottom": x_label, "left": y_label}
        self.plotItem.hideButtons()
        self.plotItem.setMouseEnabled(x=False, y=False)
        self.plotItem.getViewBox().setDefaultPadding(0.0)
        self.plotItem.layout.setContentsMargins(0, 4, 4, 0)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMouseTracking(True)
        self.setMinimumSize(120, 90)
        self._cursor = pg.InfiniteLine(angle=90, movable=False)
        self._cursor.setZValue(50)
        self._cursor.hide()
        self.plotItem.addItem(self._cursor, ignoreBounds=True)
        self._note = QLabel(self)
        self._note.setObjectName("readOut")
        self._note.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self._note.hide()
        self._waiting = QLabel("Computing\N{HORIZONTAL ELLIPSIS}", self)
        self._waiting.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._waiting.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self._waiting.hide()
        self._soon = QTimer(self, singleShot=True, interval=_PATIENCE_MS)
        self._soon.timeout.connect(self._waiting.show)
        theme().changed.connect(self.retheme)

    # -- what a chart says -------------------------------------------------------------------------------------------

    def read_out(self, x: float, y: float) -> tuple[float, str] | None:
        """The text for a position in data coordinates and the x it belongs to; None where there is nothing."""
        return None

    def stops(self) -> tuple[float, ...]:
        """x positions that the arrow keys visit, from left to right."""
        return ()

    def activated(self, x: float) -> None:
        """The person clicked at x, or pressed Enter while the cursor is there."""

    def set_waiting(self, waiting: bool) -> None:
        """Without figures there are no axes either; after a moment it says that they are being computed."""
        for side in self._labels:
            self.plotItem.showAxis(side, not waiting)
        if waiting:
            self._show(None)
            self._soon.start()
        else:
            self._soon.stop()
            self._waiting.hide()

    # -- looks -------------------------------------------------------------------------------------------------------

    def set_labels(self, *, x: str | None = None, y: str | None = None) -> None:
        """Name the axes, with units."""
        if x is not None:
            self._labels["bottom"] = x
        if y is not None:
            self._labels["left"] = y
        self._label_axes()

    def _label_axes(self) -> None:
        style = {"color": theme().color("muted").name(), "font-size": f"{theme().size('tiny')}px"}
        for side, text in self._labels.items():
            axis = self.plotItem.getAxis(side)
            axis.setLabel(text, **style)
            axis.showLabel(bool(text))

    def retheme(self) -> None:
        """Take the theme's colours. Charts extend it with their own pens and call it once when built."""
        now = theme()
        self.setBackground(now.color("surface"))
        for side in ("left", "bottom"):
            axis = self.plotItem.getAxis(side)
            axis.setPen(pg.mkPen(now.color("border"), width=1))
            axis.setTextPen(now.color("muted"))
            axis.setTickFont(now.font("tiny", figures=True))
            axis.setStyle(tickLength=0, tickTextOffset=5)
        self._label_axes()
        self._cursor.setPen(pg.mkPen(now.color("strong_border"), width=1, style=Qt.PenStyle.DashLine))
        self._note.setFont(now.font("tiny", figures=True))
        self._waiting.setStyleSheet(f"color: {now.color('muted').name()};")
        self._note.setStyleSheet(
            f"QLabel {{ background: {now.color('surface').name()}; color: {now.color('text').name()};"
            f" border: 1px solid {now.color('strong_border').name()}; border-radius: 4px; padding: 2px 6px; }}"
        )

    # -- pointer and keyboard ----------------------------------------------------------------------------------------

    def point_at(self, x: float) -> None:
        """Show the read-out for the given x, as hovering there would."""
        found = self.read_out(x, 0.0)
        self._show(found)

    def _show(self, found: tuple[float, str] | None) -> None:
        self._cursor.setVisible(found is not None)
        self._note.setVisible(found is not None)
        if found is None:
            return
        x, text = found
        self._cursor.setValue(x)
        self._note.setText(text)
        self._note.adjustSize()
        pixel = self.plotItem.getViewBox().mapViewToDevice(QPointF(x, 0.0))
        left = (pixel.x() if pixel is not None else 0.0) + 8
        if left + self._note.width() > self.width() - 4:
            left -= self._note.width() + 16
        self._note.move(int(max(left, 2)), 6)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        super().mouseMoveEvent(event)
        box = self.plotItem.getViewBox()
        scene = self.mapToScene(event.position().toPoint())
        if box.sceneBoundingRect().contains(scene):
            point = box.mapSceneToView(scene)
            self._show(self.read_out(point.x(), point.y()))
        else:
            self._show(None)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        super().mouseReleaseEvent(event)
        box = self.plotItem.getViewBox()
        scene = self.mapToScene(event.position().toPoint())
        if event.button() == Qt.MouseButton.LeftButton and box.sceneBoundingRect().contains(scene):
            self.activated(box.mapSceneToView(scene).x())

    def leaveEvent(self, event: QEvent) -> None:
        super().leaveEvent(event)
        self._show(None)

    def focusInEvent(self, event: QFocusEvent) -> None:
        super().focusInEvent(event)
        if event.reason() not in (Qt.FocusReason.ActiveWindowFocusReason, Qt.FocusReason.PopupFocusReason):
            self._keyboard = event.reason() != Qt.FocusReason.MouseFocusReason
        self.viewport().update()

    def focusOutEvent(self, event: QFocusEvent) -> None:
        super().focusOutEvent(event)
        self._show(None)
        self.viewport().update()

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        if self._keyboard and self.hasFocus():
            painter = QPainter(self.viewport())
            painter.setPen(theme().color("accent"))
            painter.drawRect(self.viewport().rect().adjusted(0, 0, -1, -1))
            painter.end()

    def wheelEvent(self, event: QWheelEvent) -> None:
        event.ignore()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._show_nothing()

    def _show_nothing(self) -> None:
        if hasattr(self, "_note"):  # pyqtgraph resizes itself while it is being built
            self._show(None)
            self._waiting.setGeometry(self.rect())

    def keyPressEvent(self, event: QKeyEvent) -> None:
        stops = self.stops()
        moves = {Qt.Key.Key_Left: -1, Qt.Key.Key_Right: 1, Qt.Key.Key_Home: -len(stops), Qt.Key.Key_End: len(stops)}
        if stops and event.key() in moves:
            self._show(self.read_out(_neighbour(stops, self._at(), moves[Qt.Key(event.key())]), 0.0))
        elif event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space) and self._cursor.isVisible():
            self.activated(self._at() or 0.0)
        else:
            event.ignore()

    def _at(self) -> float | None:
        return float(self._cursor.value()) if self._cursor.isVisible() else None


def _neighbour(stops: tuple[float, ...], at: float | None, move: int) -> float:
    """The stop `move` places from the one nearest to `at`; the first or last one when nothing is shown yet."""
    if at is None:
        return stops[0] if move > 0 else stops[-1]
    nearest = min(range(len(stops)), key=lambda i: abs(stops[i] - at))
    return stops[min(max(nearest + move, 0), len(stops) - 1)]
