"""ruff refuses imports that go the wrong way, in every folder, and heavy imports at start-up."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOWER_FOLDERS = ("kernels", "model", "encoding", "data", "methods", "analysis")  # each has bans of its own


def codes(where: str, source: str) -> set[str]:
    """Codes of ruff's rules on imports and safety for a file at `where` with this text."""
    command = [sys.executable, "-m", "ruff", "check", "--select", "TID,S", "--output-format", "json"]
    result = subprocess.run(
        [*command, "--stdin-filename", where, "-"], input=source, capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert result.returncode in (0, 1), result.stderr
    return {finding["code"] for finding in json.loads(result.stdout)}


@pytest.mark.parametrize("folder", ["core", *(f"core/{name}" for name in LOWER_FOLDERS), "core/exporting"])
@pytest.mark.parametrize("module", ["PySide6.QtCore", "pyqtgraph", "gui.session"])
def test_core_imports_no_window(folder: str, module: str) -> None:
    assert codes(f"{folder}/new.py", f"def f():\n    import {module}\n") == {"TID251"}


@pytest.mark.parametrize("folder", LOWER_FOLDERS)
@pytest.mark.parametrize("module", ["core.exporting.writer", "core.jobs", "core.cli"])
def test_lower_folders_do_not_import_upper_ones(folder: str, module: str) -> None:
    assert codes(f"core/{folder}/new.py", f"from {module} import x\n") == {"TID251"}


@pytest.mark.parametrize("module", ["torch", "onnxruntime", "scipy.linalg", "netron", "numba"])
@pytest.mark.parametrize("where", ["core/new.py", "core/methods/new.py", "gui/lenses/new.py"])
def test_heavy_modules_are_imported_where_they_are_used(where: str, module: str) -> None:
    assert codes(where, f"import {module}\n") == {"TID253"}
    assert codes(where, f"def f():\n    import {module}\n") == set()


@pytest.mark.parametrize("where", ["core/model/new.py", "gui/new.py"])
@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("import pickle\npickle.loads(b'')\n", "S301"),
        ("eval('1')\n", "S307"),
        ("exec('1')\n", "S102"),
    ],
)
def test_running_what_a_file_brings_is_refused(where: str, source: str, code: str) -> None:
    assert code in codes(where, source)
