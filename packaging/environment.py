"""Makes the virtual environment that run.py and test.py work in. Standard library only.

The environment is `.venv` in the repository, or the folder that FEATHERWEIGHT_VENV names. A state file in it says what
was installed from which pins; when nothing changed, a start costs milliseconds. An interrupted installation is noticed
by the same file and begun again.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / "packaging" / "constraints.txt"
STATE = ".featherweight.json"
OLDEST_PYTHON = (3, 11)


class SetupError(Exception):
    """The set-up cannot go on; the text says what is wrong and what to do."""


def ensure(*extras: str) -> Path:
    """The environment's Python, with Featherweight and the named extras installed. Raises SetupError."""
    if sys.version_info < OLDEST_PYTHON:
        have, need = ".".join(map(str, sys.version_info[:3])), ".".join(map(str, OLDEST_PYTHON))
        raise SetupError(f"this is Python {have}, Featherweight needs {need} or newer; run it with a newer python3")
    venv = Path(os.environ.get("FEATHERWEIGHT_VENV") or ROOT / ".venv").resolve()
    python = venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    state = read_state(venv)
    wanted = sorted(set(extras) | set(state.get("extras", ())))
    ready = {"status": "ready", "pins": fingerprint(), "extras": wanted}
    if {key: state.get(key) for key in ready} == ready and works(python):
        return python
    made_here = make_venv(venv, python, state)
    say(f"Installing packages into {venv} (some minutes the first time)")
    write_state(venv, {"status": "installing", "process": os.getpid(), "made_here": made_here, "extras": wanted})
    install(python, wanted)
    say("Compiling the inner loops")
    run([python, "-c", WARM_UP], "the installed packages do not work")
    write_state(venv, {**ready, "made_here": made_here})
    return python


# Shows that the packages load, and compiles the inner loops so that nobody waits for it in the window.
WARM_UP = "import onnxruntime, PySide6.QtWidgets, gui, core.kernels; core.kernels.warm()"


def fingerprint() -> str:
    """Changes when the environment has to be installed again."""
    import tomllib  # not at the top: an older Python must get as far as being told that it is too old

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    installed = {table: project[table] for table in ("build-system", "project")}
    digest = hashlib.sha256(json.dumps([sys.version, installed], sort_keys=True).encode())
    digest.update(CONSTRAINTS.read_bytes())
    return digest.hexdigest()


def read_state(venv: Path) -> dict:
    """What the state file says; {} when there is none. Raises SetupError while another set-up is at work."""
    try:
        state = json.loads((venv / STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    process = state.get("process")
    if state.get("status") == "installing" and process and is_running(process):
        raise SetupError(f"another set-up (process {process}) is at work in {venv}; wait until it is done")
    return state


def write_state(venv: Path, state: dict) -> None:
    part = venv / (STATE + ".part")
    part.write_text(json.dumps(state), encoding="utf-8")
    part.replace(venv / STATE)


def is_running(process: int) -> bool:
    if os.name == "nt" or process == os.getpid():  # os.kill(pid, 0) would end the process on Windows
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def works(python: Path) -> bool:
    """Whether the environment's Python starts (the Python that it was made from may have been removed)."""
    try:
        return subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def make_venv(venv: Path, python: Path, state: dict) -> bool:
    """Make the environment, or keep one that works; returns whether it is ours to delete."""
    made_here = bool(state.get("made_here"))
    if venv.exists() and not (venv / "pyvenv.cfg").exists() and not made_here and any(venv.iterdir()):
        raise SetupError(f"{venv} is no virtual environment; set FEATHERWEIGHT_VENV to another folder")
    if made_here and (state.get("status") == "installing" or not works(python)):
        say("An earlier set-up was interrupted or its Python is gone; beginning again")
        shutil.rmtree(venv)
    if works(python):
        return made_here
    say(f"Making a virtual environment in {venv}")
    venv.mkdir(parents=True, exist_ok=True)
    write_state(venv, {"status": "installing", "process": os.getpid(), "made_here": True})
    run([sys.executable, "-m", "venv", venv], "the virtual environment could not be made",
        hint="on Debian and Ubuntu, install the package python3-venv")
    return True


def install(python: Path, extras: list[str]) -> None:
    """Install the pinned packages and Featherweight itself, in place, so that edits count at once."""
    pip = [python, "-m", "pip", "install", "--disable-pip-version-check", "--constraint", CONSTRAINTS]
    if not sys.stdout.isatty():
        pip.append("--quiet")
    project = f"{ROOT}[{','.join(extras)}]" if extras else str(ROOT)
    failed = "the packages could not be installed"
    run([*pip, "setuptools"], failed, hint="check the network connection and pip's settings, then start again")
    # the build uses the pinned setuptools of the line above: nothing is fetched that has no pin
    run([*pip, "--no-build-isolation", "--editable", project], failed,
        hint="check the network connection and the free disk space, then start again")


def run(command: list, failure: str, hint: str = "") -> None:
    """Run a command whose errors matter; SetupError ends with what it said."""
    result = subprocess.run([str(part) for part in command], stderr=subprocess.PIPE, text=True, cwd=ROOT, check=False)
    if result.returncode != 0:
        said = "\n".join(result.stderr.strip().splitlines()[-12:])
        raise SetupError(f"{failure} (exit code {result.returncode}){'; ' + hint if hint else ''}\n{said}")


def say(text: str) -> None:
    print(text, flush=True)
