"""The real window, offscreen: open, drop, messages, actions, remembered layout."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QMimeData, QPoint, QRect, Qt, QUrl
from PySide6.QtGui import QDropEvent
from PySide6.QtWidgets import QApplication, QFileDialog
from pytestqt.qtbot import QtBot

from core.recipe import Step
from core.sample import SamplePaths
from gui.app import start
from gui.main_window import MainWindow
from gui.session import Session
from gui.settings import Settings

PATIENCE_MS = 60_000
Opened = Callable[[Session, Path], Session]


def drop(window: MainWindow, *paths: Path) -> None:
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    window.dropEvent(QDropEvent(QPoint(10, 10), Qt.DropAction.CopyAction, mime, Qt.MouseButton.LeftButton,
                                Qt.KeyboardModifier.NoModifier))


@pytest.fixture
def data_path(tmp_path: Path) -> Path:
    path = tmp_path / "data.npz"
    np.savez(path, x=np.zeros((5, 16), np.float32))
    return path


def test_empty_window_says_how_to_begin(window: MainWindow) -> None:
    assert window.welcome.isVisible() and not window.totals.isVisible()
    assert window.welcome.open_button.isVisible() and window.welcome.sample_button.isVisible()
    actions = window.actions_
    assert actions.open.isEnabled()
    for action in (actions.data, actions.compress, actions.export, actions.undo, actions.save_recipe):
        assert not action.isEnabled()
    assert "Open a model first" in actions.compress.toolTip()


def test_sample_button_opens_model_and_data(window: MainWindow, sample: SamplePaths, qtbot: QtBot) -> None:
    qtbot.mouseClick(window.welcome.sample_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: window.session.samples is not None, timeout=PATIENCE_MS)
    assert window.workspace.isVisible() and window.totals.isVisible()
    assert sample.model.name in window.top_bar.title.text()
    assert window.settings.recent == (sample.model,)
    assert window.messages.text == ""


def test_dropped_model_data_and_recipe_are_all_taken(window: MainWindow, mlp_path: Path, data_path: Path,
                                                     tmp_path: Path, qtbot: QtBot) -> None:
    recipe = tmp_path / "plan.yaml"
    recipe.write_text("featherweight: 1\ndefaults: [{quantize: {bits: 8}}]\n")
    drop(window, data_path, recipe, mlp_path)
    qtbot.waitUntil(lambda: window.session.samples is not None, timeout=PATIENCE_MS)
    assert window.session.model is not None and window.session.model.path == mlp_path
    assert window.session.steps("fc1.weight") == (Step.make("quantize", bits=8),)
    assert not window.session.edited


@pytest.mark.parametrize(("name", "content"), [
    ("text.onnx", b"hello"), ("empty.onnx", b""), ("notes.txt", b"not a model at all, only words"),
])
def test_wrong_file_gets_a_sentence_in_the_window(window: MainWindow, tmp_path: Path, qtbot: QtBot, name: str,
                                                  content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    drop(window, path)
    qtbot.waitUntil(lambda: window.messages.text != "", timeout=PATIENCE_MS)
    assert name in window.messages.text and "Traceback" not in window.messages.text
    assert window.welcome.isVisible()
    window.messages.dismiss()
    assert window.messages.text == ""


def test_messages_float_and_move_nothing(window: MainWindow, opened: Opened, mlp_path: Path) -> None:
    opened(window.session, mlp_path)
    parts = (window.workspace, window.workspace.lenses, window.totals)
    before = [part.geometry() for part in parts]
    window.messages.say("a sentence " * 40, tone="bad", details="more\n" * 5)
    assert window.messages.isVisible() and [part.geometry() for part in parts] == before
    lenses = window.workspace.lenses
    for size in ((1440, 900), (1100, 700)):
        window.resize(*size)
        corner = lenses.mapTo(window.messages.parentWidget(), lenses.rect().topLeft())
        assert QRect(corner, lenses.size()).contains(window.messages.geometry())


def test_several_problems_of_a_recipe_go_to_the_details(window: MainWindow, opened: Opened, mlp_path: Path,
                                                        tmp_path: Path, qtbot: QtBot) -> None:
    opened(window.session, mlp_path)
    path = tmp_path / "plan.yaml"
    path.write_text("featherweight: 1\nlayers:\n  a: [{quantize: {bits: 8}}]\n  b: [{quantize: {bits: 8}}]\n")
    drop(window, path)
    qtbot.waitUntil(lambda: window.messages.text != "", timeout=PATIENCE_MS)
    assert "2 problems" in window.messages.text
    assert len(window.messages.details.splitlines()) == 2


def test_actions_follow_what_can_be_done(window: MainWindow, opened: Opened, mlp_path: Path, qtbot: QtBot) -> None:
    opened(window.session, mlp_path)
    actions, session = window.actions_, window.session
    assert not actions.compress.isEnabled() and "steps" in actions.compress.toolTip()
    session.set_steps(["fc1.weight"], [Step.make("quantize", bits=8)])
    assert actions.compress.isEnabled() and actions.undo.isEnabled()
    assert "edited" in window.top_bar.title.text()
    actions.undo.trigger()
    assert not session.has_steps and actions.redo.isEnabled()
    assert "edited" not in window.top_bar.title.text()


def test_steps_are_copied_pasted_and_removed(window: MainWindow, opened: Opened, mlp_path: Path) -> None:
    opened(window.session, mlp_path)
    session, actions = window.session, window.actions_
    assert not actions.paste_steps.isEnabled()
    session.set_steps(["fc1.weight"], [Step.make("quantize", bits=8)])
    session.select(["fc1.weight"])
    actions.copy_steps.trigger()
    session.select(["fc2.weight"])
    actions.paste_steps.trigger()
    assert session.steps("fc2.weight") == session.steps("fc1.weight") != ()
    actions.reset_steps.trigger()
    assert session.steps("fc2.weight") == ()


def test_keyboard_filters_and_selects_all(window: MainWindow, opened: Opened, mlp_path: Path, qtbot: QtBot) -> None:
    opened(window.session, mlp_path)
    window.activateWindow()
    window.actions_.find.trigger()
    qtbot.keyClicks(window.workspace.layers.filter, "fc")
    window.actions_.select_all.trigger()
    assert set(window.session.selection) == set(window.workspace.layers.model.names)


@pytest.mark.parametrize("key", ["compress", "export"])
def test_starting_a_run_does_not_move_the_keyboard_into_the_filter(
        window: MainWindow, opened: Opened, mlp_path: Path, tmp_path: Path, qtbot: QtBot,
        monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    opened(window.session, mlp_path)
    window.session.set_steps(["fc1.weight"], [Step.make("quantize", bits=8)])
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_args, **_words: (str(tmp_path / "small.onnx"), ""))
    window.activateWindow()
    button = window.top_bar.run_buttons[("sensitivity", "plan", "compress", "train", "export").index(key)]
    button.setFocus()
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    assert window.session.running(key) and not button.isEnabled()
    assert window.focusWidget() is window.workspace.layers.table


def test_models_of_one_name_are_told_apart_by_their_folder(window: MainWindow, opened: Opened, mlp_path: Path,
                                                           tmp_path: Path) -> None:
    paths = []
    for folder in ("lenet5", "vit & co"):
        path = tmp_path / folder / "model.onnx"
        path.parent.mkdir()
        path.write_bytes(mlp_path.read_bytes())
        opened(window.session, path)
        paths.append(path)
    assert "vit &amp; co" in window.top_bar.title.text() and "vit & co/model.onnx" in window.windowTitle()
    window.actions_.recent_menu.aboutToShow.emit()
    texts = [action.text() for action in window.actions_.recent_menu.actions()]
    assert texts[:2] == ["vit && co/model.onnx", "lenet5/model.onnx"]


def test_export_through_the_dialog_passes_the_gate(window: MainWindow, opened: Opened, mlp_path: Path, tmp_path: Path,
                                                   qtbot: QtBot, monkeypatch: pytest.MonkeyPatch) -> None:
    opened(window.session, mlp_path)
    window.session.set_steps(["fc1.weight", "fc2.weight"], [Step.make("quantize", bits=8)])
    target = tmp_path / "exports" / "small.onnx"
    target.parent.mkdir()
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_args, **_words: (str(target), ""))
    window.actions_.export.trigger()
    qtbot.waitUntil(lambda: window.messages.text.startswith("Exported"), timeout=PATIENCE_MS)
    assert target.is_file() and target.parent in window.settings.export_folders
    opened(window.session, target)
    assert window.session.model is not None and window.session.model.path == target


def test_lenses_are_there_and_the_chosen_one_is_remembered(window: MainWindow, settings: Settings, opened: Opened,
                                                           mlp_path: Path) -> None:
    opened(window.session, mlp_path)
    keys = window.workspace.lenses.keys
    assert {"weights", "compare"} <= set(keys)
    assert window.show_lens("compare") and not window.show_lens("no such lens")
    window.close()
    assert settings.lens == "compare" and settings.layout("panels") is not None


def test_second_start_knows_recent_models_and_mode(qapp: QApplication, settings: Settings, mlp_path: Path,
                                                   qtbot: QtBot) -> None:
    settings.remember_model(mlp_path)
    settings.mode = "dark"
    settings.save()
    again = start(qapp, Settings(settings.folder))
    again.show()
    assert again.settings.recent == (mlp_path,)
    assert again.actions_ is not None and again.settings.mode == "dark"
    again.close()
    again.deleteLater()


def test_close_while_compressing_ends_at_once(window: MainWindow, opened: Opened, mlp_path: Path) -> None:
    opened(window.session, mlp_path)
    window.session.set_steps(["fc1.weight"], [Step.make("quantize", bits=8)])
    window.session.compress()
    window.close()
    assert not window.session.tasks.busy and window.session.tasks.worker_pid is None
    assert not list((window.settings.folder / "work").glob("run-*"))


def test_escape_stops_nothing_and_cancel_says_so(window: MainWindow, opened: Opened, mlp_path: Path,
                                                 qtbot: QtBot) -> None:
    opened(window.session, mlp_path)
    window.session.set_steps(["fc1.weight"], [Step.make("quantize", bits=8)])
    window.session.compress()
    qtbot.keyClick(window, Qt.Key.Key_Escape)
    assert window.session.tasks.states
    assert window.actions_.cancel.shortcut().toString() == "Ctrl+."
    window.actions_.cancel.trigger()
    assert not window.session.tasks.states
    assert window.messages.text == f"Cancelled: compressing {mlp_path.name}."
