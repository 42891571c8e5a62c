"""The model behind the table of runs: flat, or each run below the one that it branches from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PySide6.QtCore import QAbstractItemModel, QModelIndex, QObject, QPersistentModelIndex, QSize, Qt

from gui.run_tree.rows import HEADERS, HINTS, Branch, Column, Row, arranged, as_tree
from gui.theme import theme

Index = QModelIndex | QPersistentModelIndex
ROW_HEIGHT = 27
_NO_PARENT = QModelIndex()


class _Node:
    """A row's place in the tree; kept alive by the model, as indexes only point to it."""

    def __init__(self, branch: Branch, parent: _Node | None, at: int) -> None:
        self.row, self.parent, self.at = branch.row, parent, at
        self.children = [_Node(child, self, i) for i, child in enumerate(branch.children)]


class RunsModel(QAbstractItemModel):
    """Rows that were formatted before, in the order that the person chose."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._rows: tuple[Row, ...] = ()
        self._top: list[_Node] = []
        self._nodes: dict[str, _Node] = {}
        self.as_tree = True
        self.sorting: tuple[int, bool] = (Column.BEGUN, True)

    @property
    def rows(self) -> tuple[Row, ...]:
        """As they were given."""
        return self._rows

    def set_rows(self, rows: Sequence[Row]) -> None:
        """Show these; nothing happens when they are the same."""
        if tuple(rows) == self._rows:
            return
        self._rows = tuple(rows)
        self._arrange()

    def set_tree(self, on: bool) -> None:
        """Each run below the one that it branches from, or all alike."""
        if on != self.as_tree:
            self.as_tree = on
            self._arrange()

    def sort_by(self, column: int) -> None:
        """Sort; the same column once more turns it round."""
        self.sorting = (column, not self.sorting[1] if self.sorting[0] == column else column == Column.BEGUN)
        self._arrange()

    def _arrange(self) -> None:
        self.beginResetModel()
        column, falling = self.sorting
        if self.as_tree:
            branches = as_tree(self._rows, column, falling=falling)
        else:
            branches = tuple(Branch(row) for row in arranged(self._rows, column, falling=falling))
        self._top = [_Node(branch, None, i) for i, branch in enumerate(branches)]
        self._nodes = {}
        waiting = list(self._top)
        while waiting:
            node = waiting.pop()
            self._nodes[node.row.key] = node
            waiting += node.children
        self.endResetModel()

    def row_at(self, index: Index) -> Row | None:
        """The run of an index."""
        return self._node(index).row if index.isValid() else None

    def place(self, key: str) -> QModelIndex:
        """The index of a run, an invalid one when it is not there."""
        node = self._nodes.get(key)
        return QModelIndex() if node is None else self.createIndex(node.at, 0, node)

    def _node(self, index: Index) -> _Node:
        node = index.internalPointer()
        if not isinstance(node, _Node):
            raise TypeError("the index is not of this model")
        return node

    def _below(self, parent: Index) -> list[_Node]:
        if not parent.isValid():
            return self._top
        return self._node(parent).children if parent.column() == 0 else []

    def index(self, row: int, column: int, parent: Index = _NO_PARENT) -> QModelIndex:
        below = self._below(parent)
        if not (0 <= row < len(below) and 0 <= column < len(Column)):
            return QModelIndex()
        return self.createIndex(row, column, below[row])

    def parent(self, index: Index = _NO_PARENT) -> QModelIndex:  # type: ignore[override]  # not QObject's
        node = self._node(index).parent if index.isValid() else None
        return QModelIndex() if node is None else self.createIndex(node.at, 0, node)

    def rowCount(self, parent: Index = _NO_PARENT) -> int:
        return len(self._below(parent))

    def columnCount(self, parent: Index = _NO_PARENT) -> int:
        return len(Column)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        row = self.row_at(index)
        if row is None:
            return None
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole):
            return row.texts[index.column()]
        if role == Qt.ItemDataRole.ToolTipRole:
            return row.tip
        if role == Qt.ItemDataRole.SizeHintRole:
            return QSize(0, ROW_HEIGHT)
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return _side(index.column())
        if role == Qt.ItemDataRole.FontRole:
            return theme().font("small", figures=index.column() > Column.STATE)
        if role == Qt.ItemDataRole.ForegroundRole and index.column() == Column.STATE:
            return theme().color(_COLORS.get(str(row.run.state), "muted"))
        return None

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if orientation != Qt.Orientation.Horizontal or not 0 <= section < len(Column):
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            arrow = "\N{DOWNWARDS ARROW}" if self.sorting[1] else "\N{UPWARDS ARROW}"
            return f"{HEADERS[section]} {arrow}" if section == self.sorting[0] else HEADERS[section]
        if role == Qt.ItemDataRole.ToolTipRole:
            return HINTS[section]
        return _side(section) if role == Qt.ItemDataRole.TextAlignmentRole else None


_COLORS = {"done": "good", "running": "accent", "paused": "warn", "interrupted": "warn", "failed": "bad"}


def _side(column: int) -> Qt.AlignmentFlag:
    left = column in (Column.RUN, Column.STATE)
    side = Qt.AlignmentFlag.AlignLeft if left else Qt.AlignmentFlag.AlignRight
    return side | Qt.AlignmentFlag.AlignVCenter
