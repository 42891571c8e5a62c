"""Upright pairs of bars: what each layer takes before, and after by family of methods."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from PySide6.QtCore import QEvent, QPoint, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QBrush, QFontMetricsF, QHelpEvent, QKeyEvent, QMouseEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QToolTip, QWidget

from gui.theme import theme
from gui.units import percent_change

_PITCH, _WIDEST_PITCH, _BAR = 58, 92, 15
_SIDE = 8
_HATCHES = {"series_2": Qt.BrushStyle.FDiagPattern, "series_3": Qt.BrushStyle.BDiagPattern,
            "series_4": Qt.BrushStyle.DiagCrossPattern, "muted": Qt.BrushStyle.HorPattern}
"""Families are told apart by more than their colour."""


@dataclass(frozen=True)
class Bar:
    """One layer, or the rest of them.

    name     what `picked` tells; "" for the rest
    title    below the bars
    before   bytes
    parts    (theme role, bytes) after, stacked from below; roles are those of families
    words    makes the tool tip
    """

    name: str
    title: str
    before: float
    parts: tuple[tuple[str, float], ...]
    words: Callable[[], str] = field(compare=False)

    @property
    def after(self) -> float:
        return sum(nbytes for _role, nbytes in self.parts)


class BytesBars(QWidget):
    """Pairs of bars with a name and the change below; as wide as they need, so that a scroll area can hold it.

    picked(name)  the person clicked a layer, or pressed Enter on it
    """

    picked = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._bars: tuple[Bar, ...] = ()
        self._selected: frozenset[str] = frozenset()
        self._cursor = -1
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMouseTracking(True)
        theme().changed.connect(self.update)

    def set_bars(self, bars: Sequence[Bar], selected: Sequence[str]) -> None:
        """Show these, and which layers are selected."""
        number = len(self._bars)
        self._bars, self._selected = tuple(bars), frozenset(selected)
        self._cursor = min(self._cursor, len(bars) - 1)
        self.setAccessibleName("Bytes of each layer, before and after")
        if number != len(bars):
            self.setMinimumWidth(_PITCH * len(bars) + 2 * _SIDE)
        self.update()

    def bars(self) -> tuple[Bar, ...]:
        """What is shown."""
        return self._bars

    def sizeHint(self) -> QSize:
        return QSize(_PITCH * max(1, len(self._bars)) + 2 * _SIDE, 180)

    def _pitch(self) -> float:
        return min(max((self.width() - 2 * _SIDE) / max(len(self._bars), 1), _PITCH), _WIDEST_PITCH)

    def place_of(self, x: float) -> int | None:
        """The bar at an x in pixels."""
        place = int((x - _SIDE) // self._pitch())
        return place if 0 <= place < len(self._bars) else None

    # -- painting ---------------------------------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        now = theme()
        font = now.font("tiny", figures=True)
        painter.setFont(font)
        metrics = QFontMetricsF(font)
        foot = 2 * metrics.height() + 8
        floor, room = self.height() - foot, self.height() - foot - 8
        most = max((max(bar.before, bar.after) for bar in self._bars), default=1.0) or 1.0
        painter.fillRect(QRectF(0, floor, self.width(), 1), now.color("border"))
        pitch = self._pitch()
        for place, bar in enumerate(self._bars):
            area = QRectF(_SIDE + place * pitch, 0, pitch, self.height())
            if area.intersects(QRectF(event.rect())):
                self._paint_bar(painter, area, bar, floor, room / most)
                self._paint_words(painter, area, bar, floor, metrics)
        if self.hasFocus() and 0 <= self._cursor < len(self._bars):
            painter.setPen(now.color("accent"))
            painter.drawRect(QRectF(_SIDE + self._cursor * pitch, 0, pitch - 1, self.height() - 1))
        painter.end()

    def _paint_bar(self, painter: QPainter, area: QRectF, bar: Bar, floor: float, scale: float) -> None:
        now = theme()
        if bar.name in self._selected:
            painter.fillRect(area.adjusted(1, 0, -1, 0), now.color("selection"))
        middle = area.center().x()
        height = max(bar.before * scale, 1.0)
        painter.fillRect(QRectF(middle - _BAR - 0.5, floor - height, _BAR, height), now.color("before"))
        top = floor
        for role, nbytes in bar.parts:
            height = max(nbytes * scale, 1.0 if len(bar.parts) == 1 else 0.0)
            place = QRectF(middle + 0.5, top - height, _BAR, height)
            painter.fillRect(place, now.color(role))
            if role in _HATCHES:
                painter.fillRect(place, QBrush(now.color("surface", 0.6), _HATCHES[role]))
            top -= height

    def _paint_words(self, painter: QPainter, area: QRectF, bar: Bar, floor: float, metrics: QFontMetricsF) -> None:
        now = theme()
        title = metrics.elidedText(bar.title, Qt.TextElideMode.ElideLeft, area.width() - 6)
        line = QRectF(area.left(), floor + 4, area.width(), metrics.height())
        painter.setPen(now.color("text" if bar.name in self._selected else "muted"))
        painter.drawText(line, Qt.AlignmentFlag.AlignCenter, title)
        painter.setPen(now.color("faint"))
        painter.drawText(line.translated(0, metrics.height()), Qt.AlignmentFlag.AlignCenter,
                         percent_change(bar.before, bar.after).replace("unchanged", "kept"))

    # -- pointer and keyboard ---------------------------------------------------------------------------------------

    def event(self, event: QEvent) -> bool:
        if isinstance(event, QHelpEvent):
            place = self.place_of(event.pos().x())
            QToolTip.showText(event.globalPos(), self._bars[place].words() if place is not None else "", self)
            return True
        return super().event(event)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        place = self.place_of(event.position().x())
        clickable = place is not None and bool(self._bars[place].name)
        self.setCursor(Qt.CursorShape.PointingHandCursor if clickable else Qt.CursorShape.ArrowCursor)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        place = self.place_of(event.position().x())
        if place is not None and event.button() == Qt.MouseButton.LeftButton:
            self._cursor = place
            self._pick(place)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        moves = {Qt.Key.Key_Left: -1, Qt.Key.Key_Right: 1, Qt.Key.Key_Home: -len(self._bars),
                 Qt.Key.Key_End: len(self._bars)}
        if event.key() in moves and self._bars:
            self._cursor = min(max(self._cursor + moves[Qt.Key(event.key())], 0), len(self._bars) - 1)
            bar = self._bars[self._cursor]
            self.setAccessibleName(bar.words().replace("\n", ", "))
            QToolTip.showText(self.mapToGlobal(self._corner()), bar.words(), self)
            self.update()
        elif event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space) and self._cursor >= 0:
            self._pick(self._cursor)
        else:
            event.ignore()

    def _corner(self) -> QPoint:
        return QPoint(round(_SIDE + self._cursor * self._pitch()), self.height() // 3)

    def _pick(self, place: int) -> None:
        if self._bars[place].name:
            self.picked.emit(self._bars[place].name)
