"""The merge form: what each mode asks for, when Merge can be pressed, and what the job is told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from core.ensembles.measuring import Duel, Role, Standing, Standings
from core.ensembles.verdict import judge
from core.merge_job import MergeMode, MergeOutcome
from core.progress import SILENT
from core.runs.recording import recording
from core.runs.run import RunKind
from core.runs.store import RunStore
from gui.ensembles.dialog import MergeDialog
from gui.ensembles.members import results_of
from gui.ensembles.wish import asked_of, view_of
from gui.session import Session
from gui.settings import Settings


@pytest.fixture
def dialog(session: Session, settings: Settings, qtbot: QtBot, opened: Callable[..., Session],
           mlp_path: Path) -> MergeDialog:
    opened(session, mlp_path)
    made = MergeDialog(session, settings)
    qtbot.addWidget(made)
    made.show()
    return made


def choose(dialog: MergeDialog, mode: MergeMode) -> None:
    dialog.modes.button(list(MergeMode).index(mode)).click()


def test_members_are_asked_for_where_they_are_not_made(dialog: MergeDialog, tmp_path: Path, mlp_path: Path) -> None:
    choose(dialog, MergeMode.VOTE)
    dialog.put_target(tmp_path / "out.onnx")
    assert dialog.members.isVisible() and not dialog.count.isVisible()
    assert dialog.trouble.text() == "Add two members or more." and not dialog.start_button.isEnabled()
    copy = tmp_path / "copy.onnx"
    copy.write_bytes(mlp_path.read_bytes())
    dialog.members.add([(mlp_path, ""), (copy, "a run"), (copy, "again")])
    assert dialog.members.paths == (mlp_path, copy)
    assert dialog.start_button.isEnabled()
    dialog.members.list.setCurrentRow(1)
    dialog.members.remove.click()
    assert not dialog.start_button.isEnabled()


def test_bagging_asks_for_samples_and_makes_members_of_the_open_model(
    dialog: MergeDialog, session: Session, tmp_path: Path, mlp_path: Path
) -> None:
    choose(dialog, MergeMode.BAG)
    dialog.put_target(tmp_path / "out")
    assert dialog.count.isVisible() and dialog.valid.isVisible()
    assert "Made of mlp.onnx" in dialog.plan.text()
    assert dialog.trouble.text() == "Choose samples to learn from."
    assert dialog.wish() is None
    dialog.data.path, dialog.data.samples = tmp_path / "d.npz", object()  # type: ignore[assignment]
    dialog.count.setValue(3)
    wish = dialog.wish()
    assert wish is not None and wish.target.name == "out.onnx"
    spec = asked_of(session, wish).spec
    assert spec.model_paths == (str(mlp_path),) and spec.mode == "bag" and spec.members == 3
    assert spec.original_path == str(mlp_path)


def test_the_greedy_choice_belongs_to_weights(dialog: MergeDialog) -> None:
    choose(dialog, MergeMode.AVERAGE)
    assert not dialog.greedy.isVisible()
    choose(dialog, MergeMode.WEIGHTS)
    assert dialog.greedy.isVisible() and not dialog.valid.isVisible()
    dialog.greedy.setChecked(True)
    assert dialog.valid.isVisible()


def test_results_of_runs_are_told_in_words(tmp_path: Path, mlp_path: Path) -> None:
    store = RunStore(tmp_path / "runs")
    recipe = "featherweight: 1\ndefaults: [{quantize: {bits: 4}}]\n"
    for kind, text in ((RunKind.COMPRESS, recipe), (RunKind.TRANSFER, "")):
        with recording(store, kind=kind, title="mlp.onnx", model_path=mlp_path, recipe_text=text) as run:
            run.result(mlp_path)
    ((path, words),) = results_of(store.folder, mlp_path, SILENT)  # a transfer answers with other classes
    assert words == "Compression: int4" and path.read_bytes() == mlp_path.read_bytes()


def test_the_result_says_when_it_is_not_worth_its_bytes() -> None:
    rows = (Standing("m1.onnx", Role.MEMBER, "m1.onnx", 100, 0.9, 0.01),
            Standing("the ensemble", Role.ENSEMBLE, "out.onnx", 500, 0.9, 0.01))
    found = Standings(rows, (Duel("the ensemble", "m1.onnx", 0.0, 0.0, 1.0, 0, 0),), 50, "d.npz", "m1.onnx", "accuracy")
    outcome = MergeOutcome("out.onnx", "vote", "votes.", 500, (), 0.0, found, judge(found), None, ("m1.onnx",), (), (),
                           1.0)
    view = view_of(outcome)
    assert view.headline.startswith("Not worth its bytes: m1.onnx") and view.advice == "Use m1.onnx instead."
    assert view.chosen == 1 and len(view.rows) == 2 and len(view.columns) == len(view.rows[0])
