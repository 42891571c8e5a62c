"""Temporary folders of dead processes go, those of living ones stay."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from core import scratch


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_a_folder_is_gone_after_use(temporary: Path) -> None:
    with scratch.scratch_folder() as folder:
        assert Path(folder).parent == temporary
        (Path(folder) / "file").write_bytes(b"x")
    assert os.listdir(temporary) == []


def test_only_folders_of_dead_processes_are_removed(temporary: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    prefix = "featherweight-scratch-"
    names = [f"{prefix}{dead.pid}-a", f"{prefix}{os.getpid()}-b", f"{prefix}x", "other"]
    for name in names:
        (temporary / name).mkdir()
    with scratch.scratch_folder():
        pass
    assert sorted(os.listdir(temporary)) == sorted(names[1:])
