"""Forms are made from declarations alone: every registered method, there and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from core.methods.base import Method
from core.methods.params import Spec, build, param, specs, to_dict
from core.methods.registry import all_methods
from gui.inspector.fields import (
    BooleanField,
    ComboField,
    Field,
    NumberField,
    OptionalField,
    SegmentsField,
    TextField,
    make_field,
)
from gui.inspector.form import Form

METHODS = pytest.mark.parametrize("method", all_methods(), ids=lambda m: m.key)


def some_values(spec: Spec) -> list[Any]:
    """Values that a form must be able to show."""
    if spec.choices:
        return list(spec.choices)
    if spec.type == "boolean":
        return [False, True]
    bounds = [spec.check(b) for b in (spec.minimum, spec.maximum) if b is not None]
    return [v for v in [spec.default, *spec.grid, *bounds] if v is not None]


def spec(**words: Any) -> Spec:
    return Spec(**{"name": "x", "type": "number", "default": 0.5, "title": "X", **words})


@METHODS
def test_values_to_form_and_back(method: Method, qtbot: QtBot) -> None:
    form = Form(method)
    qtbot.addWidget(form)
    told: list[object] = []
    form.edited.connect(lambda params, key: told.append(params))
    for declared in specs(method.Params):
        for value in some_values(declared):
            params = build(method.Params, {declared.name: value})
            form.set_params(params)
            assert form.params() == params
            assert form.fields[declared.name].value() == value
    assert told == []  # showing a value never writes it back


@METHODS
def test_form_shows_what_is_declared(method: Method, qtbot: QtBot) -> None:
    form = Form(method)
    qtbot.addWidget(form)
    values = to_dict(form.params(), all_values=True)
    assert list(form.fields) == [s.name for s in specs(method.Params)]
    for declared in specs(method.Params):
        field = form.fields[declared.name]
        assert field.title.text() == declared.title
        assert field.toolTip() == declared.description
        assert field.isHidden() == (not declared.active(values) or len(declared.choices) == 1)
        assert all(editor.accessibleName() for editor in field.editors())


@METHODS
def test_every_edit_gives_valid_parameters(method: Method, qtbot: QtBot) -> None:
    form = Form(method)
    qtbot.addWidget(form)
    told: list[Any] = []
    form.edited.connect(lambda params, key: told.append(params))
    for field in form.fields.values():
        before = form.params()
        act(field)
        if len(field.spec.choices) != 1:
            assert told and getattr(told[-1], field.spec.attribute) != getattr(before, field.spec.attribute)
            assert told[-1] == form.params()
    for params in told:
        build(method.Params, to_dict(params, all_values=True))


def act(field: Field) -> None:
    """What a person does to change the value."""
    if isinstance(field, NumberField) and field.slider is not None:
        slider = field.slider
        slider.setValue(slider.minimum() if slider.value() > slider.minimum() else slider.maximum())
    elif isinstance(field, NumberField):
        field.number.setValue(field.number.value() + 1)
    elif isinstance(field, SegmentsField):
        others = [b for b in field.editors() if not b.isChecked()]  # type: ignore[attr-defined]
        if others:
            others[0].click()  # type: ignore[attr-defined]
    elif isinstance(field, ComboField):
        field.combo.setCurrentIndex((field.combo.currentIndex() + 1) % field.combo.count())
        field.combo.activated.emit(field.combo.currentIndex())
    elif isinstance(field, BooleanField):
        field.box.click()
    elif isinstance(field, TextField):
        field.line.setText(f"{field.line.text()}x")
        field.line.editingFinished.emit()


@pytest.mark.parametrize(
    "words, kind",
    [
        ({"choices": (8, 4, 2), "type": "integer", "default": 8}, SegmentsField),
        ({"choices": ("a long name", "another long name"), "type": "string", "default": "a long name"}, ComboField),
        ({"type": "boolean", "default": True}, BooleanField),
        ({"type": "string", "default": "a"}, TextField),
        ({"minimum": 0.0, "maximum": 1.0}, NumberField),
        ({"optional": True, "default": None, "minimum": 0.0}, OptionalField),
    ],
)
def test_the_declaration_picks_the_widget(words: dict[str, Any], kind: type, qtbot: QtBot) -> None:
    field = make_field(spec(**words))
    qtbot.addWidget(field)
    assert type(field) is kind


def test_a_bad_pattern_stays_in_the_field_with_the_reason(qtbot: QtBot) -> None:
    field = make_field(spec(type="string", default="", pattern=True))
    qtbot.addWidget(field)
    assert isinstance(field, TextField)
    told: list[object] = []
    field.edited.connect(lambda value, gesture: told.append(value))
    field.line.setText("re:[")
    field.line.editingFinished.emit()
    assert told == [] and field.value() == "" and field.line.text() == "re:["
    assert not field.trouble.isHidden() and "is no regular expression" in field.trouble.text()
    field.line.setText("re:[a]")
    field.line.editingFinished.emit()
    assert told == ["re:[a]"] and field.trouble.isHidden()


def test_shares_are_per_cent_for_people(qtbot: QtBot) -> None:
    field = make_field(spec(minimum=0.0, maximum=1.0, percent=True, unit="%"))
    qtbot.addWidget(field)
    assert isinstance(field, NumberField)
    field.set_value(0.6)
    assert field.number.text() == "60\u00a0%"
    with qtbot.waitSignal(field.edited) as told:
        field.number.setValue(12.5)
    assert told.args is not None and told.args[0] == 0.125


def test_units_and_bounds_are_shown_and_kept(qtbot: QtBot) -> None:
    field = make_field(spec(type="integer", default=4, minimum=1, maximum=8, unit="bits"))
    qtbot.addWidget(field)
    assert isinstance(field, NumberField)
    assert field.number.text() == "4\u00a0bits"
    field.number.setValue(99)
    assert field.value() == 8
    assert isinstance(field.value(), int)


def test_a_drag_is_one_gesture_and_two_drags_are_two(qtbot: QtBot) -> None:
    field = make_field(spec(minimum=0.0, maximum=1.0))
    qtbot.addWidget(field)
    assert isinstance(field, NumberField) and field.slider is not None
    gestures: list[int] = []
    field.edited.connect(lambda value, gesture: gestures.append(gesture))
    for _ in range(2):
        field.slider.setSliderDown(True)
        for position in (100, 200, 300):
            field.slider.setValue(position + len(gestures))
        field.slider.setSliderDown(False)
    assert len(gestures) == 6
    assert len(set(gestures[:3])) == len(set(gestures[3:])) == 1
    assert gestures[0] != gestures[3]


def test_arrow_keys_move_the_slider(qtbot: QtBot) -> None:
    field = make_field(spec(minimum=0.0, maximum=1.0))
    qtbot.addWidget(field)
    assert isinstance(field, NumberField) and field.slider is not None
    with qtbot.waitSignal(field.edited) as told:
        qtbot.keyClick(field.slider, Qt.Key.Key_Right)
    assert told.args is not None and told.args[0] == pytest.approx(0.51)


def test_an_optional_parameter_can_be_left_out(qtbot: QtBot) -> None:
    field = make_field(spec(optional=True, default=None, minimum=0.0, maximum=1.0))
    qtbot.addWidget(field)
    assert isinstance(field, OptionalField)
    assert field.value() is None
    told: list[Any] = []
    field.edited.connect(lambda value, gesture: told.append(value))
    field.box.click()
    field.set_value(0.25)
    assert field.value() == 0.25
    field.box.click()
    assert told[-1] is None and field.value() is None and len(told) == 2


@dataclass(frozen=True)
class _Params:
    by: str = param("a", "By", choices=("a", "b"))
    a: int = param(1, "A", minimum=0, when={"by": ["a"]})
    b: int = param(2, "B", minimum=0, when={"by": ["b"]})


class _Method(Method):
    word, title, family, summary, saves, costs, source = "x", "X", "X", "X.", ("file",), "", ""
    Params = _Params

    def apply(self, encoding: Any, params: Any, context: Any) -> Any:
        return encoding

    def label(self, params: Any) -> str:
        return "x"


def test_when_hides_what_means_nothing(qtbot: QtBot) -> None:
    form = Form(_Method())
    qtbot.addWidget(form)
    assert not form.fields["a"].isHidden() and form.fields["b"].isHidden()
    form.set_params(_Params(by="b"))
    assert form.fields["a"].isHidden() and not form.fields["b"].isHidden()
    act(form.fields["by"])
    assert not form.fields["a"].isHidden() and form.fields["b"].isHidden()
