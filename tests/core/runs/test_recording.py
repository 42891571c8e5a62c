"""Recording: a run ends as its block does, its curves survive crashes, and trouble with the disk stops no work."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from core.errors import Cancelled, DataError, FeatherweightError, TargetError
from core.progress import SILENT, Progress, Reporter
from core.runs import events
from core.runs.recording import Recorder, recording
from core.runs.run import Figure, RunKind, RunState
from core.runs.store import RunStore
from core.training.events import EpochDone, Paused


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "runs")


def point(epoch: int, loss: float = 0.5) -> EpochDone:
    return EpochDone(epoch, "train", loss, 0.6, 0.9, 0.8, 1e-3, True, False, 0.1)


def begin(store: RunStore | None, **values: object):  # type: ignore[no-untyped-def]  # a context manager of a Recorder
    given = {"kind": RunKind.FINETUNE, "title": "t", "model_path": "m.onnx"} | values
    return recording(store, **given)  # type: ignore[arg-type]


def test_a_block_that_ends_is_done(store: RunStore, tmp_path: Path) -> None:
    target = tmp_path / "out.onnx"
    target.write_bytes(b"model")
    with begin(store, data={"train": "d.npz", "valid": ""}, settings={"epochs": 3}, parent="p") as run:
        assert store.get(run.id).state is RunState.RUNNING
        assert run.checkpoints is not None and run.checkpoints.is_dir()
        run.figures(Figure("bytes", 10.0), Figure("score", 0.5))
        run.figures(Figure("bytes", 5.0))
        run.details(a=1)
        run.details(b=2)
        run.note("stopped early.")
        run.result(target)
        checkpoints = run.checkpoints
    kept = store.get(run.id)
    assert (kept.state, kept.why, kept.parent, kept.details) == (RunState.DONE, "stopped early.", "p", {"a": 1, "b": 2})
    assert kept.data == {"train": str(Path("d.npz").absolute())}
    assert (kept.value("bytes"), kept.value("score"), kept.value("none")) == (5.0, 0.5, None)
    assert kept.ended is not None and kept.ended >= kept.started and kept.seconds > 0
    assert kept.versions["featherweight"] and kept.versions["torch"]
    assert kept.target == str(target)
    file = store.result_file(kept)
    assert file is not None and file.read_bytes() == b"model"
    assert not checkpoints.exists()
    assert run.trouble == ()


@pytest.mark.parametrize(
    ("error", "state", "why"),
    [
        (Cancelled(), RunState.CANCELLED, ""),
        (KeyboardInterrupt(), RunState.CANCELLED, ""),
        (DataError("too few samples", where="d.npz"), RunState.FAILED, "d.npz: too few samples."),
        (MemoryError(), RunState.FAILED, "MemoryError."),
    ],
)
def test_how_the_block_is_left_decides(store: RunStore, error: BaseException, state: RunState, why: str) -> None:
    with pytest.raises(type(error)), begin(store) as run:
        assert run.checkpoints is not None
        raise error
    kept = store.get(run.id)
    assert (kept.state, kept.why) == (state, why)
    assert store.checkpoints(run.id).is_dir()  # to go on from


def test_the_reporter_keeps_epochs_and_pauses_and_passes_all_on(store: RunStore) -> None:
    heard: list[Progress] = []
    with begin(store) as run:
        reporter = run.reporter(Reporter(heard.append))
        reporter.tell(point(1))
        reporter.report(0.5, "half", "another part")
        reporter.tell(Paused(True))
        assert store.get(run.id).state is RunState.PAUSED
        reporter.tell(Paused(False))
        assert store.get(run.id).state is RunState.RUNNING
        run.reporter(SILENT, "fold 2").tell(point(1))
    assert [p.part for p in heard] == [point(1), "another part", Paused(True), Paused(False)]
    assert store.curves(run.id) == {"": (point(1),), "fold 2": (point(1),)}


def test_a_cancel_passes_through(store: RunStore) -> None:
    class Asked:
        def is_set(self) -> bool:
            return True

    with pytest.raises(Cancelled), begin(store) as run:
        run.reporter(Reporter(None, Asked())).report(0.1)
    assert store.get(run.id).state is RunState.CANCELLED


def test_epochs_that_are_trained_again_replace_those_that_were_lost(store: RunStore) -> None:
    with pytest.raises(Cancelled), begin(store) as run:
        for epoch in (1, 2, 3):
            run.hear(point(epoch))
        raise Cancelled
    with begin(store, resume=run.id) as again:
        assert again.resumed and again.id == run.id
        again.hear(point(2, 0.25))
    assert [p.train_loss for p in store.curves(run.id)[""]] == [0.5, 0.25]


def test_a_line_that_a_crash_cut_off_spoils_only_itself(tmp_path: Path) -> None:
    path = tmp_path / "curves.jsonl"
    events.append(path, point(1))
    events.append(path, point(2))
    os.truncate(path, path.stat().st_size - 20)
    events.append(path, point(3))
    assert [p.epoch for p in events.read(path)[""]] == [1, 3]
    assert events.read(tmp_path / "none") == {}


def test_a_loss_that_is_not_finite_is_kept(tmp_path: Path) -> None:
    events.append(tmp_path / "c", point(1, float("nan")))
    assert str(events.read(tmp_path / "c")[""][0].train_loss) == "nan"


def test_going_on_counts_the_time_before(store: RunStore) -> None:
    with pytest.raises(Cancelled), begin(store) as run:
        raise Cancelled
    before = store.get(run.id)
    with begin(store, resume=run.id, title="ignored") as again:
        assert store.get(again.id).state is RunState.RUNNING
    after = store.get(run.id)
    assert (after.title, after.started, after.state) == ("t", before.started, RunState.DONE)
    assert after.seconds > before.seconds


def test_two_cannot_go_on_with_one_run(store: RunStore) -> None:
    with (
        begin(store) as run,
        pytest.raises(FeatherweightError, match="works on this run"),
        begin(store, resume=run.id),
    ):
        pytest.fail("it was let in")
    with pytest.raises(DataError, match="no such run"), begin(store, resume="20200101-000000-aaaaaa"):
        pytest.fail("it was let in")


def test_what_is_done_or_of_another_model_or_kind_does_not_go_on(store: RunStore) -> None:
    with begin(store) as done:
        pass
    with pytest.raises(Cancelled), begin(store, model_sha256="aa") as run:
        raise Cancelled
    for values, said in (
        ({"resume": done.id}, "this run is done"),
        ({"resume": run.id, "model_sha256": "bb"}, "the model has changed"),
        ({"resume": run.id, "kind": RunKind.MERGE}, "it is a fine-tuning, not a merge"),
    ):
        with pytest.raises(DataError, match=said), begin(store, **values):
            pytest.fail("it was let in")
    assert store.get(run.id).state is RunState.CANCELLED
    with begin(store, resume=run.id, model_sha256="aa"):
        pass


def test_without_a_store_nothing_is_kept(tmp_path: Path) -> None:
    def told(run: Recorder) -> list[object]:
        run.figures(Figure("bytes", 1.0))
        run.details(a=1)
        run.note("x")
        run.hear(point(1))
        run.result(tmp_path / "none.onnx")
        return [run.id, run.folder, run.checkpoints, run.run, run.trouble]

    with begin(None) as run:
        assert told(run) == ["", None, None, None, ()]


def test_a_folder_that_cannot_be_made_is_told_and_the_work_goes_on(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with begin(RunStore(tmp_path / "file" / "runs")) as run:
        worked = True
    assert worked and run.id == ""
    assert run.trouble[0].startswith("This run is not kept:")


def test_a_disk_that_fills_up_is_told_once_and_the_work_goes_on(
    store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with begin(store) as run, monkeypatch.context() as patched:
        patched.setattr("core.runs.events.append", full)
        run.hear(point(1))
        run.hear(point(2))
    assert len(run.trouble) == 1
    assert "No space left" in run.trouble[0]
    assert store.get(run.id).state is RunState.DONE


def test_a_result_that_does_not_fit_is_told(store: RunStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise TargetError("the disk is full, nothing was written")

    target = tmp_path / "out.onnx"
    target.write_bytes(b"model")
    monkeypatch.setattr("core.runs.recording._copy", full)
    with begin(store) as run:
        run.result(target)
    assert "disk is full" in run.trouble[0]
    assert (store.get(run.id).target, store.get(run.id).kept) == (str(target), "")


def test_a_refused_resume_leaves_the_run_as_it_was(store: RunStore) -> None:
    """Data that has changed, for example: with the right data it can still be gone on with."""
    with pytest.raises(Cancelled), begin(store) as run:
        raise Cancelled()
    with pytest.raises(DataError), begin(store, resume=run.id):
        raise DataError("the training data has changed")
    kept = store.get(run.id)
    assert (kept.state, kept.why) == (RunState.CANCELLED, "the training data has changed.")
    with pytest.raises(FeatherweightError), begin(store, resume=run.id):
        raise FeatherweightError("the loss is no number")
    assert store.get(run.id).state is RunState.FAILED
