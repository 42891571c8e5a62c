"""Opening PyTorch files in the window: what is asked, that nothing runs without consent, and what is handed on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from pytestqt.qtbot import QtBot

from core.own_code import find_source
from core.progress import SILENT
from core.torch_files.recognise import Format
from core.torch_files.source import Example, TorchSource
from gui.opening import form as forms
from gui.opening.form import TorchForm
from gui.opening.opener import is_torch, look


@pytest.fixture
def definition(tmp_path: Path) -> Path:
    path = tmp_path / "net.py"
    path.write_text("raise SystemExit('it ran')\n")
    return path


@pytest.fixture
def form(qtbot: QtBot, tmp_path: Path) -> TorchForm:
    made = TorchForm(tmp_path / "state.pt", Format.STATE)
    qtbot.addWidget(made)
    return made


def chosen(form: TorchForm) -> list[Any]:
    heard: list[Any] = []
    form.chosen.connect(heard.append)
    return heard


def fill(form: TorchForm, definition: Path) -> None:
    form.definition.setText(f"{definition}:Net")
    form.inputs.rows[0][0].setText("image")
    form.inputs.rows[0][1].setText("1x1x28x28")


def test_endings() -> None:
    assert all(is_torch(Path(f"m{ending}")) for ending in (".pt", ".PTH", ".pt2", ".safetensors"))
    assert not is_torch(Path("m.onnx"))


def test_it_says_what_is_missing(form: TorchForm, definition: Path) -> None:
    assert not form.open_button.isEnabled() and "Name the definition" in form.problem.text()
    form.definition.setText(str(definition))
    assert "names no callable" in form.problem.text()
    fill(form, definition)
    assert form.open_button.isEnabled() and not form.problem.text()
    form.inputs.rows[0][1].setText("1x")
    assert not form.open_button.isEnabled() and "no shape" in form.problem.text()
    form.inputs.rows[0][1].setText("1x1")
    form.arguments.setText("{")
    assert "no JSON" in form.problem.text()


def test_consent_goes_with_the_hash_of_the_file(
    form: TorchForm, definition: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(form, definition)
    heard, asked = chosen(form), []

    def allow(_parent: object, source: Any) -> bool:
        asked.append(source)
        return True

    monkeypatch.setattr(forms, "allowed", allow)
    form.open_button.click()
    found = find_source(f"{definition}:Net")
    assert asked == [found]
    example = Example("image", (1, 1, 28, 28), "float32", (0,))
    assert heard == [TorchSource(f"{definition}:Net", "", found.sha256, (example,))]


def test_without_consent_nothing_is_opened(form: TorchForm, definition: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(form, definition)
    heard = chosen(form)
    monkeypatch.setattr(forms, "allowed", lambda *_: False)
    form.open_button.click()
    assert not heard and form.result() == 0


def test_weights_alone(form: TorchForm) -> None:
    heard = chosen(form)
    form.weights.click()
    assert heard == [TorchSource(weights_only=True)]


def test_torchscript_needs_inputs_only(qtbot: QtBot, tmp_path: Path) -> None:
    form = TorchForm(tmp_path / "script.pt", Format.SCRIPT)
    qtbot.addWidget(form)
    heard = chosen(form)
    assert form.weights.isHidden() and form.open_button.isEnabled()
    form.inputs.any_batch.setChecked(False)
    form.inputs.add("mask", "1x48~", "int64")
    form.open_button.click()
    assert heard[0].examples == (Example("x", (1, 3, 224, 224), "float32", ()), Example("mask", (1, 48), "int64", (1,)))


def test_inputs_from_samples(form: TorchForm, definition: Path) -> None:
    fill(form, definition)
    form.use_data("/data/train.npz")
    assert form.inputs.isHidden() and "train.npz" in form.data_label.text()
    assert form._source().data == "/data/train.npz" and not form._source().examples
    form.use_data("")
    assert not form.inputs.isHidden() and form._source().examples


def test_what_a_file_is_is_looked_at_without_loading_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    torch.save({"w": torch.zeros(3)}, tmp_path / "state.pt")
    monkeypatch.setattr(torch, "load", lambda *_a, **_k: pytest.fail("it was loaded"))
    assert look(tmp_path / "state.pt", SILENT) == (Format.STATE, False)
