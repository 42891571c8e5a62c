"""What a wheel holds: our packages and their files, and nothing of the repository's other folders."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Names of the files in a wheel built from a copy of the sources."""
    copy = tmp_path_factory.mktemp("source") / "featherweight"
    keep_out = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "featherweight-demo", "images")
    shutil.copytree(ROOT, copy, ignore=keep_out)
    target = copy.parent / "wheel"
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", target, copy]
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    (file,) = target.glob("featherweight-*.whl")
    return set(zipfile.ZipFile(file).namelist())


def test_only_our_packages_are_in_it(wheel: set[str]) -> None:
    top = {name.split("/")[0] for name in wheel}
    assert {name for name in top if not name.endswith(".dist-info")} == {"core", "gui", "resources"}


def test_every_source_file_is_in_it(wheel: set[str]) -> None:
    sources = {str(path.relative_to(ROOT)) for folder in ("core", "gui") for path in (ROOT / folder).rglob("*.py")}
    assert sources <= wheel


def test_resources_are_in_it(wheel: set[str]) -> None:
    files = (path for path in (ROOT / "resources").rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    assert {str(path.relative_to(ROOT)) for path in files} <= wheel


def test_licence_and_entry_points_are_in_it(wheel: set[str]) -> None:
    names = {name.split("/", 1)[1] for name in wheel if ".dist-info/" in name}
    assert {"licenses/LICENSE", "entry_points.txt"} <= names
