"""Two runs side by side: figures, settings that differ, the recipes' difference, and their learning curves."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from PySide6.QtCore import Qt
from PySide6.QtGui import QFontDatabase, QTextCharFormat, QTextCursor
from PySide6.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QPlainTextEdit,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from core.runs.words import DATA_WORDS, drop_of, figure_text, model_name, seconds_text
from gui.charts.card import label, rule, with_role
from gui.run_tree.rows import NOT_KNOWN, Row
from gui.theme import theme
from gui.totals.card import ElidedLabel
from gui.training.chart import LearningChart
from gui.training.curves import Series
from gui.training.pictures import Picture, loss_picture

_WIDTH, _HEIGHT = 900, 640


def compared(a: Row, b: Row) -> tuple[tuple[str, str, str], ...]:
    """(what, of a, of b): figures of either, then everything else that differs."""
    names = dict.fromkeys(figure.name for row in (a, b) for figure in row.run.figures)
    lines = []
    for name in names:
        found = [row.run.figure(name) for row in (a, b)]
        words = next(figure.words or figure.name for figure in found if figure is not None)
        left, right = (figure_text(figure) or NOT_KNOWN for figure in found)
        lines.append((words, left, right))
    lines.append(("against the original", drop_of(a.run) or NOT_KNOWN, drop_of(b.run) or NOT_KNOWN))
    lines.append(("time", seconds_text(a.run.seconds), seconds_text(b.run.seconds)))
    mine, yours = _set_to(a), _set_to(b)
    if not (a.run.settings and b.run.settings):  # one was not trained: settings of the other alone say nothing
        for settings in (a.run.settings, b.run.settings):
            for name in settings:
                mine.pop(name.replace("_", " "), None)
                yours.pop(name.replace("_", " "), None)
    others = ((what, mine.get(what, NOT_KNOWN), yours.get(what, NOT_KNOWN)) for what in dict.fromkeys((*mine, *yours)))
    return (*lines, *(line for line in others if line[1] != line[2]))


def both(series: Sequence[Series]) -> Picture:
    """The curves of the first, the others behind it, on axes that all fit on."""
    pictures = [loss_picture(series, at, logarithmic=False) for at in range(len(series))]
    low, high = min(p.low for p in pictures), max(p.high for p in pictures)
    return replace(pictures[0], low=low, high=high, ends=max(p.ends for p in pictures))


def _set_to(row: Row) -> dict[str, str]:
    """What a run was made with, in words."""
    run = row.run
    found = {name.replace("_", " "): _plain(value) for name, value in run.settings.items()}
    found |= {"seed": str(run.seed), "model": model_name(run)}
    found |= {DATA_WORDS.get(role, role): Path(path).name for role, path in run.data.items()}
    return found | dict(run.versions)


def recipe_difference(a: str, b: str) -> tuple[str, ...]:
    """Lines of both recipes, each with "- ", "+ " or "  " before it; () when they are the same."""
    if a.strip() == b.strip():
        return ()
    return tuple(line for line in difflib.ndiff(a.splitlines(), b.splitlines()) if not line.startswith("?"))


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


class CompareDialog(QDialog):
    """Shows two runs; changes nothing."""

    def __init__(self, a: Row, b: Row, series: Sequence[Series], parent: QWidget | None = None) -> None:
        """series: of both, the longest of each"""
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle("Compare two runs")
        self.resize(_WIDTH, _HEIGHT)
        self.lines = compared(a, b)
        self.recipe = QPlainTextEdit(self)
        self.chart = LearningChart("Learning curves of both runs", self)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(20, 16, 20, 14)
        layout.setSpacing(8)
        layout.addWidget(label("Two runs", "heading"))
        columns = QHBoxLayout()
        columns.setSpacing(18)
        columns.addWidget(self._table(a, b), 6)
        columns.addLayout(self._right(a, b, series), 5)
        layout.addLayout(columns, 1)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close, self)
        buttons.rejected.connect(self.reject)
        layout.addWidget(buttons)

    def _table(self, a: Row, b: Row) -> QScrollArea:
        inside = with_role(QWidget(), "plain")
        grid = QGridLayout(inside)
        grid.setContentsMargins(0, 0, 12, 0)  # the scroll bar covers nothing
        grid.setHorizontalSpacing(14)
        grid.setVerticalSpacing(4)
        right = Qt.AlignmentFlag.AlignRight
        for column, row in ((1, a), (2, b)):
            head = ElidedLabel(inside, Qt.TextElideMode.ElideRight)
            with_role(head, "title")
            head.set_whole(row.texts[0])
            grid.addWidget(head, 0, column)
            begun = label(row.texts[-1], "caption", inside)
            begun.setAlignment(right)
            grid.addWidget(begun, 1, column)
        grid.addWidget(rule(self), 2, 0, 1, 3)
        for column, stretch in enumerate((1, 1, 1)):
            grid.setColumnStretch(column, stretch)
        for at, (what, *texts) in enumerate(self.lines, 3):
            grid.addWidget(label(what, "small", inside), at, 0)
            for column, text in enumerate(texts, 1):
                value = label(text, "number", inside)
                value.setAlignment(right)
                grid.addWidget(value, at, column)
        grid.setRowStretch(len(self.lines) + 3, 1)
        area = QScrollArea(self)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setWidgetResizable(True)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setWidget(inside)
        return area

    def _right(self, a: Row, b: Row, series: Sequence[Series]) -> QVBoxLayout:
        column = QVBoxLayout()
        column.setSpacing(6)
        there = [one for one in series if one.points]
        self.chart.setVisible(bool(there))
        if there:
            words = "Learning curves (the right one faint)" if len(there) > 1 else "Learning curve"
            column.addWidget(label(words, "title"))
            column.addWidget(self.chart, 1)
            self.chart.show_picture(both(there))
            self.chart.set_labels(y="loss")
        difference = recipe_difference(a.run.recipe_text, b.run.recipe_text)
        self.recipe.setReadOnly(True)
        self.recipe.setAccessibleName("Difference of the recipes")
        self.recipe.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))
        column.addWidget(label("Recipe: - left, + right" if difference else "Recipe: the same in both", "title"))
        column.addWidget(self.recipe, 1)
        self._write(difference or tuple(f"  {line}" for line in a.run.recipe_text.splitlines()))
        return column

    def _write(self, lines: Sequence[str]) -> None:
        """Lines with the sign before them, so that colour is not needed to tell them apart."""
        cursor = QTextCursor(self.recipe.document())
        for line in lines:
            form = QTextCharFormat()
            role = {"-": "bad", "+": "good"}.get(line[:1], "text")
            form.setForeground(theme().color(role))
            cursor.insertText(f"{line}\n", form)
        self.recipe.moveCursor(QTextCursor.MoveOperation.Start)
