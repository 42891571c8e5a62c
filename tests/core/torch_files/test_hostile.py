"""Files that would run code, are damaged, or do not fit: refused in a sentence, and nothing of them runs."""

from __future__ import annotations

import json
import os
import pickle
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from core.errors import FeatherweightError, ModelFileError, ParameterError
from core.model.readers import open_model
from core.own_code import find_source
from core.torch_files import definition as definitions
from core.torch_files.exported import safe_copy
from core.torch_files.recognise import Format, recognise
from core.torch_files.script import check_code
from core.torch_files.source import TorchSource, parse_example, parse_examples
from core.torch_files.weights import fit, read_state


class Harmful:
    """Writes a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return os.mkdir, (str(self.marker),)


def test_a_pickle_with_code_is_refused_and_nothing_runs(tmp_path: Path) -> None:
    marker, path = tmp_path / "ran", tmp_path / "model.pt"
    torch.save({"weight": torch.zeros(3), "more": Harmful(marker)}, path)
    with pytest.raises(ModelFileError, match="would run code, so nothing was loaded"):
        open_model(path)
    assert not marker.exists()
    torch.load(path, weights_only=False)  # it is as harmful as it should be
    assert marker.exists()


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_bare_pickle(tmp_path: Path, protocol: int) -> None:
    marker, path = tmp_path / "ran", tmp_path / "model.pth"
    path.write_bytes(pickle.dumps(Harmful(marker), protocol))
    with pytest.raises(ModelFileError):
        read_state(path, recognise(path))
    assert not marker.exists()


def test_a_whole_pickled_module_says_what_to_do(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(3, 4), tmp_path / "whole.pt")
    with pytest.raises(ModelFileError, match=r"Python objects.*save model\.state_dict\(\)"):
        read_state(tmp_path / "whole.pt", Format.STATE)


def test_archives_that_unpack_to_more_than_they_are(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("m/data.pkl", b"\0" * (80 << 20))
    with pytest.raises(ModelFileError, match="which PyTorch never writes"):
        recognise(tmp_path / "bomb.pt")


@pytest.mark.parametrize(
    ("content", "suffix"),
    [(b"", ".pt"), (b"PK\x03\x04 and no more", ".pt"), (b"hello", ".pth"), (b"\xff" * 64, ".safetensors"),
     ((2**60).to_bytes(8, "little") + b"{}", ".safetensors")],
)  # fmt: skip
def test_no_pytorch_file(tmp_path: Path, content: bytes, suffix: str) -> None:
    path = tmp_path / f"m{suffix}"
    path.write_bytes(content)
    with pytest.raises(ModelFileError) as caught:
        open_model(path)
    assert str(caught.value).startswith(f"m{suffix}: ") and str(caught.value).count("\n") == 0


def test_a_file_that_is_cut_off(tmp_path: Path, state_path: Path) -> None:
    path = tmp_path / "cut.pt"
    path.write_bytes(state_path.read_bytes()[:-300])
    with pytest.raises(ModelFileError, match="damaged or cut off"):
        recognise(path)


def test_safetensors_with_a_bad_header(tmp_path: Path) -> None:
    header = json.dumps({"w": {"dtype": "F32", "shape": [4], "data_offsets": [0, 4000]}}).encode()
    path = tmp_path / "bad.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + b"\0" * 16)
    with pytest.raises(ModelFileError, match="header of this safetensors file is damaged"):
        read_state(path, recognise(path))


# -- torch.export -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pt2") / "model.pt2"
    shapes = ({0: torch.export.Dim("batch")},)
    torch.export.save(torch.export.export(torch.nn.Linear(3, 4), (torch.zeros(2, 3),), dynamic_shapes=shapes), path)
    return path


def changed(source: Path, target: Path, member: str, change: Callable[[str], str]) -> Path:
    """The archive with one member's text changed."""
    with zipfile.ZipFile(source) as before, zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as after:
        for info in before.infolist():
            content = before.read(info)
            if info.filename.endswith(member):
                text = change(content.decode())
                assert text.encode() != content
                content = text.encode()
            after.writestr(info.filename, content)
    return target


def test_a_plain_program_is_taken_and_its_comments_are_not(exported: Path, tmp_path: Path) -> None:
    safe_copy(exported, tmp_path / "copy.pt2")
    with zipfile.ZipFile(tmp_path / "copy.pt2") as archive:
        assert b"stack_trace" not in archive.read("model/models/model.json")
    program = torch.export.load(tmp_path / "copy.pt2")
    assert program.module()(torch.zeros(5, 3)).shape == (5, 4)


@pytest.mark.parametrize(
    ("member", "old", "new", "said"),
    [
        ("models/model.json", "torch.ops.aten.linear.default", "torch.os.system", "no operator of ATen"),
        ("models/model.json", "torch.ops.aten.linear.default", "torch.ops.aten.from_file.default", "no operator"),
        ("models/model.json", "torch.ops.aten.linear.default", "_operator.methodcaller", "no operator of ATen"),
        ("models/model.json", "torch.ops.aten.linear.default", "torch.hub.load", "no operator of ATen"),
        ("models/model.json", "Symbol('s", "__import__('os').mkdir('s", "no arithmetic of sizes"),
        ("models/model.json", "integer=True)", "integer=True).__class__", "no arithmetic of sizes"),
        ("models/model.json", "builtins.tuple", "collections.defaultdict", "would import code"),
        ("weights/model_weights_config.json", '"use_pickle": false', '"use_pickle": true', "never loaded"),
        ("weights/model_weights_config.json", '"path_name": "weight_0"', '"path_name": "../x"', "never loaded"),
    ],
)  # fmt: skip
def test_programs_that_could_run_something(
    exported: Path, tmp_path: Path, member: str, old: str, new: str, said: str
) -> None:
    path = changed(exported, tmp_path / "bad.pt2", member, lambda text: text.replace(old, new))
    with pytest.raises(ModelFileError, match=said):
        safe_copy(path, tmp_path / "copy.pt2")
    assert not (tmp_path / "copy.pt2").exists()


# -- TorchScript ------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torchscript_that_writes_a_file_when_loaded(tmp_path: Path) -> None:
    class Writes(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            torch.save(x, "MARKER")
            return x

    path = tmp_path / "script.pt"
    torch.jit.save(torch.jit.script(Writes()), path)
    assert recognise(path) is Format.SCRIPT
    with pytest.raises(ModelFileError, match="can reach files"):
        check_code(path)


@pytest.mark.parametrize(
    "line",
    ["torch.save(x, 'f')", "(x).save('f')", "ops.aten.save(x, 'f')", "torch.from_file('f')", "ops.mine.run(x)",
     "getattr(torch, 'save')(x, 'f')", "__torch__.torch.classes.mine.Thing()", "torch.rpc_sync('w', x)"],
)  # fmt: skip
def test_code_that_reaches_outside(tmp_path: Path, line: str) -> None:
    path = tmp_path / "script.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("m/constants.pkl", b"")
        archive.writestr("m/code/__torch__.py", f"class M(Module):\n  def forward(self, x):\n    _0 = {line}\n")
    with pytest.raises(ModelFileError, match="can reach files"):
        check_code(path)


# -- definitions ------------------------------------------------------------------------------------------------------


def test_a_definition_runs_only_when_allowed_and_unchanged(state_path: Path, tmp_path: Path) -> None:
    marker, path = tmp_path / "ran", tmp_path / "net.py"
    path.write_text(f"import os\nos.mkdir({str(marker)!r})\n")
    source = TorchSource(f"{path}:Net", examples=(parse_example("x=1x1x4x4"),))
    with pytest.raises(ParameterError, match="was not allowed to run"):
        open_model(state_path, torch_source=source)
    allowed = replace(source, allowed=find_source(source.definition).sha256)
    path.write_text(path.read_text() + "# more\n")
    with pytest.raises(ParameterError, match="has changed since"):
        open_model(state_path, torch_source=allowed)
    assert not marker.exists()


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [("Nothing", "", "has no callable 'Nothing'"), ("not_a_module", "", "gives a int, not a torch.nn.Module"),
     ("Small", '{"depth": 3}', "the definition failed: TypeError"), ("Small", "[1]", "no JSON object")],
)  # fmt: skip
def test_definitions_that_give_no_module(definition: Path, name: str, arguments: str, said: str) -> None:
    text = f"{definition}:{name}"
    with pytest.raises(FeatherweightError, match=said):
        definitions.build(TorchSource(text, arguments, find_source(text).sha256))


def test_a_state_dict_that_does_not_fit_names_what(module: torch.nn.Module) -> None:
    state = dict(module.state_dict())
    state["extra.weight"] = state.pop("fc.bias")
    state["fc.weight"] = torch.zeros(3, 3)
    with pytest.raises(ModelFileError) as caught:
        fit(module, state, "m.pt")
    said = str(caught.value)
    assert "missing: fc.bias" in said and "not in the definition: extra.weight" in said
    assert "fc.weight is [3, 3] and should be [10, 128]" in said


def test_a_wrapper_s_prefix_is_taken_off(module: torch.nn.Module) -> None:
    state = {f"module.{name}": value + 1 for name, value in module.state_dict().items()}
    assert "'module.'" in fit(module, state, "m.pt")
    torch.testing.assert_close(module.state_dict()["fc.bias"], state["module.fc.bias"])


@pytest.mark.parametrize("text", ["x", "x=", "=1x3", "x=1x-3", "x=0x3", "x=1x3:int3", "x=1xx3", "x=1e9x1e9"])
def test_examples_that_cannot_be_read(text: str) -> None:
    if text == "x=":
        assert parse_example(text).shape == ()
        return
    with pytest.raises(ParameterError):
        parse_example(text)


def test_examples() -> None:
    first, second = parse_examples(["a=1x3x8", "b=1x48~:int64"])
    assert (first.shape, first.dtype, first.varies) == ((1, 3, 8), "float32", (0,))
    assert (second.shape, second.dtype, second.varies) == ((1, 48), "int64", (0, 1))
    assert parse_example(second.text) == second
    assert parse_example("a=1x3", fixed_batch=True).varies == ()
    with pytest.raises(ParameterError, match="given twice"):
        parse_examples(["a=1", "a=2"])
