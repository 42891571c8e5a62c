"""Rows, their order and their tree, and the model behind the view."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QAbstractItemModelTester
from pytestqt.qtbot import QtBot

from core.runs.run import Figure, RunKind, RunState
from gui.run_tree.chart import scene_of
from gui.run_tree.compare_dialog import compared, recipe_difference
from gui.run_tree.detail import words_of
from gui.run_tree.model import RunsModel
from gui.run_tree.rows import NOT_KNOWN, Column, Row, as_tree, row_of
from tests.gui.run_tree.conftest import RECIPE, Runs


def rows_of(runs: Runs) -> list[Row]:
    return [row_of(runs.store, run) for run in runs.store.listing().runs]


def test_a_row_says_what_it_was_in_words(runs: Runs) -> None:
    run = runs.add(nbytes=500.0, score=0.9)
    (row,) = rows_of(runs)
    assert row.texts[: Column.LATENCY] == ("Compression: int4", "✓ done", "500 B", "12.5 %", "90.00 %", "30.0 dB")
    assert row.texts[Column.LATENCY] == NOT_KNOWN
    assert "\N{MINUS SIGN}5.00 points" in row.tip
    text = words_of(row)
    assert "8.0\N{MULTIPLICATION SIGN} smaller" in text
    assert "accuracy (top-1): 90.00 % (\N{MINUS SIGN}5.00 points) on 20 samples" in text
    assert run.id == row.key


def test_a_recipe_that_cannot_be_read_is_told_as_such(runs: Runs) -> None:
    runs.add(recipe_text="featherweight: 99\n")
    assert "cannot read" in rows_of(runs)[0].texts[0]


def test_branches_stand_below_their_runs(runs: Runs) -> None:
    first = runs.add()
    second, third = runs.add(parent=first.id), runs.add(parent=first.id)
    lost = runs.add(parent="20200101-000000-aaaaaa")  # its parent was deleted
    tree = as_tree(rows_of(runs))
    assert [branch.row.key for branch in tree] == [lost.id, first.id]
    assert [branch.row.key for branch in tree[1].children] == [third.id, second.id]


def test_a_run_that_claims_itself_or_a_later_one_as_its_parent_is_not_lost(runs: Runs) -> None:
    a = runs.add()
    b = runs.add(parent=a.id)
    runs.store.put(runs.store.get(a.id).__class__(**{**vars(a), "parent": b.id}))
    tree = as_tree(rows_of(runs))
    assert [branch.row.key for branch in tree] == [a.id]
    assert [branch.row.key for branch in tree[0].children] == [b.id]


def test_the_model_keeps_the_rules_of_models(qtbot: QtBot, runs: Runs) -> None:
    model = RunsModel()
    tester = QAbstractItemModelTester(model, QAbstractItemModelTester.FailureReportingMode.Fatal)
    first = runs.add(nbytes=300.0)
    runs.add(parent=first.id, nbytes=200.0)
    runs.add(nbytes=100.0, figures=())
    model.set_rows(rows_of(runs))
    assert (model.rowCount(), model.rowCount(model.place(first.id))) == (2, 1)
    model.set_tree(False)
    model.sort_by(Column.SIZE)
    assert [model.data(model.index(i, Column.SIZE)) for i in range(3)] == ["200 B", "300 B", NOT_KNOWN]
    model.sort_by(Column.SIZE)
    assert [model.data(model.index(i, Column.SIZE)) for i in range(3)] == ["300 B", "200 B", NOT_KNOWN]
    assert model.headerData(Column.SIZE, Qt.Orientation.Horizontal).endswith("\N{DOWNWARDS ARROW}")
    assert not model.place("nothing").isValid()
    model.set_rows([])
    assert model.rowCount() == 0
    assert tester.model() is model


def test_the_chart_shows_runs_with_the_metric_that_most_have(runs: Runs) -> None:
    runs.add(nbytes=500.0, score=0.9)
    runs.add(RunKind.FINETUNE, nbytes=250.0, score=0.94)
    runs.add(figures=(Figure("bytes", 10.0, "B"), Figure("score", 0.1, "error", "squared error")))
    runs.add(RunKind.CROSSVAL)
    scene = scene_of(rows_of(runs))
    assert scene.label == "accuracy (top-1), %"
    assert [(point.kind, point.x, round(point.y, 6)) for point in scene.points] == [
        ("finetune", 250.0, 94.0), ("compress", 500.0, 90.0),
    ]  # fmt: skip
    assert scene.reference is not None
    assert (scene.reference.x, round(scene.reference.y, 6)) == (4000.0, 95.0)
    assert scene_of([]).points == ()


def test_two_runs_differ_in_what_is_listed(runs: Runs) -> None:
    a = runs.add_training(seed=1)
    b = runs.add_training(seed=2, settings={**a.settings, "dropout": 0.5}, score=0.8)
    second, first = rows_of(runs)
    assert (first.key, second.key) == (a.id, b.id)
    lines = {what: values for what, *values in compared(first, second)}
    assert lines["accuracy (top-1)"] == ["90.00 %", "80.00 %"]
    assert lines["dropout"] == ["0.2", "0.5"]
    assert lines["seed"] == ["1", "2"]
    assert "epochs" not in lines


@pytest.mark.parametrize("state", list(RunState))
def test_every_state_has_a_sign_and_a_word(runs: Runs, state: RunState) -> None:
    from gui.run_tree.rows import SIGNS

    runs.add(state=state)
    text = rows_of(runs)[0].texts[Column.STATE]
    shown = RunState.INTERRUPTED if state.at_work else state  # nobody works on it
    assert text == f"{SIGNS[shown]} {shown}"


def test_difference_of_recipes() -> None:
    assert recipe_difference(RECIPE, RECIPE) == ()
    assert "- defaults: [{quantize: {bits: 4}}]" in recipe_difference(RECIPE, RECIPE.replace("4", "8"))
