"""Temporary folders of dead processes go, those of living ones stay."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from core import scratch
from core.errors import TargetError


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


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space"), OSError("235200 requested and 1000 written")])
def test_a_full_disk_names_the_folder_and_the_way_out(temporary: Path, error: OSError) -> None:
    with pytest.raises(TargetError, match=r"is full; .*TMPDIR") as caught, scratch.scratch_folder():
        raise error
    assert caught.value.where == str(temporary)
    with pytest.raises(TargetError, match="TMPDIR"), scratch.full_disk_told():
        raise error
    assert os.listdir(temporary) == []


def test_other_errors_stay_what_they_are(temporary: Path) -> None:
    with pytest.raises(PermissionError), scratch.scratch_folder():
        raise PermissionError(errno.EACCES, "no")
    with pytest.raises(OSError, match="else"), scratch.full_disk_told():
        raise OSError("something else")
