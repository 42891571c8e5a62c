"""The table of trials: sortable, with light bars; filled shapes are those that none beats in size and error at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from PySide6.QtCore import (
    QAbstractTableModel,
    QItemSelectionModel,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QPointF,
    QRectF,
    QSize,
    Qt,
    Signal,
)
from PySide6.QtGui import QFontMetrics, QPainter
from PySide6.QtWidgets import (
    QAbstractItemView,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableView,
    QWidget,
)

from gui.charts.card import with_role
from gui.charts.row_table import set_up_rows
from gui.methods_study.families import draw, look
from gui.methods_study.words import BEST_FIRST, HEADERS, HINTS, Column, Line, ordered
from gui.theme import theme

Index = QModelIndex | QPersistentModelIndex
_NO_PARENT = QModelIndex()
_ROW_HEIGHT, _PAD, _SIGN = 27, 8, 18
_WIDTHS = {Column.SIZE: 62, Column.SHARE: 60, Column.LATENCY: 60, Column.ERROR: 60, Column.METRIC: 112,
           Column.MEMORY: 62, Column.WORK: 72, Column.TIME: 48}
_FIRST = (Column.SIZE, Column.SHARE, Column.LATENCY, Column.ERROR, Column.METRIC)
"""Are in sight before the others, which may have to be scrolled to."""
_LEAST_SETTING, _WIDE_SETTING = 150, 230


class MethodsModel(QAbstractTableModel):
    """Lines that were formatted before, in the order that the person chose."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._lines: tuple[Line, ...] = ()
        self._given: tuple[Line, ...] = ()
        self.pareto: frozenset[str] = frozenset()
        self.recommended = ""
        self.sorting: tuple[int, bool] = (Column.METRIC, False)
        self.best_db = 1.0

    @property
    def lines(self) -> tuple[Line, ...]:
        """As they are shown."""
        return self._lines

    def set_lines(self, lines: Sequence[Line], pareto: frozenset[str], recommended: str) -> None:
        """Show these."""
        self.beginResetModel()
        self._given, self.pareto, self.recommended = tuple(lines), pareto, recommended
        known = [one.row.quality.sqnr_db for one in lines if one.row.quality is not None and one.row.is_trial]
        self.best_db = max([db for db in known if math.isfinite(db)], default=1.0)
        self._lines = ordered(self._given, *self.sorting)
        self.endResetModel()

    def sort_by(self, column: int) -> None:
        """Sort; the same column once more turns it round."""
        self.sorting = (column, not self.sorting[1] if self.sorting[0] == column else False)
        self.beginResetModel()
        self._lines = ordered(self._given, *self.sorting)
        self.endResetModel()

    def place(self, key: str) -> int:
        """The line of a row, -1 when it is not there."""
        return next((at for at, one in enumerate(self._lines) if one.row.key == key), -1)

    def rowCount(self, parent: Index = _NO_PARENT) -> int:
        return 0 if parent.isValid() else len(self._lines)

    def columnCount(self, parent: Index = _NO_PARENT) -> int:
        return 0 if parent.isValid() else len(Column)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid():
            return None
        one = self._lines[index.row()]
        if role == Qt.ItemDataRole.DisplayRole:
            return one.texts[index.column()]
        if role == Qt.ItemDataRole.ToolTipRole:
            return one.tip
        if role == Qt.ItemDataRole.AccessibleTextRole:
            marks = [self.recommended == one.row.key and "recommended", one.row.key in self.pareto and "not beaten"]
            return ", ".join(filter(None, (one.texts[index.column()], *(marks if index.column() == 0 else ()))))
        return None

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if orientation != Qt.Orientation.Horizontal or not 0 <= section < len(Column):
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            arrow = ("\N{UPWARDS ARROW}", "\N{DOWNWARDS ARROW}")[self.sorting[1] != (section in BEST_FIRST)]
            return f"{HEADERS[section]} {arrow}" if section == self.sorting[0] else HEADERS[section]
        if role == Qt.ItemDataRole.ToolTipRole:
            return HINTS[section]
        if role == Qt.ItemDataRole.TextAlignmentRole:
            side = Qt.AlignmentFlag.AlignLeft if section == Column.SETTING else Qt.AlignmentFlag.AlignRight
            return side | Qt.AlignmentFlag.AlignVCenter
        return None


class _Delegate(QStyledItemDelegate):
    """Paints lines; nothing is computed here."""

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        return QSize(40, _ROW_HEIGHT)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        model = index.model()
        if not isinstance(model, MethodsModel):
            super().paint(painter, option, index)
            return
        one, column, now = model.lines[index.row()], index.column(), theme()
        chosen = bool(option.state & QStyle.StateFlag.State_Selected)
        area = QRectF(option.rect)
        painter.save()
        if chosen:
            painter.fillRect(area, now.color("selection"))
        self._bar(painter, area, one, column, model)
        recommended = one.row.key == model.recommended
        named = column == Column.SETTING
        painter.setFont(now.font("small", strong=recommended, figures=not named))
        inner = area.adjusted(_PAD, 0, -_PAD, 0)
        if named:
            self._sign(painter, inner, one, model)
            inner.adjust(_SIGN, 0, 0, 0)
        painter.setPen(now.color("text" if one.row.nbytes is not None else "muted"))
        side = Qt.AlignmentFlag.AlignLeft if named else Qt.AlignmentFlag.AlignRight
        text = QFontMetrics(painter.font()).elidedText(one.texts[column], Qt.TextElideMode.ElideRight,
                                                       int(inner.width()))
        painter.drawText(inner, side | Qt.AlignmentFlag.AlignVCenter, text)
        painter.restore()

    def _bar(self, painter: QPainter, area: QRectF, one: Line, column: int, model: MethodsModel) -> None:
        """Light bars: the share of the file, and the nearness to the original's outputs."""
        share = 0.0
        if column == Column.SHARE and math.isfinite(float(one.keys[Column.SHARE])):
            share = float(one.keys[Column.SHARE]) / 100.0
        elif column == Column.ERROR and one.row.quality is not None and one.row.is_trial:
            db = one.row.quality.sqnr_db
            share = 1.0 if db == math.inf else db / model.best_db if math.isfinite(db) else 0.0
        share = min(max(share, 0.0), 1.0)
        if share <= 0.0:
            return
        room = area.adjusted(4, 4, -4, -4)
        role = "before" if column == Column.SHARE else "accent"
        painter.fillRect(QRectF(room.left(), room.top(), room.width() * share, room.height()), theme().color(role, 0.2))

    def _sign(self, painter: QPainter, area: QRectF, one: Line, model: MethodsModel) -> None:
        role, symbol = look(one.row.family)
        if not one.row.family:
            return
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        color = theme().color(role, 1.0 if one.row.is_trial else 0.4)
        centre = QPointF(area.left() + 5, area.center().y() + 0.5)
        draw(painter, symbol, centre, color, filled=one.row.key in model.pareto)


class MethodsTable(QTableView):
    """One row can be selected.

    chosen(key)     the person selected a row
    used(key)       pressed Enter on it, or clicked it twice
    """

    chosen = Signal(str)
    used = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.rows = MethodsModel(self)
        self._following = False
        self.setModel(self.rows)
        self.setItemDelegate(_Delegate(self))
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setWordWrap(False)
        set_up_rows(self, "Methods", _ROW_HEIGHT, many=False)
        with_role(self, "padded")
        header = self.horizontalHeader()
        header.setSectionsClickable(True)
        header.sectionClicked.connect(self._sort)
        for column, width in _WIDTHS.items():
            header.resizeSection(column, width)
        self.selectionModel().selectionChanged.connect(self._say_chosen)
        self.activated.connect(lambda index: self.used.emit(self.rows.lines[index.row()].row.key))
        theme().changed.connect(self.viewport().update)

    def resizeEvent(self, event: Any) -> None:
        super().resizeEvent(event)
        width = self.viewport().width()
        all_shown, first_shown = width - sum(_WIDTHS.values()), width - sum(_WIDTHS[column] for column in _FIRST)
        names = all_shown if all_shown >= _LEAST_SETTING else min(first_shown, _WIDE_SETTING)
        self.horizontalHeader().resizeSection(Column.SETTING, max(names, _LEAST_SETTING))

    def show_lines(self, lines: Sequence[Line], pareto: frozenset[str], recommended: str) -> None:
        """Show these; the selection and the place stay."""
        key, at = self.key, self.verticalScrollBar().value()
        self._following = True
        self.rows.set_lines(lines, pareto, recommended)
        self.select(key, scroll=False)
        self.verticalScrollBar().setValue(at)
        self._following = False

    @property
    def key(self) -> str:
        """Of the selected row, or ""."""
        places = self.selectionModel().selectedRows()
        return self.rows.lines[places[0].row()].row.key if places else ""

    def select(self, key: str, *, scroll: bool = True) -> None:
        """Select a row and bring it into view."""
        at = self.rows.place(key)
        if at < 0 or key == self.key:
            return
        index = self.rows.index(at, 0)
        flags = QItemSelectionModel.SelectionFlag.ClearAndSelect | QItemSelectionModel.SelectionFlag.Rows
        self.selectionModel().setCurrentIndex(index, flags)
        if scroll:
            self.scrollTo(index)

    def _say_chosen(self) -> None:
        if not self._following and self.key:
            self.chosen.emit(self.key)

    def _sort(self, column: int) -> None:
        key = self.key
        self._following = True
        self.rows.sort_by(column)
        self.select(key)
        self._following = False
        if not key:
            self.scrollToTop()
