"""The layers as a table model: filter and sort are an order of indices, computed with numpy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import Any

import numpy as np
from PySide6.QtCore import QAbstractTableModel, QModelIndex, QObject, QPersistentModelIndex, Qt

from core.model.layer import Layer
from gui.layers import filter as words
from gui.layers.rows import Row, build_row, error_db, is_measured, plan_text, sensitivity_share, tool_tip
from gui.session import Session

Index = QModelIndex | QPersistentModelIndex
_NO_PARENT = QModelIndex()


class Column(IntEnum):
    LAYER = 0
    SIZE = 1
    WEIGHTS = 2
    SENSITIVITY = 3
    ERROR = 4
    PLAN = 5


_HEADERS = {Column.LAYER: "Layer", Column.SIZE: "Size", Column.WEIGHTS: "Weights", Column.SENSITIVITY: "Sens.",
            Column.ERROR: "Weight SQNR", Column.PLAN: "Plan"}
_ARROWS = {Qt.SortOrder.AscendingOrder: " \N{UPWARDS ARROW}", Qt.SortOrder.DescendingOrder: " \N{DOWNWARDS ARROW}"}
_HINTS = {
    Column.LAYER: "Name and kind of the layer",
    Column.SIZE: "Bytes of the weight in the opened file; by the plan too, where there is room and in the tool tips",
    Column.WEIGHTS: "Histogram of the weights; sorts by their standard deviation",
    Column.SENSITIVITY: "Sensitivity: what 4 bits cost with this layer alone compressed; longer is worse.\n"
                        "Solid: at the model's outputs, predicted or measured. Hollow: of the weight alone.",
    Column.ERROR: "Signal to noise in dB. Solid: measured at the layer's output, with this layer alone compressed\n"
                  "(isolated; the Compare chart has the whole model's, accumulated, as well).\n"
                  "Hollow: of the weight itself, computed. Compress with data to measure.",
    Column.PLAN: "The steps that the recipe has for this layer",
}


class LayersModel(QAbstractTableModel):
    """Rows are layers of the session's model, in the order of `order`."""

    def __init__(self, session: Session, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._layers: tuple[Layer, ...] = ()
        self._place: dict[str, int] = {}
        self._order = np.zeros(0, dtype=np.int64)
        self._row_of = np.zeros(0, dtype=np.int64)  # row of each layer, -1 when it is filtered out
        self._rows: dict[int, Row] = {}
        self._measured: bool | None = None  # of `_any_measured`, until something changes
        self._conditions: tuple[words.Condition, ...] = ()
        self._sort: tuple[int, Qt.SortOrder] = (-1, Qt.SortOrder.AscendingOrder)
        session.modelChanged.connect(self._reload)
        session.statisticsChanged.connect(self._refresh)
        session.recipeChanged.connect(self._refresh)
        session.previewsChanged.connect(self._refresh)
        session.preparedChanged.connect(self._refresh_all)
        session.measuringChanged.connect(self._refresh_all)
        session.resultChanged.connect(self._refresh_all)
        session.dataChanged.connect(self._refresh_all)
        session.sensitivity.changed.connect(self._refresh)
        session.sensitivity.stateChanged.connect(self._sensitivity_changed)
        self._reload()

    # -- asking -----------------------------------------------------------------------------------------------------

    def layer(self, row: int) -> Layer:
        return self._layers[self._order[row]]

    def row(self, row: int) -> Row:
        """The formatted row, built at its first painting."""
        place = int(self._order[row])
        found = self._rows.get(place)
        if found is None:
            found = self._rows[place] = build_row(self._session, self._layers[place])
        return found

    def row_of(self, name: str) -> int:
        """The row of a layer, -1 when it is filtered out or not there."""
        place = self._place.get(name, -1)
        return int(self._row_of[place]) if place >= 0 else -1

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the rows, in order."""
        return tuple(self._layers[i].name for i in self._order)

    @property
    def shown_bytes(self) -> int:
        return sum(self._layers[i].nbytes for i in self._order)

    @property
    def sorting(self) -> tuple[int, Qt.SortOrder]:
        """The column sorted by (-1: the order of the graph) and the direction."""
        return self._sort

    @property
    def total(self) -> int:
        """Layers of the model, filtered or not."""
        return len(self._layers)

    def rowCount(self, parent: Index = _NO_PARENT) -> int:
        return 0 if parent.isValid() else len(self._order)

    def columnCount(self, parent: Index = _NO_PARENT) -> int:
        return 0 if parent.isValid() else len(Column)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid():
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            row, column = self.row(index.row()), Column(index.column())
            texts = {Column.LAYER: row.name, Column.SIZE: row.size, Column.SENSITIVITY: row.sensitivity,
                     Column.ERROR: row.error, Column.PLAN: row.plan}
            return texts.get(column)
        if role == Qt.ItemDataRole.ToolTipRole:
            return tool_tip(self._session, self.layer(index.row()))
        if role == Qt.ItemDataRole.AccessibleTextRole:
            row = self.row(index.row())
            return f"{row.name}, {row.badge}, {row.size}, {row.plan}"
        return None

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if orientation != Qt.Orientation.Horizontal or not 0 <= section < len(Column):
            return None
        column = Column(section)
        if role == Qt.ItemDataRole.DisplayRole:
            arrow = "" if self._sort[0] != column else _ARROWS[self._sort[1]]
            measured = column == Column.ERROR and self._any_measured()
            return ("Output SQNR" if measured else _HEADERS[column]) + arrow
        if role == Qt.ItemDataRole.ToolTipRole:
            return _HINTS[column]
        if role == Qt.ItemDataRole.TextAlignmentRole:
            side = Qt.AlignmentFlag.AlignRight if column == Column.SIZE else Qt.AlignmentFlag.AlignLeft
            return side | Qt.AlignmentFlag.AlignVCenter
        return None

    def _any_measured(self) -> bool:
        """Whether some errors are measured ones; the weights' own are then shown only where there is none."""
        if self._measured is None:
            self._measured = self._session.result is not None and any(
                is_measured(self._session, name) for name in self._session.result.live)
        return self._measured

    # -- order ------------------------------------------------------------------------------------------------------

    def set_filter(self, conditions: Sequence[words.Condition]) -> None:
        """Show only layers that fulfil all conditions (see `gui.layers.filter`)."""
        self._conditions = tuple(conditions)
        self._reorder()

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Sort by a column; -1 is the order of the graph."""
        self._sort = (column, order)
        self._reorder()

    def _reorder(self) -> None:
        self.beginResetModel()
        self._place_rows()
        self.endResetModel()

    def _place_rows(self) -> None:
        n = len(self._layers)
        mask = np.ones(n, dtype=bool)
        if self._conditions:
            asked = words.fields(self._conditions)
            texts = {field: self._texts(field) for field in asked if field in words.TEXT_WORDS}
            numbers = {field: self._numbers(field) for field in asked if field in words.NUMBER_WORDS}
            mask = words.matches(self._conditions, texts, numbers, n)
        order = self._sorted()
        self._order = order[mask[order]]
        self._row_of = np.full(n, -1, dtype=np.int64)
        self._row_of[self._order] = np.arange(len(self._order))

    def _sorted(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        column, direction = self._sort
        if column < 0:
            return np.arange(len(self._layers))
        descending = direction == Qt.SortOrder.DescendingOrder
        if column in (Column.LAYER, Column.PLAN):
            keys = self._texts("name" if column == Column.LAYER else "plan")
            return np.array(sorted(range(len(keys)), key=keys.__getitem__, reverse=descending), dtype=np.int64)
        field = {Column.SIZE: "size", Column.WEIGHTS: "std", Column.SENSITIVITY: "sensitivity",
                 Column.ERROR: "error"}[Column(column)]
        numbers = self._numbers(field)
        return np.argsort(-numbers if descending else numbers, kind="stable")  # NaN comes last either way

    def _texts(self, field: str) -> list[str]:
        if field == "name":
            return [f"{layer.title} {layer.name}".lower() for layer in self._layers]
        if field == "kind":
            return [str(layer.kind).lower() for layer in self._layers]
        if field == "op":
            return [" ".join(use.op for use in layer.uses).lower() for layer in self._layers]
        return [plan_text(self._session, layer)[0].lower() for layer in self._layers]

    def _numbers(self, field: str) -> words.Numbers:
        if field == "size":
            return np.array([layer.nbytes for layer in self._layers], dtype=np.float64)
        if field == "weights":
            return np.array([layer.n_weights for layer in self._layers], dtype=np.float64)
        if field == "sensitivity":
            shares = [sensitivity_share(self._session, layer.name) for layer in self._layers]
            return np.array([np.nan if share is None else share for share in shares], dtype=np.float64)
        if field == "error":
            return np.array([error_db(self._session, layer.name)[0] for layer in self._layers], dtype=np.float64)
        found = [self._session.statistics.get(layer.name) for layer in self._layers]
        if field == "std":
            return np.array([np.nan if s is None else s.std for s in found])
        return np.array([np.nan if s is None or not s.n else 100.0 * getattr(s, field) / s.n for s in found])

    # -- following the session --------------------------------------------------------------------------------------

    def _reload(self) -> None:
        self.beginResetModel()
        model = self._session.model
        self._layers = model.layers if model is not None else ()
        self._place = {layer.name: i for i, layer in enumerate(self._layers)}
        self._rows.clear()
        self._measured = None
        self._place_rows()
        self.endResetModel()

    def _refresh(self, names: Iterable[str]) -> None:
        """Rebuild rows that changed; the order stays until the person sorts again, so that nothing jumps about."""
        if self._measured is not None:
            self._measured = None
            self.headerDataChanged.emit(Qt.Orientation.Horizontal, Column.ERROR, Column.ERROR)
        rows = []
        for name in names:
            place = self._place.get(name, -1)
            if place >= 0:
                self._rows.pop(place, None)
                if self._row_of[place] >= 0:
                    rows.append(int(self._row_of[place]))
        if rows:
            self.dataChanged.emit(self.index(min(rows), 0), self.index(max(rows), len(Column) - 1))

    def _sensitivity_changed(self) -> None:
        """Another table, or none: rows that have a bar, or had one."""
        self._refresh(self._place)

    def _refresh_all(self) -> None:
        self._refresh(self._place)
