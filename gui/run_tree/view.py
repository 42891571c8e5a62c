"""The table of runs as a tree view, and the card around it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PySide6.QtCore import QItemSelection, QItemSelectionModel, QModelIndex, QPoint, Qt, Signal
from PySide6.QtWidgets import QAbstractItemView, QCheckBox, QHeaderView, QTreeView, QWidget

from gui.charts.card import Card, with_role
from gui.charts.empty import EmptyState
from gui.charts.row_table import HEAD_HEIGHT
from gui.run_tree.model import RunsModel
from gui.run_tree.rows import Column, Row
from gui.theme import theme

_WIDTHS = {Column.STATE: 92, Column.SIZE: 70, Column.SHARE: 58, Column.SCORE: 108, Column.SQNR: 66,
           Column.LATENCY: 74, Column.TIME: 78, Column.SEED: 46, Column.BEGUN: 124}
_FIRST = (Column.STATE, Column.SIZE, Column.SHARE, Column.SCORE)
"""Are in sight before the others, which may have to be scrolled to."""
_LEAST, _WIDE = 150, 300


class RunsView(QTreeView):
    """One run, or several with Ctrl and Shift.

    chosen()        other runs are selected
    opened(key)     Enter on a run, or two clicks
    menu_asked(at)  the menu of the selected runs is wanted there, in global coordinates
    """

    chosen = Signal()
    opened = Signal(str)
    menu_asked = Signal(QPoint)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.runs = RunsModel(self)
        self._following = False
        self._closed: set[str] = set()  # runs whose branches the person has folded away
        self.setModel(self.runs)
        self.setAccessibleName("Runs")
        self.setUniformRowHeights(True)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setExpandsOnDoubleClick(False)
        self.setIndentation(16)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        with_role(self, "padded")
        header = self.header()
        header.setFixedHeight(HEAD_HEIGHT)
        header.setSectionsClickable(True)
        header.setHighlightSections(False)
        header.setStretchLastSection(False)
        header.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        for column, width in _WIDTHS.items():
            header.resizeSection(column, width)
        header.sectionClicked.connect(self._sort)
        self.selectionModel().selectionChanged.connect(self._say_chosen)
        self.activated.connect(self._open)
        self.collapsed.connect(lambda index: self._closed.add(self._key(index)))
        self.expanded.connect(lambda index: self._closed.discard(self._key(index)))
        self.customContextMenuRequested.connect(lambda at: self.menu_asked.emit(self.viewport().mapToGlobal(at)))
        theme().changed.connect(self.viewport().update)

    def resizeEvent(self, event: Any) -> None:
        super().resizeEvent(event)
        width = self.viewport().width()
        everything, first = width - sum(_WIDTHS.values()), width - sum(_WIDTHS[column] for column in _FIRST)
        self.header().resizeSection(Column.RUN, everything if everything >= _LEAST else max(min(first, _WIDE), _LEAST))

    def show_rows(self, rows: Sequence[Row]) -> None:
        """Show these; what is selected, folded away and in sight stays."""
        self._kept(lambda: self.runs.set_rows(rows))

    def show_tree(self, on: bool) -> None:
        """Branches below their runs, or all alike."""
        self._kept(lambda: self.runs.set_tree(on))

    def _sort(self, column: int) -> None:
        self._kept(lambda: self.runs.sort_by(column))

    def _kept(self, change: Any) -> None:
        keys, at = self.keys, self.verticalScrollBar().value()
        closed = set(self._closed)
        self._following = True
        change()
        self.expandAll()
        for key in closed:
            self.setExpanded(self.runs.place(key), False)
        self._closed = closed
        self.setRootIsDecorated(any(self.runs.rowCount(self.runs.index(i, 0)) for i in range(self.runs.rowCount())))
        self.select(keys)
        self.verticalScrollBar().setValue(at)
        self._following = False
        if keys != self.keys:
            self.chosen.emit()

    def _key(self, index: QModelIndex) -> str:
        row = self.runs.row_at(index)
        return "" if row is None else row.key

    @property
    def keys(self) -> tuple[str, ...]:
        """Of the selected runs, the current one first."""
        current = self._key(self.currentIndex())
        keys = [self._key(index) for index in self.selectionModel().selectedRows()]
        return tuple(sorted(keys, key=lambda key: key != current))

    def select(self, keys: Sequence[str]) -> None:
        """Select runs and bring the first into view; those that are not there are left out."""
        places = [place for key in keys if (place := self.runs.place(key)).isValid()]
        wanted = QItemSelection()
        for place in places:
            wanted.merge(QItemSelection(place, place), QItemSelectionModel.SelectionFlag.Select)
        flags = QItemSelectionModel.SelectionFlag.ClearAndSelect | QItemSelectionModel.SelectionFlag.Rows
        if places:
            self.selectionModel().setCurrentIndex(places[0], QItemSelectionModel.SelectionFlag.NoUpdate)
        self.selectionModel().select(wanted, flags)
        if places and not self._following:
            self.scrollTo(places[0])

    def _say_chosen(self) -> None:
        if not self._following:
            self.chosen.emit()

    def _open(self, index: QModelIndex) -> None:
        if index.isValid():
            self.opened.emit(self._key(index))


class RunsCard(Card):
    """The table, or why it is empty, with its two switches."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Runs", parent)
        self.tree = QCheckBox("Branches below their runs", self)
        self.tree.setChecked(True)
        self.tree.setToolTip("Show each run below the one that it was branched from")
        self.everything = QCheckBox("All models", self)
        self.everything.setToolTip("Show runs of other models as well")
        self.view = RunsView(self)
        self.empty = EmptyState("layers")
        self.corner.setSpacing(12)
        self.corner.addWidget(self.tree)
        self.corner.addWidget(self.everything)
        self.body.addWidget(self.view, 1)
        self.body.addWidget(self.empty, 1)
        self.tree.toggled.connect(self.view.show_tree)

    def show_empty(self, sentence: str, advice: str = "") -> None:
        """Words in the place of the table; "" shows the table."""
        self.view.setVisible(not sentence)
        self.empty.setVisible(bool(sentence))
        if sentence:
            self.empty.say(sentence, advice)
