"""Trials are exported and measured; what goes wrong in one is its row; a cancel keeps the rows; rows are kept."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.data import load_samples
from core.data.samples import Samples
from core.errors import Cancelled, FeatherweightError, TargetError
from core.method_comparison import run as module
from core.method_comparison.rows import Baseline, Row, Status, Study, row_data, row_from
from core.method_comparison.run import Asked, MethodComparison
from core.model.model import Model
from core.progress import Progress, Reporter
from core.recipe import Recipe, Step

pytestmark = pytest.mark.usefixtures("cheap")
Only = Callable[[int], None]


@pytest.fixture
def split(small: Model, data_path: Path) -> tuple[Samples, Samples]:
    return load_samples(data_path, small.inputs).split(8, 0)


def _compare(
    model: Model, split: tuple[Any, Any], folder: Path, reporter: Reporter | None = None, **asked: Any
) -> Study:
    return MethodComparison(model, *split, Asked(**asked), folder).run(reporter or Reporter())


def test_rows_are_measured_on_the_exported_file(
    small: Model, split: tuple[Samples, Samples], tmp_path: Path, only: Only
) -> None:
    only(8)
    heard: list[Row] = []
    reporter = Reporter(lambda progress: heard.append(progress.part) if isinstance(progress.part, Row) else None)
    study = _compare(small, split, tmp_path, reporter)
    assert tuple(heard[1:]) == study.rows[1:] and study.complete and study.samples == split[1].n
    original, int8 = study.rows[:2]
    assert original.baseline is Baseline.ORIGINAL and original.nbytes == small.file_bytes
    assert original.quality is not None and original.quality.sqnr_db == np.inf
    assert int8.baseline is Baseline.INT8 and int8.nbytes is not None and int8.nbytes < 0.6 * small.file_bytes
    assert int8.quality is not None and 25 < int8.quality.sqnr_db < 70 and int8.layers == 3
    assert int8.multiply_adds == original.multiply_adds and int8.memory == 1_000_000
    assert int8.times is not None and int8.times.median > 0
    assert int8.seconds is not None and int8.seconds > 0
    assert Recipe.parse(int8.recipe, model=small).defaults == (Step.make("quantize", bits=8),)


def test_the_same_question_is_answered_from_what_was_kept(
    small: Model, split: tuple[Samples, Samples], tmp_path: Path, only: Only, monkeypatch: pytest.MonkeyPatch
) -> None:
    only(4)
    first = _compare(small, split, tmp_path)
    monkeypatch.setattr(MethodComparison, "_measured", lambda *_: pytest.fail("was measured again"))
    again = _compare(small, split, tmp_path)
    measured = [row for row in again.rows if row.is_trial]
    assert measured and all(row.kept for row in measured)
    assert [row.nbytes for row in again.rows] == [row.nbytes for row in first.rows]
    other = split[0], split[1].subset(5)
    with pytest.raises(pytest.fail.Exception, match="measured again"):
        _compare(small, other, tmp_path)


def test_a_damaged_cache_is_as_good_as_none(
    small: Model, split: tuple[Samples, Samples], tmp_path: Path, only: Only
) -> None:
    only(2)
    _compare(small, split, tmp_path)
    (file,) = tmp_path.glob("*.json")
    file.write_text('{"version": 2, "key": 3')
    assert not any(row.kept for row in _compare(small, split, tmp_path).rows)


def test_a_disk_that_is_full_costs_only_the_cache(
    small: Model, split: tuple[Samples, Samples], tmp_path: Path, only: Only
) -> None:
    only(2)
    (tmp_path / "file").write_text("no folder")
    study = _compare(small, split, tmp_path / "file" / "cache")
    assert study.measured and any("could not be kept" in note for note in study.notes)


def test_trouble_of_one_trial_is_its_row(
    small: Model, split: tuple[Samples, Samples], tmp_path: Path, only: Only, monkeypatch: pytest.MonkeyPatch
) -> None:
    only(5)
    troubles = iter([FeatherweightError("the export differs"), ZeroDivisionError("by zero"), MemoryError()])
    measured = MethodComparison._measured

    def sometimes(self: MethodComparison, row: Row, *rest: Any) -> Row:
        trouble = next(troubles, None)
        if trouble is not None:
            raise trouble
        return measured(self, row, *rest)

    monkeypatch.setattr(MethodComparison, "_measured", sometimes)
    study = _compare(small, split, tmp_path)
    failed = [row.reason for row in study.rows if row.status is Status.FAILED]
    assert failed == ["the export differs", "internal error (ZeroDivisionError: by zero)", "there is not enough memory"]
    assert study.measured


def test_files_that_cannot_be_written_end_the_trying(
    small: Model, split: tuple[Samples, Samples], tmp_path: Path, only: Only, monkeypatch: pytest.MonkeyPatch
) -> None:
    only(12)

    def full(*_: Any) -> Row:
        raise TargetError("the disk is full")

    monkeypatch.setattr(MethodComparison, "_measured", full)
    study = _compare(small, split, tmp_path)
    assert sum(row.status is Status.FAILED for row in study.rows) == module.FULL_DISK
    assert any(row.reason == "the files before it could not be written" for row in study.rows)
    assert not study.complete


def test_a_cancel_keeps_the_rows(small: Model, split: tuple[Samples, Samples], tmp_path: Path, only: Only) -> None:
    only(10)
    cancel = threading.Event()
    count = [0]

    def hear(progress: Progress) -> None:
        count[0] += isinstance(progress.part, Row)
        if count[0] == 3:
            cancel.set()

    comparison = MethodComparison(small, *split, Asked(), tmp_path)
    with pytest.raises(Cancelled):
        comparison.run(Reporter(hear, cancel))
    study = comparison.study()
    assert len(study.rows) == 3 and not study.complete


def test_a_trial_that_takes_too_long_is_stopped(
    small: Model, split: tuple[Samples, Samples], tmp_path: Path, only: Only, monkeypatch: pytest.MonkeyPatch
) -> None:
    only(2)
    monkeypatch.setattr(module, "SHORTEST_LIMIT", 0.0)
    monkeypatch.setattr(module, "LONGEST_SHARE", 0.0)
    study = _compare(small, split, tmp_path)
    assert {row.status for row in study.rows[1:]} == {Status.NOT_TRIED}
    assert all("takes too long" in row.reason for row in study.rows[1:])


def test_the_time_ends_the_trying(small: Model, split: tuple[Samples, Samples], tmp_path: Path, only: Only) -> None:
    only(3)
    study = _compare(small, split, tmp_path, minutes=1e-9)
    assert all(row.reason == "the time (1e-09 min) was over" for row in study.rows[1:])


def test_without_data_sizes_and_times_are_measured(small: Model, tmp_path: Path, only: Only) -> None:
    only(2)
    study = _compare(small, (None, None), tmp_path)
    int8 = study.rows[1]
    assert int8.nbytes and int8.times is not None and int8.quality is None and study.samples == 0
    assert any("No data" in note for note in study.notes)


def test_the_plan_is_a_row(small: Model, split: tuple[Samples, Samples], tmp_path: Path, only: Only) -> None:
    only(1)
    plan = Recipe(layers=(("fc.weight", (Step.make("quantize", bits=3),)),))
    study = _compare(small, split, tmp_path, plan=plan)
    row = study.rows[1]
    assert row.baseline is Baseline.PLAN and row.title == "The plan" and row.layers == 1 and row.quality is not None


def test_a_method_that_changes_no_layer_is_not_applicable(
    small: Model, split: tuple[Samples, Samples], tmp_path: Path
) -> None:
    study = _compare(small, split, tmp_path, families=("Structured cuts",))
    heads = [row for row in study.rows if row.method == "Cut attention heads"]
    assert heads and {row.status for row in heads} == {Status.NOT_APPLICABLE}
    cut = [row for row in study.rows if row.method == "Cut channels" and row.is_trial]
    assert cut and min(row.multiply_adds or 0 for row in cut) < (study.rows[0].multiply_adds or 0)


def test_rows_survive_their_data(small: Model, split: tuple[Samples, Samples], tmp_path: Path, only: Only) -> None:
    only(2)
    for row in _compare(small, split, tmp_path).rows:
        assert row_from(row_data(row)) == row
