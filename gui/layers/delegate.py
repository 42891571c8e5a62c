"""Paints the layers table from rows formatted before; nothing is computed here."""

from __future__ import annotations

from collections.abc import Iterable

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QRect, QRectF, QSize, Qt
from PySide6.QtGui import QFontMetrics, QPainter
from PySide6.QtWidgets import QStyle, QStyledItemDelegate, QStyleOptionViewItem, QWidget

from gui.layers.elision import Elision
from gui.layers.rows import SPARK_HEIGHT, Row
from gui.layers.table_model import Column, LayersModel
from gui.theme import theme

ROW_HEIGHT = 31
SIZES_WIDTH = 140
"""Width of the size column from which it shows the size before and after."""
_PAD = 8
_BAR_WIDTH, _BAR_HEIGHT = 34, 6
_BADGE_PAD, _BADGE_HEIGHT = 5, 17


class LayersDelegate(QStyledItemDelegate):
    """One delegate for all columns of LayersModel."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._elision = Elision(())
        self._retheme()
        theme().changed.connect(self._retheme)

    def set_names(self, names: Iterable[str]) -> None:
        """The names that are shown, as rows have them: where they differ is what shortened ones keep."""
        self._elision = Elision(names)
        self._names.clear()

    def plan_width(self, plans: Iterable[str]) -> int:
        """Width of the column that shows all of these plans whole."""
        return max(map(self._body_metrics.horizontalAdvance, plans), default=0) + 2 * _PAD + 2  # advances are rounded

    def _retheme(self) -> None:
        now = theme()
        self._colors = {role: now.color(role) for role in now.roles}
        self._body, self._small = now.font("body"), now.font("small")
        self._figures = now.font("body", figures=True)
        self._small_figures = now.font("small", figures=True)
        self._figures_metrics = QFontMetrics(self._figures)
        self._names: dict[tuple[str, int], str] = {}
        self._body_metrics, self._small_metrics = QFontMetrics(self._body), QFontMetrics(self._small)

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex) -> QSize:
        return QSize(40, ROW_HEIGHT)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem,
              index: QModelIndex | QPersistentModelIndex) -> None:
        model = index.model()
        if not isinstance(model, LayersModel):
            super().paint(painter, option, index)
            return
        row, rect = model.row(index.row()), option.rect
        state = option.state
        painter.save()
        painter.setClipRect(rect)
        if state & QStyle.StateFlag.State_Selected:
            painter.fillRect(rect, self._colors["selection"])
        painter.fillRect(rect.left(), rect.bottom(), rect.width(), 1, self._colors["border"])
        inner = rect.adjusted(_PAD, 0, -_PAD, -1)
        column = Column(index.column())
        if column == Column.LAYER:
            self._paint_name(painter, inner, row)
            if state & QStyle.StateFlag.State_HasFocus:
                painter.fillRect(rect.left(), rect.top(), 3, rect.height(), self._colors["accent"])
        elif column == Column.SIZE:
            self._paint_size(painter, inner, row)
        elif column == Column.WEIGHTS:
            self._paint_bars(painter, inner, row)
        elif column == Column.SENSITIVITY:
            self._paint_bar(painter, inner, row.sensitive, row.sensitive_role, row.from_outputs)
        elif column == Column.ERROR:
            self._paint_error(painter, inner, row)
        else:
            self._paint_plan(painter, inner, row)
        painter.restore()

    def _paint_size(self, painter: QPainter, rect: QRect, row: Row) -> None:
        """The size, and what the plan makes of it where there is room for both."""
        if row.size_after and rect.width() >= SIZES_WIDTH - 2 * _PAD:
            after = f" \N{RIGHTWARDS ARROW} {row.size_after}"
            self._text(painter, rect, after, "text", Qt.AlignmentFlag.AlignRight)
            rect = rect.adjusted(0, 0, -self._figures_metrics.horizontalAdvance(after), 0)
            self._text(painter, rect, row.size, "muted", Qt.AlignmentFlag.AlignRight)
        else:
            self._text(painter, rect, row.size, "text", Qt.AlignmentFlag.AlignRight)

    def _text(self, painter: QPainter, rect: QRect, text: str, role: str, side: Qt.AlignmentFlag) -> None:
        painter.setFont(self._figures)
        painter.setPen(self._colors[role])
        painter.drawText(rect, side | Qt.AlignmentFlag.AlignVCenter, text)

    def _paint_name(self, painter: QPainter, rect: QRect, row: Row) -> None:
        badge_width = self._small_metrics.horizontalAdvance(row.badge) + 2 * _BADGE_PAD
        room = rect.width() - badge_width - 6
        name = self._fitted(row.name, room)
        painter.setFont(self._body)
        painter.setPen(self._colors["text"])
        painter.drawText(rect, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, name)
        left = rect.left() + self._body_metrics.horizontalAdvance(name) + 6
        badge = QRect(left, rect.center().y() - _BADGE_HEIGHT // 2, badge_width, _BADGE_HEIGHT)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(self._colors["badge"])
        painter.drawRoundedRect(badge, 4, 4)
        painter.setFont(self._small)
        painter.setPen(self._colors["muted"])
        painter.drawText(badge, Qt.AlignmentFlag.AlignCenter, row.badge)

    def _fitted(self, name: str, room: int) -> str:
        """The name, shortened so that it still differs from the other names."""
        found = self._names.get((name, room))
        if found is None:
            found = self._names[name, room] = self._elision.shortened(
                name, room, self._body_metrics.horizontalAdvance)
        return found

    def _paint_bars(self, painter: QPainter, rect: QRect, row: Row) -> None:
        painter.translate(rect.left(), rect.center().y() - SPARK_HEIGHT // 2)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(self._colors["before"])
        painter.drawRects(row.bars)

    def _paint_error(self, painter: QPainter, rect: QRect, row: Row) -> None:
        if row.error_share is None:
            return
        self._paint_bar(painter, rect, row.error_share, row.error_role, row.measured)
        painter.setFont(self._small_figures)
        painter.setPen(self._colors["muted"])
        painter.drawText(rect.adjusted(_BAR_WIDTH + 6, 0, _PAD, 0), Qt.AlignmentFlag.AlignVCenter, row.error)

    def _paint_bar(self, painter: QPainter, rect: QRect, share: float | None, role: str, solid: bool) -> None:
        """A bar in its track; hollow when it is of the weight alone."""
        if share is None:
            return
        track = QRectF(rect.left(), rect.center().y() - _BAR_HEIGHT / 2 + 0.5, _BAR_WIDTH, _BAR_HEIGHT)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(self._colors["track"])
        painter.drawRoundedRect(track, 3, 3)
        if share <= 0:
            return
        track.setWidth(max(_BAR_HEIGHT, _BAR_WIDTH * share))
        color = self._colors[role]
        if solid:
            painter.setBrush(color)
        else:
            track.adjust(0.5, 0.5, -0.5, -0.5)
            painter.setPen(color)
            painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawRoundedRect(track, 3, 3)

    def _paint_plan(self, painter: QPainter, rect: QRect, row: Row) -> None:
        painter.setFont(self._body)
        painter.setPen(self._colors[row.plan_role])
        text = self._body_metrics.elidedText(row.plan, Qt.TextElideMode.ElideRight, rect.width())
        painter.drawText(rect, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, text)
