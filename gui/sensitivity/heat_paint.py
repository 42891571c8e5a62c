"""How the heat map is painted. Holds colours and fonts; what is painted is handed in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from PySide6.QtCore import QPoint, QRect, Qt
from PySide6.QtGui import QBrush, QFont, QFontMetrics, QPainter, QPen, QPolygon

from gui.sensitivity.words import FREE, MEASURED, figure
from gui.theme import theme

if TYPE_CHECKING:
    from gui.sensitivity.heat_view import HeatView

ROW, HEADER = 22, 38
"""Height of a row and of the headings, in pixels."""
_FAMILY_LINE = 17
_CORNER = 5
_PAD = 8
_OVER = 6
_CENTRE = Qt.AlignmentFlag.AlignCenter
_MIDDLE = Qt.AlignmentFlag.AlignVCenter


class HeatPaint:
    """Paints cells, marks, names and headings.

    painted  how many cells the last painting drew; for tests
    """

    def __init__(self) -> None:
        self.painted = 0
        self._texts: dict[tuple[float, int, str], str] = {}
        self.retheme()

    def retheme(self) -> None:
        """Take the theme's colours."""
        now = theme()
        self._heat = [QBrush(color) for color in now.heat()]
        self._colors = {role: now.color(role) for role in now.roles}
        self._hatch = QBrush(now.color("strong_border"), Qt.BrushStyle.BDiagPattern)
        self._tiny = now.font("tiny")
        self._small, self._strong = now.font("small"), now.font("small", strong=True)
        self._figures = now.font("small", figures=True)
        self._slanted = QFont(self._figures)
        self._slanted.setItalic(True)

    def begin(self, painter: QPainter, area: QRect) -> None:
        self.painted = 0
        painter.fillRect(area, self._colors["surface"])

    def cells(self, painter: QPainter, first: QRect, measure: str, levels: Sequence[Sequence[int]],
              errors: Sequence[Sequence[float]], tiers: Sequence[Sequence[int]]) -> None:
        """Cells from the one at `first`; each of the three is rows of values. Where there is no cell the level is -1.

        Figures of the weight alone are slanted, those that were measured have a filled corner.
        """
        width, height = first.width(), first.height()
        any_data = any(tier > FREE for row in tiers for tier in row)
        slanted: list[tuple[QRect, str]] = []
        painter.setFont(self._figures)
        painter.setPen(self._colors["text"])
        corners = []
        for i, (row_levels, row_errors, row_tiers) in enumerate(zip(levels, errors, tiers, strict=True)):
            y = first.y() + i * height
            for j, level in enumerate(row_levels):
                rect = QRect(first.x() + j * width, y, width - 1, height - 1)
                if level < 0:
                    painter.fillRect(rect, self._colors["sunken"])
                    painter.fillRect(rect, self._hatch)
                    continue
                painter.fillRect(rect, self._heat[level])
                text = self._text(row_errors[j], row_tiers[j], measure)
                if any_data and row_tiers[j] == FREE:
                    slanted.append((rect, text))
                    continue
                painter.drawText(rect, _CENTRE, text)
                if row_tiers[j] == MEASURED:
                    corners.append(rect.topRight())
        self.painted = sum(map(len, levels))
        painter.setFont(self._slanted)
        for rect, text in slanted:
            painter.drawText(rect, _CENTRE, text)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(self._colors["muted"])
        for corner in corners:
            painter.drawPolygon(corner_mark(corner))

    def _text(self, error: float, tier: int, measure: str) -> str:
        key = (error, tier, measure)
        found = self._texts.get(key)
        if found is None:
            if len(self._texts) > 100_000:
                self._texts.clear()
            found = self._texts[key] = figure(error, tier, measure)
        return found

    def ring(self, painter: QPainter, cell: QRect) -> None:
        """The plan's setting."""
        painter.setPen(QPen(self._colors["text"], 2))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawRect(cell.adjusted(1, 1, -2, -2))

    def other(self, painter: QPainter, cell: QRect, text: str, level: int) -> None:
        """What the plan does where no column fits: its words in a ring, coloured by its error when that is known."""
        inner = cell.adjusted(0, 0, -1, -1)
        if level >= 0:
            painter.fillRect(inner, self._heat[level])
        painter.setFont(self._small)
        painter.setPen(self._colors["text"])
        fitting = painter.fontMetrics().elidedText(text, Qt.TextElideMode.ElideRight, inner.width() - 6)
        painter.drawText(inner, _CENTRE, fitting)
        self.ring(painter, cell)

    def plan_heading(self, painter: QPainter, cell: QRect) -> None:
        """Above the plan's own settings."""
        band = QRect(cell.x(), 0, cell.width() - 1, _FAMILY_LINE)
        painter.setFont(self._small)
        painter.setPen(self._colors["muted"])
        painter.drawText(band, _CENTRE, "Plan")
        painter.fillRect(QRect(band.x() + 3, _FAMILY_LINE, band.width() - 6, 1), self._colors["border"])

    def hover(self, painter: QPainter, cell: QRect) -> None:
        painter.setPen(QPen(self._colors["muted"], 1))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawRect(cell.adjusted(0, 0, -2, -2))

    def focus(self, painter: QPainter, cell: QRect) -> None:
        """Where the keyboard is."""
        painter.setPen(QPen(self._colors["accent"], 2))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawRect(cell.adjusted(0, 0, -1, -1))

    def labels(self, painter: QPainter, rows: Sequence[tuple[int, str, bool]], width: int, hovered_y: int) -> None:
        """Names at the left: (y, text, whether the layer is selected)."""
        painter.setClipRect(0, HEADER, width, 100_000)
        for y, text, selected in rows:
            if selected:
                painter.fillRect(QRect(0, y, width - 1, ROW - 1), self._colors["selection"])
                painter.fillRect(QRect(0, y, 3, ROW - 1), self._colors["accent"])
            painter.setFont(self._small)
            painter.setPen(self._colors["text" if selected or y == hovered_y else "muted"])
            side = Qt.AlignmentFlag.AlignRight | _MIDDLE
            painter.drawText(QRect(0, y, width - _PAD, ROW - 1), side, text)
        painter.setClipping(False)

    def header(self, painter: QPainter, view: HeatView, columns: range, left: int, start: int, width: int,
               hovered: int) -> None:
        """The headings: families above the names of their settings, and an arrow at the one that sorts."""
        painter.fillRect(QRect(left, 0, 100_000, HEADER - 1), self._colors["surface"])
        painter.setClipRect(left, 0, 100_000, HEADER)
        for first, last in _runs([view.heads[column] for column in view.columns]):
            band = QRect(start + first * width, 0, (last - first) * width - 1, _FAMILY_LINE)
            painter.setFont(self._small)
            painter.setPen(self._colors["muted"])
            seen = QRect(band)
            seen.setLeft(max(band.left(), left))
            self._family(painter, view.heads[view.columns[first]], seen)
            painter.fillRect(QRect(band.x() + 3, _FAMILY_LINE, band.width() - 6, 1), self._colors["border"])
        for at in columns:
            column = view.columns[at]
            rect = QRect(start + at * width, _FAMILY_LINE + 1, width - 1, HEADER - _FAMILY_LINE - 2)
            sorting = column == view.sorted_by
            painter.setFont(self._strong if sorting else self._small)
            painter.setPen(self._colors["text" if sorting or at == hovered else "muted"])
            painter.drawText(rect, _CENTRE, view.names[column])
            if sorting:
                self._arrow(painter, QPoint(rect.center().x(), rect.bottom() - 1), view.falling)
        painter.setClipping(False)

    def _family(self, painter: QPainter, name: str, band: QRect) -> None:
        """The name of a family above its columns; over a single one it may be a little wider than the column."""
        if QFontMetrics(self._small).horizontalAdvance(name) > band.width():
            painter.setFont(self._tiny)
            band = band.adjusted(-_OVER, 0, _OVER, 0)
        text = painter.fontMetrics().elidedText(name, Qt.TextElideMode.ElideRight, band.width())
        painter.drawText(band, _CENTRE, text)

    def _arrow(self, painter: QPainter, at: QPoint, down: bool) -> None:
        tip = 3 if down else -3
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(self._colors["accent"])
        base = at.y() - (3 if down else 0)
        painter.drawPolygon(QPolygon([QPoint(at.x() - 3, base), QPoint(at.x() + 3, base), QPoint(at.x(), base + tip)]))


def corner_mark(top_right: QPoint) -> QPolygon:
    """The filled corner of a measured cell."""
    x, y = top_right.x() + 1, top_right.y()
    return QPolygon([QPoint(x - _CORNER, y), QPoint(x, y), QPoint(x, y + _CORNER)])


def _runs(values: Sequence[str]) -> list[tuple[int, int]]:
    """(first, behind the last) of each run of equal values."""
    starts = [at for at, value in enumerate(values) if at == 0 or value != values[at - 1]]
    return list(zip(starts, [*starts[1:], len(values)], strict=True))
