"""run.py picks the window or the demo; test.py fails when anything failed or nothing ran."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

PACKAGING = Path(__file__).resolve().parents[2] / "packaging"


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, ModuleType]]:
    """run.py and test.py, loaded under names of their own, with the set-up left out."""
    monkeypatch.syspath_prepend(str(PACKAGING))
    modules = {}
    for name in ("run", "test"):
        spec = importlib.util.spec_from_file_location(f"script_{name}", PACKAGING / f"{name}.py")
        assert spec is not None and spec.loader is not None
        modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(modules[name])
        monkeypatch.setattr(modules[name].environment, "ensure", lambda *_extras: Path("python"))
        monkeypatch.setattr(modules[name].qt_libraries, "ensure", lambda: None)
    yield modules
    for name in ("environment", "qt_libraries"):
        sys.modules.pop(name, None)


@pytest.fixture
def commands(scripts: dict[str, ModuleType], monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands that the scripts run; each ends with the exit code in `codes`, by default 0."""
    seen: list[list[str]] = []

    def run(command: list, **_options: object) -> subprocess.CompletedProcess[str]:
        seen.append([str(part) for part in command])
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", run)
    return seen


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems always have a screen")
@pytest.mark.parametrize(
    ("variables", "module"),
    [
        ({"DISPLAY": ":0"}, "gui"),
        ({"WAYLAND_DISPLAY": "wayland-0"}, "gui"),
        ({}, "gui.demo"),
        ({"DISPLAY": ":0", "QT_QPA_PLATFORM": "offscreen"}, "gui.demo"),
    ],
)
def test_run_opens_the_window_only_where_there_is_a_screen(
    scripts: dict[str, ModuleType],
    commands: list[list[str]],
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    module: str,
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert scripts["run"].main(["a.onnx"]) == 0
    assert commands == [["python", "-m", module, "a.onnx"]]


def test_the_command_that_run_builds_brings_up_a_window(
    scripts: dict[str, ModuleType], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The real command in a real process: a module that only defines `main` would end at once without a word."""
    run, finished = subprocess.run, []

    def run_offscreen(command: list[str], **_options: object) -> subprocess.CompletedProcess[str]:
        home = str(tmp_path)
        variables = {**os.environ, "QT_QPA_PLATFORM": "offscreen", "HOME": home, "XDG_DATA_HOME": home}
        finished.append(run(command, env=variables, cwd=PACKAGING.parent, capture_output=True, text=True, timeout=60,
                            check=False))
        return finished[-1]

    monkeypatch.setattr(scripts["run"].environment, "ensure", lambda *_extras: sys.executable)
    monkeypatch.setattr(scripts["run"], "has_screen", lambda: True)
    monkeypatch.setattr(subprocess, "run", run_offscreen)
    assert scripts["run"].main(["--quit-after-first-paint"]) == 0, finished[-1].stderr
    assert finished[-1].stdout.startswith("The window is there, ")


def test_set_up_problem_is_a_sentence_and_exit_code_2(
    scripts: dict[str, ModuleType], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for script in scripts.values():
        def refuse(*_extras: str, script: ModuleType = script) -> Path:
            raise script.environment.SetupError("no network")

        monkeypatch.setattr(script.environment, "ensure", refuse)
        assert script.main([]) == 2
        assert capsys.readouterr().err == "Set-up failed: no network\n"


def test_quick_runs_one_stage_of_tests_and_passes_arguments_on(
    scripts: dict[str, ModuleType], commands: list[list[str]]
) -> None:
    assert scripts["test"].main(["--quick", "-k", "recipe"]) == 0
    pytest_runs = [command for command in commands if "pytest" in command]
    assert pytest_runs == [["python", "-m", "pytest", "-k", "recipe"]]
    assert [command[2] for command in commands] == ["ruff", "mypy", "pytest"]


def test_full_run_builds_the_models_and_tests_on_them(
    scripts: dict[str, ModuleType], commands: list[list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    script = tmp_path / "get.py"
    script.touch()
    monkeypatch.setattr(scripts["test"], "MODEL_SCRIPT", script)
    monkeypatch.setenv("FEATHERWEIGHT_MODELS", str(tmp_path / "models"))
    assert scripts["test"].main([]) == 0
    assert commands[0] == ["python", str(script), str(tmp_path / "models")]
    assert commands[-1] == ["python", "-m", "pytest", "-m", "models"]


def test_models_that_cannot_be_had_are_said_to_be_skipped(
    scripts: dict[str, ModuleType],
    commands: list[list[str]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(scripts["test"], "MODEL_SCRIPT", tmp_path / "absent.py")
    monkeypatch.setenv("FEATHERWEIGHT_MODELS", str(tmp_path / "models"))
    assert scripts["test"].main([]) == 0
    assert "Tests on the public models: skipped" in capsys.readouterr().out
    assert not any("models" in command for command in commands)


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ({"ruff": 0, "tests": 0, "tests on the public models": 0}, 0),
        ({"ruff": 1, "tests": 0}, 1),
        ({"ruff": 0, "tests": 1, "tests on the public models": 0}, 1),
        ({"ruff": 0, "tests": 5, "tests on the public models": 0}, 0),
        ({"ruff": 0, "tests": 5, "tests on the public models": 5}, 1),
        ({"ruff": 0, "tests": -11}, 1),
    ],
)
def test_summary(scripts: dict[str, ModuleType], codes: dict[str, int], expected: int) -> None:
    assert scripts["test"].summary({name: (code, 1.0) for name, code in codes.items()}) == expected
