"""The store of runs: what is written comes back, what is damaged is told, and processes do not harm each other."""

from __future__ import annotations

import errno
import json
import math
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from core.errors import DataError, FeatherweightError, TargetError
from core.runs import owner
from core.runs.run import Figure, Run, RunKind, RunState, run_data, run_from
from core.runs.store import RunStore, default_folder


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "runs")


def put(store: RunStore, now: float = 1_000_000.0, **values: object) -> Run:
    """A run that is done."""
    run_id = store.new_id(now)
    run = Run(run_id, RunKind.COMPRESS, "a title", "/models/a.onnx", RunState.DONE, now)
    run = replace(run, **values)  # type: ignore[arg-type]
    store.put(run)
    return run


def test_a_run_comes_back_as_it_was(store: RunStore) -> None:
    figures = (Figure("bytes", 1234.0, "B", "file"), Figure("sqnr", math.inf, "dB", measured=False, on="8 samples"))
    run = put(
        store, figures=figures, recipe_text="featherweight: 1\n", settings={"epochs": 3, "loss": "auto"}, seed=7,
        data={"train": "/data/a.npz"}, options={"metric": "auto"}, details={"folds": [1, 2]}, ended=1_000_009.0,
        seconds=9.0, versions={"torch": "2.13"}, why="stopped early.", model_sha256="ab", parent="x", target="/o.onnx",
    )  # fmt: skip
    assert store.get(run.id) == run
    assert store.listing().runs == (run,)


def test_newest_first_and_nothing_without_a_folder(store: RunStore) -> None:
    assert store.listing().runs == ()
    old, new = put(store, 1_000_000.0), put(store, 1_000_100.0)
    assert [run.id for run in store.listing().runs] == [new.id, old.id]


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"[]", b"\xff\xfe", b'{"version": 99}', b'{"version": 1, "id": "x"}', b"[" * 100_000,
        b'{"version": 1, "id": 3, "kind": "compress", "title": "", "model_path": "", "state": "done", "started": 1}',
    ],
)  # fmt: skip
def test_damaged_entries_are_told_and_the_others_shown(store: RunStore, content: bytes) -> None:
    good, bad = put(store, 1_000_000.0), put(store, 1_000_100.0)
    (store.path(bad.id) / "run.json").write_bytes(content)
    found = store.listing()
    assert found.runs == (good,)
    assert [entry for entry, _ in found.damaged] == [bad.id]
    assert found.damaged[0][1]
    store.delete(bad.id)
    assert store.listing().damaged == ()


def spoiled(**values: object) -> dict[str, object]:
    return run_data(Run("a", RunKind.COMPRESS, "t", "/m", RunState.DONE, 1.0)) | values


@pytest.mark.parametrize(
    "values",
    [
        {"kind": "dance"}, {"state": 3}, {"started": True}, {"started": math.nan}, {"data": {"train": 3}},
        {"figures": [3]}, {"figures": [{"name": "a"}]}, {"settings": []}, {"seed": "1"},
    ],
)  # fmt: skip
def test_values_of_the_wrong_kind_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(DataError):
        run_from(spoiled(**values))


def test_files_of_a_later_program_with_more_in_them_are_read() -> None:
    assert run_from(spoiled(colour="red")).title == "t"


@pytest.mark.parametrize("run_id", ["", "..", "../..", "/etc", "20260101-000000-abcdef/../x", "20260101-000000-ABCDEF"])
def test_an_id_is_no_path(store: RunStore, run_id: str) -> None:
    for ask in (store.path, store.get, store.delete):
        with pytest.raises(DataError):
            ask(run_id)


def test_a_kept_file_outside_of_the_run_is_not_taken(store: RunStore, tmp_path: Path) -> None:
    (tmp_path / "secret.onnx").write_bytes(b"x")
    assert store.result_file(put(store, kept="../../secret.onnx")) is None


def test_find_by_the_end_of_an_id(store: RunStore) -> None:
    run, other = put(store, 1_000_000.0), put(store, 1_000_100.0)
    assert store.find(run.id[-6:]) == run
    assert store.find("latest") == other
    for text in ("nothing", ""):
        with pytest.raises(DataError, match="no run"):
            store.find(text)


def test_a_run_of_a_process_that_is_gone_is_interrupted(store: RunStore) -> None:
    run = put(store, state=RunState.RUNNING)
    assert store.get(run.id).state is RunState.INTERRUPTED  # nobody has it
    code = "import sys; from pathlib import Path; from core.runs import owner; owner.claim(Path(sys.argv[1])); print(1)"
    with subprocess.Popen(
        [sys.executable, "-c", f"{code}; sys.stdout.flush(); sys.stdin.read()", store.path(run.id)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        process.stdout.readline()
        assert store.get(run.id).state is RunState.RUNNING
        with pytest.raises(FeatherweightError, match="works on this run"):
            owner.claim(store.path(run.id))
        with pytest.raises(FeatherweightError, match="works on this run"):
            store.delete(run.id)
        process.kill()
    assert store.get(run.id).state is RunState.INTERRUPTED
    owner.claim(store.path(run.id))
    assert store.get(run.id).state is RunState.RUNNING
    owner.release(store.path(run.id))
    assert not list(store.path(run.id).glob("owner*"))


def test_a_process_number_that_was_given_again_is_another_process(store: RunStore) -> None:
    run = put(store, state=RunState.RUNNING)
    claim = {"pid": os.getpid(), "started": time.time() - 100_000}
    (store.path(run.id) / "owner-1.json").write_text(json.dumps(claim))
    assert store.get(run.id).state is RunState.INTERRUPTED


def test_an_empty_claim_counts_only_while_it_is_new(store: RunStore) -> None:
    run = put(store, state=RunState.RUNNING)
    path = store.path(run.id) / "owner-1.json"
    path.touch()
    assert store.get(run.id).state is RunState.RUNNING
    os.utime(path, (1.0, 1.0))
    assert store.get(run.id).state is RunState.INTERRUPTED


def test_deleting_removes_everything_and_finishes_what_was_begun(store: RunStore) -> None:
    run = put(store)
    store.checkpoints(run.id).mkdir()
    (store.checkpoints(run.id) / "checkpoint.pt").write_bytes(b"x" * 100)
    half = store.folder / ".deleted-20200101-000000-aaaaaa-1"
    half.mkdir()
    store.delete(run.id)
    assert list(store.folder.iterdir()) == []
    with pytest.raises(DataError, match="no such run"):
        store.delete(run.id)


def test_old_results_make_room_and_what_they_gave_stays(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "runs", limit=250)
    runs = [put(store, 1_000_000.0 + i, kept="result.onnx") for i in range(4)]
    for run in runs:
        (store.path(run.id) / "result.onnx").write_bytes(b"x" * 100)
    store.make_room()
    assert [store.result_file(store.get(run.id)) is not None for run in runs] == [False, False, True, True]
    assert len(store.listing().runs) == 4


def test_a_disk_that_is_full_is_a_sentence(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    run = put(store)
    monkeypatch.setattr("core.exporting.staging.os.write", full)
    with pytest.raises(TargetError, match="disk is full"):
        store.put(replace(run, title="another"))
    assert store.get(run.id).title == "a title"  # the old file is whole


def test_the_store_can_be_moved(store: RunStore, tmp_path: Path) -> None:
    run = put(store, kept="result.onnx")
    (store.path(run.id) / "result.onnx").write_bytes(b"x")
    store.folder.rename(tmp_path / "elsewhere")
    moved = RunStore(tmp_path / "elsewhere")
    assert moved.result_file(moved.get(run.id)) == tmp_path / "elsewhere" / run.id / "result.onnx"
    assert moved.nbytes(run.id) > 1


def test_the_folder_is_the_one_that_the_environment_names(
    runs_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert default_folder() == runs_folder
    monkeypatch.delenv("FEATHERWEIGHT_RUNS")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    monkeypatch.setattr("sys.platform", "linux")
    assert default_folder() == tmp_path / "share" / "Featherweight" / "runs"
