"""Merging from files to a file: modes that train nothing, what is refused, what is kept and told."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.analysis.runtime import run, session
from core.cli import main
from core.ensembles.measuring import Role
from core.errors import Cancelled, DataError, FeatherweightError, ModelFileError, ParameterError
from core.merge_job import MergeMode, MergeSpec, check, merge_file, spec_of
from core.model.readers import open_model
from core.progress import Reporter
from core.runs.run import Run, RunKind, RunState
from core.runs.store import RunStore
from tests.core.ensembles.models import CLASSES, classifier, rows


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Latency is measured for a moment only."""
    monkeypatch.setattr("core.analysis.comparison.LATENCY_SECONDS", 0.02)


@pytest.fixture
def members(tmp_path: Path) -> list[str]:
    """Three classifiers that are right on most samples of data.npz, each wrong on others."""
    return [str(classifier(tmp_path / f"m{seed}.onnx", seed, trunk=0, last="Softmax")) for seed in range(3)]


@pytest.fixture
def data(tmp_path: Path, members: list[str]) -> str:
    """Labels are what two of three members say, where two agree."""
    x = rows(120)
    votes = np.stack([run(session(path), {"x": x})[0].argmax(-1) for path in members])
    labels = np.array([np.bincount(column, minlength=CLASSES).argmax() for column in votes.T])
    np.savez(tmp_path / "data.npz", x=x, labels=labels)
    return str(tmp_path / "data.npz")


def spec(members: list[str], mode: MergeMode, tmp_path: Path, data: str | None) -> MergeSpec:
    return MergeSpec(tuple(members), mode, str(tmp_path / "out.onnx"), data)


def test_a_vote_is_measured_beside_its_members(tmp_path: Path, members: list[str], data: str) -> None:
    outcome = merge_file(spec(members, MergeMode.VOTE, tmp_path, data))
    found = outcome.standings
    assert found is not None and found.n == 120
    ensemble = found.row(Role.ENSEMBLE)
    assert ensemble is not None and ensemble.value is not None
    x, labels = np.load(data)["x"], np.load(data)["labels"]
    each = np.stack([run(session(path), {"x": x})[0] for path in members])
    votes = np.stack([(each.argmax(-1) == c).sum(0) for c in range(CLASSES)], -1) + each.mean(0) / 2
    assert ensemble.value == pytest.approx((votes.argmax(-1) == labels).mean())
    assert ensemble.nbytes == outcome.nbytes == (tmp_path / "out.onnx").stat().st_size
    assert outcome.difference is not None and outcome.difference <= 1e-6
    assert outcome.shared is not None and outcome.shared.nodes >= 4
    assert outcome.verdict is not None and outcome.verdict.worth is not None
    json.dumps(outcome.to_dict())


def test_without_data_nothing_is_measured_but_the_file_is_checked(tmp_path: Path, members: list[str]) -> None:
    outcome = merge_file(spec(members, MergeMode.AVERAGE, tmp_path, None))
    assert outcome.standings is None and outcome.verdict is None
    assert [check.name for check in outcome.checks] == ["checker", "session", "parity"]


def test_greedy_weights_are_chosen_on_samples_that_are_not_measured_on(
    tmp_path: Path, members: list[str], data: str
) -> None:
    asked = replace(spec([*members, members[0]], MergeMode.WEIGHTS, tmp_path, data), greedy=True)
    outcome = merge_file(asked)
    found = outcome.standings
    assert found is not None and found.n == 60  # half of them chose
    assert found.rows[-1].role is Role.AVERAGE
    assert 1 <= len(outcome.chosen) <= 4
    assert any("Greedy choice" in note for note in outcome.notes)
    assert any("60 samples of data.npz" in line for line in outcome.used)
    mean = np.mean([open_model(path).weight("b.weight") for path in members], 0)
    uniform = merge_file(replace(asked, greedy=False, model_paths=tuple(members)))
    np.testing.assert_allclose(open_model(uniform.path).weight("b.weight"), mean, atol=1e-6)


def test_an_original_is_compared_with(tmp_path: Path, members: list[str], data: str) -> None:
    asked = replace(spec(members[1:], MergeMode.AVERAGE, tmp_path, data), original_path=members[0])
    found = merge_file(asked).standings
    assert found is not None and found.rows[0].role is Role.ORIGINAL and found.reference == "the original"
    assert found.rows[0].agreement == 1.0


@pytest.mark.parametrize(("values", "what"), [
    ({"mode": "mix"}, "no mode 'mix'"),
    ({"model_paths": ("a.onnx",)}, "two models or more"),
    ({"mode": "bag"}, "makes its members from one model"),
    ({"mode": "bag", "model_paths": ("a.onnx",)}, "there are no samples"),
    ({"mode": "boost", "model_paths": ("a.onnx",), "data_path": "d.npz", "members": 1}, "1 members are asked for"),
    ({"greedy": True}, "the greedy choice is for the mode weights"),
    ({"member_weights": (1.0,)}, "1 weights for 2 models"),
    ({"member_weights": (1.0, 0.0)}, "weight must be above 0"),
    ({"member_weights": (1.0, float("nan"))}, "weight must be above 0"),
    ({"member_weights": (1e308, 1e308)}, "at most 1e\\+06"),
])  # fmt: skip
def test_what_does_not_go_together_is_refused_before_anything_is_read(values: dict[str, object], what: str) -> None:
    with pytest.raises(ParameterError, match=what):
        check(replace(MergeSpec(("a.onnx", "b.onnx"), "average", "o.onnx"), **values))  # type: ignore[arg-type]


def test_members_are_not_trained_on_what_chooses_or_measures_them(
    tmp_path: Path, members: list[str], data: str
) -> None:
    asked = spec(members[:1], MergeMode.BAG, tmp_path, data)
    for role in ("valid_path", "test_path"):
        with pytest.raises(DataError, match="the same samples would be trained on and"):
            merge_file(replace(asked, **{role: data}))  # type: ignore[arg-type]
    assert not (tmp_path / "out.onnx").exists()


def test_a_merge_belongs_to_the_original_or_to_the_model_whose_results_its_members_are(
    tmp_path: Path, members: list[str]
) -> None:
    store = RunStore(tmp_path / "runs")

    def model_of(asked: MergeSpec) -> Path:
        run = store.get(merge_file(replace(asked, runs_folder=str(store.folder))).run)
        assert run.model_sha256 == open_model(run.model_path).sha256
        return Path(run.model_path)

    original, asked = tmp_path / "original.onnx", spec(members[:2], MergeMode.AVERAGE, tmp_path, None)
    original.write_bytes(Path(members[2]).read_bytes())
    assert model_of(asked) == Path(members[0])
    assert model_of(replace(asked, original_path=str(original))) == original
    for place, target in enumerate(members[:2]):
        assert model_of(asked) == Path(members[0])  # while not all are
        run = Run(store.new_id(1.0 + place), RunKind.COMPRESS, "a", str(original), RunState.DONE, 1.0,
                  open_model(original).sha256, target=target)  # fmt: skip
        store.put(run)
    assert model_of(asked) == original


def test_members_that_do_not_fit_leave_no_file(tmp_path: Path, members: list[str]) -> None:
    odd = classifier(tmp_path / "odd.onnx", 5, hidden=9)
    with pytest.raises(ModelFileError, match="do not correspond"):
        merge_file(spec([members[0], str(odd)], MergeMode.WEIGHTS, tmp_path, None))
    with pytest.raises(FeatherweightError):
        merge_file(replace(spec(members, MergeMode.AVERAGE, tmp_path, None), target=members[0]))
    assert not (tmp_path / "out.onnx").exists()


def test_a_merge_is_kept_as_a_run_that_can_be_described_again(tmp_path: Path, members: list[str], data: str) -> None:
    asked = replace(spec(members, MergeMode.AVERAGE, tmp_path, data), runs_folder=str(tmp_path / "runs"))
    outcome = merge_file(asked)
    store = RunStore(tmp_path / "runs")
    kept = store.get(outcome.run)
    assert kept.state is RunState.DONE and {figure.name for figure in kept.figures} >= {"bytes", "score"}
    again = spec_of(kept, asked.runs_folder or "")
    assert again.model_paths == asked.model_paths and again.options == asked.options
    with pytest.raises(DataError, match="damaged"):
        spec_of(replace(kept, details={"spec": {"mode": 3}}), "")


def test_cancelling_leaves_no_file(tmp_path: Path, members: list[str], data: str) -> None:
    class Stop:
        def __init__(self) -> None:
            self.asked = 0

        def is_set(self) -> bool:
            self.asked += 1
            return self.asked > 5

    with pytest.raises(Cancelled):
        merge_file(spec(members, MergeMode.AVERAGE, tmp_path, data), Reporter(None, Stop()))
    assert not (tmp_path / "out.onnx").exists()


def test_the_command_line_merges_and_reports(
    tmp_path: Path, members: list[str], data: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out, page = tmp_path / "cli.onnx", tmp_path / "cli.html"
    given = ["merge", *members, "--mode", "vote", "--data", data, "-o", str(out), "--no-record", "--quiet"]
    assert main([*given, "--json", "--report", str(page)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["bytes_after"] == out.stat().st_size and told["verdict"]["text"]
    assert [row["role"] for row in told["standings"]["rows"]] == ["member"] * 3 + ["ensemble"]
    assert "Side by side" in page.read_text()
    assert main([*given, "--weights", "1,1"]) == 2
    assert "2 weights for 3 models" in capsys.readouterr().err
    assert main([*given, "--epochs", "3"]) == 2
    assert "--epochs is for members that are trained" in capsys.readouterr().err
    assert main(given) == 0
    assert "The ensemble against m0.onnx" in capsys.readouterr().out
