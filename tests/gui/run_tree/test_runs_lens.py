"""The Runs lens: it follows the disk, and every verb does what it says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication, QMessageBox, QPushButton
from pytestqt.qtbot import QtBot

from core.errors import FeatherweightError
from core.runs.run import Run, RunKind, RunState
from gui.lenses.runs import RunsLens
from gui.main_window import MainWindow
from gui.run_tree.compare_dialog import CompareDialog
from gui.session import Session
from gui.training.dialog import TrainingDialog
from tests.gui.run_tree.conftest import Runs

WAIT = 20_000


@pytest.fixture
def lens(session: Session, opened: Callable[[Session, Path], Session], mlp_path: Path, qtbot: QtBot) -> RunsLens:
    """The lens alone, shown, with the model open."""
    opened(session, mlp_path)
    made = RunsLens()
    qtbot.addWidget(made)
    made.set_session(session)
    made.resize(700, 900)
    made.show()
    return made


def shown(lens: RunsLens) -> list[str]:
    return [row.key for row in lens.table.view.runs.rows]


def wait_for(qtbot: QtBot, lens: RunsLens, *runs: Run) -> None:
    qtbot.waitUntil(lambda: set(shown(lens)) == {run.id for run in runs}, timeout=WAIT)


def test_without_runs_it_says_what_to_do(lens: RunsLens, qtbot: QtBot) -> None:
    qtbot.waitUntil(lambda: "Nothing was run yet" in lens.table.empty.words(), timeout=WAIT)
    assert not lens.table.view.isVisible()
    assert not any(button.isEnabled() for button in lens.detail.buttons)


def test_runs_are_shown_and_followed(lens: RunsLens, runs: Runs, qtbot: QtBot) -> None:
    first = runs.add()
    wait_for(qtbot, lens, first)
    second = runs.add_training()  # another process adds it
    wait_for(qtbot, lens, first, second)
    lens.table.view.select([second.id])
    qtbot.waitUntil(lens.detail.chart.isVisible, timeout=WAIT)
    assert "Fine-tuning" in lens.detail.title.text()
    runs.store.delete(first.id)
    wait_for(qtbot, lens, second)


def test_runs_of_other_models_are_behind_a_switch(lens: RunsLens, runs: Runs, qtbot: QtBot) -> None:
    mine, other = runs.add(), runs.add(model_sha256="another")
    wait_for(qtbot, lens, mine)
    assert "1 of other models" in lens.table.caption.plain_text
    lens.table.everything.click()
    wait_for(qtbot, lens, mine, other)


def test_damaged_entries_are_told(lens: RunsLens, runs: Runs, qtbot: QtBot) -> None:
    good, bad = runs.add(), runs.add()
    (runs.store.path(bad.id) / "run.json").write_text("{")
    wait_for(qtbot, lens, good)
    qtbot.waitUntil(lambda: "1 entry could not be read" in lens.table.caption.plain_text, timeout=WAIT)


def test_open_takes_the_recipe_and_can_be_undone(
    lens: RunsLens, runs: Runs, session: Session, qtbot: QtBot
) -> None:
    run = runs.add_training()
    wait_for(qtbot, lens, run)
    lens.table.view.select([run.id])
    qtbot.mouseClick(lens.detail.open, Qt.MouseButton.LeftButton)
    assert session.recipe is not None and session.model is not None
    assert [step.label() for step in session.steps("fc1.weight")] == ["int4"]
    assert session.training.offered is not None and session.training.offered.dropout == 0.2
    assert session.runs.parent_of(session.model) == ""
    session.undo_stack.undo()
    assert not session.has_steps


def test_open_says_what_is_not_in_force(lens: RunsLens, runs: Runs, session: Session, qtbot: QtBot) -> None:
    trained = runs.add_training(kept="result.onnx")
    (runs.store.path(trained.id) / "result.onnx").write_bytes(b"trained")
    merged = runs.add(RunKind.MERGE, recipe_text="")
    wait_for(qtbot, lens, trained, merged)
    said: list[str] = []
    session.said.connect(said.append)
    for run in (trained, merged):
        lens.table.view.select([run.id])
        lens.detail.open.click()
    assert "is in force, without its training. Its trained file is under Export" in said[0]
    assert "had no plan, so yours stays." in said[1] and "Export" not in said[1]  # no copy of its file is there
    assert [step.label() for step in session.steps("fc1.weight")] == ["int4"]


def test_branch_makes_the_next_run_a_child_and_asks_for_a_training(
    window: MainWindow, opened: Callable[[Session, Path], Session], mlp_path: Path, runs: Runs, qtbot: QtBot
) -> None:
    run = runs.add_training()
    opened(window.session, mlp_path)
    assert window.show_lens("runs")
    lens = window.findChild(RunsLens)
    assert lens is not None
    wait_for(qtbot, lens, run)
    lens.table.view.select([run.id])
    qtbot.mouseClick(lens.detail.branch, Qt.MouseButton.LeftButton)
    session = window.session
    assert session.model is not None
    assert session.runs.parent_of(session.model) == run.id
    dialog = window.findChild(TrainingDialog)
    assert dialog is not None
    assert dialog.form.settings().epochs == 4
    dialog.reject()
    session.compress()
    rows = lens.table.view.runs
    qtbot.waitUntil(lambda: [row.run.state for row in rows.rows] == [RunState.DONE] * 2, timeout=WAIT)
    child = next(row for row in rows.rows if row.key != run.id)
    assert child.run.parent == run.id
    assert child.kept and not child.run.target  # the window's own compression is kept as a copy
    assert rows.rowCount(rows.place(run.id)) == 1


def test_two_are_compared(lens: RunsLens, runs: Runs, qtbot: QtBot) -> None:
    a, b = runs.add(nbytes=300.0), runs.add_training()
    wait_for(qtbot, lens, a, b)
    lens.table.view.select([a.id])
    assert not lens.detail.compare.isEnabled()
    lens.table.view.select([a.id, b.id])
    assert lens.detail.compare.isEnabled() and not lens.detail.open.isEnabled()
    lens.compare()
    dialog = lens.findChild(CompareDialog)
    assert dialog is not None
    assert ("file", "300 B", "500 B") in dialog.lines
    dialog.reject()


def test_the_chart_selects_in_the_table(lens: RunsLens, runs: Runs, qtbot: QtBot) -> None:
    a, b = runs.add(nbytes=300.0), runs.add(nbytes=900.0)
    wait_for(qtbot, lens, a, b)
    qtbot.keyClick(lens.chart, Qt.Key.Key_Home)
    assert lens.table.view.keys == (a.id,)
    qtbot.keyClick(lens.chart, Qt.Key.Key_Right)
    assert lens.table.view.keys == (b.id,)


def test_delete_asks_first(lens: RunsLens, runs: Runs, qtbot: QtBot) -> None:
    run = runs.add()
    wait_for(qtbot, lens, run)
    lens.table.view.select([run.id])
    for word, left in (("Cancel", 1), ("Delete", 0)):
        lens.ask_delete()
        box = next(box for box in lens.findChildren(QMessageBox) if box.isVisible())
        assert "cannot be undone" in box.informativeText()
        button = next(b for b in box.findChildren(QPushButton) if b.text().replace("&", "") == word)
        qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
        QApplication.processEvents()
        qtbot.waitUntil(lambda left=left: len(runs.store.ids()) == left, timeout=WAIT)
    qtbot.waitUntil(lambda: shown(lens) == [], timeout=WAIT)


def test_a_model_that_is_gone_is_told(lens: RunsLens, runs: Runs, session: Session, qtbot: QtBot) -> None:
    run = runs.add(model_sha256="another", model_path="/nowhere/model.onnx")
    lens.table.everything.click()
    wait_for(qtbot, lens, run)
    lens.table.view.select([run.id])
    told: list[FeatherweightError] = []
    session.failed.connect(told.append)
    lens.detail.open.click()
    assert "not there any more" in str(told[0])


def test_an_interrupted_training_can_be_resumed_and_a_done_one_not(lens: RunsLens, runs: Runs, qtbot: QtBot) -> None:
    done, stopped = runs.add_training(), runs.add_training(RunState.RUNNING)  # its process is gone
    wait_for(qtbot, lens, done, stopped)
    lens.table.view.select([done.id])
    assert not lens.detail.resume.isEnabled()
    lens.table.view.select([stopped.id])
    assert lens.detail.resume.isEnabled()
    assert "interrupted" in lens.detail.caption.plain_text
