"""The transfer job from end to end, on a toy network and toy pictures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.analysis.runtime import run, session
from core.cli import main
from core.data import load_samples
from core.errors import Cancelled, DataError, FeatherweightError, ParameterError, RecipeError
from core.methods.params import build
from core.model.readers import open_model
from core.progress import Progress, Reporter
from core.runs.store import RunStore
from core.training.events import EpochDone, Started
from core.training.settings import TrainingSettings
from core.transfer.course import verdict
from core.transfer.scoring import Score
from core.transfer.settings import TransferSettings
from core.transfer_job import Proposal, TransferSpec, look_at_transfer, propose_transfer, spec_of, transfer_file
from tests.core.transfer.toys import network, save

QUICK: dict[str, Any] = {"head_epochs": 12, "tune_epochs": 1}


def _spec(tmp_path: Path, **settings: Any) -> TransferSpec:
    return TransferSpec(
        str(network(tmp_path / "bars.onnx", dead=2)), str(save(tmp_path / "new.npz", 96)), str(tmp_path / "out.onnx"),
        test_path=str(save(tmp_path / "test.npz", 80, seed=9)), settings=build(TransferSettings, QUICK | settings),
        training=TrainingSettings(epochs=4, batch=16, learning_rate=3e-3, patience=0),
    )  # fmt: skip


def test_a_transfer_learns_the_new_classes_and_compares(tmp_path: Path) -> None:
    told: list[Any] = []
    outcome = transfer_file(_spec(tmp_path), Reporter(lambda progress: told.append(progress.part)))
    names = [row.name for row in outcome.rows]
    assert names == ["transferred, not compressed", "transferred", "from nothing, not compressed",
                     "from nothing, same size"]  # fmt: skip
    titles = ["New head", "All layers", "Compressed", "From nothing", "From nothing, compressed"]
    assert [part.title for part in told if isinstance(part, Started)] == titles
    assert [title for title, _ in outcome.curves] == titles
    assert sum(isinstance(part, Proposal) for part in told) == 1
    mine = next(row for row in outcome.rows if row.name == outcome.chosen)
    assert mine.value > 0.8
    assert mine.nbytes == Path(outcome.path).stat().st_size < next(r for r in outcome.rows if r.name == names[0]).nbytes
    assert any(line.startswith("conv1:") for line in outcome.proposal.removed)
    test = load_samples(tmp_path / "test.npz", open_model(outcome.path).inputs)
    answers = [int(run(session(outcome.path), feed)[0].argmax()) for feed in test.feeds()]
    assert np.mean(np.array(answers) == test.class_labels) == pytest.approx(mine.value)
    assert outcome.gain is not None and outcome.verdict


def test_with_all_layers_kept_only_the_head_is_trained(tmp_path: Path) -> None:
    outcome = transfer_file(_spec(tmp_path, freeze="all", cut="none", compress="none", compare=False))
    assert [title for title, _ in outcome.curves] == ["New head"]
    before, after = open_model(tmp_path / "bars.onnx"), open_model(outcome.path)
    for name in ("conv1.weight", "conv2.weight", "fc1.weight"):
        np.testing.assert_array_equal(before.weight(name), after.weight(name))
    assert outcome.gain is None


def test_named_layers_are_kept_and_the_same_seed_gives_the_same_file(tmp_path: Path) -> None:
    spec = replace(_spec(tmp_path, freeze="listed", cut="none", compress="none", compare=False), keep=("conv1.weight",))
    first = Path(transfer_file(spec).path).read_bytes()
    model = open_model(spec.target)
    np.testing.assert_array_equal(model.weight("conv1.weight"), open_model(spec.model_path).weight("conv1.weight"))
    assert not np.array_equal(model.weight("conv2.weight"), open_model(spec.model_path).weight("conv2.weight"))
    again = transfer_file(replace(spec, target=str(tmp_path / "again.onnx")))
    assert Path(again.path).read_bytes() == first


def test_values_are_met_by_a_regression_head(tmp_path: Path) -> None:
    spec = _spec(tmp_path, compress="none", compare=False)
    with np.load(spec.data_path) as data:
        np.savez(tmp_path / "values.npz", image=data["image"], labels=data["labels"].astype(np.float32))
    outcome = transfer_file(replace(spec, data_path=str(tmp_path / "values.npz"), test_path=None))
    assert (outcome.metric, outcome.higher_is_better) == ("mean squared error", False)
    assert outcome.rows[0].value < 1.25  # the variance of 0, 1, 2, 3
    assert open_model(outcome.path).outputs[0].shape == ("n", 1)


@pytest.mark.parametrize(("change", "error", "told"), [
    ({"at": "nowhere"}, ParameterError, "cannot be cut at 'nowhere'"),
    ({"classes": 3}, DataError, "labels go up to 3, and there are 3 classes"),
    ({"keep": ("fc2.weight",), "settings": TransferSettings(freeze="listed", head_epochs=1)}, ParameterError,
     "goes with the old head"),
    ({"settings": TransferSettings(compress="size", compare=False, head_epochs=1)}, ParameterError, "no size"),
    ({"settings": TransferSettings(compress="recipe", head_epochs=1),
      "recipe_text": "featherweight: 1\nlayers: {nothing: [{quantize: {bits: 8}}]}\n"}, RecipeError, "no layer"),
])  # fmt: skip
def test_what_cannot_be_done_is_told_and_nothing_written(
    tmp_path: Path, change: dict[str, Any], error: type[FeatherweightError], told: str
) -> None:
    spec = replace(_spec(tmp_path), training=TrainingSettings(epochs=1), **change)
    with pytest.raises(error, match=told):
        transfer_file(spec)
    assert not Path(spec.target).exists()


def test_the_look_and_the_proposal_write_nothing(tmp_path: Path) -> None:
    spec = replace(_spec(tmp_path), target="")
    look = look_at_transfer(spec)
    assert look.outputs == "4 classes"
    assert sum(count for _, count in look.counts) == 82  # 14 of 96 are held out
    proposal = propose_transfer(spec)
    assert proposal.removed == ()
    assert proposal.usage.channels and proposal.usage.pulls
    assert proposal.head_score is not None
    assert not list(tmp_path.glob("*out*"))


def test_a_cancelled_run_goes_on_where_it_was(tmp_path: Path) -> None:
    spec = replace(_spec(tmp_path, compare=False), runs_folder=str(tmp_path / "runs"))
    whole = transfer_file(replace(spec, target=str(tmp_path / "whole.onnx")))

    class Stop:
        asked = False

        def is_set(self) -> bool:
            return self.asked

    stop = Stop()

    titles: list[str] = []

    def hear(progress: Progress) -> None:
        if isinstance(progress.part, Started):
            titles.append(progress.part.title)
        if isinstance(progress.part, EpochDone) and titles[-1] == "All layers" and progress.part.epoch == 2:
            stop.asked = True

    with pytest.raises(Cancelled):
        transfer_file(spec, Reporter(hear, stop))
    store = RunStore(tmp_path / "runs")
    interrupted = next(one for one in store.listing().runs if one.state.resumable)
    again = spec_of(store, interrupted)
    assert again.settings == spec.settings and again.training == spec.training
    assert not again.passing
    resumed = transfer_file(replace(again, resume=interrupted.id, passing=True))
    assert Path(resumed.path).read_bytes() == Path(whole.path).read_bytes()
    kept = store.result_file(store.get(interrupted.id))  # a passing place is not named; a copy is kept
    assert not store.get(interrupted.id).target and kept is not None


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = _spec(tmp_path)
    plain = ["transfer", spec.model_path, "--data", spec.data_path, "--test", str(spec.test_path), "--quiet"]
    assert main([*plain, "--list-cuts"]) == 0
    assert "fc2.weight" in capsys.readouterr().out
    made = [*plain, "-o", spec.target, "--no-record", "--epochs", "1", "--head-epochs", "2", "--tune-epochs", "1"]
    assert main([*made, "--at", "fc1", "--freeze", "conv1.weight", "--cut", "25%", "--recipe", "small"]) == 0
    out = capsys.readouterr().out
    assert "cut before fc1: 96 features for 4 classes" in out
    assert "from nothing, same size" in out
    assert main([*made, "--recipe", "int8", "--size", "30%"]) == 2
    assert "give one of them" in capsys.readouterr().err


def test_a_verdict_needs_two_standard_errors() -> None:
    assert verdict((0.05, 0.01), False, 100).startswith("The transfer is worth it: 5.0 points")
    assert "No difference" in verdict((0.015, 0.01), False, 100)
    assert "does not serve" in verdict((-0.05, 0.01), False, 100)
    assert verdict((-0.2, 0.01), True, 100).startswith("The transfer is worth it")


def test_differences_are_paired_and_never_certain() -> None:
    right = np.ones(30, np.float32)
    one_less = right.copy()
    one_less[0] = 0
    difference, error = Score(1.0, 0, 30, right).minus(Score(29 / 30, 0, 30, one_less))
    assert difference == pytest.approx(1 / 30)
    assert 0.03 < error < 0.06
    assert Score(1.0, 0, 30, right).minus(Score(1.0, 0, 30, right))[1] > 0
