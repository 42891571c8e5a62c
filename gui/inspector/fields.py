"""One widget per kind of parameter. All of them are made from a `Spec` and from nothing else.

A field shows a value (`set_value`) and tells when the person changed it (`edited`). Setting a value never emits, so
that state flows one way: session -> field when it changes, field -> session when the person acts.
"""

from __future__ import annotations

import itertools
from typing import Any

from PySide6.QtCore import QElapsedTimer, QSignalBlocker, QSize, Qt, Signal
from PySide6.QtGui import QResizeEvent, QWheelEvent
from PySide6.QtWidgets import (
    QBoxLayout,
    QButtonGroup,
    QCheckBox,
    QComboBox,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QSlider,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from core.errors import ParameterError
from core.methods.params import Spec
from gui.charts.card import with_role
from gui.inspector.number import Number, Slider
from gui.inspector.scale import Scale

_SEGMENT_CHARACTERS = 22
_UNBOUNDED = 1_000_000_000.0
_NARROWEST_COMBO = 96
_KEY_PAUSE_MS = 700
"""Key presses on a slider that follow each other faster than this are one gesture, like a drag."""
_gestures = itertools.count(1)


class Field(QWidget):
    """A titled editor for one parameter.

    edited(value, gesture)  the person chose a value; `gesture` is the same for all values of one drag, so that undo
                            takes them back together
    """

    edited = Signal(object, int)

    def __init__(self, spec: Spec, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.spec = spec
        self.setToolTip(spec.description)
        self.title = QLabel(spec.title, self)
        with_role(self.title, "caption")

    def set_value(self, value: Any) -> None:
        """Show a value without telling anyone."""
        raise NotImplementedError

    def value(self) -> Any:
        """The value shown, of the parameter's type."""
        raise NotImplementedError

    def editors(self) -> tuple[QWidget, ...]:
        """The widgets that take the keyboard, first the one that a label's mnemonic would go to."""
        raise NotImplementedError

    def _name_editors(self) -> None:
        """Give every editor the parameter's name and description for screen readers."""
        for editor in self.editors():
            editor.setAccessibleName(self.spec.title)
            editor.setAccessibleDescription(self.spec.description)
            editor.setToolTip(self.spec.description)
        self.title.setBuddy(self.editors()[0])

    def _row(self, *right: QWidget) -> QHBoxLayout:
        """The title at the left, editors at the right edge."""
        row = QHBoxLayout()
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(6)
        row.addWidget(self.title)
        row.addStretch(1)
        for widget in right:
            row.addWidget(widget)
        return row

    def _next_gesture(self) -> int:
        return next(_gestures)


class NumberField(Field):
    """A number: typed at the right, with a slider below when both bounds are declared. Shares are shown per cent."""

    def __init__(self, spec: Spec, parent: QWidget | None = None) -> None:
        super().__init__(spec, parent)
        self._factor = 100.0 if spec.percent else 1.0
        self._scale = Scale.of(spec)
        self._value: float = spec.default if spec.default is not None else spec.minimum or 0
        self._gesture = 0
        self._since_change = QElapsedTimer()
        self.number = self._make_number()
        self.slider: QSlider | None = self._make_slider(self._scale) if self._scale else None
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addLayout(self._row(self.number))
        if self.slider:
            layout.addWidget(self.slider)
        self._name_editors()
        self.set_value(self._value)

    def _make_number(self) -> Number:
        spec, number = self.spec, Number(self)
        decimals = 0 if spec.type == "integer" else max(0, (self._scale.decimals if self._scale else 6))
        number.setDecimals(max(0, decimals - 2) if spec.percent else decimals)
        low = spec.minimum if spec.minimum is not None else -_UNBOUNDED
        high = spec.maximum if spec.maximum is not None else _UNBOUNDED
        number.setRange(low * self._factor, high * self._factor)
        number.setSingleStep(1.0 if spec.percent or spec.type == "integer" else 10.0 ** -min(2, decimals))
        unit = "%" if spec.percent else spec.unit
        if unit:
            number.setSuffix(f"\u00a0{unit}")
        number.valueChanged.connect(self._typed)
        return number

    def _make_slider(self, scale: Scale) -> QSlider:
        slider = Slider(Qt.Orientation.Horizontal, self)
        slider.setRange(0, scale.steps)
        slider.setSingleStep(scale.step)
        slider.setPageStep(scale.page)
        slider.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        slider.sliderPressed.connect(self._begin_gesture)
        slider.valueChanged.connect(self._slid)
        return slider

    def editors(self) -> tuple[QWidget, ...]:
        return (self.number, self.slider) if self.slider else (self.number,)

    def set_value(self, value: Any) -> None:
        self._value = value
        with QSignalBlocker(self.number):
            self.number.setValue(float(value) * self._factor)
        if self.slider is not None and self._scale is not None and not self.slider.isSliderDown():
            with QSignalBlocker(self.slider):
                self.slider.setValue(self._scale.position(float(value)))

    def value(self) -> Any:
        return self._value

    def _slid(self, position: int) -> None:
        if self._scale is None or self.slider is None:
            return
        resting = not self._since_change.isValid() or self._since_change.elapsed() > _KEY_PAUSE_MS
        if resting and not self.slider.isSliderDown():
            self._begin_gesture()
        self._since_change.start()
        self._take(self._scale.value(position), self._gesture)

    def _begin_gesture(self) -> None:
        self._gesture = self._next_gesture()

    def _typed(self, shown: float) -> None:
        value = round(shown / self._factor, 12)
        self._take(round(value) if self.spec.type == "integer" else value, self._next_gesture())

    def _take(self, value: float, gesture: int) -> None:
        if value == self._value:
            return
        self.set_value(value)
        self.edited.emit(value, gesture)


class SegmentsField(Field):
    """Few choices with short names, all visible, one pressed; the arrow keys move between them."""

    def __init__(self, spec: Spec, parent: QWidget | None = None) -> None:
        super().__init__(spec, parent)
        self._group = QButtonGroup(self)
        self._group.setExclusive(True)
        strip = QWidget(self)
        row = QHBoxLayout(strip)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(0)
        for index, title in enumerate(titles(spec)):
            row.addWidget(self._make_button(index, title, strip))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(self._row(strip))
        self._name_editors()
        for button, title in zip(self._group.buttons(), titles(spec), strict=True):
            button.setAccessibleName(f"{spec.title}: {title}")
        self._group.idClicked.connect(self._clicked)
        self.set_value(spec.default)

    def _make_button(self, index: int, title: str, parent: QWidget) -> QToolButton:
        button = QToolButton(parent)
        with_role(button, "segment")
        button.setText(title)
        button.setCheckable(True)
        button.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self._group.addButton(button, index)
        return button

    def editors(self) -> tuple[QWidget, ...]:
        return tuple(self._group.buttons())

    def set_value(self, value: Any) -> None:
        if value in self.spec.choices:
            self._group.button(self.spec.choices.index(value)).setChecked(True)

    def value(self) -> Any:
        return self.spec.choices[self._group.checkedId()]

    def _clicked(self, index: int) -> None:
        self.edited.emit(self.spec.choices[index], self._next_gesture())


class ComboField(Field):
    """Many choices, or choices with long names, in a list that drops down."""

    def __init__(self, spec: Spec, parent: QWidget | None = None) -> None:
        super().__init__(spec, parent)
        self.combo = _Combo(self)
        with_role(self.combo, "flat")
        self.combo.addItems(list(titles(spec)))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._line = self._row(self.combo)
        layout.addLayout(self._line)
        self._name_editors()
        self.set_value(spec.default)
        self.combo.activated.connect(lambda i: self.edited.emit(spec.choices[i], self._next_gesture()))

    def resizeEvent(self, event: QResizeEvent) -> None:
        """The choices go below the title where they do not fit beside it: a cut word may be another one."""
        super().resizeEvent(event)
        wanted = self.title.sizeHint().width() + self._line.spacing() + self.combo.sizeHint().width()
        beside = wanted <= self.width()
        way = QBoxLayout.Direction.LeftToRight if beside else QBoxLayout.Direction.TopToBottom
        if way != self._line.direction():
            self._line.setDirection(way)

    def editors(self) -> tuple[QWidget, ...]:
        return (self.combo,)

    def set_value(self, value: Any) -> None:
        if value in self.spec.choices:
            with QSignalBlocker(self.combo):
                self.combo.setCurrentIndex(self.spec.choices.index(value))

    def value(self) -> Any:
        return self.spec.choices[self.combo.currentIndex()]


class _Combo(QComboBox):
    """A combo box that gets narrower than its longest choice rather than pushing the panel wide."""

    def minimumSizeHint(self) -> QSize:
        return QSize(min(_NARROWEST_COMBO, super().minimumSizeHint().width()), super().minimumSizeHint().height())

    def wheelEvent(self, event: QWheelEvent) -> None:
        event.ignore()


class BooleanField(Field):
    """On or off."""

    def __init__(self, spec: Spec, parent: QWidget | None = None) -> None:
        super().__init__(spec, parent)
        self.box = QCheckBox(self)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(self._row(self.box))
        self._name_editors()
        self.set_value(spec.default)
        self.box.clicked.connect(lambda on: self.edited.emit(bool(on), self._next_gesture()))

    def editors(self) -> tuple[QWidget, ...]:
        return (self.box,)

    def set_value(self, value: Any) -> None:
        self.box.setChecked(bool(value))

    def value(self) -> Any:
        return self.box.isChecked()


class TextField(Field):
    """Free text, committed on Enter or on leaving; what the declaration refuses stays to be mended, with the reason."""

    def __init__(self, spec: Spec, parent: QWidget | None = None) -> None:
        super().__init__(spec, parent)
        self.line = QLineEdit(self)
        self._value = str(spec.default or "")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(self._row(self.line))
        self.trouble = QLabel(self)
        self.trouble.setWordWrap(True)
        self.trouble.setTextFormat(Qt.TextFormat.PlainText)
        with_role(self.trouble, "warn")
        layout.addWidget(self.trouble)
        self._name_editors()
        self.set_value(self._value)
        self.line.editingFinished.connect(self._finished)

    def editors(self) -> tuple[QWidget, ...]:
        return (self.line,)

    def set_value(self, value: Any) -> None:
        self._value = str(value)
        self.line.setText(self._value)
        self._show_trouble("")

    def value(self) -> Any:
        return self._value

    def _show_trouble(self, text: str) -> None:
        self.trouble.setText(text)
        self.trouble.setVisible(bool(text))

    def _finished(self) -> None:
        try:
            value = self.spec.check(self.line.text())
        except ParameterError as error:
            self._show_trouble(f"{error.what}; {error.do}")
            return
        self._show_trouble("")
        if value != self._value:
            self._value = value
            self.edited.emit(self._value, self._next_gesture())


class OptionalField(Field):
    """A parameter that may be left out: a box to tick, and the parameter's own editor while it is ticked."""

    def __init__(self, spec: Spec, inner: Field, parent: QWidget | None = None) -> None:
        super().__init__(spec, parent)
        self.inner = inner
        self.title.hide()
        self.box = QCheckBox(spec.title, self)
        inner.title.hide()
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.box, 0, Qt.AlignmentFlag.AlignTop)
        row.addWidget(inner, 1)
        self._name_editors()
        self.set_value(spec.default)
        self.box.clicked.connect(self._ticked)
        inner.edited.connect(self.edited)

    def editors(self) -> tuple[QWidget, ...]:
        return (self.box, *self.inner.editors())

    def set_value(self, value: Any) -> None:
        self.box.setChecked(value is not None)
        self.inner.setVisible(value is not None)
        if value is not None:
            self.inner.set_value(value)

    def value(self) -> Any:
        return self.inner.value() if self.box.isChecked() else None

    def _ticked(self, on: bool) -> None:
        self.inner.setVisible(on)
        self.edited.emit(self.inner.value() if on else None, self._next_gesture())


def titles(spec: Spec) -> tuple[str, ...]:
    """The choices as people see them."""
    return spec.choice_titles or tuple(f"{c:g}" if isinstance(c, float) else str(c) for c in spec.choices)


def make_field(spec: Spec, parent: QWidget | None = None) -> Field:
    """The field for a parameter, decided by its declaration alone."""
    field = _make_plain(spec, parent)
    return OptionalField(spec, field, parent) if spec.optional else field


def _make_plain(spec: Spec, parent: QWidget | None) -> Field:
    if spec.choices:
        few = sum(len(t) + 1 for t in titles(spec)) <= _SEGMENT_CHARACTERS
        return SegmentsField(spec, parent) if few else ComboField(spec, parent)
    if spec.type == "boolean":
        return BooleanField(spec, parent)
    if spec.type == "string":
        return TextField(spec, parent)
    return NumberField(spec, parent)
