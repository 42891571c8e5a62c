"""Nothing is lost: the session follows every change to disk, and is offered again."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from core.recipe import Step
from gui.app import start
from gui.autosave import find_kept, find_saved, forget_saved
from gui.main_window import MainWindow
from gui.places import short_path
from gui.session import Session
from gui.settings import Settings

PATIENCE_MS = 60_000
Opened = Callable[[Session, Path], Session]
ROOT = Path(__file__).parents[2]
VICTIM = """
import sys
from pathlib import Path
from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QApplication
from core.recipe import Step
from gui.app import start
from gui.settings import Settings
app = QApplication([])
window = start(app, Settings(Path(sys.argv[1])))
session = window.session
def edit():
    session.set_steps(["fc1.weight"], [Step.make("quantize", bits=5)])
    session.select(["fc2.weight"])
session.modelChanged.connect(lambda: QTimer.singleShot(0, edit))
window.show()
session.open_model(sys.argv[2])
app.exec()
"""


def written(folder: Path) -> dict[str, object]:
    """The session file of this process, {} while there is none."""
    path = folder / "sessions" / f"session-{os.getpid()}.json"
    return json.loads(path.read_text()) if path.is_file() else {}


def test_every_change_is_on_disk_a_moment_later(window: MainWindow, settings: Settings, opened: Opened, mlp_path: Path,
                                                qtbot: QtBot) -> None:
    opened(window.session, mlp_path)
    qtbot.waitUntil(lambda: written(settings.folder).get("model") == str(mlp_path), timeout=PATIENCE_MS)
    window.session.set_steps(["fc1.weight"], [Step.make("quantize", bits=3)])
    qtbot.waitUntil(lambda: "bits: 3" in str(written(settings.folder).get("recipe")), timeout=PATIENCE_MS)
    assert find_saved(settings.folder / "sessions") is None  # its program is alive


def test_clean_close_leaves_nothing_to_restore(window: MainWindow, settings: Settings, opened: Opened, mlp_path: Path,
                                               qtbot: QtBot) -> None:
    opened(window.session, mlp_path)
    qtbot.waitUntil(lambda: bool(written(settings.folder)), timeout=PATIENCE_MS)
    window.close()
    assert find_saved(settings.folder / "sessions") is None and written(settings.folder) == {}


def test_unsaved_edits_are_kept_on_close_and_offered(window: MainWindow, settings: Settings, opened: Opened,
                                                     mlp_path: Path) -> None:
    opened(window.session, mlp_path)
    window.session.set_steps(["fc1.weight"], [Step.make("quantize", bits=6)])
    window.close()
    saved = find_saved(settings.folder / "sessions")
    assert saved is not None and not saved.crashed and "bits: 6" in saved.recipe


def keep_a_plan(window: MainWindow, opened: Opened, first: Path, other: Path, qtbot: QtBot) -> None:
    """Edit `first`, then open `other`."""
    opened(window.session, first)
    window.session.set_steps(["fc1.weight"], [Step.make("quantize", bits=3)])
    window.open_path(other)
    qtbot.waitUntil(lambda: window.session.model is not None and window.session.model.path == other,
                    timeout=PATIENCE_MS)
    assert not window.session.has_steps and not window.session.edited


def test_unsaved_plan_is_back_when_its_model_is_opened_again(window: MainWindow, opened: Opened, mlp_path: Path,
                                                             cnn_path: Path, qtbot: QtBot) -> None:
    keep_a_plan(window, opened, mlp_path, cnn_path, qtbot)
    window.open_path(mlp_path)
    qtbot.waitUntil(lambda: "is back" in window.messages.text, timeout=PATIENCE_MS)
    session = window.session
    assert short_path(mlp_path) in window.messages.text
    assert session.steps("fc1.weight") == (Step.make("quantize", bits=3),) and session.edited
    button = window.messages.action("Start afresh")
    assert button is not None
    button.click()
    assert not session.has_steps and not session.edited
    session.undo_stack.redo()
    assert session.steps("fc1.weight") == (Step.make("quantize", bits=3),)


def test_plan_that_is_back_is_continued_or_given_up(window: MainWindow, settings: Settings, opened: Opened,
                                                    mlp_path: Path, cnn_path: Path, qtbot: QtBot) -> None:
    folder, session = settings.folder / "sessions", window.session
    keep_a_plan(window, opened, mlp_path, cnn_path, qtbot)
    window.open_path(mlp_path)
    qtbot.waitUntil(lambda: "is back" in window.messages.text, timeout=PATIENCE_MS)
    session.set_steps(["fc2.weight"], [Step.make("quantize", bits=6)])
    window.close_model()
    kept = find_kept(folder, mlp_path)
    assert kept is not None and "bits: 3" in kept.recipe and "bits: 6" in kept.recipe
    assert len(list(folder.glob("kept-*"))) == 1
    window.open_path(mlp_path)
    qtbot.waitUntil(lambda: "is back" in window.messages.text, timeout=PATIENCE_MS)
    session.start_afresh()
    window.close_model()
    assert find_kept(folder, mlp_path) is None


def test_kept_plan_survives_edits_that_do_not_continue_it(window: MainWindow, settings: Settings, opened: Opened,
                                                          mlp_path: Path, cnn_path: Path, tmp_path: Path,
                                                          qtbot: QtBot) -> None:
    """Opened with a recipe, the model's kept plan is not asked for, and so is not written over either."""
    keep_a_plan(window, opened, mlp_path, cnn_path, qtbot)
    recipe = tmp_path / "plan.yaml"
    recipe.write_text("featherweight: 1\ndefaults: [{quantize: {bits: 8}}]\n")
    window.open_paths([mlp_path, recipe])
    qtbot.waitUntil(lambda: window.session.has_steps, timeout=PATIENCE_MS)
    window.session.set_steps(["fc2.weight"], None)
    window.close_model()
    plans = [path.read_text() for path in (settings.folder / "sessions").glob("kept-*")]
    assert len(plans) == 2 and sum("bits: 3" in plan for plan in plans) == 1


def test_kept_plan_that_no_longer_fits_is_said_and_stays(window: MainWindow, settings: Settings, opened: Opened,
                                                         mlp_path: Path, cnn_path: Path, qtbot: QtBot) -> None:
    keep_a_plan(window, opened, mlp_path, cnn_path, qtbot)
    mlp_path.write_bytes(cnn_path.read_bytes())
    window.open_path(mlp_path)
    qtbot.waitUntil(lambda: "fc1.weight" in window.messages.text, timeout=PATIENCE_MS)
    window.session.set_steps(["fc.weight"], [Step.make("quantize", bits=6)])
    window.close_model()
    plans = [path.read_text() for path in (settings.folder / "sessions").glob("kept-*")]
    assert sum("bits: 3" in plan for plan in plans) == 1


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"featherweight": 99}', b'{"featherweight": 1, "model": 5}'])
def test_damaged_session_file_is_passed_over(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "kept-0123.json").write_bytes(content)
    (tmp_path / "session-1234567.json").write_bytes(content)
    assert find_saved(tmp_path) is None


def test_a_model_merely_looked_at_does_not_hide_a_plan_that_was_put_off(tmp_path: Path) -> None:
    """Its offer was dismissed, the model opened again, and that program was killed as well."""
    model = tmp_path / "m.onnx"
    model.touch()
    for number, (edited, bits) in enumerate(((True, "bits: 3"), (False, "none"))):
        content = {"featherweight": 1, "model": str(model), "data": None, "selection": [], "edited": edited,
                   "recipe": bits}
        path = tmp_path / f"session-{9_999_990 + number}.json"
        path.write_text(json.dumps(content))
        os.utime(path, (1_000 + number, 1_000 + number))
    saved = find_saved(tmp_path)
    assert saved is not None and saved.crashed and saved.recipe == "bits: 3"


def test_edits_of_two_models_are_both_kept(window: MainWindow, settings: Settings, opened: Opened, mlp_path: Path,
                                           cnn_path: Path) -> None:
    opened(window.session, mlp_path)
    window.session.set_steps(["fc1.weight"], [Step.make("quantize", bits=6)])
    window.close_model()
    opened(window.session, cnn_path)
    window.session.set_steps(["fc.weight"], [Step.make("quantize", bits=2)])
    window.close()
    models = []
    while (saved := find_saved(settings.folder / "sessions")) is not None:
        models.append(Path(saved.model))
        forget_saved(saved)
    assert sorted(models) == sorted([mlp_path, cnn_path])


def test_killed_program_is_offered_again_and_restored(qapp: QApplication, tmp_path: Path, mlp_path: Path,
                                                      qtbot: QtBot) -> None:
    folder = tmp_path / "person"
    victim = subprocess.Popen([sys.executable, "-c", VICTIM, str(folder), str(mlp_path)], cwd=ROOT)
    path = folder / "sessions" / f"session-{victim.pid}.json"
    try:
        qtbot.waitUntil(lambda: path.is_file() and "bits: 5" in path.read_text(), timeout=PATIENCE_MS)
    finally:
        victim.send_signal(signal.SIGKILL)
        victim.wait()
    window = start(qapp, Settings(folder))
    window.show()
    qtbot.waitUntil(lambda: "did not close properly" in window.messages.text, timeout=PATIENCE_MS)
    assert "mlp.onnx" in window.messages.text
    button = window.messages.action("Restore")
    assert button is not None
    button.click()
    qtbot.waitUntil(lambda: window.session.model is not None, timeout=PATIENCE_MS)
    assert window.session.steps("fc1.weight") == (Step.make("quantize", bits=5),)
    assert window.session.selection == ("fc2.weight",)
    assert window.session.edited
    assert not path.exists()
    window.close()
    window.deleteLater()


def test_a_save_that_is_late_does_not_outlive_a_normal_end(
    window: MainWindow, settings: Settings, opened: Opened, mlp_path: Path
) -> None:
    opened(window.session, mlp_path)
    window.autosave._write()
    window.close()
    assert not list((settings.folder / "sessions").glob("session-*.json"))


def test_a_settings_folder_that_cannot_be_written_is_said_once_and_closing_works(
    window: MainWindow, settings: Settings, opened: Opened, mlp_path: Path, qtbot: QtBot
) -> None:
    opened(window.session, mlp_path)
    folder = settings.folder / "sessions"
    qtbot.waitUntil(lambda: bool(written(settings.folder)), timeout=PATIENCE_MS)
    shutil.rmtree(folder)
    folder.write_text("a file in the folder's place")
    window.session.set_steps(["fc1.weight"], [Step.make("quantize", bits=3)])
    with qtbot.waitSignal(window.session.failed, timeout=PATIENCE_MS) as told:
        window.autosave.leave()
    assert str(folder) in str(told.args[0])
    window.close()
    assert folder.read_text() == "a file in the folder's place"
