"""Compressions are kept as runs, from the command line and from jobs of the window."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.cli import main
from core.errors import FeatherweightError
from core.jobs import CompressSpec, compress_file
from core.runs.run import RunKind, RunState
from core.runs.store import RunStore

RECIPE = "featherweight: 1\ndefaults: [{quantize: {bits: 8}}]\n"


def test_the_command_line_keeps_figures_and_recipe_but_no_copy(
    mlp_path: Path, tmp_path: Path, runs_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "r.yaml").write_text(RECIPE)
    words = ["compress", str(mlp_path), "--recipe", str(tmp_path / "r.yaml"), "-o", str(tmp_path / "o.onnx"), "--quiet"]
    assert main([*words, "--no-record"]) == 0
    assert not runs_folder.exists()
    assert main(words) == 0
    (run,) = RunStore(runs_folder).listing().runs
    assert (run.kind, run.state, run.recipe_text) == (RunKind.COMPRESS, RunState.DONE, RECIPE)
    assert run.value("bytes") == (tmp_path / "o.onnx").stat().st_size
    assert run.value("bytes_before") == mlp_path.stat().st_size
    assert run.value("latency") is not None
    assert (run.target, run.kept) == (str(tmp_path / "o.onnx"), "")
    capsys.readouterr()


def test_the_window_keeps_a_copy_that_can_be_exported(
    mlp_path: Path, tmp_path: Path, runs_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "passing.onnx"
    spec = CompressSpec(str(mlp_path), RECIPE, str(target), runs_folder=str(runs_folder), passing=True)
    outcome = compress_file(spec)
    content = target.read_bytes()
    target.unlink()
    assert RunStore(runs_folder).get(outcome.run).target == ""
    assert main(["runs", "export", outcome.run, "-o", str(tmp_path / "again.onnx")]) == 0
    assert (tmp_path / "again.onnx").read_bytes() == content
    capsys.readouterr()


def test_a_compression_that_fails_says_why(mlp_path: Path, tmp_path: Path, runs_folder: Path) -> None:
    (tmp_path / "bad.npz").write_bytes(b"no archive")
    spec = CompressSpec(
        str(mlp_path), RECIPE, str(tmp_path / "o.onnx"), str(tmp_path / "bad.npz"), runs_folder=str(runs_folder)
    )
    with pytest.raises(FeatherweightError) as caught:
        compress_file(spec)
    (run,) = RunStore(runs_folder).listing().runs
    assert (run.state, run.why) == (RunState.FAILED, str(caught.value))
