"""State to widgets, widgets to state, and nothing written back."""

from __future__ import annotations

from dataclasses import replace

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication, QWidget
from pytestqt.qtbot import QtBot

from core.methods.base import Stage
from core.methods.registry import all_methods, by_key
from core.recipe import Recipe, Step
from gui.inspector.about_method import about_lines
from gui.inspector.fields import NumberField
from gui.inspector.live import LiveLayer
from gui.inspector.method_menu import offered
from gui.inspector.panel import Inspector
from gui.session import Session

CONV, FC = "conv.weight", "fc.weight"
PRUNE, INT4 = Step.make("prune", ratio=0.6), Step.make("quantize", bits=4)
HALF = Step.make("float16")
LAYER_METHODS = [method for method in all_methods() if method.stage is not Stage.GRAPH]


def number(panel: Inspector, card: int, name: str) -> NumberField:
    field = panel.step_list.cards[card].form.fields[name]
    assert isinstance(field, NumberField)
    return field


def settled(qtbot: QtBot, session: Session) -> None:
    """Wait until the shown layer's preview is that of its steps."""
    live = LiveLayer.of(session)
    qtbot.waitUntil(
        lambda: live.shown is not None and live.shown.preview is not None
        and live.shown.steps == session.steps(live.shown.layer.name) and not session.tasks.busy,
        timeout=30_000,
    )


def test_no_model_and_no_selection_say_what_to_do(qtbot: QtBot, panel: Inspector, session: Session) -> None:
    session.select(())
    assert not panel.empty.isHidden()
    assert panel.empty.words() == "No layer is selected. Pick one or several in the list to choose their steps."
    session.close_model()
    assert panel.empty.words().startswith("No model is open.")


def test_steps_show_in_order(panel: Inspector, session: Session) -> None:
    session.select((FC,))
    session.set_steps((FC,), (PRUNE, INT4))
    assert panel.heading.name.full() == "fc"  # as in the table
    assert panel.heading.whole_name.full() == FC and panel.heading.whole_name.isVisible()
    assert [card.method.key for card in panel.step_list.cards] == ["prune", "quantize:affine"]
    assert number(panel, 0, "ratio").value() == 0.6
    assert number(panel, 1, "bits").value() == 4


def test_showing_writes_nothing_back(panel: Inspector, session: Session) -> None:
    changes: list[object] = []
    session.set_steps((FC,), (PRUNE, INT4))
    session.recipeChanged.connect(changes.append)
    for names in ((FC,), (CONV,), (CONV, FC), (), (FC,)):
        session.select(names)
    assert changes == []
    assert session.undo_stack.count() == 1


def test_a_value_goes_to_all_selected_layers(panel: Inspector, session: Session) -> None:
    session.set_steps((CONV, FC), (INT4,))
    session.select((CONV, FC))
    number(panel, 0, "bits").number.setValue(6)
    assert [session.steps(name)[0].params.bits for name in (CONV, FC)] == [6, 6]


def test_a_drag_is_one_undo_and_keeps_the_card(panel: Inspector, session: Session) -> None:
    session.select((FC,))
    session.set_steps((FC,), (PRUNE,))
    card, slider = panel.step_list.cards[0], number(panel, 0, "ratio").slider
    assert slider is not None
    count = session.undo_stack.count()
    slider.setSliderDown(True)
    for position in (700, 750, 800):
        slider.setValue(position)
    slider.setSliderDown(False)
    assert session.steps(FC)[0].params.ratio == 0.8
    assert session.undo_stack.count() == count + 1
    assert panel.step_list.cards[0] is card
    session.undo_stack.undo()
    assert session.steps(FC) == (PRUNE,)
    assert number(panel, 0, "ratio").value() == 0.6


def test_two_drags_are_two_undos(panel: Inspector, session: Session) -> None:
    session.select((FC,))
    session.set_steps((FC,), (PRUNE,))
    slider = number(panel, 0, "ratio").slider
    assert slider is not None
    for position in (700, 800):
        slider.setSliderDown(True)
        slider.setValue(position)
        slider.setSliderDown(False)
    session.undo_stack.undo()
    assert session.steps(FC)[0].params.ratio == 0.7


@pytest.mark.parametrize("method", LAYER_METHODS, ids=lambda m: m.key)
def test_every_method_can_be_added(method: object, panel: Inspector, session: Session) -> None:
    session.select((FC,))
    panel.add_step(method.key)  # type: ignore[attr-defined]
    assert [step.method for step in session.steps(FC)] == [method.key]  # type: ignore[attr-defined]
    session.undo_stack.undo()
    assert session.steps(FC) == () and panel.step_list.cards == ()


def test_steps_are_moved_replaced_and_removed(panel: Inspector, session: Session) -> None:
    session.select((FC,))
    session.set_steps((FC,), (PRUNE, HALF))
    panel.step_list.cards[1].moved.emit(-1)
    assert session.steps(FC) == (HALF, PRUNE)
    panel.step_list.cards[0].method_chosen.emit("bfloat16")
    assert [s.method for s in session.steps(FC)] == ["bfloat16", "prune"]
    panel.step_list.cards[0].removed.emit()
    assert session.steps(FC) == (PRUNE,)


def test_ends_of_the_list_cannot_be_passed(panel: Inspector, session: Session) -> None:
    session.select((FC,))
    session.set_steps((FC,), (PRUNE, HALF))
    enabled = {
        action.text(): action.isEnabled()
        for action in panel.step_list.cards[0].actions()
    }
    assert enabled == {"Move up": False, "Move down": True, "Remove": True}


def test_steps_go_where_they_make_sense(panel: Inspector, session: Session) -> None:
    """Quantizing is last: pruning is put before it, a second quantization is refused with the reason."""
    session.select((FC,))
    session.set_steps((FC,), (INT4,))
    said: list[str] = []
    session.said.connect(said.append)
    panel.add_step("prune")
    assert [step.method for step in session.steps(FC)] == ["prune", INT4.method]
    assert len(said) == 1 and said[0].startswith("Prune goes before Quantize")
    assert panel.step_list.cards[0].menu_button.menu().toolTipsVisible()
    down = next(action for action in panel.step_list.cards[0].actions() if action.text() == "Move down")
    assert not down.isEnabled() and "put prune before quantize" in down.toolTip()
    menu = panel.add_button.menu()
    menu.aboutToShow.emit()
    refused = {action.data(): action.toolTip() for action in offered(menu) if not action.isEnabled()}
    assert "use quantize once" in refused["quantize:codebook"]


def test_a_card_says_what_its_method_saves_and_costs(panel: Inspector, session: Session) -> None:
    session.select((FC,))
    session.set_steps((FC,), (PRUNE,))
    card = panel.step_list.cards[0]
    assert card.about.isHidden()
    card.about_button.click()
    assert not card.about.isHidden()
    titles = [title for title, _ in card.about.lines]
    assert {"Saves", "Does not save", "Costs", "Choose it when", "Samples", "Source"} <= set(titles)
    assert "nothing" not in dict(card.about.lines)["Does not save"]
    assert "Does not save" not in dict(about_lines(by_key("low_rank")))  # it saves all there is


def test_a_method_that_cannot_is_disabled_and_says_why(panel: Inspector, session: Session) -> None:
    session.select((CONV,))
    menu = panel.add_button.menu()
    menu.aboutToShow.emit()
    actions = {action.data(): action for action in offered(menu)}
    assert set(actions) == {method.key for method in LAYER_METHODS}
    assert not actions["low_rank"].isEnabled()
    assert "does not handle Conv layers" in actions["low_rank"].toolTip()
    assert actions["prune"].isEnabled()
    actions["prune"].trigger()
    assert [step.method for step in session.steps(CONV)] == ["prune"]


def test_cards_stay_from_layer_to_layer(panel: Inspector, session: Session) -> None:
    session.set_steps((CONV,), (INT4,))
    session.set_steps((FC,), (Step.make("quantize", bits=6),))
    session.select((CONV,))
    card = panel.step_list.cards[0]
    session.select((FC,))
    assert panel.step_list.cards == (card,)
    assert number(panel, 0, "bits").value() == 6
    card.change_menu.aboutToShow.emit()
    possible = {action.data(): action.isEnabled() for action in offered(card.change_menu)}
    assert possible["low_rank"] and possible[card.method.key]
    number(panel, 0, "bits").number.setValue(3)
    assert session.steps(FC)[0].params.bits == 3 and session.steps(CONV) == (INT4,)


def test_different_steps_are_offered_for_all(panel: Inspector, session: Session) -> None:
    session.set_steps((CONV,), (PRUNE,))
    session.select((CONV, FC))
    assert panel.add_button.isHidden() and panel.step_list.cards == ()
    panel.step_list.variant_chosen.emit((PRUNE,))
    assert session.steps(FC) == (PRUNE,)
    assert len(panel.step_list.cards) == 1


def test_apply_to_similar(panel: Inspector, session: Session) -> None:
    session.select((CONV,))
    session.set_steps((CONV,), (INT4,))
    menu = panel.similar_button.menu()
    menu.aboutToShow.emit()
    texts = [action.text() for action in menu.actions()]
    assert texts == ["All Conv layers (2)", "All layers (4)"] == list(panel.similar_button.choices())
    menu.actions()[0].trigger()
    assert session.steps("pointwise.weight") == (INT4,) and session.steps(FC) == ()


def test_reset_leaves_alone_or_goes_back_to_defaults(panel: Inspector, session: Session) -> None:
    assert session.recipe is not None
    session.set_recipe(Recipe(defaults=(INT4,)), (CONV, FC), text="defaults")
    session.select((FC,))
    session.set_steps((FC,), (PRUNE,))
    menu = panel.reset_button.menu()
    menu.aboutToShow.emit()
    assert [a.text() for a in menu.actions()] == ["Leave alone", "Back to the recipe's defaults"]
    menu.actions()[1].trigger()
    assert session.steps(FC) == (INT4,)
    menu = panel.reset_button.menu()
    menu.aboutToShow.emit()
    menu.actions()[0].trigger()
    assert session.steps(FC) == ()


def test_one_choice_needs_no_menu(qtbot: QtBot, panel: Inspector, session: Session) -> None:
    session.select((FC,))
    assert not panel.reset_button.isEnabled()
    session.set_steps((FC,), (PRUNE,))
    assert panel.reset_button.menu() is None and panel.reset_button.toolTip() == "Leave alone"
    qtbot.mouseClick(panel.reset_button, Qt.MouseButton.LeftButton)
    assert session.steps(FC) == ()
    assert session.model is not None
    session.select(tuple(layer.name for layer in session.model.layers))
    assert not panel.similar_button.isEnabled()
    assert panel.similar_button.toolTip() == "No other layers are like this"


def test_the_menu_of_methods_is_narrow_and_has_the_usual_ones_first(panel: Inspector, session: Session) -> None:
    session.select((FC,))
    menu = panel.add_button.menu()
    menu.aboutToShow.emit()
    assert all(shown.sizeHint().width() <= 440 for shown in (menu, *(a.menu() for a in menu.actions())))
    keys = [action.data() for action in offered(menu)]
    families = [by_key(key).family for key in keys]
    assert families[0] == "Quantization"
    assert families.index("Pruning") < families.index("Low rank")


def test_cost_follows_the_steps(qtbot: QtBot, panel: Inspector, session: Session) -> None:
    session.select((FC,))
    settled(qtbot, session)
    shown = LiveLayer.of(session).shown
    assert shown is not None and shown.preview is not None
    assert panel.cost.rows()["Layer size"] == f"{shown.preview.bytes_before} B"
    assert shown.preview.bytes_before >= 4 * 16 * 4
    assert panel.cost.rows()["Weight SQNR"] == "unchanged"
    session.set_steps((FC,), (INT4,))
    settled(qtbot, session)
    rows = panel.cost.rows()
    assert "→" in rows["Layer size"] and rows["Weight SQNR"].endswith(" dB")
    assert rows["Output SQNR"] == "not measured yet"
    assert rows["Saves"] == "file only"


def test_skipped_steps_say_why(qtbot: QtBot, panel: Inspector, session: Session) -> None:
    session.select((CONV,))
    session.set_steps((CONV,), (Step.make("low_rank"),))
    settled(qtbot, session)
    assert not panel.cost.reason.isHidden()
    assert "does not handle Conv layers" in panel.cost.reason.text()
    assert list(panel.cost.rows()) == ["Layer size"]
    session.set_steps((CONV,), ())
    settled(qtbot, session)
    assert panel.cost.reason.isHidden()


def test_several_layers_sum_up(qtbot: QtBot, panel: Inspector, session: Session) -> None:
    session.set_steps((CONV, FC), (INT4,))
    session.select((CONV, FC))
    qtbot.waitUntil(lambda: "computed" not in panel.cost.rows().get("Size of all", "computed"), timeout=30_000)
    assert "→" in panel.cost.rows()["Size of all"]


def test_locked_layers_give_the_reason(
    qtbot: QtBot, session: Session, panel: Inspector, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert session.model is not None
    locked = replace(session.model.layer(FC), locked="already quantized")
    monkeypatch.setattr(type(session.model), "layer", lambda self, name: locked)
    session.select((FC,))
    assert panel.add_button.isHidden() and not panel.reset_button.isEnabled()
    qtbot.waitUntil(lambda: not panel.cost.isHidden(), timeout=30_000)
    qtbot.waitUntil(lambda: "already quantized" in panel.cost.reason.text(), timeout=30_000)
    assert panel.cost.rows() == {} and panel.similar_button.isHidden()


def test_tab_goes_through_everything_from_top_to_bottom(qtbot: QtBot, panel: Inspector, session: Session) -> None:
    session.select((FC,))
    session.set_steps((FC,), (PRUNE, INT4))
    qtbot.waitUntil(lambda: all(card.isVisible() for card in panel.step_list.cards))
    wanted = [
        stop
        for card in panel.step_list.cards
        for stop in card.tab_stops()
        if stop.isVisible()
    ] + [panel.add_button, panel.similar_button, panel.reset_button]
    assert [widget for widget in tab_chain(panel) if widget in wanted] == wanted
    assert {field for card in panel.step_list.cards for field in card.form.fields} >= {"ratio", "bits"}


def tab_chain(root: QWidget) -> list[QWidget]:
    """The widgets that Tab visits, in order."""
    chain, at = [], root.nextInFocusChain()
    while at is not root:
        if at.focusPolicy() & Qt.FocusPolicy.TabFocus and at.isVisibleTo(root) and at.isEnabled():
            chain.append(at)
        at = at.nextInFocusChain()
    return chain


def test_a_new_step_takes_the_keyboard(panel: Inspector, session: Session) -> None:
    panel.activateWindow()
    session.select((FC,))
    panel.add_step("prune")
    assert QApplication.focusWidget() is number(panel, 0, "ratio").number


def test_alt_with_an_arrow_changes_no_value(qtbot: QtBot, panel: Inspector, session: Session) -> None:
    """Moving up is not possible at the top, and the keys must not reach the number then."""
    session.select((FC,))
    panel.add_step("prune")
    ratio, before = number(panel, 0, "ratio"), session.steps(FC)
    for widget in (ratio.number, ratio.slider):
        assert widget is not None
        qtbot.keyClick(widget, Qt.Key.Key_Up, Qt.KeyboardModifier.AltModifier)
        qtbot.keyClick(widget, Qt.Key.Key_Down, Qt.KeyboardModifier.AltModifier)
        assert session.steps(FC) == before
    qtbot.keyClick(ratio.number, Qt.Key.Key_Up)
    assert session.steps(FC) != before
