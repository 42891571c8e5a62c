"""PyTorch files become models: names, parity, batches, what is asked for, what is kept, and the way back."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from core.analysis.runtime import session
from core.errors import Cancelled, ModelFileError, ParameterError, TargetError
from core.jobs import CompressSpec, compress_file
from core.model.readers import open_model, suffixes
from core.own_code import find_source
from core.progress import Reporter
from core.torch_files.source import TorchSource, parse_example

RECIPE = "featherweight: 1\ndefaults:\n- quantize: {bits: 8}\n"
LAYERS = ["conv.weight", "norm.weight", "fc.weight"]


def source_of(definition: Path, **more: object) -> TorchSource:
    text = f"{definition}:Small"
    return replace(TorchSource(text, "", find_source(text).sha256, (parse_example("image=1x1x4x4"),)), **more)


def test_every_ending_can_be_opened() -> None:
    assert {".onnx", ".pt2", ".pt", ".pth", ".safetensors"} <= set(suffixes())


def test_a_state_dict_with_its_definition(state_path: Path, module: torch.nn.Module, definition: Path) -> None:
    model = open_model(state_path, torch_source=source_of(definition))
    assert (model.name, model.shown_path) == ("state.pt", state_path)
    assert [layer.name for layer in model.layers if layer.name in LAYERS] == LAYERS
    assert model.inputs[0].name == "image" and model.inputs[0].shape == ("batch", 1, 4, 4)
    assert model.origin is not None and model.origin.difference is not None and model.origin.difference <= 1e-5
    assert {state_path, definition} <= set(model.data_files)
    np.testing.assert_array_equal(model.weight("fc.weight"), module.state_dict()["fc.weight"].numpy())
    run = session(model.path)
    for count in (1, 5):
        x = torch.randn(count, 1, 4, 4)
        with torch.no_grad():
            expected = module.eval()(x).numpy()
        np.testing.assert_allclose(run.run(None, {"image": x.numpy()})[0], expected, atol=1e-5)


def test_opened_again_it_is_as_it_was_and_nothing_runs(
    state_path: Path, definition: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = open_model(state_path, torch_source=source_of(definition))
    monkeypatch.setattr("subprocess.Popen", lambda *_a, **_k: pytest.fail("a process was started"))
    again = open_model(state_path)
    assert again.path == first.path and again.origin == first.origin
    by_graph = open_model(first.path)
    assert by_graph.shown_path == state_path


def test_weights_alone_say_what_is_needed_and_compress(module: torch.nn.Module, tmp_path: Path) -> None:
    state_path = tmp_path / "alone.pth"
    torch.save({"epoch": 3, "state_dict": module.state_dict()}, state_path)
    model = open_model(state_path)
    assert any("only the weights were read" in note for note in model.notes)
    assert {"conv.weight", "fc.weight"} <= {layer.name for layer in model.layers}
    assert "open it with its definition" in model.notes[0]
    out, back = tmp_path / "out.onnx", tmp_path / "back.safetensors"
    outcome = compress_file(CompressSpec(str(model.path), RECIPE, str(out), torch_target=str(back)))
    assert outcome.report.bytes_after < outcome.report.bytes_before
    assert set(load_file(back)) == set(module.state_dict())


@pytest.mark.models  # two more conversions, of some seconds each
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_exported_and_script_files(module: torch.nn.Module, tmp_path: Path) -> None:
    x = torch.randn(2, 1, 4, 4)
    module.eval()
    shapes = ({0: torch.export.Dim("batch")},)
    torch.export.save(torch.export.export(module, (x,), dynamic_shapes=shapes), tmp_path / "model.pt2")
    torch.jit.save(torch.jit.trace(module, x, check_trace=False), tmp_path / "script.pt")
    exported = open_model(tmp_path / "model.pt2")
    with pytest.raises(ModelFileError, match="does not say what its model is fed with"):
        open_model(tmp_path / "script.pt")
    script = open_model(tmp_path / "script.pt", torch_source=TorchSource(examples=(parse_example("image=1x1x4x4"),)))
    for model in (exported, script):
        assert [layer.name for layer in model.layers if layer.name in LAYERS] == LAYERS
        assert model.inputs[0].shape == ("batch", 1, 4, 4)
        assert model.origin is not None and model.origin.difference is not None and model.origin.difference <= 1e-5


def test_back_into_pytorch(state_path: Path, module: torch.nn.Module, definition: Path, tmp_path: Path) -> None:
    model = open_model(state_path, torch_source=source_of(definition))
    out, back = tmp_path / "out.onnx", tmp_path / "back.pt"
    spec = CompressSpec(str(model.path), RECIPE, str(out), torch_target=str(back))
    outcome = compress_file(spec)
    assert outcome.torch is not None and outcome.torch.changed >= 2 and not outcome.torch.reshaped
    module.load_state_dict(torch.load(back, weights_only=True))  # strict: every key, every shape
    x = torch.randn(3, 1, 4, 4)
    with torch.no_grad():
        expected = module.eval()(x).numpy()
    np.testing.assert_allclose(session(out).run(None, {"image": x.numpy()})[0], expected, atol=1e-4)


def test_cut_channels_are_written_with_their_new_shapes(state_path: Path, definition: Path, tmp_path: Path) -> None:
    model = open_model(state_path, torch_source=source_of(definition))
    recipe = "featherweight: 1\nlayers:\n  conv.weight:\n  - prune_channels: {ratio: 0.5}\n"
    back = tmp_path / "back.safetensors"
    outcome = compress_file(CompressSpec(str(model.path), recipe, str(tmp_path / "o.onnx"), torch_target=str(back)))
    assert outcome.torch is not None
    shapes = {name: now for name, _, now in outcome.torch.reshaped}
    assert shapes["conv.weight"][0] < 8 and shapes["norm.running_mean"] == shapes["conv.weight"][:1]
    assert tuple(load_file(back)["conv.weight"].shape) == shapes["conv.weight"]
    assert "the definition has to follow" in outcome.torch.words


def test_no_file_that_is_read_is_overwritten(state_path: Path, definition: Path) -> None:
    model = open_model(state_path, torch_source=source_of(definition))
    for target in (state_path, definition):
        with pytest.raises(TargetError, match="never overwritten"):
            compress_file(CompressSpec(str(model.path), RECIPE, str(target)))
    with pytest.raises(TargetError, match="never overwritten"):
        compress_file(CompressSpec(str(model.path), RECIPE, str(state_path.with_name("o.onnx")),
                                   torch_target=str(state_path)))


def test_a_model_that_is_not_from_pytorch(tmp_path: Path, mlp_path: Path) -> None:
    back = str(tmp_path / "b.pt")
    with pytest.raises(ParameterError, match="did not come from PyTorch"):
        compress_file(CompressSpec(str(mlp_path), RECIPE, str(tmp_path / "o.onnx"), torch_target=back))


@pytest.mark.models  # one more conversion
def test_safetensors_from_samples(module: torch.nn.Module, definition: Path, tmp_path: Path) -> None:
    save_file(module.state_dict(), tmp_path / "m.safetensors")
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "data.npz", image=rng.normal(size=(6, 1, 4, 4)).astype(np.float32), labels=np.arange(6))
    source = source_of(definition, examples=(), data=str(tmp_path / "data.npz"))
    model = open_model(tmp_path / "m.safetensors", torch_source=source)
    assert model.origin is not None and "samples" in model.origin.compared_on
    assert [port.name for port in model.inputs] == ["image"]


def test_cancelling_ends_the_process_and_leaves_nothing(
    state_path: Path, definition: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    cancel = threading.Event()
    heard = []

    def hear(progress: object) -> None:
        heard.append(progress)
        if len(heard) > 1:
            cancel.set()

    with pytest.raises(Cancelled):
        open_model(state_path, Reporter(hear, cancel), torch_source=source_of(definition))
    assert not list((tmp_path / "featherweight" / "torch").glob("*"))
