"""Memory, measured in a process of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from core.analysis import memory
from core.analysis.memory import resident_bytes, session_memory
from core.errors import Cancelled, DataError, InternalError, ModelFileError
from core.progress import Reporter


def big_model(make_model, side: int) -> Path:
    weights = {"w": np.ones((side, side), np.float32)}
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    return make_model(nodes, weights, {"x": ["n", side]}, {"y": ["n", side]}, name=f"{side}.onnx")


def test_a_larger_model_takes_what_it_is_larger(make_model) -> None:
    small, large = (
        session_memory(big_model(make_model, side), {"x": np.ones((1, side), np.float32)}) for side in (64, 3000)
    )
    assert 0.9 * 4 * 3000**2 < large - small < 3 * 4 * 3000**2


def test_errors_of_the_child_are_sentences(tmp_path: Path, mlp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"junk")
    with pytest.raises(ModelFileError, match=r"bad\.onnx: "):
        session_memory(tmp_path / "bad.onnx", {"x": np.ones(1, np.float32)})
    with pytest.raises(DataError, match="does not take this data"):
        session_memory(mlp_path, {"x": np.ones((1, 15), np.float32)})


def test_nothing_of_the_current_folder_is_run(tmp_path: Path, mlp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit(7)", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert session_memory(mlp_path.name, {"x": np.ones((1, 16), np.float32)}) > 0


@pytest.mark.parametrize(
    ("code", "error", "sentence"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", ModelFileError, "ONNX Runtime crashed on it"),
        ("raise KeyError('x')", InternalError, "measuring memory failed: KeyError"),
    ],
)
def test_a_child_that_dies(
    tmp_path: Path, mlp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, error: type[Exception], sentence: str
) -> None:
    (tmp_path / "dies.py").write_text(code, encoding="utf-8")
    monkeypatch.setattr(memory, "MODULE", "dies")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(error, match=sentence):
        session_memory(mlp_path, {"x": np.ones((1, 16), np.float32)})


def test_a_child_that_hangs_is_stopped(tmp_path: Path, mlp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hangs.py").write_text("import threading; threading.Event().wait()", encoding="utf-8")
    monkeypatch.setattr(memory, "MODULE", "hangs")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    feed = {"x": np.ones((1, 16), np.float32)}
    with pytest.raises(ModelFileError, match="took too long"):
        session_memory(mlp_path, feed, timeout=0.2)

    class Cancel:
        asked = 0

        def is_set(self) -> bool:
            self.asked += 1
            return self.asked > 2

    with pytest.raises(Cancelled):
        session_memory(mlp_path, feed, reporter=Reporter(cancel=Cancel()))


def test_resident_bytes_is_plausible() -> None:
    assert 10_000_000 < resident_bytes() < 2**45
