"""The fine-tuning job and its command, from files to files."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper

from core import cli
from core.analysis import comparison
from core.errors import Cancelled, DataError, ModelFileError, TargetError
from core.finetune_job import FinetuneSpec, finetune_file, spec_of
from core.progress import Progress, Reporter
from core.runs.run import RunState
from core.runs.store import RunStore
from core.training.events import EpochDone, Started
from core.training.settings import TrainingSettings

RECIPE = "featherweight: 1\ndefaults:\n- prune: {ratio: 0.7}\n- quantize: {scheme: codebook, bits: 3}\n"
QUICK = TrainingSettings(epochs=3, batch=32, learning_rate=0.01)


@pytest.fixture(autouse=True)
def quick_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Times and memory are measured elsewhere; here they would only take time."""
    monkeypatch.setattr(comparison, "LATENCY_SECONDS", 0.01)
    monkeypatch.setattr(comparison, "session_memory", lambda path, feed, reporter: 1_000_000)


@pytest.fixture
def files(mlp_path: Path) -> Path:
    """The folder of a small model with data for training, validation and test, answered by the model itself."""
    session = onnxruntime.InferenceSession(str(mlp_path))
    for name, n, seed in (("train", 240, 0), ("valid", 60, 1), ("test", 50, 2)):
        x = np.random.default_rng(seed).normal(size=(n, 16)).astype(np.float32)
        np.savez(mlp_path.parent / f"{name}.npz", x=x, labels=session.run(None, {"x": x})[0].argmax(1))
    return mlp_path.parent


def spec_for(files: Path, **changes: Any) -> FinetuneSpec:
    base = FinetuneSpec(
        str(files / "mlp.onnx"), RECIPE, str(files / "train.npz"), str(files / "out.onnx"), QUICK,
        test_path=str(files / "test.npz"), runs_folder=str(files / "runs"),
    )  # fmt: skip
    return replace(base, **changes)


def test_what_is_trained_is_what_is_stored(files: Path) -> None:
    parts: list[Any] = []
    outcome = finetune_file(spec_for(files), Reporter(lambda progress: parts.append(progress.part)))
    assert outcome.comparison.accuracy_after is not None and outcome.untrained is not None
    assert outcome.untrained.accuracy_after is not None
    assert outcome.comparison.accuracy_after > outcome.untrained.accuracy_after
    assert outcome.compared_on == "50 samples of test.npz" and outcome.comparison.n == 50
    assert outcome.report.bytes_after < outcome.report.bytes_before
    weights = {tensor.name for tensor in onnx.load(outcome.path).graph.initializer}
    assert "fc1.weight" not in weights  # stored as codes
    assert [p.epoch for p in parts if isinstance(p, EpochDone)] == [1, 2, 3]
    assert outcome.used == ("Trained on 204 of 240 samples of train.npz; the other 36 chose the best state.",)
    run = RunStore(files / "runs").get(outcome.run)
    assert run.state is RunState.DONE and run.value("score") == outcome.comparison.accuracy_after
    assert next(p for p in parts if isinstance(p, Started)).run == run.id
    assert run.title == "mlp.onnx: prune 70 % + 8 levels, trained"


def test_a_passing_place_is_not_named_but_its_file_is_kept(files: Path) -> None:
    spec = spec_for(files, passing=True, settings=replace(QUICK, epochs=1))
    outcome = finetune_file(spec)
    store = RunStore(files / "runs")
    run = store.get(outcome.run)
    kept = store.result_file(run)
    assert not run.target and kept is not None and kept.read_bytes() == Path(outcome.path).read_bytes()


def test_the_same_seed_writes_the_same_bytes(files: Path) -> None:
    written = []
    for name in ("one.onnx", "two.onnx"):
        finetune_file(spec_for(files, target=str(files / name), runs_folder=None))
        written.append((files / name).read_bytes())
    assert written[0] == written[1]


def test_without_a_recipe_it_only_trains(files: Path) -> None:
    labels = np.load(files / "train.npz")["labels"]
    x = np.load(files / "train.npz")["x"]
    np.savez(files / "other.npz", x=x, labels=(labels + 1) % 4)
    settings = replace(QUICK, epochs=12, loss="labels", learning_rate=0.05)
    outcome = finetune_file(spec_for(files, recipe_text="", data_path=str(files / "other.npz"), test_path=None,
                                     settings=settings))  # fmt: skip
    assert outcome.untrained is None and outcome.comparison.accuracy_before == pytest.approx(0.0)
    assert (outcome.comparison.accuracy_after or 0.0) > 0.7
    assert any("chose the best state, so they look" in text for text in outcome.used)


def test_validation_data_is_not_trained_on(files: Path) -> None:
    outcome = finetune_file(spec_for(files, valid_path=str(files / "valid.npz")))
    assert outcome.used == ("Trained on 240 samples of train.npz; 60 of valid.npz chose the best state.",)


@pytest.mark.parametrize("same", ["valid_path", "test_path"])
def test_one_file_for_two_things_is_refused(files: Path, same: str) -> None:
    with pytest.raises(DataError, match="same samples would be trained on and"):
        finetune_file(spec_for(files, **{same: str(files / "train.npz")}))


@pytest.mark.parametrize(
    ("role", "said"),
    [
        ("test_path", "7 of the 57 test samples are also among"),
        ("valid_path", "7 of the 57 that chose are also among"),
    ],
)
def test_samples_used_twice_are_told(files: Path, role: str, said: str) -> None:
    some, test = (np.load(files / name) for name in ("train.npz", "test.npz"))
    np.savez(files / "mixed.npz", x=np.concatenate([some["x"][:7], test["x"]]),
             labels=np.concatenate([some["labels"][:7], test["labels"]]))  # fmt: skip
    outcome = finetune_file(spec_for(files, **{role: str(files / "mixed.npz")}))
    assert any(text.startswith(said) for text in outcome.used)


def test_too_few_samples_are_refused(files: Path) -> None:
    data = np.load(files / "train.npz")
    np.savez(files / "few.npz", x=data["x"][:5], labels=data["labels"][:5])
    with pytest.raises(DataError, match="there are 5 samples, and training needs at least 8"):
        finetune_file(spec_for(files, data_path=str(files / "few.npz")))


def test_the_original_is_never_the_target(files: Path) -> None:
    with pytest.raises(TargetError, match="never overwritten"):
        finetune_file(spec_for(files, target=str(files / "mlp.onnx")))


def test_operators_that_torch_lacks_are_named_before_anything_starts(files: Path, make_model: Any) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "weight"], ["y"], name="fc"),
        helper.make_node("Det", ["square"], ["d"], name="det"),
        helper.make_node("Reshape", ["y", "shape"], ["square"], name="reshape"),
        helper.make_node("Add", ["y", "d"], ["logits"], name="add"),
    ]
    nodes[1], nodes[2] = nodes[2], nodes[1]
    weights = {"weight": np.ones((16, 4), np.float32), "shape": np.array([2, 2])}
    path = make_model(nodes, weights, {"x": [1, 16]}, {"logits": [1, 4]}, "det.onnx")
    with pytest.raises(ModelFileError, match="does not know the operator Det"):
        finetune_file(spec_for(files, model_path=str(path)))
    assert not (files / "runs").exists()


def cancelled_after(epochs: int) -> Reporter:
    cancel, seen = threading.Event(), []

    def hear(progress: Progress) -> None:
        seen.extend([progress.part] if isinstance(progress.part, EpochDone) else [])
        if len(seen) == epochs:
            cancel.set()

    return Reporter(hear, cancel)


def test_a_cancelled_run_goes_on_to_the_same_file(files: Path) -> None:
    whole = finetune_file(spec_for(files, target=str(files / "whole.onnx"), runs_folder=None))
    with pytest.raises(Cancelled):
        finetune_file(spec_for(files), cancelled_after(2))
    assert not (files / "out.onnx").exists()
    store = RunStore(files / "runs")
    (run_id,) = store.ids()
    assert store.get(run_id).state is RunState.CANCELLED
    outcome = finetune_file(spec_of(store.get(run_id), str(files / "out.onnx"), str(store.folder)))
    assert (files / "out.onnx").read_bytes() == (files / "whole.onnx").read_bytes()
    assert [p.epoch for p in outcome.curves] == [1, 2, 3] and outcome.best_epoch == whole.best_epoch
    assert store.get(run_id).state is RunState.DONE and store.ids() == (run_id,)
    assert [p.epoch for p in store.curves(run_id)[""]] == [1, 2, 3]


def test_early_stopping_is_told(files: Path) -> None:
    settings = replace(QUICK, epochs=30, learning_rate=0.1, schedule="constant", patience=1, sparsity="at once")
    outcome = finetune_file(spec_for(files, settings=settings, runs_folder=None))
    assert outcome.stopped.startswith("Ended after ") and "1 in a row were no better" in outcome.stopped


def test_a_training_that_gives_nothing_says_so(files: Path) -> None:
    settings = replace(QUICK, epochs=2, learning_rate=10.0, clip_norm=0.0, sparsity="at once")
    outcome = finetune_file(spec_for(files, settings=settings, runs_folder=None))
    assert outcome.best_epoch == 0 and outcome.stopped == (
        "No epoch of 2 was better than the state before training, which was kept. Lower the learning rate (it was 10)."
    )
    assert outcome.untrained is not None and outcome.comparison.accuracy_after == outcome.untrained.accuracy_after


# -- the command -----------------------------------------------------------------------------------------------------


def run(files: Path, *options: str) -> int:
    (files / "r.yaml").write_text(RECIPE)
    return cli.main([
        "finetune", str(files / "mlp.onnx"), "--recipe", str(files / "r.yaml"), "--data", str(files / "train.npz"),
        "-o", str(files / "out.onnx"), "--quiet", *options,
    ])  # fmt: skip


def test_a_training_that_does_harm_says_so(files: Path) -> None:
    """What is learned from wrong labels and chosen by wrong ones is worse on right ones."""
    for name in ("train", "valid"):
        with np.load(files / f"{name}.npz") as given:
            x, labels = given["x"], given["labels"]
        np.savez(files / f"wrong_{name}.npz", x=x, labels=(labels + 1) % (labels.max() + 1))
    spec = spec_for(
        files, recipe_text="featherweight: 1\ndefaults:\n- quantize: {bits: 8}\n", runs_folder=None,
        data_path=str(files / "wrong_train.npz"), valid_path=str(files / "wrong_valid.npz"),
        settings=replace(QUICK, loss="labels", epochs=6),
    )  # fmt: skip
    harm = finetune_file(spec)
    assert [note for note in harm.notes if note.startswith("Training made it worse: accuracy")]
    good = finetune_file(replace(spec, data_path=str(files / "train.npz"), valid_path=str(files / "valid.npz")))
    assert not [note for note in good.notes if "worse" in note]


def test_the_command_writes_json(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = run(files, "--json", "--epochs", "2", "--dropout", "10%", "--test", str(files / "test.npz"))
    data = json.loads(capsys.readouterr().out)
    assert code == 0 and len(data["curves"]) == 2 and data["compared_on"] == "50 samples of test.npz"
    assert data["bytes_after"] == (files / "out.onnx").stat().st_size
    assert data["untrained"]["accuracy_after"] <= 1.0 and data["run"]


def test_the_command_tells_a_person(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(files, "--epochs", "2", "--no-record") == 0
    text = capsys.readouterr().out
    for words in ("Trained on 204 of 240", "without training: accuracy", "times smaller", "kept", "written: "):
        assert words in text
    assert "\nrun: " not in text


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--epochs", "0"), "--epochs"),
        (("--sparsity", "slowly"), "--sparsity"),
        (("--augmentation", "shift"), "no input holds pictures"),
        (("--resume", "latest"), "and --recipe is given"),
    ],
)
def test_what_cannot_be_done_is_told(
    files: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], sentence: str
) -> None:
    try:
        code = run(files, *options)
    except SystemExit as left:
        code = int(left.code or 0)
    assert code == 2 and sentence in capsys.readouterr().err and not (files / "out.onnx").exists()


def test_the_command_resumes(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Cancelled):
        finetune_file(spec_for(files), cancelled_after(1))
    code = cli.main(["finetune", "--resume", "latest", "--runs", str(files / "runs"), "-o", str(files / "out.onnx"),
                     "--quiet", "--json"])  # fmt: skip
    assert code == 0 and len(json.loads(capsys.readouterr().out)["curves"]) == 3
