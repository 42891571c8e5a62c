"""The public models' PyTorch files: each opens, layers keep the modules' names, it computes the same, and goes back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from core.jobs import CompressSpec, compress_file
from core.model.readers import open_model
from core.own_code import find_source
from core.torch_files.source import TorchSource, parse_examples

pytestmark = pytest.mark.models
RECIPE = "featherweight: 1\ndefaults:\n- quantize: {bits: 8}\n"
INPUTS = {"minilm": ("input_ids=1x16~:int64", "attention_mask=1x16~:int64")}
PICTURE = ("image=1x1x28x28",)
FILES = ("model.pt2", "torchscript.pt", "state.pt", "model.safetensors")
CASES = [(name, file) for name in ("lenet300", "lenet5", "vit_digits") for file in FILES] + [("minilm", "state.pt")]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def definition_of(folder: Path) -> str:
    """Of meta.json, where the definitions' folder is known (FEATHERWEIGHT_DEFINITIONS)."""
    import os

    place = os.environ.get("FEATHERWEIGHT_DEFINITIONS", "")
    module, _, name = json.loads((folder / "meta.json").read_text())["definition"].partition(":")
    path = Path(place) / f"{module}.py"
    if not place or not path.is_file():
        pytest.skip("FEATHERWEIGHT_DEFINITIONS does not name the folder of the definitions")
    return f"{path}:{name}"


@pytest.mark.parametrize(("name", "file"), CASES)
def test_a_public_file(models_dir: Path, tmp_path: Path, name: str, file: str) -> None:
    path = models_dir / name / file
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    examples = parse_examples(INPUTS.get(name, PICTURE))
    source = None if file == "model.pt2" else TorchSource(examples=examples)
    if file in ("state.pt", "model.safetensors"):
        text = definition_of(models_dir / name)
        source = TorchSource(text, "", find_source(text).sha256, examples)
    model = open_model(path, torch_source=source)
    state = torch.load(models_dir / name / "state.pt", weights_only=True)
    assert model.layers and {layer.name for layer in model.layers} <= set(state)
    assert model.origin is not None and model.origin.difference is not None and model.origin.difference <= 1e-5
    assert model.inputs[0].shape is not None and model.inputs[0].shape[0] == "batch"
    back = tmp_path / "back.pt"
    outcome = compress_file(CompressSpec(str(model.path), RECIPE, str(tmp_path / "o.onnx"), torch_target=str(back)))
    assert outcome.report.bytes_after < 0.4 * outcome.report.bytes_before
    written = torch.load(back, weights_only=True)
    assert {key: value.shape for key, value in written.items()} == {key: value.shape for key, value in state.items()}


def test_what_was_trained_goes_back_into_pytorch(models_dir: Path, tmp_path: Path) -> None:
    """The state_dict that a fine-tuning writes gives what its ONNX file gives."""
    import numpy as np
    import onnxruntime as ort

    from core.finetune_job import FinetuneSpec, finetune_file
    from core.training.settings import TrainingSettings

    folder = models_dir / "lenet300"
    if not (folder / "model.pt2").is_file():
        pytest.skip("the PyTorch files are not there")
    model = open_model(folder / "model.pt2")
    recipe = "featherweight: 1\ndefaults:\n- prune: {ratio: 0.8}\n- quantize: {bits: 4, scheme: codebook}\n"
    target, back = tmp_path / "trained.onnx", tmp_path / "trained.pt"
    name = model.inputs[0].name
    for part in ("valid", "test"):
        given = np.load(folder / f"{part}.npz")
        np.savez(tmp_path / f"{part}.npz", **{name: given["image"], "labels": given["labels"]})
    outcome = finetune_file(
        FinetuneSpec(
            str(model.path), recipe, str(tmp_path / "valid.npz"), str(target), TrainingSettings(epochs=2),
            test_path=str(tmp_path / "test.npz"), torch_target=str(back),
        )
    )  # fmt: skip
    assert outcome.torch is not None
    written = torch.load(back, weights_only=True)
    program = torch.export.load(folder / "model.pt2").module()  # of our own making
    program.load_state_dict(written, strict=True)
    image = np.load(folder / "test.npz")["image"][:8]
    session = ort.InferenceSession(str(target), providers=["CPUExecutionProvider"])
    found = np.concatenate([session.run(None, {name: image[i : i + 1]})[0] for i in range(8)])
    with torch.no_grad():
        wanted = torch.cat([program(torch.from_numpy(image[i : i + 1])) for i in range(8)]).numpy()
    np.testing.assert_allclose(found, wanted, atol=1e-4)
