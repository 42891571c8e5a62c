"""Members that are trained: bootstraps, votes of SAMME, files that an interrupted run left, a student."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from core.data import load_samples
from core.data.samples import Samples
from core.ensembles.measuring import Role
from core.ensembles.members import bootstrap, reweighted, vote, write_begun
from core.errors import DataError
from core.merge_job import MergeMode, MergeOutcome, MergeSpec, merge_file
from core.model.readers import open_model
from core.progress import Progress, Reporter
from core.training.events import Started
from core.training.settings import TrainingSettings
from tests.core.ensembles.models import CLASSES, FEATURES, classifier, rows

CODES = "featherweight: 1\ndefaults: [{quantize: {bits: 4}}]"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.analysis.comparison.LATENCY_SECONDS", 0.02)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Points around a centre for each class."""
    rng = np.random.default_rng(0)
    labels = np.arange(160) % CLASSES
    x = rng.normal(size=(CLASSES, FEATURES))[labels] + rows(160, 1)
    np.savez(tmp_path / "d.npz", x=x.astype(np.float32), labels=labels)
    return tmp_path / "d.npz"


def samples_of(tmp_path: Path, data: Path) -> Samples:
    return load_samples(data, open_model(classifier(tmp_path / "m.onnx", 0)).inputs)


def test_a_bootstrap_draws_as_many_with_repetition_and_loses_no_class(tmp_path: Path) -> None:
    labels = np.zeros(50, np.int64)
    labels[7] = 1
    np.savez(tmp_path / "rare.npz", x=rows(50), labels=labels)
    samples = samples_of(tmp_path, tmp_path / "rare.npz")
    for number in range(12):
        drawn = bootstrap(samples, 0, number)
        assert drawn.n == 50 and len(set(drawn.order.tolist())) < 50
        assert drawn.class_labels is not None and 1 in drawn.class_labels
    assert bootstrap(samples, 0, 1).order.tolist() == bootstrap(samples, 0, 1).order.tolist()
    assert bootstrap(samples, 0, 1).order.tolist() != bootstrap(samples, 0, 2).order.tolist()


def test_votes_and_importance_are_those_of_samme() -> None:
    assert vote(0.25, 2, 100) == pytest.approx(math.log(3))
    assert vote(0.25, 10, 100) == pytest.approx(math.log(3) + math.log(9))
    assert vote(1 - 1 / 10, 10, 100) == pytest.approx(0.0)
    assert math.isfinite(vote(0.0, 10, 100))
    wrong = np.array([True, False, False, False])
    changed = reweighted(np.full(4, 0.25), wrong, vote(0.25, 2, 4))
    assert changed.sum() == pytest.approx(1.0)
    assert changed[0] == pytest.approx(0.5)  # of two classes, what was wrong weighs half afterwards


def test_new_weights_change_layers_alone(tmp_path: Path) -> None:
    model = open_model(classifier(tmp_path / "m.onnx", 0))
    write_begun(model, 1, tmp_path / "new.onnx")
    begun = open_model(tmp_path / "new.onnx")
    assert begun.weight("a.weight").std() == pytest.approx(math.sqrt(2 / FEATURES), rel=0.4)
    assert not np.array_equal(begun.weight("a.weight"), model.weight("a.weight"))


def merged(tmp_path: Path, data: Path, mode: MergeMode, reporter: Reporter, **values: object) -> MergeOutcome:
    model = classifier(tmp_path / "m.onnx", 3, hidden=64)
    settings = TrainingSettings(epochs=3, batch=16, learning_rate=0.01, sparsity="at once")
    return merge_file(MergeSpec((str(model),), mode, str(tmp_path / "out.onnx"), str(data), CODES, 2,
                                settings=settings, **values), reporter)  # type: ignore[arg-type]  # fmt: skip


def test_bagging_trains_members_and_tells_each(tmp_path: Path, data: Path) -> None:
    heard: list[Progress] = []
    outcome = merged(tmp_path, data, MergeMode.BAG, Reporter(heard.append), members_folder=str(tmp_path / "kept"))
    titles = [progress.part.title for progress in heard if isinstance(progress.part, Started)]
    assert titles == ["m.onnx, member 1 of 2", "m.onnx, member 2 of 2"]
    found = outcome.standings
    assert found is not None
    assert [row.role for row in found.rows] == [Role.ORIGINAL, Role.MEMBER, Role.MEMBER, Role.ENSEMBLE]
    assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == ["member-1.onnx", "member-2.onnx"]
    assert any("flatters" in line for line in outcome.used)


def test_a_student_learns_from_the_members(tmp_path: Path, data: Path) -> None:
    outcome = merged(tmp_path, data, MergeMode.STUDENT, Reporter())
    found = outcome.standings
    assert found is not None and found.rows[-1].role is Role.STUDENT
    assert found.rows[-1].nbytes == (tmp_path / "out.onnx").stat().st_size < found.rows[-2].nbytes


def test_boosting_needs_classes(tmp_path: Path, data: Path) -> None:
    np.savez(tmp_path / "bare.npz", x=np.load(data)["x"])
    with pytest.raises(DataError, match="no class labels"):
        merged(tmp_path, tmp_path / "bare.npz", MergeMode.BOOST, Reporter())
    outcome = merged(tmp_path, data, MergeMode.BOOST, Reporter())
    assert outcome.member_weights and sum(outcome.member_weights) == pytest.approx(1.0)
