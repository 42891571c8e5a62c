"""The left side: filter words, the table of layers, and a line that counts what is shown."""

from __future__ import annotations

from PySide6.QtCore import QItemSelection, QItemSelectionModel, QModelIndex, Qt, QTimer
from PySide6.QtGui import QKeyEvent, QResizeEvent
from PySide6.QtWidgets import (
    QFrame,
    QHeaderView,
    QLabel,
    QLineEdit,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from gui.charts.card import restyle, with_role
from gui.charts.row_table import set_up_rows
from gui.layers.delegate import ROW_HEIGHT, SIZES_WIDTH, LayersDelegate
from gui.layers.filter import Condition, FilterError, fields, parse
from gui.layers.rows import short_name
from gui.layers.table_model import Column, LayersModel
from gui.session import Session
from gui.units import file_size

_WIDTHS = {Column.SIZE: 72, Column.WEIGHTS: 76, Column.SENSITIVITY: 52, Column.ERROR: 86, Column.PLAN: 56}
_WIDEST_PLAN = 150
_LEFT_BY_PLAN = 130
"""What a plan must leave for the names to be wider than the widest."""
_ROWS_FOR_WIDTH = 200
"""Rows whose plans the plan column is made wide enough for; all rows of a large model would take long."""
_FIRST_ORDER = {Column.SIZE: Qt.SortOrder.DescendingOrder, Column.WEIGHTS: Qt.SortOrder.DescendingOrder,
                Column.SENSITIVITY: Qt.SortOrder.DescendingOrder}
_REFILTER_MS = 250
_WIDEN_MS = 60
_LEFT_BY_ERRORS, _LEFT_BY_SENSITIVITY, _LEFT_BY_WEIGHTS, _LEFT_BY_SIZES = 110, 110, 150, 210
"""What these columns must leave for the names, least by the one that says most; sizes: those by the plan."""


class LayersTable(QTableView):
    """The table; Escape in it clears the selection, everything else is Qt's own keyboard handling."""

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape:
            self.clearSelection()
        else:
            super().keyPressEvent(event)


class LayersPanel(QFrame):
    """Shows the session's layers and writes only its selection."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        with_role(self, "panel")
        self._session = session
        self._following = False
        self._conditions: tuple[Condition, ...] = ()
        self.model = LayersModel(session, self)
        self.filter = QLineEdit(self)
        self.filter.setPlaceholderText("Filter layers: name, kind:conv, size>100k")
        self.filter.setToolTip(_FILTER_HELP)
        self.filter.setAccessibleName("Filter layers")
        self.filter.setClearButtonEnabled(True)
        self.table = self._build_table()
        self.status = QLabel(self)
        with_role(self.status, "small")
        self.status.setWordWrap(True)
        self._refilter = QTimer(self, singleShot=True, interval=_REFILTER_MS)
        self._refilter.timeout.connect(self._apply_filter)
        self._widen = QTimer(self, singleShot=True, interval=_WIDEN_MS)
        self._widen.timeout.connect(self._choose_columns)
        self._lay_out()
        self.filter.textChanged.connect(self._apply_filter)
        self.model.modelReset.connect(self._after_reset)
        self.model.dataChanged.connect(self._widen.start)
        self.table.selectionModel().selectionChanged.connect(self._take_selection)
        self.table.selectionModel().currentRowChanged.connect(self._take_selection)
        session.selectionChanged.connect(self._take_chosen)
        session.modelChanged.connect(self.filter.clear)  # words for one model say nothing about the next
        session.statisticsChanged.connect(self._refilter_if_asked)
        session.stateChanged.connect(self._choose_columns)
        session.sensitivity.stateChanged.connect(self._choose_columns)
        self._choose_columns()
        self._after_reset()

    def _build_table(self) -> LayersTable:
        table = LayersTable(self)
        table.setModel(self.model)
        self._delegate = LayersDelegate(table)
        table.setItemDelegate(self._delegate)
        table.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        set_up_rows(table, "Layers", ROW_HEIGHT)
        header = table.horizontalHeader()
        header.setSectionsClickable(True)
        # Its own, empty selection: asking whether a column is selected walks through all rows at every painting.
        header.setSelectionModel(QItemSelectionModel(self.model, header))
        header.setSectionResizeMode(Column.LAYER, QHeaderView.ResizeMode.Stretch)
        for column, width in _WIDTHS.items():
            header.resizeSection(column, width)
        header.sectionClicked.connect(self._sort_by)
        return table

    def _lay_out(self) -> None:
        field = QFrame(self)
        inside = QVBoxLayout(field)
        inside.setContentsMargins(12, 9, 12, 9)
        inside.addWidget(self.filter)
        foot = QFrame(self)
        below = QVBoxLayout(foot)
        below.setContentsMargins(12, 5, 12, 6)
        below.addWidget(self.status)
        rules = [with_role(QFrame(self), "rule") for _ in range(2)]
        for rule in rules:
            rule.setFixedHeight(1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        for widget in (field, rules[0]):
            layout.addWidget(widget)
        layout.addWidget(self.table, 1)
        for widget in (rules[1], foot):
            layout.addWidget(widget)

    def _choose_columns(self) -> None:
        """Names come first: without steps there are no errors, and in a narrow panel pictures give way."""
        if self._session.plans.dragging:
            return  # columns that move under a drag disturb; they are chosen when it is over
        plan = self._plan_width()
        free = self.width() - self.table.verticalScrollBar().sizeHint().width() - _WIDTHS[Column.SIZE] - plan
        errors = self._session.has_steps and free - _WIDTHS[Column.ERROR] >= _LEFT_BY_ERRORS
        free -= _WIDTHS[Column.ERROR] if errors else 0
        sensitivity = self._session.sensitivity.grid is not None and (
            free - _WIDTHS[Column.SENSITIVITY] >= _LEFT_BY_SENSITIVITY)
        free -= _WIDTHS[Column.SENSITIVITY] if sensitivity else 0
        weights = free - _WIDTHS[Column.WEIGHTS] >= _LEFT_BY_WEIGHTS
        free -= _WIDTHS[Column.WEIGHTS] if weights else 0
        sizes = self._session.has_steps and free + _WIDTHS[Column.SIZE] - SIZES_WIDTH >= _LEFT_BY_SIZES
        self.table.setColumnHidden(Column.ERROR, not errors)
        self.table.setColumnHidden(Column.SENSITIVITY, not sensitivity)
        self.table.setColumnHidden(Column.WEIGHTS, not weights)
        self.table.setColumnWidth(Column.SIZE, SIZES_WIDTH if sizes else _WIDTHS[Column.SIZE])
        self.table.setColumnWidth(Column.PLAN, plan)

    def _plan_width(self) -> int:
        """What the longest plan needs; how wide it may be at most depends on what it leaves for the names."""
        plans = {self.model.row(row).plan for row in range(min(self.model.rowCount(), _ROWS_FOR_WIDTH))}
        room = self.width() - self.table.verticalScrollBar().sizeHint().width() - _WIDTHS[Column.SIZE]
        widest = max(min(_WIDEST_PLAN, room - _LEFT_BY_ERRORS), room - _LEFT_BY_PLAN)
        return min(max(self._delegate.plan_width(plans), _WIDTHS[Column.PLAN]), widest)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._choose_columns()

    # -- filter and sort --------------------------------------------------------------------------------------------

    def _apply_filter(self) -> None:
        try:
            self._conditions = parse(self.filter.text())
        except FilterError as error:
            self.status.setText(str(error))
            self._mark(True)
            return
        self._mark(False)
        self.model.set_filter(self._conditions)
        self._select_among_shown()

    def _select_among_shown(self) -> None:
        """What is selected is always in sight: edits must not reach layers that nobody sees."""
        shown = [name for name in self._session.selection if self.model.row_of(name) >= 0]
        self._session.select(shown or self.model.names[:1])

    def _mark(self, wrong: bool) -> None:
        restyle(self.status, "bad" if wrong else "small")
        if bool(self.filter.property("invalid")) != wrong:
            self.filter.setProperty("invalid", wrong)
            self.filter.style().polish(self.filter)

    def _refilter_if_asked(self, _names: tuple[str, ...]) -> None:
        if fields(self._conditions) & {"zeros", "outliers"} and not self._refilter.isActive():
            self._refilter.start()

    def _sort_by(self, section: int) -> None:
        """First click sorts, the second turns it round, the third goes back to the order of the graph."""
        column, header = Column(section), self.table.horizontalHeader()
        first = _FIRST_ORDER.get(column, Qt.SortOrder.AscendingOrder)
        other = Qt.SortOrder.AscendingOrder if first == Qt.SortOrder.DescendingOrder else Qt.SortOrder.DescendingOrder
        current = self.model.sorting
        if current[0] != column:
            self.model.sort(column, first)
        elif current[1] == first:
            self.model.sort(column, other)
        else:
            self.model.sort(-1)
        self.table.scrollToTop()  # who sorts wants to see what comes first
        header.viewport().update()

    def _after_reset(self) -> None:
        shown, total = self.model.rowCount(), self.model.total
        self._session.shown.set_names(frozenset(self.model.names) if shown < total else None)
        if total == 0:
            text = "This model has no weights that can be compressed." if self._session.model is not None else ""
        elif shown == total:
            text = f"{total:,} layers, {file_size(self.model.shown_bytes)}"
        elif shown == 0:
            text = f"None of the {total:,} layers fits these words."
        else:
            text = f"{shown:,} of {total:,} layers, {file_size(self.model.shown_bytes)}"
        self.status.setText(text)
        self._delegate.set_names(short_name(self.model.layer(row)) for row in range(shown))
        self._widen.start()
        self._show_selection()

    # -- selection --------------------------------------------------------------------------------------------------

    def _take_selection(self) -> None:
        """The table's selection, the current row first."""
        if self._following:
            return
        rows = self._selected_rows()
        current = self.table.currentIndex().row()
        if current in rows:
            rows.remove(current)
            rows.insert(0, current)
        self._session.select(self.model.layer(row).name for row in rows)

    def _selected_rows(self) -> list[int]:
        parts = self.table.selectionModel().selection().toList()
        return sorted({row for part in parts for row in range(part.top(), part.bottom() + 1)})

    def _take_chosen(self) -> None:
        """Layers were selected elsewhere: a filter that hides some of them gives way."""
        if any(self.model.row_of(name) < 0 for name in self._session.selection):
            self.filter.clear()
        self._show_selection()

    def _show_selection(self) -> None:
        rows = sorted(row for name in self._session.selection if (row := self.model.row_of(name)) >= 0)
        if rows == self._selected_rows():
            return
        last = len(Column) - 1
        wanted, start = QItemSelection(), None
        for i, row in enumerate(rows):
            start = row if start is None else start
            if i + 1 == len(rows) or rows[i + 1] != row + 1:
                wanted.select(self.model.index(start, 0), self.model.index(row, last))
                start = None
        self._following = True
        selection = self.table.selectionModel()
        selection.select(wanted, QItemSelectionModel.SelectionFlag.ClearAndSelect)
        first = self.model.row_of(self._session.selection[0]) if self._session.selection else -1
        if first >= 0:
            index = self.model.index(first, 0)
            selection.setCurrentIndex(index, QItemSelectionModel.SelectionFlag.NoUpdate)
            self.table.scrollTo(index)
        else:
            selection.setCurrentIndex(QModelIndex(), QItemSelectionModel.SelectionFlag.NoUpdate)
        self._following = False


_FILTER_HELP = """Words that all must hold:
conv1   part of the name
kind:conv,linear   op:matmul   plan:int8
size>100k   weights<1M   zeros>10   outliers>0.1   error<30
-kind:norm   not this"""
