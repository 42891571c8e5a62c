"""The set-up: a second start installs nothing, an interrupted one begins again, and errors are sentences."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

PACKAGING = Path(__file__).resolve().parents[2] / "packaging"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"scripts_{name}", PACKAGING / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


environment = load("environment")
qt_libraries = load("qt_libraries")


@pytest.fixture
def venv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "venv"
    monkeypatch.setenv("FEATHERWEIGHT_VENV", str(folder))
    return folder


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch, venv: Path) -> list[str]:
    """Records the commands instead of running them; making a venv leaves a link to this Python."""
    seen: list[str] = []

    def run(command: list, failure: str, hint: str = "") -> None:
        seen.append(" ".join(str(part) for part in command))
        if "venv" in [str(part) for part in command[1:3]]:
            python = venv / "bin" / "python"
            python.parent.mkdir()
            python.symlink_to(sys.executable)
            (venv / "pyvenv.cfg").touch()

    monkeypatch.setattr(environment, "run", run)
    return seen


def state(venv: Path) -> dict:
    return json.loads((venv / environment.STATE).read_text(encoding="utf-8"))


def test_first_start_installs_and_second_start_does_nothing(venv: Path, commands: list[str]) -> None:
    python = environment.ensure()
    assert python == venv / "bin" / "python"
    assert any("--editable" in c and "constraints.txt" in c for c in commands)
    assert state(venv)["status"] == "ready"
    commands.clear()
    assert environment.ensure() == python
    assert commands == []


def test_extras_are_added_and_kept(venv: Path, commands: list[str]) -> None:
    environment.ensure("dev", "models")
    assert state(venv)["extras"] == ["dev", "models"]
    commands.clear()
    environment.ensure()
    assert commands == []


def test_changed_pins_are_installed_without_making_the_venv_again(
    venv: Path, commands: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    environment.ensure()
    commands.clear()
    monkeypatch.setattr(environment, "fingerprint", lambda: "another")
    environment.ensure()
    assert any("--editable" in c for c in commands)
    assert not any("-m venv" in c for c in commands)


def test_interrupted_installation_begins_again(
    venv: Path, commands: list[str], monkeypatch: pytest.MonkeyPatch, ended_process: int
) -> None:
    environment.ensure()
    (venv / "half-written").touch()
    left_behind = {**state(venv), "status": "installing", "process": ended_process}
    (venv / environment.STATE).write_text(json.dumps(left_behind), encoding="utf-8")
    commands.clear()
    environment.ensure()
    assert not (venv / "half-written").exists()
    assert any("-m venv" in c for c in commands) and any("--editable" in c for c in commands)


@pytest.fixture
def ended_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_set_up_at_work_is_not_disturbed(venv: Path, commands: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    environment.ensure()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        (venv / environment.STATE).write_text(
            json.dumps({"status": "installing", "process": other.pid, "made_here": True}), encoding="utf-8"
        )
        with pytest.raises(environment.SetupError, match="another set-up"):
            environment.ensure()
        other.communicate(b"\n")
    assert (venv / "pyvenv.cfg").exists()


def test_a_folder_that_is_no_venv_is_left_alone(venv: Path, commands: list[str]) -> None:
    venv.mkdir()
    (venv / "thesis.txt").write_text("precious", encoding="utf-8")
    with pytest.raises(environment.SetupError, match="no virtual environment"):
        environment.ensure()
    assert (venv / "thesis.txt").read_text(encoding="utf-8") == "precious"
    assert commands == []


def test_a_venv_made_by_someone_else_is_never_deleted(venv: Path, commands: list[str], ended_process: int) -> None:
    environment.run([sys.executable, "-m", "venv", venv.mkdir() or venv], "")
    (venv / "theirs").touch()
    left_behind = {"status": "installing", "process": ended_process, "made_here": False}
    (venv / environment.STATE).write_text(json.dumps(left_behind), encoding="utf-8")
    environment.ensure()
    assert (venv / "theirs").exists()
    assert state(venv)["status"] == "ready"


def test_old_python_is_refused_with_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment.sys, "version_info", (3, 9, 2))
    with pytest.raises(environment.SetupError, match=r"this is Python 3\.9\.2, Featherweight needs 3\.11 or newer"):
        environment.ensure()


def test_failing_command_ends_with_hint_and_its_last_words() -> None:
    command = [sys.executable, "-c", "import sys; sys.exit('no route to host')"]
    with pytest.raises(environment.SetupError) as caught:
        environment.run(command, "the packages could not be installed", hint="check the network connection")
    assert str(caught.value) == (
        "the packages could not be installed (exit code 1); check the network connection\nno route to host"
    )


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Debian only")
class TestQtLibraries:
    @pytest.fixture
    def steps(self, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
        seen: list[list[str]] = []

        def run(command: list[str], **_options: object) -> subprocess.CompletedProcess[str]:
            seen.append(command)
            if command[0] == "dpkg-query":
                listed = [f"{package} installed" for package in qt_libraries.PACKAGES[1:] if package != "libglib2.0-0"]
                return subprocess.CompletedProcess(command, 1, "\n".join([*listed, "libglib2.0-0t64 installed"]), "")
            return subprocess.CompletedProcess(command, 0, "", "")

        monkeypatch.setattr(qt_libraries.subprocess, "run", run)
        monkeypatch.setattr(qt_libraries.shutil, "which", lambda name: f"/usr/bin/{name}")
        return seen

    def test_root_installs_what_is_missing_and_no_more(
        self, steps: list[list[str]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(os, "geteuid", lambda: 0)
        qt_libraries.ensure()
        assert [step[:2] for step in steps[1:]] == [["apt-get", "update"], ["apt-get", "install"]]
        assert steps[2][4:] == [qt_libraries.PACKAGES[0]]

    def test_others_are_told_the_command(
        self, steps: list[list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(os, "geteuid", lambda: 1000)
        qt_libraries.ensure()
        assert len(steps) == 1
        command = f"sudo apt-get install --yes --no-install-recommends {qt_libraries.PACKAGES[0]}"
        assert command in capsys.readouterr().out


def test_scripts_use_nothing_but_the_standard_library() -> None:
    for name in ("environment", "qt_libraries", "run", "test"):
        result = subprocess.run(
            [sys.executable, "-S", "-I", "-c", f"import sys; sys.path.insert(0, {str(PACKAGING)!r}); import {name}"],
            capture_output=True, text=True, check=False,
        )
        assert result.returncode == 0, result.stderr


def test_constraints_pin_every_dependency_and_name_no_place() -> None:
    import tomllib

    text = (PACKAGING / "constraints.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    normal: Callable[[str], str] = lambda name: name.lower().replace("_", "-")  # noqa: E731
    pinned = {normal(line.partition("==")[0]) for line in lines}
    assert all(line.count("==") == 1 and "/" not in line and "+" not in line for line in lines)
    project = tomllib.loads((PACKAGING.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *(d for extra in project["optional-dependencies"].values() for d in extra)]
    names = {normal(d.split(">")[0].split("<")[0].split("=")[0].strip()) for d in wanted}
    assert names <= pinned
