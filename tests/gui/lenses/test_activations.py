"""The Activations lens: what is there, how it is distributed, and replacing it as undoable edits of the recipe."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import helper
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from core.data.layer_inputs import ValueRange
from core.methods.replace_activation import ReplaceActivationParams
from core.model.activations import Activation
from core.recipe import Recipe, Step
from gui.charts.value_histogram import on_one_axis
from gui.lenses import activation_state as state
from gui.lenses.activation_table import Column
from gui.lenses.activations import FIGURES, ActivationsLens
from gui.session import Session

PATIENCE_MS = 60_000
Opened = Callable[[Session, Path], Session]


@pytest.fixture
def gelu_path(make_model: Callable[..., Path]) -> Path:
    """x -> fc1 -> Gelu -> fc2 -> Gelu -> fc3 -> Sigmoid (the answer)."""
    random = np.random.default_rng(0)
    weights = {f"fc{i}.weight": random.normal(0, 0.3, (8, 8)).astype(np.float32) for i in (1, 2, 3)}
    nodes = [
        helper.make_node("MatMul", ["x", "fc1.weight"], ["a"], name="fc1"),
        helper.make_node("Gelu", ["a"], ["b"], name="act1"),
        helper.make_node("MatMul", ["b", "fc2.weight"], ["c"], name="fc2"),
        helper.make_node("Gelu", ["c"], ["d"], name="act2"),
        helper.make_node("MatMul", ["d", "fc3.weight"], ["e"], name="fc3"),
        helper.make_node("Sigmoid", ["e"], ["y"], name="answer"),
    ]
    return make_model(nodes, weights, {"x": ["batch", 8]}, {"y": ["batch", 8]}, opset=20)


@pytest.fixture
def data_path(tmp_path: Path) -> Path:
    path = tmp_path / "data.npz"
    np.savez(path, x=np.random.default_rng(1).normal(size=(12, 8)).astype(np.float32))
    return path


@pytest.fixture
def lens(qtbot: QtBot, session: Session) -> ActivationsLens:
    lens = ActivationsLens()
    qtbot.addWidget(lens)
    lens.set_session(session)
    lens.resize(640, 760)
    lens.show()
    return lens


def listed(qtbot: QtBot, lens: ActivationsLens) -> None:
    qtbot.waitUntil(lambda: lens.table.rows.rowCount() == 3, timeout=PATIENCE_MS)


def choose(lens: ActivationsLens, to: str) -> None:
    """Pick what to put in place, as a person does."""
    field = lens.editor.form.fields["to"]
    at = field.spec.choices.index(to)
    field.combo.setCurrentIndex(at)  # type: ignore[attr-defined]
    field.combo.activated.emit(at)  # type: ignore[attr-defined]


def shown(lens: ActivationsLens, row: int, column: Column) -> str:
    return str(lens.table.rows.data(lens.table.rows.index(row, column)))


def test_nothing_open_and_nothing_to_replace(
    qtbot: QtBot, lens: ActivationsLens, session: Session, opened: Opened, make_model: Callable[..., Path]
) -> None:
    assert lens.empty.isVisible() and lens.empty.words().startswith("No model is open.")
    node = helper.make_node("MatMul", ["x", "w"], ["y"], name="fc")
    plain = make_model([node], {"w": np.ones((4, 4), np.float32)}, {"x": ["n", 4]}, {"y": ["n", 4]})
    opened(session, plain)
    qtbot.waitUntil(lambda: lens.empty.words().startswith("This model has no activation functions."),
                    timeout=PATIENCE_MS)


def test_what_is_there(
    qtbot: QtBot, lens: ActivationsLens, session: Session, opened: Opened, gelu_path: Path
) -> None:
    opened(session, gelu_path)
    listed(qtbot, lens)
    assert [shown(lens, 0, c) for c in (Column.NAME, Column.FUNCTION, Column.LAYER)] == ["act1", "Gelu", "fc1"]
    assert shown(lens, 2, Column.FUNCTION) == "Sigmoid (answer)" and shown(lens, 2, Column.PLAN) == "keep"
    assert "load data to measure their values" in lens.table_card.caption.plain_text
    assert lens.chart_empty.words().startswith("There is no data to measure on.")
    qtbot.mouseClick(lens.editor.layer_button, Qt.MouseButton.LeftButton)
    assert session.selection == ("fc1.weight",)


def test_values_are_measured_while_somebody_looks(
    qtbot: QtBot, lens: ActivationsLens, session: Session, opened: Opened, gelu_path: Path, data_path: Path
) -> None:
    opened(session, gelu_path)
    lens.hide()
    session.load_data(data_path)
    qtbot.waitUntil(lambda: session.samples is not None, timeout=PATIENCE_MS)
    assert not session.running(FIGURES)
    lens.show()
    qtbot.waitUntil(lambda: session.running(FIGURES), timeout=PATIENCE_MS)
    assert "samples are being run" in lens.table_card.caption.plain_text
    qtbot.waitUntil(lambda: "zeros measured on 12 samples of data.npz" in lens.table_card.caption.plain_text,
                    timeout=PATIENCE_MS)
    assert shown(lens, 0, Column.ZEROS) == "0 %"
    before, after = lens.chart.shown()
    assert before.sum() == after.sum() == 12 * 8
    assert lens.chart.clips == ()
    choose(lens, "Clip")
    assert lens.chart.clips[0] == 0.0 < lens.chart.clips[1]
    assert "would be clipped at 0 and" in lens.value_card.caption.plain_text
    lens.editor.replace_button.click()
    qtbot.waitUntil(lambda: lens.table.rows.rows[0].state == "done" and not session.tasks.busy, timeout=PATIENCE_MS)
    assert shown(lens, 0, Column.PLAN).startswith("Clipped 0 to ")
    assert "· clipped at 0 and" in lens.value_card.caption.plain_text


def test_cancelled_measuring_can_be_started_again(
    qtbot: QtBot, lens: ActivationsLens, session: Session, opened: Opened, gelu_path: Path, data_path: Path
) -> None:
    opened(session, gelu_path)
    session.load_data(data_path)
    qtbot.waitUntil(lambda: session.running(FIGURES), timeout=PATIENCE_MS)
    session.cancel()
    assert "Measuring was cancelled." in lens.table_card.caption.plain_text and lens.measure_button.isVisible()
    qtbot.mouseClick(lens.measure_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: "zeros measured on" in lens.table_card.caption.plain_text, timeout=PATIENCE_MS)


def test_replacing_is_undoable_and_can_be_taken_out(
    qtbot: QtBot, lens: ActivationsLens, session: Session, opened: Opened, gelu_path: Path
) -> None:
    opened(session, gelu_path)
    listed(qtbot, lens)
    lens.editor.replace_button.click()
    assert session.recipe is not None
    assert session.recipe.graph == (Step.make("replace_activation", **{"from": "Gelu", "nodes": "act1"}),)
    qtbot.waitUntil(lambda: lens.table.rows.rows[0].state == "done", timeout=PATIENCE_MS)
    assert shown(lens, 0, Column.PLAN) == "Relu" and shown(lens, 1, Column.PLAN) == "keep"

    choose(lens, "HardSwish")  # what is replaced already follows the form at once
    assert [step.params.to for step in session.recipe.graph] == ["HardSwish"]
    lens.editor.all_button.click()
    assert session.recipe.graph == (Step.make("replace_activation", **{"from": "Gelu", "to": "HardSwish"}),)

    lens.table.select(frozenset({"act2"}))
    lens.editor.remove_button.click()
    assert [(step.params.nodes, step.params.to) for step in session.recipe.graph] == [("act1", "HardSwish")]
    for _ in range(4):
        session.undo_stack.undo()
    assert session.recipe.graph == ()


def test_what_cannot_be_replaced_says_why(
    qtbot: QtBot, lens: ActivationsLens, session: Session, opened: Opened, gelu_path: Path
) -> None:
    opened(session, gelu_path)
    listed(qtbot, lens)
    choose(lens, "HardSigmoid")
    assert not lens.editor.replace_button.isEnabled() and "Not possible" in lens.editor.reason.text()
    choose(lens, "Clip")
    lens.editor.replace_button.click()
    qtbot.waitUntil(lambda: lens.table.rows.rows[0].state == "refused", timeout=PATIENCE_MS)
    assert shown(lens, 0, Column.PLAN) == "not done"
    assert "samples" in lens.editor.reason.text()


def test_several_selected_get_one_step_each(
    qtbot: QtBot, lens: ActivationsLens, session: Session, opened: Opened, gelu_path: Path
) -> None:
    opened(session, gelu_path)
    listed(qtbot, lens)
    lens.table.select(frozenset({"act1", "answer"}))
    assert "1 Gelu, 1 Sigmoid" in lens.editor.caption.plain_text
    choose(lens, "HardSigmoid")
    assert "(so for" not in lens.editor.reason.text() and lens.editor.replace_button.isEnabled()
    lens.editor.replace_button.click()
    assert session.recipe is not None
    assert [step.params.from_ for step in session.recipe.graph] == ["Sigmoid"]  # the one that it can stand for


# -- the recipe's edits and the picture, without a window --------------------------------------------------------------

THERE = tuple(Activation(f"n{i}", op, (f"n{i}",), f"i{i}", f"o{i}") for i, op in
              enumerate(["Gelu", "TanhGelu", "SiLU", "SiLU"]))


def test_taking_one_out_of_a_step_for_all_keeps_the_others() -> None:
    graph = (Step.make("replace_activation", **{"from": "SiLU", "to": "HardSwish"}),)
    left = state.without(graph, frozenset({"n2"}), THERE)
    assert [(step.params.from_, step.params.nodes, step.params.to) for step in left] == [("SiLU", "n3", "HardSwish")]
    assert state.without(graph, frozenset({"n0"}), THERE) == graph
    assert state.without(graph, frozenset({"n2", "n3"}), THERE) == ()


def test_all_of_a_function_make_one_step() -> None:
    params = ReplaceActivationParams()
    made = state.with_replacement(Recipe(), frozenset({"n0", "n1", "n3"}), THERE, params)
    assert [(step.params.from_, step.params.nodes) for step in made.graph] == [("Gelu", ""), ("SiLU", "n3")]
    other = state.with_replacement(made, frozenset({"n3"}), THERE, replace(params, to="HardSwish"))
    assert [(step.params.nodes, step.params.to) for step in other.graph] == [("", "Relu"), ("n3", "HardSwish")]


def test_far_elements_are_folded_and_none_is_lost() -> None:
    counts = np.zeros(2048, np.int64)
    counts[:20], counts[-1] = 1_000, 3
    wide, narrow = ValueRange(-1.0, 1000.0, counts, 0, 20_003), ValueRange(0.0, 2.0, np.full(2048, 5), 0, 10_240)
    first, second = on_one_axis(wide, narrow)
    assert (first.low, first.high) == (second.low, second.high) and first.high < 20
    assert first.above == 3 and first.total == 20_003 and second.total == 10_240
    flat = ValueRange(2.0, 2.0, np.r_[7, np.zeros(2047, np.int64)], 0, 7)
    assert all(one.total == 7 for one in on_one_axis(flat, flat))
