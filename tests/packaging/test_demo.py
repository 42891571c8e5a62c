"""The whole main job in the real window, offscreen, as run.py does it on a machine without a screen."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from PIL import Image

from core.sample import SamplePaths

ROOT = Path(__file__).resolve().parents[2]
LENSES = ("weights", "activations", "sensitivity", "tradeoff", "compare")
PICTURES = tuple(f"{lens}-{mode}" for lens in LENSES for mode in ("light", "dark"))


def python(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """This Python, offscreen, in the repository."""
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen", "QT_SCALE_FACTOR": "1"}
    command = [sys.executable, *(str(argument) for argument in arguments)]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240, check=False)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that one run of the demo leaves behind."""
    folder = tmp_path_factory.mktemp("demo")
    result = python("-m", "gui.demo", "--out", folder)
    assert result.returncode == 0, result.stdout + result.stderr
    (folder / "said.txt").write_text(result.stdout, encoding="utf-8")
    return folder


def test_the_export_is_smaller_and_loads_in_onnxruntime(demo: Path, sample: SamplePaths) -> None:
    exported = demo / "model-small.onnx"
    assert exported.stat().st_size <= 0.12 * sample.model.stat().st_size
    session = onnxruntime.InferenceSession(str(exported), providers=["CPUExecutionProvider"])
    assert [port.name for port in session.get_inputs()] == ["image"]


def test_the_report_tells_what_is_on_disk(demo: Path, sample: SamplePaths) -> None:
    report = json.loads((demo / "report.json").read_text(encoding="utf-8"))
    assert report["bytes_before"] == sample.model.stat().st_size
    assert report["bytes_after"] == (demo / "model-small.onnx").stat().st_size
    assert report["bytes_predicted"] == pytest.approx(report["bytes_after"], rel=0.01)
    assert report["comparison"]["accuracy_before"] == pytest.approx(sample.read_info()["accuracy"], abs=0.005)
    assert "model.onnx" in (demo / "report.html").read_text(encoding="utf-8")


def test_the_command_line_gives_the_same_bytes(demo: Path, sample: SamplePaths, tmp_path: Path) -> None:
    again = tmp_path / "again.onnx"
    recipe = ("--recipe", demo / "recipe.yaml", "--data", sample.data)
    result = python("-m", "core.cli", "compress", sample.model, *recipe, "-o", again, "--quiet")
    assert result.returncode == 0, result.stderr
    assert again.read_bytes() == (demo / "model-small.onnx").read_bytes()


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_show_the_window(demo: Path, name: str) -> None:
    with Image.open(demo / "pictures" / f"{name}.png") as picture:
        assert picture.size == (1440, 900)
        assert len(picture.convert("RGB").getcolors(maxcolors=1 << 24)) > 100
        brightness = np.asarray(picture.convert("L")).mean()
    assert brightness > 160 if name.endswith("light") else brightness < 100


def test_a_folder_that_cannot_be_made_is_told_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = python("-m", "gui.demo", "--out", tmp_path / "file" / "out")
    assert result.returncode == 2
    assert result.stderr.startswith("The demo failed: ")
    assert "Traceback" not in result.stderr
