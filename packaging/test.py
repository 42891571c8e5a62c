"""Set Featherweight up and test it: python3 packaging/test.py [--quick] [PYTEST ARGUMENTS]

Stages: ruff, mypy, the tests without models, then the tests on the public models. --quick leaves the last one out.
The models are built once by ../shared/models/get.py, if that is there, into FEATHERWEIGHT_MODELS or
~/.cache/featherweight-models. Other arguments go to pytest: python3 packaging/test.py --quick -k recipe
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import environment
import qt_libraries
from environment import ROOT

MODEL_SCRIPT = ROOT.parent / "shared" / "models" / "get.py"
NO_TESTS_RAN = 5  # pytest's exit code when nothing was selected


def main(arguments: list[str]) -> int:
    quick = "--quick" in arguments
    rest = [argument for argument in arguments if argument != "--quick"]
    models = Path(os.environ.get("FEATHERWEIGHT_MODELS") or Path.home() / ".cache" / "featherweight-models").resolve()
    try:
        qt_libraries.ensure()
        python = environment.ensure("dev", "models")
        with_models = not quick and have_models(python, models)
    except environment.SetupError as error:
        print(f"Set-up failed: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Set-up interrupted; the next start goes on", file=sys.stderr)
        return 130
    stages = {
        "ruff": [python, "-m", "ruff", "check", "."],
        "mypy": [python, "-m", "mypy"],
        "tests": [python, "-m", "pytest", *rest],
    }
    if with_models:
        stages["tests on the public models"] = [python, "-m", "pytest", "-m", "models", *rest]
    results = {name: run(name, command, models) for name, command in stages.items()}
    return summary(results)


def have_models(python: Path, folder: Path) -> bool:
    """Build the public models that are not there yet. Raises SetupError when that fails."""
    if MODEL_SCRIPT.exists():
        print(f"Building the public test models that are not yet in {folder} (the first time takes long)", flush=True)
        folder.mkdir(parents=True, exist_ok=True)
        environment.run([python, MODEL_SCRIPT, folder], "the public test models could not be built")
        return True
    if any(folder.glob("*/meta.json")):
        return True
    print(f"Tests on the public models: skipped, there are none in {folder} and no {MODEL_SCRIPT} to build them")
    return False


def run(name: str, command: list, models: Path) -> tuple[int, float]:
    """(exit code, seconds) of one stage."""
    print(f"\n== {name}", flush=True)
    settings = {
        "QT_QPA_PLATFORM": "offscreen",
        "QT_SCALE_FACTOR": "1",
        "FEATHERWEIGHT_MODELS": str(models),
        "FEATHERWEIGHT_DEFINITIONS": str(MODEL_SCRIPT.parent),
    }
    started = time.monotonic()
    result = subprocess.run([str(part) for part in command], cwd=ROOT, env={**os.environ, **settings}, check=False)
    return result.returncode, time.monotonic() - started


def summary(results: dict[str, tuple[int, float]]) -> int:
    """Print one line a stage; 0 only when every stage passed and some test ran."""
    print()
    test_codes = [code for name, (code, _) in results.items() if name.startswith("tests")]
    ran_none = all(code == NO_TESTS_RAN for code in test_codes)
    failed = ran_none
    for name, (code, seconds) in results.items():
        nothing = name.startswith("tests") and code == NO_TESTS_RAN
        word = "nothing selected" if nothing else "passed" if code == 0 else f"FAILED (exit code {code})"
        failed = failed or (code != 0 and not nothing)
        print(f"{name:28} {word}, {seconds:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
