"""The inputs of a model as rows: name, shape, type, and whether the number of samples may change."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QCheckBox, QComboBox, QGridLayout, QLabel, QLineEdit, QPushButton, QVBoxLayout, QWidget

from core.torch_files.source import TYPES, Example, parse_example
from gui.charts.card import label

_HEADS = ("Name", "Shape, the batch first", "Type")
_MOST = 8


class InputRows(QWidget):
    """Edits example inputs.

    changed   another text, type or row
    """

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.rows: list[tuple[QLineEdit, QLineEdit, QComboBox]] = []
        self._grid = QGridLayout()
        self._grid.setHorizontalSpacing(8)
        self._grid.setVerticalSpacing(6)
        self._grid.setColumnStretch(0, 2)
        self._grid.setColumnStretch(1, 3)
        for column, text in enumerate(_HEADS):
            self._grid.addWidget(label(text, "small", self), 0, column)
        self.any_batch = QCheckBox("Any number of samples at once", self)
        self.any_batch.setChecked(True)
        self.any_batch.setToolTip("The converted graph takes batches of any size; else exactly the first size above.")
        self.any_batch.toggled.connect(self.changed)
        self.more = QPushButton("Another input", self)
        self.more.setAutoDefault(False)
        self.more.clicked.connect(lambda: self.add())
        column_layout = QVBoxLayout(self)
        column_layout.setContentsMargins(0, 0, 0, 0)
        column_layout.setSpacing(8)
        column_layout.addLayout(self._grid)
        foot = QGridLayout()
        foot.addWidget(self.any_batch, 0, 0)
        foot.addWidget(self.more, 0, 1)
        foot.setColumnStretch(0, 1)
        column_layout.addLayout(foot)
        self.add("x", "1x3x224x224")

    def add(self, name: str = "", shape: str = "", dtype: str = "float32") -> None:
        """Another row."""
        number = len(self.rows) + 1
        named, shaped, typed = QLineEdit(name, self), QLineEdit(shape, self), QComboBox(self)
        typed.addItems(TYPES)
        typed.setCurrentText(dtype)
        named.setPlaceholderText("name")
        shaped.setPlaceholderText("1x3x224x224")
        shaped.setToolTip("Sizes with x between them. A ~ behind a size lets it vary in the converted graph: 1x48~")
        for column, (widget, what) in enumerate(((named, "Name"), (shaped, "Shape"), (typed, "Type"))):
            widget.setAccessibleName(f"{what} of input {number}")
            self._grid.addWidget(widget, number, column)
        named.textChanged.connect(self.changed)
        shaped.textChanged.connect(self.changed)
        typed.currentIndexChanged.connect(self.changed)
        self.rows.append((named, shaped, typed))
        self.more.setVisible(len(self.rows) < _MOST)
        self.changed.emit()

    def examples(self) -> tuple[Example, ...]:
        """The inputs; rows without a name and a shape are passed over. Raises ParameterError."""
        fixed = not self.any_batch.isChecked()
        return tuple(
            parse_example(f"{named.text().strip()}={shaped.text().strip()}:{typed.currentText()}", fixed_batch=fixed)
            for named, shaped, typed in self.rows
            if named.text().strip() or shaped.text().strip()
        )

    def first_field(self) -> QLabel | QLineEdit:
        """Where the keyboard goes."""
        return self.rows[0][1]
