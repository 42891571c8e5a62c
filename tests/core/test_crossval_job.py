"""The job and the command of a cross-validation: kept fold by fold, resumed to the same figures, refused plainly."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.cli import main
from core.crossval_job import CrossvalSpec, crossval_file, result_of, spec_of
from core.errors import Cancelled, DataError
from core.progress import Progress, Reporter
from core.runs.run import RunKind, RunState
from core.runs.store import RunStore
from core.training.crossval_result import CrossvalResult
from core.training.settings import TrainingSettings
from tests.core.training.test_crossval import write_data

RECIPE = "featherweight: 1\ndefaults: [{quantize: {bits: 8}}]\n"


@pytest.fixture
def spec(mlp_path: Path, tmp_path: Path, runs_folder: Path) -> CrossvalSpec:
    settings = TrainingSettings(epochs=1, batch=16, sparsity="at once", loss="labels", seed=3)
    data = write_data(tmp_path / "data.npz")
    return CrossvalSpec(str(mlp_path), RECIPE, str(data), settings, 2, runs_folder=str(runs_folder))


def cancel_after_a_fold(progress: Progress) -> None:
    if isinstance(progress.part, CrossvalResult):
        raise Cancelled


def test_it_is_kept_with_its_figures_and_curves(spec: CrossvalSpec) -> None:
    outcome = crossval_file(spec)
    store = RunStore(spec.runs_folder or "")
    run = store.get(outcome.run)
    assert (run.kind, run.state, run.seed) == (RunKind.CROSSVAL, RunState.DONE, 3)
    assert run.value("score") == outcome.result.spread(0).mean
    assert run.value("deviation") == pytest.approx(outcome.result.spread(0).deviation)
    kept = result_of(run)
    assert kept is not None and kept.folds == outcome.result.folds
    assert list(outcome.curves) == ["fold 1", "fold 2"]
    assert store.curves(run.id) == outcome.curves
    assert spec_of(store, run) == spec


def test_an_interrupted_one_goes_on_behind_the_folds_that_are_done(spec: CrossvalSpec) -> None:
    whole = crossval_file(replace(spec, runs_folder=None))
    with pytest.raises(Cancelled):
        crossval_file(spec, Reporter(cancel_after_a_fold))
    store = RunStore(spec.runs_folder or "")
    (run,) = store.listing().runs
    assert run.state is RunState.CANCELLED
    before = result_of(run)
    assert before is not None and len(before.folds) == 1
    outcome = crossval_file(replace(spec_of(store, run), resume=run.id))
    assert outcome.run == run.id
    assert [(f.fold, f.score) for f in outcome.result.folds] == [(f.fold, f.score) for f in whole.result.folds]
    assert outcome.result.folds[0] == before.folds[0]
    assert list(outcome.curves) == ["fold 1", "fold 2"]
    assert store.get(run.id).state is RunState.DONE


def test_other_data_under_the_same_name_is_refused(spec: CrossvalSpec, tmp_path: Path) -> None:
    with pytest.raises(Cancelled):
        crossval_file(spec, Reporter(cancel_after_a_fold))
    (run,) = RunStore(spec.runs_folder or "").listing().runs
    write_data(tmp_path / "data.npz", 60)
    with pytest.raises(DataError, match="data has changed"):
        crossval_file(replace(spec, resume=run.id))


def test_without_a_store_nothing_is_written(spec: CrossvalSpec, runs_folder: Path) -> None:
    outcome = crossval_file(replace(spec, runs_folder=None))
    assert outcome.run == "" and list(outcome.curves) == ["fold 1", "fold 2"]
    assert not runs_folder.exists()


def test_every_regularisation_is_tried_where_it_fits(spec: CrossvalSpec) -> None:
    outcome = crossval_file(replace(spec, every=True))
    words = [variant.words for variant in outcome.result.variants]
    assert words[0] == "no regularisation"
    assert not any("augmentation" in each for each in words)  # the inputs are no pictures
    assert len(outcome.result.folds) == 2 * len(words)


def test_the_command_tells_all(spec: CrossvalSpec, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    recipe = tmp_path / "r.yaml"
    recipe.write_text(RECIPE)
    words = ["crossval", spec.model_path, "--recipe", str(recipe), "--data", spec.data_path, "--folds", "2", "--quiet"]
    words += ["--epochs", "1", "--compare", "dropout=20%"]
    assert main([*words, "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert [variant["words"] for variant in data["variants"]] == ["the base settings", "dropout 20 %"]
    assert len(data["folds"]) == 4 and len(data["differences"]) == 1 and data["advice"]
    assert {"mean", "deviation", "error"} <= set(data["variants"][0])
    assert main(["runs", "show", data["run"], "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["state"] == "done" and len(shown["curves"]) == 4
    assert main(["runs"]) == 0
    assert data["run"] in capsys.readouterr().out
    assert main(["runs", "delete", "latest"]) == 0
    capsys.readouterr()
    assert main(["runs"]) == 0
    assert "No runs are kept." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--folds", "60"], "folds is 60"), (["--folds", "49"], "48 samples for 49 folds"),
        (["--compare", "colour=red"], "'colour' is no setting"), (["--resume", "latest"], "a run goes on as it began"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_a_sentence(
    spec: CrossvalSpec, capsys: pytest.CaptureFixture[str], more: list[str], told: str
) -> None:
    assert main(["crossval", spec.model_path, "--data", spec.data_path, "--quiet", *more]) == 2
    assert told in capsys.readouterr().err


def test_a_model_or_data_that_is_missing_is_a_sentence(capsys: pytest.CaptureFixture[str], mlp_path: Path) -> None:
    assert main(["crossval", str(mlp_path)]) == 2
    assert "--data is missing" in capsys.readouterr().err
    assert main(["crossval", "--resume", "latest"]) == 2
    assert "no run 'latest'" in capsys.readouterr().err
    assert main(["crossval", "--resume", "latest", "--no-record"]) == 2
    assert "leave --no-record out" in capsys.readouterr().err


def test_runs_that_are_asked_for_wrongly(capsys: pytest.CaptureFixture[str]) -> None:
    for words, told in (
        (["list", "x"], "list takes no run"), (["show"], "takes one run"), (["show", "x"], "no run 'x'"),
        (["export", "latest"], "no run"),
    ):  # fmt: skip
        assert main(["runs", *words]) == 2
        assert told in capsys.readouterr().err


def test_labels_of_one_class_are_refused(spec: CrossvalSpec, tmp_path: Path, runs_folder: Path) -> None:
    np.savez(tmp_path / "one.npz", x=np.zeros((30, 16), np.float32), labels=np.ones(30, np.int64))
    with pytest.raises(DataError, match="class 1"):
        crossval_file(replace(spec, data_path=str(tmp_path / "one.npz")))
    (run,) = RunStore(runs_folder).listing().runs
    assert run.state is RunState.FAILED and "class 1" in run.why
