"""Layers x settings as a heat map that is the editor: a figure in each cell, and a click makes it the layer's plan.

Only what is in sight is painted, so thousands of layers scroll like ten.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PySide6.QtCore import QEvent, QPoint, QRect, Qt, Signal
from PySide6.QtGui import (
    QFocusEvent,
    QFontMetrics,
    QHelpEvent,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QResizeEvent,
)
from PySide6.QtWidgets import QAbstractScrollArea, QFrame, QToolTip, QWidget

from gui.charts.card import with_role
from gui.layers.elision import Elision
from gui.sensitivity.figures import Array
from gui.sensitivity.heat_paint import HEADER, ROW, HeatPaint
from gui.sensitivity.heat_view import HeatView, Marks
from gui.sensitivity.words import shares
from gui.theme import HEAT_LEVELS, theme

_NARROWEST, _WIDEST = 31, 74
"""Width of a cell in pixels: of four figures, and beyond which the eye must travel."""
_PLAN_CELLS = 2
"""Widths of a cell that the plan's own settings take behind the last column, where no column fits them."""
_LABEL_SHARE, _LABEL_WIDEST, _LABEL_PAD = 0.34, 210, 8


class HeatMap(QAbstractScrollArea):
    """The map.

    used(row, column)   the person clicked a cell, or pressed Enter in it; grid row and column
    row_chosen(row)     the person clicked a name, or moved there
    sort_asked(column)  the person clicked a heading; -1: that of the names
    tips                set by the owner: words for a cell by grid row and column
    """

    used = Signal(int, int)
    row_chosen = Signal(int)
    sort_asked = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAccessibleName("Sensitivity of layers to settings")
        self.setCornerWidget(with_role(QWidget(self), "surface"))
        self.viewport().setMouseTracking(True)
        self.verticalScrollBar().setSingleStep(ROW)
        self._view: HeatView | None = None
        self._marks = Marks()
        self._levels: Array = np.zeros((0, 0), np.int8)
        self._label_width, self._cell_width = 0, _NARROWEST
        self._current = (0, 0)  # place in the view, not in the grid
        self._hover: tuple[int, int] | None = None
        self._keyboard = False
        self._labels: dict[int, str] = {}
        self.tips: Callable[[int, int], str] = lambda _row, _column: ""
        self.paint = HeatPaint()
        theme().changed.connect(self._retheme)

    # -- what is shown ------------------------------------------------------------------------------------------------

    @property
    def view(self) -> HeatView | None:
        return self._view

    def set_view(self, view: HeatView) -> None:
        """Show another table, or the same in another order. Where the person is stays in the same cell if it can."""
        place = self.current_cell
        self._view = view
        self._labels.clear()
        self.refresh()
        self._measure()
        if place is not None:
            rows, columns = np.flatnonzero(view.rows == place[0]), np.flatnonzero(view.columns == place[1])
            self._current = (int(rows[0]) if rows.size else 0, int(columns[0]) if columns.size else 0)
        self._current = self._within(*self._current)

    def refresh(self) -> None:
        """The grid's figures changed in place."""
        if self._view is None:
            return
        grid = self._view.grid
        found = shares(grid.errors, grid.tiers, grid.measure)
        self._levels = np.where(np.isnan(found), -1, np.round(np.nan_to_num(found) * (HEAT_LEVELS - 1))).astype(np.int8)
        self._say_current()
        self.viewport().update()

    def set_marks(self, marks: Marks) -> None:
        wider = bool(marks.others) != bool(self._marks.others)
        self._marks = marks
        if wider:
            self._measure()
        self.viewport().update()

    def chosen(self, row: int) -> int:
        """Column of the plan's setting for a grid row, -1 when it is none of these."""
        return self._marks.chosen.get(row, -1)

    @property
    def has_others(self) -> bool:
        """Whether settings stand behind the last column."""
        return bool(self._marks.others)

    def words_of_other(self, row: int) -> str:
        """Words for the plan's setting of a grid row that no column is for; "" where there is none."""
        return self._marks.others.get(row, ("", "", -1))[1]

    def show_row(self, row: int) -> None:
        """Go to a grid row and bring it into sight, when it is among those shown."""
        if self._view is None:
            return
        found = np.flatnonzero(self._view.rows == row)
        if found.size:
            self._current = (int(found[0]), self._current[1])
            self._bring_into_sight()
            self.viewport().update()

    @property
    def current_cell(self) -> tuple[int, int] | None:
        """Grid row and column of where the keyboard is; None without cells."""
        view = self._view
        if view is None or not view.rows.size or not view.columns.size:
            return None
        row, column = self._within(*self._current)
        return int(view.rows[row]), int(view.columns[column])

    def cell_rect(self, row: int, column: int) -> QRect:
        """Where the cell at this place of the view is in the viewport."""
        x = self._label_width + column * self._cell_width - self.horizontalScrollBar().value()
        y = HEADER + row * ROW - self.verticalScrollBar().value()
        return QRect(x, y, self._cell_width, ROW)

    # -- measures -----------------------------------------------------------------------------------------------------

    def _measure(self) -> None:
        view = self._view
        if view is None:
            return
        size = self.viewport().size()
        metrics = QFontMetrics(theme().font("small"))
        widest = max((metrics.horizontalAdvance(view.titles[row]) for row in view.rows[:400]), default=0)
        most = min(int(size.width() * _LABEL_SHARE), _LABEL_WIDEST)
        width = min(widest + 2 * _LABEL_PAD, most)
        if width != self._label_width:
            self._label_width = width
            self._labels.clear()
        columns = max(len(view.columns), 1) + (_PLAN_CELLS if self._marks.others else 0)
        self._cell_width = min(max((size.width() - width) // columns, _NARROWEST), _WIDEST)
        across = width + columns * self._cell_width - size.width()
        down = HEADER + len(view.rows) * ROW + 1 - size.height()
        self.horizontalScrollBar().setRange(0, max(across, 0))
        self.horizontalScrollBar().setPageStep(size.width() - width)
        self.horizontalScrollBar().setSingleStep(self._cell_width)
        self.verticalScrollBar().setRange(0, max(down, 0))
        self.verticalScrollBar().setPageStep(max(size.height() - HEADER, ROW))

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._measure()

    def scrollContentsBy(self, dx: int, dy: int) -> None:
        self._hover = None
        self.viewport().update()

    def _label(self, row: int) -> str:
        """The name of a grid row, shortened so that it still differs from the others."""
        found = self._labels.get(row)
        if found is None and self._view is not None:
            if not self._labels:
                self._elision = Elision(self._view.titles)
                self._metrics = QFontMetrics(theme().font("small"))
            room = self._label_width - 2 * _LABEL_PAD
            found = self._elision.shortened(self._view.titles[row], room, self._metrics.horizontalAdvance)
            self._labels[row] = found
        return found or ""

    # -- painting -----------------------------------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self.viewport())
        self.paint.begin(painter, self.viewport().rect())
        view = self._view
        if view is not None and view.rows.size:
            area = self.viewport().rect()
            top, left = self.verticalScrollBar().value(), self.horizontalScrollBar().value()
            rows = range(top // ROW, min(len(view.rows), (top + area.height() - HEADER) // ROW + 1))
            room = max(area.width() - self._label_width, 0)
            columns = range(
                left // self._cell_width, min(len(view.columns), (left + room) // self._cell_width + 1)
            )
            self._paint_cells(painter, view, rows, columns)
            labels = [(self.cell_rect(row, 0).y(), self._label(int(view.rows[row])),
                       int(view.rows[row]) in self._marks.selected) for row in rows]
            hovered = self._hover or (-1, -1)
            self.paint.labels(painter, labels, self._label_width, self.cell_rect(hovered[0], 0).y())
            self.paint.header(painter, view, columns, self._label_width, self.cell_rect(0, 0).x(), self._cell_width,
                              hovered[1])
            self._paint_others(painter, view, rows)
        painter.end()

    def _paint_cells(self, painter: QPainter, view: HeatView, rows: range, columns: range) -> None:
        if not rows or not columns:
            return
        picked = np.ix_(view.rows[rows.start : rows.stop], view.columns[columns.start : columns.stop])
        painter.setClipRect(self._label_width, HEADER, self.viewport().width(), self.viewport().height())
        self.paint.cells(
            painter, self.cell_rect(rows.start, columns.start), view.grid.measure, self._levels[picked].tolist(),
            view.grid.errors[picked].tolist(), view.grid.tiers[picked].tolist(),
        )
        place = {int(column): at for at, column in enumerate(view.columns)}
        for row in rows:
            at = place.get(self._marks.chosen.get(int(view.rows[row]), -1))
            if at is not None and at in columns:
                self.paint.ring(painter, self.cell_rect(row, at))
        if self._hover is not None and self._hover[0] in rows and self._hover[1] in columns:
            self.paint.hover(painter, self.cell_rect(*self._hover))
        if self._keyboard and self.hasFocus():
            self.paint.focus(painter, self.cell_rect(*self._within(*self._current)))
        painter.setClipping(False)

    def _other_rect(self, row: int) -> QRect:
        """Where the plan's own setting of this row of the view stands."""
        first = self.cell_rect(row, len(self._view.columns) if self._view is not None else 0)
        return QRect(first.x(), first.y(), _PLAN_CELLS * self._cell_width, ROW)

    def _paint_others(self, painter: QPainter, view: HeatView, rows: range) -> None:
        """The plan's settings that no column is for, behind the last column."""
        if not self._marks.others:
            return
        painter.setClipRect(self._label_width, 0, self.viewport().width(), self.viewport().height())
        self.paint.plan_heading(painter, self._other_rect(0))
        painter.setClipRect(self._label_width, HEADER, self.viewport().width(), self.viewport().height())
        for row in rows:
            found = self._marks.others.get(int(view.rows[row]))
            if found is not None:
                self.paint.other(painter, self._other_rect(row), found[0], found[2])
        painter.setClipping(False)

    def _other_at(self, point: QPoint) -> str:
        """Words for the plan's own setting below a point, "" where none is."""
        view = self._view
        row = (point.y() - HEADER + self.verticalScrollBar().value()) // ROW
        if view is None or point.y() < HEADER or row >= len(view.rows) or not self._other_rect(row).contains(point):
            return ""
        return self._marks.others.get(int(view.rows[row]), ("", "", -1))[1]

    def _retheme(self) -> None:
        self.paint.retheme()
        self._labels.clear()
        self._measure()
        self.viewport().update()

    # -- pointer ------------------------------------------------------------------------------------------------------

    def _place_at(self, point: QPoint) -> tuple[int, int] | None:
        """Row and column in the view below a point; -1 for the row of the headings and the column of the names."""
        view = self._view
        if view is None:
            return None
        row = -1 if point.y() < HEADER else (point.y() - HEADER + self.verticalScrollBar().value()) // ROW
        across = point.x() - self._label_width
        column = -1 if across < 0 else (across + self.horizontalScrollBar().value()) // self._cell_width
        return (row, column) if row < len(view.rows) and column < len(view.columns) else None

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        place = self._place_at(event.position().toPoint())
        if place != self._hover:
            self._hover = place
            hand = place is not None and (place[0] < 0 or place[1] < 0 or self._has_cell(*place))
            self.viewport().setCursor(Qt.CursorShape.PointingHandCursor if hand else Qt.CursorShape.ArrowCursor)
            self.viewport().update()

    def leaveEvent(self, event: QEvent) -> None:
        super().leaveEvent(event)
        self._hover = None
        self.viewport().update()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        place = self._place_at(event.position().toPoint())
        if event.button() != Qt.MouseButton.LeftButton or place is None or self._view is None:
            return
        row, column = place
        self._keyboard = False
        if row < 0:
            self.sort_asked.emit(int(self._view.columns[column]) if column >= 0 else -1)
            return
        self._go(row, column if column >= 0 else self._current[1])
        if column >= 0:
            self._use()

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """The second click of a double click undoes nothing of the first."""

    def viewportEvent(self, event: QEvent) -> bool:
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            text = self._tip(self._place_at(event.pos())) or self._other_at(event.pos())
            if text:
                QToolTip.showText(event.globalPos(), text, self.viewport())
            else:
                QToolTip.hideText()
            return True
        return super().viewportEvent(event)

    def _tip(self, place: tuple[int, int] | None) -> str:
        if place is None or self._view is None or place == (-1, -1):
            return ""
        row = int(self._view.rows[place[0]]) if place[0] >= 0 else -1
        column = int(self._view.columns[place[1]]) if place[1] >= 0 else -1
        return self.tips(row, column)

    # -- keyboard -----------------------------------------------------------------------------------------------------

    def keyPressEvent(self, event: QKeyEvent) -> None:
        view = self._view
        if view is None or not view.rows.size or not view.columns.size:
            event.ignore()
            return
        row, column = self._within(*self._current)
        page = max((self.viewport().height() - HEADER) // ROW - 1, 1)
        last_row, last_column = len(view.rows) - 1, len(view.columns) - 1
        control = bool(event.modifiers() & Qt.KeyboardModifier.ControlModifier)
        moves = {
            Qt.Key.Key_Up: (row - 1, column), Qt.Key.Key_Down: (row + 1, column),
            Qt.Key.Key_Left: (row, column - 1), Qt.Key.Key_Right: (row, column + 1),
            Qt.Key.Key_Home: (0 if control else row, 0),
            Qt.Key.Key_End: (last_row if control else row, last_column),
            Qt.Key.Key_PageUp: (row - page, column), Qt.Key.Key_PageDown: (row + page, column),
        }  # fmt: skip
        key = Qt.Key(event.key())
        self._keyboard = True
        if key in moves:
            self._go(*self._within(*moves[key]))
        elif key in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space) and not control:
            self._use()
        else:
            event.ignore()

    def focusInEvent(self, event: QFocusEvent) -> None:
        super().focusInEvent(event)
        self._keyboard = event.reason() in (Qt.FocusReason.TabFocusReason, Qt.FocusReason.BacktabFocusReason)
        self._say_current()
        self.viewport().update()

    def focusOutEvent(self, event: QFocusEvent) -> None:
        super().focusOutEvent(event)
        self.viewport().update()

    def _within(self, row: int, column: int) -> tuple[int, int]:
        view = self._view
        rows, columns = (len(view.rows), len(view.columns)) if view is not None else (0, 0)
        return min(max(row, 0), max(rows - 1, 0)), min(max(column, 0), max(columns - 1, 0))

    def _go(self, row: int, column: int) -> None:
        self._current = (row, column)
        self._bring_into_sight()
        self._say_current()
        self.viewport().update()
        if self._view is not None:
            self.row_chosen.emit(int(self._view.rows[row]))

    def _use(self) -> None:
        cell = self.current_cell
        if cell is not None and self._has_cell(*self._within(*self._current)):
            self.used.emit(*cell)

    def _has_cell(self, row: int, column: int) -> bool:
        view = self._view
        return view is not None and bool(view.grid.tiers[view.rows[row], view.columns[column]] >= 0)

    def _bring_into_sight(self) -> None:
        row, column = self._current
        down, across = self.verticalScrollBar(), self.horizontalScrollBar()
        height, width = self.viewport().height() - HEADER, self.viewport().width() - self._label_width
        down.setValue(min(max(down.value(), (row + 1) * ROW - height), row * ROW))
        left = column * self._cell_width
        across.setValue(min(max(across.value(), left + self._cell_width - width), left))

    def _say_current(self) -> None:
        """For screen readers: the cell that the keyboard is in."""
        cell = self.current_cell
        self.setAccessibleDescription(self.tips(*cell).replace("\n", "; ") if cell is not None else "")
