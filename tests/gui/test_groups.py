"""Cuts of channels in the real window: the group, the table, totals, the file; and steps that need data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import helper
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel
from pytestqt.qtbot import QtBot

from core.cli import main
from core.recipe import Step
from gui.inspector.cost_box import SAMPLES_ARE_RUN
from gui.inspector.panel import Inspector
from gui.lenses.weights import WeightsLens
from gui.main_window import MainWindow
from gui.preparation import MEASURE
from gui.session import Session
from gui.units import decibels

PATIENCE_MS = 15_000
CUT = Step.make("prune_channels", ratio=0.5, round_to=1)
Opened = Callable[[Session, Path], Session]


@pytest.fixture
def data_path(tmp_path: Path) -> Path:
    path = tmp_path / "data.npz"
    random = np.random.default_rng(0)
    np.savez(path, x=random.normal(size=(16, 3, 8, 8)).astype(np.float32), labels=np.arange(16) % 4)
    return path


@pytest.fixture
def net_path(make_model: Callable[..., Path]) -> Path:
    """A Linear layer that is large enough to gain by pruning: x (batch x 64) -> fc -> y."""
    weight = np.random.default_rng(0).normal(0, 0.1, (64, 96)).astype(np.float32)
    node = helper.make_node("MatMul", ["x", "fc.weight"], ["y"], name="fc")
    return make_model([node], {"fc.weight": weight}, {"x": ["batch", 64]}, {"y": ["batch", 96]})


@pytest.fixture
def rows_path(tmp_path: Path) -> Path:
    path = tmp_path / "rows.npz"
    np.savez(path, x=np.random.default_rng(1).normal(size=(24, 64)).astype(np.float32))
    return path


def settled(qtbot: QtBot, session: Session) -> None:
    """The plan is worked out and its size foretold."""
    qtbot.waitUntil(lambda: session.predicted_bytes is not None and session.prepared_fits and not session.tasks.busy,
                    timeout=PATIENCE_MS)


def plan_of(window: MainWindow, name: str) -> str:
    model = window.workspace.layers.model
    return model.row(model.row_of(name)).plan


def inspector(window: MainWindow) -> Inspector:
    return window.workspace.inspector


def test_a_cut_is_shown_as_a_group(qtbot: QtBot, window: MainWindow, opened: Opened, cnn_path: Path) -> None:
    session = opened(window.session, cnn_path)
    session.select(("conv.weight",))
    session.set_steps(("conv.weight",), (CUT,))
    settled(qtbot, session)
    box = inspector(window).step_list.cards[0].group
    assert box is not None
    qtbot.waitUntil(lambda: "Cut together with depthwise" in box.names.text(), timeout=PATIENCE_MS)
    assert box.outcome.text() == "4 of 8 channels stay" and "pointwise loses inputs" in box.names.text()
    assert plan_of(window, "depthwise.weight") == "4 of 8 channels"
    assert plan_of(window, "pointwise.weight") == "fewer inputs" and plan_of(window, "fc.weight") == "keep"

    session.select(("conv.weight", "depthwise.weight"))  # nothing would be added: nothing is offered
    session.set_steps(session.selection, (CUT,))
    settled(qtbot, session)
    box = inspector(window).step_list.cards[0].group
    assert box is not None
    assert "loses inputs" in box.names.text() and not box.button.isVisible()
    session.undo_stack.undo()
    settled(qtbot, session)

    session.select(("conv.weight",))
    box = inspector(window).step_list.cards[0].group
    assert box is not None
    window.workspace.layers.filter.setText("kind:linear")  # what is selected must be in sight
    session.select(("conv.weight",))
    qtbot.mouseClick(box.button, Qt.MouseButton.LeftButton)
    assert session.selection == ("conv.weight", "depthwise.weight")
    assert window.workspace.layers.filter.text() == ""

    session.undo_stack.undo()  # the last step is gone: nothing may stay cut
    settled(qtbot, session)
    assert session.prepared is None and plan_of(window, "depthwise.weight") == "keep"


def test_several_layers_tell_each_what_stays_and_who_loses_inputs(
    qtbot: QtBot, window: MainWindow, opened: Opened, cnn_path: Path
) -> None:
    session = opened(window.session, cnn_path)
    session.select(("conv.weight", "pointwise.weight"))
    session.set_steps(session.selection, (CUT,))
    settled(qtbot, session)
    box = inspector(window).step_list.cards[0].group
    assert box is not None
    first, second = box.names.text().replace("\N{NO-BREAK SPACE}", " ").split("\n")
    assert first == "conv: 4 of 8 channels stay; cut together with depthwise; pointwise loses inputs."
    assert second.startswith("pointwise: ") and second.endswith("channels stay; fc loses inputs.")
    qtbot.mouseClick(box.button, Qt.MouseButton.LeftButton)
    assert session.selection == ("conv.weight", "depthwise.weight", "pointwise.weight")


def test_a_layer_that_only_loses_inputs_says_the_same_everywhere(
    qtbot: QtBot, window: MainWindow, opened: Opened, cnn_path: Path
) -> None:
    session, name = opened(window.session, cnn_path), "pointwise.weight"
    session.set_steps(("conv.weight",), (CUT,))
    session.select((name,))
    settled(qtbot, session)
    panel, layers = inspector(window), window.workspace.layers.model
    said = [label.text() for label in panel.step_list.findChildren(QLabel)]
    assert "No step of its own; it loses inputs with layer conv." in said
    qtbot.waitUntil(lambda: panel.cost.rows().get("Weight SQNR", "").endswith(" dB"), timeout=PATIENCE_MS)
    shown = panel.cost.rows()["Weight SQNR"]
    assert shown == decibels(session.previews[name].weight_sqnr_db)
    assert layers.row(layers.row_of(name)).error == f"{session.previews[name].weight_sqnr_db:.0f}"
    lens = window.workspace.lenses.findChild(WeightsLens)
    assert lens is not None
    assert f"after fewer inputs · zeros 0 % · SQNR {shown}" in lens.distribution_card.caption.plain_text
    session.set_steps((name,), (Step.make("quantize", bits=8),))
    settled(qtbot, session)
    assert plan_of(window, name) == "int8 · fewer inputs"
    session.set_steps((name,), (CUT,))
    settled(qtbot, session)
    assert plan_of(window, name) == f"{CUT.label()} · fewer inputs"
    session.select(("conv.weight", name))
    session.set_steps(session.selection, ())
    settled(qtbot, session)
    said = [label.text() for label in panel.step_list.findChildren(QLabel)]
    assert "Left as they are. Add a step to make them smaller." in said


def test_a_cut_that_cannot_be_made_says_why(qtbot: QtBot, window: MainWindow, opened: Opened, cnn_path: Path) -> None:
    session = opened(window.session, cnn_path)
    session.select(("fc.weight",))
    session.set_steps(("fc.weight",), (CUT,))
    settled(qtbot, session)
    box = inspector(window).step_list.cards[0].group
    assert box is not None
    qtbot.waitUntil(lambda: "Not cut: it is the model's output" in box.outcome.text(), timeout=PATIENCE_MS)
    assert plan_of(window, "fc.weight").startswith("skipped: ") and not box.button.isVisible()


def test_cut_compress_and_export(
    qtbot: QtBot, window: MainWindow, opened: Opened, cnn_path: Path, data_path: Path, tmp_path: Path
) -> None:
    session = opened(window.session, cnn_path)
    session.load_data(data_path)
    qtbot.waitUntil(lambda: session.samples is not None, timeout=PATIENCE_MS)
    session.set_steps(("conv.weight", "pointwise.weight"), (CUT,))
    session.set_steps(("fc.weight",), (CUT,))
    settled(qtbot, session)
    predicted = session.predicted_bytes
    session.compress()
    qtbot.waitUntil(lambda: session.result is not None and not session.tasks.busy, timeout=PATIENCE_MS)
    assert session.result is not None and session.comparison is not None
    report = session.result.outcome.report
    assert report.bytes_after == pytest.approx(predicted, rel=0.01)
    before, after = session.comparison.multiply_adds_before, session.comparison.multiply_adds_after
    assert before is not None and after is not None and after < 0.6 * before
    assert "One step was not done: fc.weight: channels −50 %: it is the model's output" in window.messages.text
    target = tmp_path / "cut.onnx"
    session.export(target)
    qtbot.waitUntil(lambda: target.is_file() and not session.tasks.busy, timeout=PATIENCE_MS)
    assert target.stat().st_size == report.bytes_after
    assert window.messages.text.startswith("Exported cut.onnx") and "not done" in window.messages.text


@pytest.mark.parametrize("step", [Step.make("quantize", bits=4, rounding="feedback"),
                                  Step.make("prune", ratio=0.5, criterion="activation")], ids=["quantize", "prune"])
def test_a_step_that_needs_data(
    qtbot: QtBot, window: MainWindow, opened: Opened, net_path: Path, rows_path: Path, tmp_path: Path, step: Step
) -> None:
    session = opened(window.session, net_path)
    name = "fc.weight"
    session.select((name,))
    session.set_steps((name,), (step,))
    settled(qtbot, session)
    qtbot.waitUntil(lambda: "none are loaded" in inspector(window).cost.reason.text(), timeout=PATIENCE_MS)
    assert plan_of(window, name) == "skipped: needs data"

    session.load_data(rows_path)
    qtbot.waitUntil(lambda: session.measuring, timeout=PATIENCE_MS)
    assert inspector(window).cost.reason.text().startswith("Samples are being run")
    assert plan_of(window, name) == "samples are run"
    settled(qtbot, session)
    qtbot.waitUntil(lambda: "Weight SQNR" in inspector(window).cost.rows(), timeout=PATIENCE_MS)
    assert plan_of(window, name) == step.label()

    target, recipe, again = tmp_path / "window.onnx", tmp_path / "recipe.yaml", tmp_path / "cli.onnx"
    session.export(target)
    session.save_recipe(recipe)
    qtbot.waitUntil(lambda: target.is_file() and recipe.is_file() and not session.tasks.busy, timeout=PATIENCE_MS)
    assert target.stat().st_size == pytest.approx(session.predicted_bytes, rel=0.01)
    arguments = ["compress", str(net_path), "--recipe", str(recipe), "--data", str(rows_path), "-o", str(again)]
    assert main([*arguments, "--quiet"]) == 0
    assert again.read_bytes() == target.read_bytes()


def test_figures_of_other_steps_are_not_shown_while_samples_are_run(
    qtbot: QtBot, window: MainWindow, opened: Opened, net_path: Path, rows_path: Path
) -> None:
    session, name = opened(window.session, net_path), "fc.weight"
    session.load_data(rows_path)
    session.select((name,))
    session.set_steps((name,), (Step.make("quantize", bits=4),))
    qtbot.waitUntil(lambda: session.samples is not None, timeout=PATIENCE_MS)
    settled(qtbot, session)
    layers, lens = window.workspace.layers.model, window.workspace.lenses.findChild(WeightsLens)
    assert lens is not None and layers.row(layers.row_of(name)).error

    session.set_steps((name,), (Step.make("quantize", bits=4, rounding="feedback"),))
    said: list[str] = []
    session.preparedChanged.connect(lambda: said.append(inspector(window).cost.reason.text()))
    row = layers.row(layers.row_of(name))
    assert (row.error, row.size_after, row.plan) == ("", "", "samples are run")
    qtbot.waitUntil(lambda: session.measuring, timeout=PATIENCE_MS)
    assert inspector(window).cost.reason.text() == SAMPLES_ARE_RUN
    assert "samples are being run for this step" in lens.distribution_card.caption.plain_text
    settled(qtbot, session)
    assert layers.row(layers.row_of(name)).error and not any("none are loaded" in words for words in said)
    qtbot.waitUntil(lambda: "SQNR" in lens.distribution_card.caption.plain_text, timeout=PATIENCE_MS)


def test_measuring_can_be_cancelled(
    qtbot: QtBot, window: MainWindow, opened: Opened, net_path: Path, rows_path: Path
) -> None:
    session = opened(window.session, net_path)
    session.set_steps(("fc.weight",), (Step.make("prune", ratio=0.5, criterion="activation"),))
    session.load_data(rows_path)
    qtbot.waitUntil(lambda: session.running(MEASURE), timeout=PATIENCE_MS)
    session.cancel()
    assert not session.measuring
    settled(qtbot, session)
    assert plan_of(window, "fc.weight") == "skipped: needs data"
    session.undo_stack.undo()
    qtbot.waitUntil(lambda: session.prepared is None, timeout=PATIENCE_MS)
    session.undo_stack.redo()  # asked for again, it is measured again
    settled(qtbot, session)
    assert not session.previews["fc.weight"].skipped
