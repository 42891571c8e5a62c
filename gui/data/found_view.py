"""What was found at a path: arrays against the model's inputs, or pictures by class; and what is wrong with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QGridLayout, QLabel, QVBoxLayout, QWidget

from gui.charts.card import Caption, restyle, with_role
from gui.units import NBSP

if TYPE_CHECKING:
    from core.data.found import FoundArray, FoundData

_MOST_ROWS = 10
_MOST_CLASSES = 12
_WORDS = {"input": ("\N{CHECK MARK} fits", "good"), "labels": ("\N{CHECK MARK} labels", "good"),
          "unused": ("not used", "muted"), "missing": ("missing", "bad")}


class FoundView(QWidget):
    """A row for each array with a word on its fit; then classes; then sentences on what is wrong."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._rows = QWidget(self)
        self._grid = QGridLayout(self._rows)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setHorizontalSpacing(14)
        self._grid.setVerticalSpacing(3)
        self._grid.setColumnStretch(2, 1)
        self.classes = Caption(self)
        self.notes = QLabel(self)
        self.notes.setWordWrap(True)
        self.notes.setTextFormat(Qt.TextFormat.PlainText)
        self.notes.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        with_role(self.notes, "warn")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        for widget in (self._rows, self.classes, self.notes):
            layout.addWidget(widget)
        layout.addStretch(1)
        self.clear()

    def clear(self) -> None:
        """Show nothing."""
        self._put_rows([])
        self.show_classes(())
        self.say("")

    def show_found(self, found: FoundData) -> None:
        """Show what lies at the path before it is loaded."""
        rows = [_row(array) for array in found.arrays[:_MOST_ROWS]]
        if len(found.arrays) > _MOST_ROWS:
            rows.append((f"and {len(found.arrays) - _MOST_ROWS} more", "", "not used", "muted", ""))
        if found.pictures:
            rows.append((f"{found.pictures:,} picture{'' if found.pictures == 1 else 's'}", "", "", "muted", ""))
        self._put_rows(rows)
        self.show_classes(found.classes, "pictures")

    def show_classes(self, classes: tuple[tuple[str, int], ...], of: str = "samples") -> None:
        """Show how many samples each class has."""
        if not classes:
            self.classes.set_template("")
        else:
            listed = ", ".join(f"{name}{NBSP}({count:,})" for name, count in classes[:_MOST_CLASSES])
            more = f" and {len(classes) - _MOST_CLASSES:,} more" if len(classes) > _MOST_CLASSES else ""
            word = "class" if len(classes) == 1 else "classes"
            self.classes.set_template(f"{len(classes):,} {word}, with {of} of each: {listed}{more}")
        self.classes.setVisible(bool(classes))

    def say(self, text: str, role: str = "warn") -> None:
        """Sentences on what is wrong, in the colour of "warn" or "bad"."""
        restyle(self.notes, role)
        self.notes.setText(text)
        self.notes.setVisible(bool(text))

    @property
    def text(self) -> str:
        """All that is shown, for tests and accessibility."""
        items = [self._grid.itemAt(i) for i in range(self._grid.count())]
        labels = [item.widget() for item in items if item is not None]
        words = [label.text() for label in labels if isinstance(label, QLabel)]
        return " ".join((*words, self.classes.plain_text, self.notes.text()))

    def _put_rows(self, rows: list[tuple[str, str, str, str, str]]) -> None:
        while (item := self._grid.takeAt(0)) is not None:
            if (widget := item.widget()) is not None:
                widget.hide()
                widget.deleteLater()
        line = 0
        for name, form, word, role, problem in rows:
            for column, (text, style) in enumerate(((name, ""), (word, role), (form, "muted"))):
                label = QLabel(text, self._rows)
                label.setTextFormat(Qt.TextFormat.PlainText)
                with_role(label, style)
                self._grid.addWidget(label, line, column)
            line += 1
            if problem:
                label = QLabel(problem, self._rows)
                label.setTextFormat(Qt.TextFormat.PlainText)
                label.setWordWrap(True)
                with_role(label, "small_bad")
                self._grid.addWidget(label, line, 0, 1, 3)
                line += 1
        self._rows.setVisible(bool(rows))
        self.setAccessibleName(self.text)


def _row(array: FoundArray) -> tuple[str, str, str, str, str]:
    """Name, form, word, role of the word, problem."""
    word, role = _WORDS[str(array.part)]
    form = _times(array.form)
    if array.problem and array.form:
        word, role = "\N{BALLOT X} does not fit", "bad"
    if not array.form:
        form = f"wanted: {_times(array.wants)}"
        return array.name, form, word, role, ""
    return array.name, form, word, role, array.problem


def _times(text: str) -> str:
    return text.replace(" x ", " \N{MULTIPLICATION SIGN} ")
