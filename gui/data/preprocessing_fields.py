"""The fields for pictures: size, crop, colour, order of axes, mean and deviation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QCheckBox, QComboBox, QGridLayout, QLabel, QLineEdit, QWidget

from core.data.options import PRESETS, Preprocessing, parse_numbers, parse_size
from core.errors import FeatherweightError
from gui.charts.card import with_role

if TYPE_CHECKING:
    from collections.abc import Callable

_OWN = "Own values"
_COLOURS = (("As the input wants", "auto"), ("RGB", "rgb"), ("BGR", "bgr"), ("Grey", "grey"))
_LAYOUTS = (("As the input wants", "auto"), ("Channels first (NCHW)", "nchw"), ("Channels last (NHWC)", "nhwc"))


class PreprocessingFields(QWidget):
    """Edits a `Preprocessing`.

    changed   a field holds something else, which may be nothing that can be used (`value`)
    """

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.size_edit = _edit("e.g. 224x224", "Height and width in pixels; empty: as the input wants", self)
        self.crop = QCheckBox("Crop the middle", self)
        self.crop.setToolTip("Keep the pictures' proportions and cut the middle out, instead of stretching them")
        self.colour, self.layout_box = _combo(_COLOURS, "Colour", self), _combo(_LAYOUTS, "Order of axes", self)
        self.preset = _combo([(preset.words, preset.name) for preset in PRESETS] + [(_OWN, "")], "Values", self)
        self.mean = _edit("0", "Taken off pixels of 0 to 1: one number, or three with commas", self)
        self.std = _edit("1", "Then divided by: one number, or three with commas", self)
        self.problem = QLabel(self)
        with_role(self.problem, "small_bad")
        self.problem.setWordWrap(True)
        self._quiet = False
        self._lay_out()
        self.put(Preprocessing())
        for edit in (self.size_edit, self.mean, self.std):
            edit.textChanged.connect(self._edited)
        self.crop.toggled.connect(self._edited)
        for combo in (self.colour, self.layout_box):
            combo.currentIndexChanged.connect(self._edited)
        self.preset.currentIndexChanged.connect(self._take_preset)

    def _lay_out(self) -> None:
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(8)
        grid.setVerticalSpacing(6)
        rows: tuple[tuple[str, QWidget, str, QWidget], ...] = (
            ("Size", self.size_edit, "", self.crop), ("Colour", self.colour, "Axes", self.layout_box),
            ("Values", self.preset, "", QWidget(self)), ("Mean", self.mean, "Deviation", self.std),
        )  # fmt: skip
        for row, (first, one, second, other) in enumerate(rows):
            for column, (text, widget) in enumerate(((first, one), (second, other))):
                label = QLabel(text, self)
                with_role(label, "muted")
                label.setBuddy(widget)
                grid.addWidget(label, row, 2 * column)
                if widget is self.preset:
                    grid.addWidget(widget, row, 1, 1, 3)
                elif row != 2:
                    grid.addWidget(widget, row, 2 * column + 1)
        grid.addWidget(self.problem, len(rows), 0, 1, 4)
        self.problem.hide()
        grid.setColumnStretch(1, 1)
        grid.setColumnStretch(3, 1)

    def show_wanted(self, size: tuple[int, int] | None) -> None:
        """The height and width that the input asks for, where it fixes them."""
        self.size_edit.setPlaceholderText("as the pictures" if size is None else f"{size[0]}x{size[1]}")

    def put(self, how: Preprocessing) -> None:
        """Show these values."""
        self._quiet = True
        self.size_edit.setText("" if how.resize is None else f"{how.resize[0]}x{how.resize[1]}")
        self.crop.setChecked(how.crop)
        self.colour.setCurrentIndex(self.colour.findData(how.channels))
        self.layout_box.setCurrentIndex(self.layout_box.findData(how.layout))
        self.mean.setText(_numbers(how.mean))
        self.std.setText(_numbers(how.std))
        self._show_preset(how)
        self._quiet = False
        self._edited()

    def value(self) -> Preprocessing | None:
        """What the fields say; None while one of them cannot be read."""
        text = self.size_edit.text().strip()
        try:
            return Preprocessing(
                parse_size(text) if text else None, self.crop.isChecked(), self.colour.currentData(),
                self.layout_box.currentData(), mean=parse_numbers(self.mean.text() or "0", "the mean"),
                std=parse_numbers(self.std.text() or "1", "the deviation"),
            )  # fmt: skip
        except FeatherweightError as error:
            self._problem = str(error)
            return None

    def _edited(self, *_ignored: object) -> None:
        if self._quiet:
            return
        how = self.value()
        self.problem.setText("" if how is not None else self._problem)
        self.problem.setVisible(how is None)
        if how is not None:
            self._show_preset(how)
        self.changed.emit()

    def _show_preset(self, how: Preprocessing) -> None:
        name = next((p.name for p in PRESETS if (p.mean, p.std) == (how.mean, how.std)), "")
        self._quietly(lambda: self.preset.setCurrentIndex(self.preset.findData(name)))

    def _take_preset(self) -> None:
        preset = next((p for p in PRESETS if p.name == self.preset.currentData()), None)
        if preset is None or self._quiet:
            return
        self._quietly(lambda: self.mean.setText(_numbers(preset.mean)))
        self._quietly(lambda: self.std.setText(_numbers(preset.std)))
        self._edited()

    def _quietly(self, act: Callable[[], object]) -> None:
        before, self._quiet = self._quiet, True
        act()
        self._quiet = before


def _numbers(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:g}" for value in values)


def _edit(placeholder: str, tip: str, parent: QWidget) -> QLineEdit:
    edit = QLineEdit(parent)
    edit.setPlaceholderText(placeholder)
    edit.setToolTip(tip)
    edit.setAccessibleName(tip)
    return edit


def _combo(items: list[tuple[str, str]] | tuple[tuple[str, str], ...], name: str, parent: QWidget) -> QComboBox:
    combo = QComboBox(parent)
    for text, data in items:
        combo.addItem(text, data)
    combo.setAccessibleName(name)
    return combo
