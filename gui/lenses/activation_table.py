"""The table of the model's activations: what each is, how often it gives zero, and what the plan puts in its place."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Any

from PySide6.QtCore import (
    QAbstractTableModel,
    QItemSelection,
    QItemSelectionModel,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    Qt,
    Signal,
)
from PySide6.QtWidgets import QHeaderView, QTableView, QWidget

from gui.charts.card import with_role
from gui.charts.row_table import set_up_rows
from gui.lenses.activation_state import ActivationRow
from gui.theme import theme

Index = QModelIndex | QPersistentModelIndex
_NO_PARENT = QModelIndex()
_ROW_HEIGHT = 27


class Column(IntEnum):
    NAME = 0
    FUNCTION = 1
    LAYER = 2
    ZEROS = 3
    PLAN = 4


_HEADERS = {Column.NAME: "Node", Column.FUNCTION: "Function", Column.LAYER: "After layer", Column.ZEROS: "Zeros",
            Column.PLAN: "Plan"}
_HINTS = {
    Column.NAME: "The last node of the activation; some are spelled out in several",
    Column.FUNCTION: "What it computes; a gate is multiplied with another value, an answer is the model's own",
    Column.LAYER: "The layer whose result it takes",
    Column.ZEROS: "Share of its results that are exactly zero, measured on the loaded samples",
    Column.PLAN: "What the plan puts in its place",
}
_WIDTHS = {Column.FUNCTION: 102, Column.LAYER: 124, Column.ZEROS: 64, Column.PLAN: 120}
_ROLES = {"done": "accent", "waits": "muted", "refused": "warn", "stays": "faint"}


class ActivationsModel(QAbstractTableModel):
    """Rows as they were worked out; nothing is computed here."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._rows: tuple[ActivationRow, ...] = ()

    @property
    def rows(self) -> tuple[ActivationRow, ...]:
        return self._rows

    def set_rows(self, rows: Sequence[ActivationRow]) -> bool:
        """Show these lines; True when other activations are listed than before, which ends the selection."""
        anew = [row.key for row in rows] != [row.key for row in self._rows]
        if anew:
            self.beginResetModel()
            self._rows = tuple(rows)
            self.endResetModel()
        elif tuple(rows) != self._rows:
            self._rows = tuple(rows)
            self.repaint_all()
        return anew

    def repaint_all(self) -> None:
        """Everything may look otherwise: other rows, or another theme."""
        if self._rows:
            self.dataChanged.emit(self.index(0, 0), self.index(len(self._rows) - 1, len(Column) - 1))

    def rowCount(self, parent: Index = _NO_PARENT) -> int:
        return 0 if parent.isValid() else len(self._rows)

    def columnCount(self, parent: Index = _NO_PARENT) -> int:
        return 0 if parent.isValid() else len(Column)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid():
            return None
        row, column = self._rows[index.row()], Column(index.column())
        if role == Qt.ItemDataRole.DisplayRole:
            return _text(row, column)
        if role == Qt.ItemDataRole.ToolTipRole:
            return "\n".join(filter(None, (row.activation.title, *row.activation.nodes, row.why)))
        if role == Qt.ItemDataRole.TextAlignmentRole:
            side = Qt.AlignmentFlag.AlignRight if column == Column.ZEROS else Qt.AlignmentFlag.AlignLeft
            return side | Qt.AlignmentFlag.AlignVCenter
        if role == Qt.ItemDataRole.ForegroundRole and column == Column.PLAN:
            return theme().color(_ROLES[row.state])
        if role == Qt.ItemDataRole.ForegroundRole and column in (Column.LAYER, Column.ZEROS):
            return theme().color("muted")
        return None

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if orientation != Qt.Orientation.Horizontal or not 0 <= section < len(Column):
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return _HEADERS[Column(section)]
        if role == Qt.ItemDataRole.ToolTipRole:
            return _HINTS[Column(section)]
        if role == Qt.ItemDataRole.TextAlignmentRole:
            side = Qt.AlignmentFlag.AlignRight if section == Column.ZEROS else Qt.AlignmentFlag.AlignLeft
            return side | Qt.AlignmentFlag.AlignVCenter
        return None


def _text(row: ActivationRow, column: Column) -> str:
    if column == Column.PLAN:
        return "not done" if row.state == "refused" else row.plan or "keep"
    function = f"{row.activation.op} ({row.role})" if row.role else row.activation.op
    return {Column.NAME: row.name, Column.FUNCTION: function, Column.LAYER: row.layer, Column.ZEROS: row.zeros}[column]


class ActivationsTable(QTableView):
    """Several activations can be selected.

    chosen()   the person selected others
    """

    chosen = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.rows = ActivationsModel(self)
        self.setModel(self.rows)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.setWordWrap(False)
        set_up_rows(self, "Activations", _ROW_HEIGHT)
        with_role(self, "padded")
        header = self.horizontalHeader()
        header.setSectionResizeMode(Column.NAME, QHeaderView.ResizeMode.Stretch)
        for column, width in _WIDTHS.items():
            header.resizeSection(column, width)
        self.selectionModel().selectionChanged.connect(self.chosen)
        theme().changed.connect(self.rows.repaint_all)

    def selected_rows(self) -> tuple[ActivationRow, ...]:
        """The selected activations in the table's order."""
        return tuple(self.rows.rows[at] for at in sorted({index.row() for index in self.selectedIndexes()}))

    def select(self, keys: frozenset[str]) -> None:
        """Select these activations and bring the first into view."""
        wanted = QItemSelection()
        places = [at for at, row in enumerate(self.rows.rows) if row.key in keys]
        for at in places:
            wanted.select(self.rows.index(at, 0), self.rows.index(at, len(Column) - 1))
        model = self.selectionModel()
        model.select(wanted, QItemSelectionModel.SelectionFlag.ClearAndSelect)
        if places:
            model.setCurrentIndex(self.rows.index(places[0], 0), QItemSelectionModel.SelectionFlag.NoUpdate)
            self.scrollTo(self.rows.index(places[0], 0))
