"""The form of a cross-validation, and what the result card shows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pytestqt.qtbot import QtBot

from core.analysis.task_metrics.base import Unit
from core.crossval_job import CrossvalOutcome, CrossvalSpec
from core.training.crossval_result import CrossvalResult, FoldResult, Variant
from gui.run_tree.crossval import asked_of, view_of
from gui.run_tree.crossval_dialog import EVERY, OWN, CrossvalDialog
from gui.session import Session
from gui.settings import Settings

WAIT = 20_000


@pytest.fixture
def dialog(
    session: Session, settings: Settings, opened: Callable[[Session, Path], Session], mlp_path: Path, tmp_path: Path,
    qtbot: QtBot,
) -> CrossvalDialog:  # fmt: skip
    data = tmp_path / "data.npz"
    np.savez(data, x=np.zeros((40, 16), np.float32), labels=np.repeat([0, 1, 2, 3], [18, 10, 10, 2]))
    opened(session, mlp_path)
    session.load_data(data)
    qtbot.waitUntil(lambda: session.samples is not None, timeout=WAIT)
    made = CrossvalDialog(session, settings)
    qtbot.addWidget(made)
    made.show()
    return made


def test_it_says_what_will_happen(dialog: CrossvalDialog) -> None:
    text = dialog.what.text()
    assert "5 trainings of up to 20 epochs" in text
    assert "Class 3 (2) has fewer samples than there are folds" in text
    assert "no steps" in text
    assert dialog.start_button.isEnabled()
    dialog.compare.setCurrentIndex(dialog.compare.findData(EVERY))
    assert "25 trainings" in dialog.what.text()


def test_test_data_are_not_proposed(
    dialog: CrossvalDialog, session: Session, settings: Settings, tmp_path: Path, qtbot: QtBot
) -> None:
    data = tmp_path / "test.npz"
    data.write_bytes((tmp_path / "data.npz").read_bytes())
    session.load_data(data)
    qtbot.waitUntil(lambda: session.data_path == data, timeout=WAIT)
    again = CrossvalDialog(session, settings)
    qtbot.addWidget(again)
    assert again.data.path is None and "By its name test.npz is test data" in again.data.found.text()
    assert not again.start_button.isEnabled()


def test_changes_are_read_as_they_are_typed(dialog: CrossvalDialog) -> None:
    dialog.compare.setCurrentIndex(dialog.compare.findData(OWN))
    assert not dialog.start_button.isEnabled()
    dialog.changes.setText("dropout=20%, colour=red")
    assert "'colour' is no setting" in dialog.trouble.text()
    dialog.changes.setText("dropout=20%")
    assert dialog.start_button.isEnabled()
    trial = dialog.trial()
    assert trial is not None and [variant.words for variant in trial.variants][1:] == ["dropout 20 %"]


def test_more_folds_than_samples_are_refused(dialog: CrossvalDialog) -> None:
    dialog.folds.setValue(50)
    assert "40 samples for 50 folds" in dialog.trouble.text()
    assert not dialog.start_button.isEnabled()


def test_the_job_has_what_was_asked(dialog: CrossvalDialog, session: Session) -> None:
    trial = dialog.trial()
    assert trial is not None and dialog.data.path is not None
    asked = asked_of(session, trial.base, dialog.data.path, 4, trial.variants, every=False)
    spec = asked.spec
    assert isinstance(spec, CrossvalSpec)
    assert (spec.folds, spec.recipe_text, spec.runs_folder) == (4, "", str(session.runs_folder))
    assert asked.kind == "crossval"


def test_the_card_shows_spread_gain_and_folds() -> None:
    scores = {0: (0.8, 0.9, 0.85), 1: (0.84, 0.95, 0.88)}
    folds = tuple(FoldResult(v, i, score, 0.7, 70, 10, 20, 3, 5, 4 if i else None, 1.0)
                  for v, each in scores.items() for i, score in enumerate(each))
    variants = (Variant("the base settings"), Variant("dropout 20 %"))
    result = CrossvalResult("accuracy", Unit.SHARE, True, variants, folds, ("3 folds.",))
    view = view_of(CrossvalOutcome(result, {}, 3.0, notes=("not kept.",)))
    assert view.headline.startswith("Accuracy: 85.00 % on average over 3 folds, give or take 5.00 points")
    assert [row[:2] for row in view.rows] == [
        ("Original", "70.00 %"), ("Base settings", "85.00 %"), ("Dropout 20 %", "89.00 %"), ("Fold 1", "80.00 %"),
        ("Fold 2", "90.00 %"), ("Fold 3", "85.00 %"),
    ]  # fmt: skip
    assert view.rows[2][4:] == ("+4.00 points", "0.76 points", "3 of 3")
    assert view.notes[0].startswith("Training and validation part in 2 of 3 folds, at epoch 4")
    assert view.notes[1:] == ("3 folds.", "not kept.")
    assert view.advice.startswith("Use dropout 20 %")
    alone = CrossvalResult("accuracy", Unit.SHARE, True, variants[:1], folds[:3], ())
    assert view_of(CrossvalOutcome(alone, {}, 3.0)).columns == view.columns[:4]  # no empty columns of gains
