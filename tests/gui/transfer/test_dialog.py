"""The guided transfer, in the real window with the real jobs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from core.training.settings import TrainingSettings
from core.transfer.cuts import CutPoint
from core.transfer.settings import TransferSettings
from core.transfer.usage import Usage
from core.transfer_job import Proposal, Row, TransferOutcome, TransferSpec
from gui.main_window import MainWindow
from gui.session import Session
from gui.settings import Settings
from gui.theme import theme
from gui.training.asked import Asked
from gui.transfer.asked import asked_of, view_of
from gui.transfer.dialog import DATA, HEAD, TRAIN, USE, TransferDialog, ask_transfer
from tests.core.transfer.toys import network, save
from tests.gui.conftest import PATIENCE_MS

Opened = Callable[[Session, Path], Session]


@pytest.fixture
def dialog(
    session: Session, settings: Settings, opened: Opened, tmp_path: Path, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> TransferDialog:
    """The dialog for the toy network. Jobs run in threads, which start at once."""
    opened(session, network(tmp_path / "bars.onnx", dead=2))
    for name in ("process", "training"):
        monkeypatch.setattr(session.tasks, name, session.tasks.thread)
    monkeypatch.setattr(session.tasks, "warm_training", lambda *modules: None)
    made = TransferDialog(session, settings)
    qtbot.addWidget(made)
    made.show()
    return made


def _see(dialog: TransferDialog, qtbot: QtBot, path: Path) -> None:
    dialog.data.rows["train"].put(path)
    qtbot.waitUntil(lambda: dialog.look is not None or bool(dialog.trouble), timeout=PATIENCE_MS)


def test_from_data_to_what_is_asked(dialog: TransferDialog, tmp_path: Path, qtbot: QtBot) -> None:
    assert (dialog.step, dialog.next_button.isEnabled()) == (DATA, False)
    assert "new data" in dialog.next_button.toolTip()
    _see(dialog, qtbot, save(tmp_path / "new.npz", 64))
    assert "4 classes" in dialog.data.found.text()
    dialog.next_button.click()
    assert dialog.step == HEAD
    assert dialog.cut.cut is not None and dialog.cut.cut.layer == "fc2.weight"
    dialog.cut.head.show_values({"head_epochs": 3})
    dialog.next_button.click()
    assert (dialog.step, dialog.next_button.isEnabled()) == (USE, False)
    qtbot.waitUntil(lambda: dialog.use.proposal is not None, timeout=PATIENCE_MS)
    assert dialog.use.chart.going >= 2  # the two that never change
    assert "never change" in dialog.use.caption.plain_text
    dialog.use.fields.fields["cut"].edited.emit("none", 0)
    assert dialog.use.chart.going == 0
    dialog.next_button.click()
    assert (dialog.step, dialog.next_button.text()) == (TRAIN, "Train")
    dialog.training.form.show_settings(TrainingSettings(epochs=1))
    dialog.training.fields.show_values({"tune_epochs": 1})
    asked = asked_of(dialog.spec())
    spec = asked.spec
    assert (spec.at, spec.settings.head_epochs, spec.settings.cut, spec.training.epochs) == ("r3", 3, "none", 1)
    assert asked.title == "Transferring bars.onnx to new.npz"
    assert spec.target.endswith("bars.onnx") and spec.target != spec.model_path


def test_the_outcome_is_shown_with_its_rival() -> None:
    proposal = Proposal(
        CutPoint("r3", (), "", 16, (1, 16), "before fc2", "fc2.weight", ("fc2.weight",), 100, 32),
        (), Usage("", (), ()), ("conv1.weight",), 0.05, "4 classes", 0.9, "accuracy", ("conv1: 6 of 8 channels stay.",),
    )  # fmt: skip
    rows = (Row("transferred", 0.9, 0.03, 3000, 100), Row("from nothing, same size", 0.8, 0.04, 3000, 100))
    view = view_of(TransferOutcome(
        "/out.onnx", None, proposal, rows, "transferred", "accuracy", True, (0.1, 0.04), "100 samples", 9000,
        ("Trained on 50 samples.",), (), "The transfer is worth it.", 1.0,
    ))  # fmt: skip
    assert view.headline == "Accuracy 90.0 % in 3.0 kB (the original has 9.0 kB)."
    assert view.rows[1] == ("From nothing, same size", "3.0 kB", "80.0 %", "4.0 points")
    assert (view.chosen, view.advice, view.file) == (0, "The transfer is worth it.", Path("/out.onnx"))
    assert "1 layer kept as it was." in view.notes


def test_data_that_nothing_can_be_learned_from_is_told(dialog: TransferDialog, tmp_path: Path, qtbot: QtBot) -> None:
    _see(dialog, qtbot, save(tmp_path / "one.npz", 20, classes=1))
    assert "one class" in dialog.trouble
    assert dialog.data.found.text() == dialog.trouble
    assert not dialog.next_button.isEnabled()
    _see(dialog, qtbot, save(tmp_path / "two.npz", 40))
    assert dialog.trouble == "" and dialog.next_button.isEnabled()


def test_another_cut_is_measured_anew_and_the_same_is_not(
    dialog: TransferDialog, tmp_path: Path, qtbot: QtBot
) -> None:
    _see(dialog, qtbot, save(tmp_path / "new.npz", 40))
    dialog.cut.head.show_values({"head_epochs": 1})
    dialog.go(USE)
    qtbot.waitUntil(lambda: dialog.use.proposal is not None, timeout=PATIENCE_MS)
    first = dialog.use.proposal
    dialog.back_button.click()
    dialog.go(USE)
    assert dialog.use.proposal is first
    dialog.go(HEAD)
    dialog.cut.table.selectRow(2)
    dialog.go(USE)
    assert dialog.use.proposal is None
    qtbot.waitUntil(lambda: dialog.use.proposal is not None, timeout=PATIENCE_MS)
    assert dialog.use.proposal is not None and dialog.use.proposal.cut.layer == "fc1.weight"
    theme().set_mode("dark")
    qtbot.keyClick(dialog.use.chart, Qt.Key.Key_Right)
    theme().set_mode("light")
    assert dialog.use.chart.read_out(0.5, 0.0) is not None


def test_a_size_is_asked_for_and_everything_chosen_is_in_the_description(
    dialog: TransferDialog, session: Session, tmp_path: Path, qtbot: QtBot
) -> None:
    _see(dialog, qtbot, save(tmp_path / "new.npz", 40))
    dialog.training.fields.fields["compress"].edited.emit("size", 0)
    assert not dialog.training.limit.isHidden()
    dialog.training.limit.setText("")
    assert "how large" in dialog.training.why_not()
    dialog.training.limit.setText("30%")
    dialog.use.fields.fields["freeze"].edited.emit("all", 0)
    spec = dialog.spec()
    assert (spec.size, spec.settings.compress, spec.settings.freeze) == ("30%", "size", "all")
    assert spec.settings == TransferSettings(compress="size", freeze="all")
    assert spec.runs_folder == str(session.runs_folder)


def test_the_window_opens_it_and_starts_what_was_asked(
    window: MainWindow, opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(window.session, network(tmp_path / "bars.onnx"))
    monkeypatch.setattr(window.session.tasks, "warm_training", lambda *modules: None)
    asked: list[Asked] = []
    monkeypatch.setattr(window.session.training, "start", asked.append)
    dialog = ask_transfer(window)
    wanted = TransferSpec("m.onnx", "new.npz", "out.onnx")
    monkeypatch.setattr(dialog, "spec", lambda: wanted)
    dialog.accept()
    assert [one.spec for one in asked] == [wanted]
    shown = window.workspace.lenses.current
    assert shown is not None and shown.key == "training"
