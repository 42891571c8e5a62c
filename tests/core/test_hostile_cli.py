"""Bad input at the command line: one sentence, the right exit code, nothing left behind, the source untouched."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import core
from core import cli
from core.analysis import comparison
from core.exporting import staging
from core.model.readers import open_model
from core.sample import SamplePaths

ROOT = Path(core.__file__).parents[1]
INT8 = "featherweight: 1\ndefaults: [{quantize: {bits: 8}}]\n"
node = helper.make_node


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "LATENCY_SECONDS", 0.05)


@pytest.fixture
def big_path(make_model: Callable[..., Path]) -> Path:
    """A file with two Linear layers that int8 makes smaller: x (batch x 64) -> first -> second -> y (batch x 64)."""
    rng = np.random.default_rng(0)
    weights = {name: rng.normal(0, 0.1, (64, 64)).astype(np.float32) for name in ("first", "second")}
    nodes = [node("MatMul", ["x", "first"], ["h"], name="a"), node("MatMul", ["h", "second"], ["y"], name="b")]
    return make_model(nodes, weights, {"x": ["n", 64]}, {"y": ["n", 64]}, name="big.onnx")


class Folder:
    """A folder to compress into, and what must still be true of it and of the source afterwards."""

    def __init__(self, path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        path.mkdir()
        self.path, self._capfd = path, capfd
        self.target = path / "out.onnx"
        self.recipe = path.parent / "recipe.yaml"
        self.recipe.write_text(INT8)

    def run(self, *argv: str | Path) -> tuple[int, str, str]:
        """(exit code, standard output, standard error) of a command in this process."""
        self._capfd.readouterr()
        code = cli.main([*map(str, argv), "--quiet"])
        return code, *self._capfd.readouterr()

    def compress(self, model: Path, *more: str | Path, target: Path | None = None) -> tuple[int, str, str]:
        return self.run("compress", model, "--recipe", self.recipe, "-o", target or self.target, "--json", *more)

    def refuses(self, model: Path, *more: str | Path, said: str, code: int = 2, target: Path | None = None) -> None:
        """Compressing fails with one sentence that has `said` in it, and changes nothing."""
        before, listed = digest(model), sorted(self.path.rglob("*"))
        found = self.compress(model, *more, target=target)
        assert_one_sentence(found, code, said)
        assert digest(model) == before
        assert sorted(self.path.rglob("*")) == listed

    def layers(self, model: Path, *more: str | Path) -> dict[str, dict[str, Any]]:
        """Compressing works; its layers by name."""
        before = digest(model)
        code, out, err = self.compress(model, *more)
        assert (code, err) == (0, "")
        assert digest(model) == before and list(self.path.iterdir()) == [self.target]
        return {layer["name"]: layer for layer in json.loads(out)["layers"]}


@pytest.fixture
def folder(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Folder:
    return Folder(tmp_path / "target", capfd)


def digest(path: Path) -> str:
    """Of all files beside the source as well: its external data must not change either."""
    files = sorted(file for file in path.parent.glob("*") if file.is_file()) if path.parent.is_dir() else []
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def assert_one_sentence(found: tuple[int, str, str], code: int, said: str) -> None:
    exit_code, out, err = found
    assert (exit_code, out) == (code, ""), err
    assert err.startswith("featherweight-cli: ") and err.endswith(".\n") and err.count("\n") == 1, err
    assert "Traceback" not in err and "internal error" not in err
    assert said in err, err


def save(proto: onnx.ModelProto, path: Path) -> Path:
    path.write_bytes(proto.SerializeToString())
    return path


# Model files


@pytest.mark.parametrize("command", ["inspect", "compress", "compare"])
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "the file is empty"),
        (b"just a text\n", "this is a text file"),
        (bytes(4096), "damaged"),
        (b"\x80\x04\x95" + bytes(64), "a Python pickle"),
    ],
    ids=["empty", "text", "zeros", "pickle"],
)
def test_not_an_onnx_file(folder: Folder, tmp_path: Path, command: str, content: bytes, said: str) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    if command == "compress":
        folder.refuses(path, said=said)
    elif command == "inspect":
        assert_one_sentence(folder.run("inspect", path), 2, said)
    else:
        assert_one_sentence(folder.run("compare", path, path, "--data", path), 2, said)


def test_no_such_file(folder: Folder, tmp_path: Path) -> None:
    folder.refuses(tmp_path / "none.onnx", said="there is no such file")
    assert_one_sentence(folder.run("inspect", tmp_path), 2, "this is a folder")


@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.999])
def test_truncated(folder: Folder, sample: SamplePaths, tmp_path: Path, share: float) -> None:
    data = sample.model.read_bytes()
    path = tmp_path / "model.onnx"
    path.write_bytes(data[: int(share * len(data))])
    folder.refuses(path, said="model.onnx")


def test_bit_flips(folder: Folder, mlp_path: Path) -> None:
    """Whatever a flipped bit does, the program works or says what is wrong; never a traceback, never half a file."""
    data = mlp_path.read_bytes()
    rng = np.random.default_rng(11)
    codes = set()
    for _ in range(60):
        damaged = bytearray(data)
        damaged[rng.integers(len(data) // 8) if rng.random() < 0.3 else -rng.integers(1, 400)] ^= 1 << rng.integers(8)
        mlp_path.write_bytes(damaged)
        before = digest(mlp_path)
        code, out, err = folder.compress(mlp_path)
        codes.add(code)
        if code:
            assert_one_sentence((code, out, err), code, "")
            assert list(folder.path.iterdir()) == []
        else:
            open_model(folder.target)
            folder.target.unlink()
        assert digest(mlp_path) == before
    assert codes >= {0, 2} and codes <= {0, 2, 3}


def external(path: Path, location: str, nbytes: int | None) -> Path:
    """`path` with its weight `first` in another file; nbytes: what of its 16,384 bytes is there, None for no file."""
    proto = onnx.load(path)
    weight = proto.graph.initializer[0]
    if nbytes is not None:
        (path.parent / location).write_bytes(weight.raw_data[:nbytes])
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value=location)
    weight.external_data.add(key="length", value="16384")
    return save(proto, path)


@pytest.mark.parametrize(
    ("location", "nbytes", "said"),
    [
        ("w.bin", None, "the data file 'w.bin' is missing"),
        ("w.bin", 16_383, "which has only 16,383"),
        ("../w.bin", 16_384, "outside the model's folder"),
        ("/etc/passwd", None, "outside the model's folder"),
    ],
)
def test_external_data(folder: Folder, big_path: Path, tmp_path: Path, location: str, nbytes: int, said: str) -> None:
    inner = tmp_path / "model"
    inner.mkdir()
    path = external(big_path.rename(inner / big_path.name), location, nbytes)
    assert_one_sentence(folder.run("inspect", path), 2, said)
    folder.refuses(path, said=said)


def test_external_data_is_compressed_into_one_file_and_stays_as_it_was(folder: Folder, big_path: Path) -> None:
    layers = folder.layers(external(big_path, "w.bin", 16_384))
    assert layers["first"]["bytes_after"] < 5000
    folder.refuses(big_path, target=big_path.parent / "w.bin", said="one of the files that are read")


def test_an_unknown_operator_opens_and_is_refused_by_the_gate(folder: Folder, big_path: Path) -> None:
    proto = onnx.load(big_path)
    proto.graph.node[1].op_type = "Frobnicate"
    save(proto, big_path)
    code, out, err = folder.run("inspect", big_path)
    assert (code, err) == (0, "") and "Unknown operators: Frobnicate" in out
    folder.refuses(big_path, code=3, said="ONNX Runtime does not load the export")
    np.savez(big_path.parent / "data.npz", x=np.zeros((2, 64), np.float32))
    folder.refuses(big_path, "--data", big_path.parent / "data.npz", code=3, said="Frobnicate")


def test_an_opset_too_old(folder: Folder, big_path: Path) -> None:
    proto = onnx.load(big_path)
    proto.opset_import[0].version = 6
    folder.refuses(save(proto, big_path), said="it uses opset 6, and 7 is the oldest that can be read")


def test_an_opset_that_cannot_be_raised_leaves_the_layer(folder: Folder, big_path: Path) -> None:
    proto = onnx.load(big_path)
    proto.opset_import[0].version = 7
    proto.graph.node.append(node("Upsample", ["image"], ["large"], scales=[1.0, 1.0, 2.0, 2.0], name="up"))
    proto.graph.input.append(helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 1, 2, 2]))
    proto.graph.output.append(helper.make_tensor_value_info("large", TensorProto.FLOAT, [1, 1, 4, 4]))
    folder.recipe.write_text("featherweight: 1\ndefaults: [quantize]\nlayers: {second: [bfloat16]}\n")
    layers = folder.layers(save(proto, big_path))
    assert layers["first"]["bytes_after"] < 5000 and layers["first"]["skipped"] == ""
    if layers["second"]["skipped"]:
        assert "needs opset 13" in layers["second"]["skipped"]
        assert layers["second"]["bytes_after"] == layers["second"]["bytes_before"]
    assert onnx.load(folder.target).graph.node


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_stay_and_the_others_go_on(folder: Folder, big_path: Path, value: float) -> None:
    proto = onnx.load(big_path)
    first = numpy_helper.to_array(proto.graph.initializer[0]).copy()
    first[3, 5] = value
    proto.graph.initializer[0].CopyFrom(numpy_helper.from_array(first, "first"))
    layers = folder.layers(save(proto, big_path))
    assert "1 of 4,096 weights are NaN or infinite" in layers["first"]["skipped"]
    assert layers["first"]["bytes_after"] == layers["first"]["bytes_before"]
    assert layers["second"]["skipped"] == "" and layers["second"]["bytes_after"] < 5000
    listed = json.loads(folder.run("inspect", big_path, "--json")[1])["layers"]
    assert [layer["nonfinite"] for layer in listed] == [1, 0]


def test_no_weights_at_all(folder: Folder, make_model: Callable[..., Path]) -> None:
    path = make_model([node("Relu", ["x"], ["y"])], {}, {"x": ["n", 4]}, {"y": ["n", 4]})
    code, out, _ = folder.run("inspect", path)
    assert code == 0 and "No weights were found in this model." in out
    folder.refuses(path, said="no weights were found in this model")


def test_weights_that_are_quantized_already(folder: Folder, big_path: Path) -> None:
    proto = onnx.load(big_path)
    first = numpy_helper.to_array(proto.graph.initializer[0])
    codes = np.rint(first * 100).clip(-127, 127).astype(np.int8)
    proto.graph.initializer[0].CopyFrom(numpy_helper.from_array(codes, "codes"))
    proto.graph.initializer.append(numpy_helper.from_array(np.float32(0.01), "scale"))
    proto.graph.node.insert(0, node("DequantizeLinear", ["codes", "scale"], ["first"], name="q"))
    layers = json.loads(folder.run("inspect", save(proto, big_path), "--json")[1])["layers"]
    (shown,) = (layer for layer in layers if layer["locked"])
    assert (
        shown["locked"].startswith("already compressed: int8 values")
        and shown["bytes"] >= 4096
        and shown["shape"] == [64, 64]
    )
    done = folder.layers(big_path)
    assert done[shown["name"]]["skipped"] == shown["locked"]
    assert done["second"]["skipped"] == "" and done["second"]["bytes_after"] < 5000


# Data


RIGHT = np.zeros((4, 64), np.float32)


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"pixels": RIGHT}, "there is no array for 'x': the file has 'pixels' and the model's inputs are 'x'"),
        ({"x": np.zeros((4, 63), np.float32)}, "axis 1 must be 64, not 63"),
        ({"x": np.zeros(4, np.float32)}, "array 'x' has 1 axis"),
        ({"x": np.zeros((4, 64), np.int64)}, "input 'x' wants float32 and array 'x' is int64"),
        ({"x": np.zeros((4, 64), "U3")}, "input 'x' wants float32"),
        ({"x": np.zeros((0, 64), np.float32)}, "there are no samples"),
        ({}, "there is no array for 'x'"),
        ({"x": RIGHT, "labels": np.zeros(3, int)}, "there are 4 samples and 3 labels"),
        ({"x": RIGHT, "labels": np.zeros((4, 2), int)}, "give one label a sample"),
        ({"x": RIGHT, "labels": np.full(4, -1)}, "number classes from 0"),
        ({"x": RIGHT, "labels": np.full(4, np.nan)}, "array 'labels' has NaN or infinity in 4 samples"),
    ],
)
@pytest.mark.parametrize("command", ["compress", "compare"])
def test_data_that_does_not_fit(folder: Folder, big_path: Path, command: str, arrays: Any, said: str) -> None:
    data = big_path.parent / "data.npz"
    np.savez(data, **arrays)
    if command == "compress":
        folder.refuses(big_path, "--data", data, said=said)
    else:
        assert_one_sentence(folder.run("compare", big_path, big_path, "--data", data), 2, said)


@pytest.mark.parametrize("name", ["none.npz", "text.npz", "broken.npz", "empty", "data.csv"])
def test_data_that_is_none(folder: Folder, big_path: Path, name: str) -> None:
    data = big_path.parent / name
    if name == "text.npz":
        data.write_text("no archive")
    elif name == "broken.npz":
        np.savez(data, x=RIGHT)
        data.write_bytes(data.read_bytes()[:-40])
    elif name == "empty":
        data.mkdir()
    elif name == "data.csv":
        data.write_text("1,2,3\n")
    folder.refuses(big_path, "--data", data, said=name)


def test_data_with_objects_is_never_unpickled(folder: Folder, big_path: Path) -> None:
    data = big_path.parent / "data.npz"
    np.savez(data, x=np.array([{"a": 1}], object), allow_pickle=True)
    folder.refuses(big_path, "--data", data, said="x")


def test_data_without_labels_says_why_there_is_no_accuracy(folder: Folder, big_path: Path) -> None:
    data = big_path.parent / "data.npz"
    np.savez(data, x=np.random.default_rng(0).normal(size=(4, 64)).astype(np.float32))
    code, out, _ = folder.compress(big_path, "--data", data)
    found = json.loads(out)["comparison"]
    assert code == 0 and found["accuracy_before"] is None and "no labels" in found["no_accuracy"]


# Targets


def test_the_target_is_the_source(folder: Folder, big_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    soft, hard = folder.path / "soft.onnx", folder.path / "hard.onnx"
    soft.symlink_to(big_path)
    hard.hardlink_to(big_path)
    monkeypatch.chdir(folder.path)
    relative = Path("..") / big_path.name
    for target in (big_path, soft, hard, relative, folder.path / ".." / big_path.name):
        folder.refuses(big_path, target=target, said="the target is the original model, which is never overwritten")


def test_the_target_is_the_recipe_or_the_data(folder: Folder, big_path: Path) -> None:
    data = big_path.parent / "data.npz"
    np.savez(data, x=np.zeros((2, 64), np.float32))
    for target, given in ((data, "--data"), (data, "--calib"), (folder.recipe, "--data")):
        folder.refuses(big_path, given, data, target=target, said="one of the files that are read")
    np.load(data)


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("none/out.onnx", "the target's folder does not exist"),
        ("file/out.onnx", "the target's folder does not exist"),
        (".", "the target is a folder"),
    ],
)
def test_a_target_that_cannot_be(folder: Folder, big_path: Path, target: str, said: str) -> None:
    (folder.path / "file").write_text("no folder")
    folder.refuses(big_path, target=folder.path / target, said=said)


@pytest.mark.parametrize("way", ["unnamed", "folder"])
def test_a_folder_that_nobody_may_write_in(folder: Folder, big_path: Path, way: str, monkeypatch: Any) -> None:
    """/proc has no room for files even for root, whom permissions do not bind."""
    if way == "folder":
        monkeypatch.setattr(staging, "_unnamed_file", lambda _: None)
    target = Path("/proc/out.onnx")
    assert_one_sentence(folder.compress(big_path, target=target), 2, "/proc")
    assert not target.exists()


def test_a_read_only_folder(folder: Folder, big_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    really = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != folder.path and really(path, mode))
    folder.refuses(big_path, said="the folder is read-only")


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES])
def test_a_folder_that_turns_out_read_only(folder: Folder, big_path: Path, code: int, monkeypatch: Any) -> None:
    def refuse(_: Path) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(staging, "_unnamed_file", refuse)
    folder.refuses(big_path, said="the place is read-only, nothing was written")


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_is_full(folder: Folder, big_path: Path, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "write", full)
    folder.refuses(big_path, said="the disk is full, nothing was written")


def test_no_room_for_temporary_files(folder: Folder, big_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/temporary/featherweight-1")

    with monkeypatch.context() as patched:
        patched.setattr(tempfile, "mkdtemp", full)
        folder.refuses(big_path, said="the disk with the folder for temporary files is full")
    data = big_path.parent / "data.npz"
    np.savez(data, x=RIGHT)
    monkeypatch.setattr("core.exporting.export.parity_feeds", full)
    folder.refuses(big_path, "--data", data, said="/temporary/featherweight-1")


def test_an_error_of_the_system_elsewhere(folder: Folder, big_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), "somewhere")

    monkeypatch.setattr("core.pipeline.compress", refuse)
    folder.refuses(big_path, said="somewhere: Permission denied; check that")


def program(script: str, *argv: str | Path, **more: Any) -> subprocess.CompletedProcess[bytes]:
    """`script` and then the command line in a process of its own."""
    content = textwrap.dedent(script) + "\nimport sys\nfrom core.cli import main\nsys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", content, *map(str, argv)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, env=environment, capture_output=True, timeout=120, check=False, **more)


WAYS = {"unnamed": "", "folder": "from core.exporting import staging; staging._unnamed_file = lambda folder: None"}


@pytest.mark.parametrize("way", WAYS)
def test_a_file_larger_than_the_system_allows(folder: Folder, sample: SamplePaths, way: str) -> None:
    """A real error of the system in the middle of writing: the export has 38 kB, and no file may have more than 20."""
    before = digest(sample.model)
    done = program(
        WAYS[way], "compress", sample.model, "--recipe", folder.recipe, "-o", folder.target, "--quiet",
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)),
    )  # fmt: skip
    assert_one_sentence((done.returncode, done.stdout.decode(), done.stderr.decode()), 2, str(folder.target))
    assert list(folder.path.iterdir()) == [] and digest(sample.model) == before


@pytest.mark.parametrize("way", WAYS)
def test_killed_in_the_middle_of_an_export(folder: Folder, sample: SamplePaths, way: str) -> None:
    """kill -9 while the gate looks at the whole new file: the older target stays; the next export cleans up."""
    folder.target.write_bytes(b"an older file")
    script = f"""
        import os, signal
        {WAYS[way]}
        from core.exporting import export
        def killed(original, simulated, exported, *rest, **more):
            assert exported.stat().st_size > 20_000
            os.kill(os.getpid(), signal.SIGKILL)
        export.gate = killed
    """
    argv = ("compress", sample.model, "--recipe", folder.recipe, "-o", folder.target, "--quiet")
    assert program(script, *argv).returncode == -signal.SIGKILL
    assert folder.target.read_bytes() == b"an older file"
    assert [path.name for path in folder.path.iterdir() if not path.name.startswith(".")] == ["out.onnx"]
    if way == "unnamed":
        assert len(list(folder.path.iterdir())) == 1
    assert cli.main([*map(str, argv)]) == 0
    assert list(folder.path.iterdir()) == [folder.target] and folder.target.stat().st_size > 20_000


def test_the_gate_refuses_and_nothing_is_written(folder: Folder, big_path: Path, monkeypatch: Any) -> None:
    from core.exporting import gate

    monkeypatch.setattr(gate, "largest_difference", lambda *_: 0.5)
    monkeypatch.setattr(gate, "ROUNDING_MARGIN", 0.1)
    folder.target.write_bytes(b"an older file")
    folder.refuses(big_path, code=3, said="the export differs from the simulated result")
    assert folder.target.read_bytes() == b"an older file"


# Recipes


def test_everything_wrong_with_a_recipe_is_listed_at_once(folder: Folder, big_path: Path) -> None:
    folder.recipe.write_text(
        textwrap.dedent("""\
        featherweight: 1
        colour: blue
        defaults:
          - quantise: {bits: 8}
          - quantize: {bits: 9}
          - quantize: {bitz: 8}
          - quantize: {scheme: magic}
        layers:
          firts: [prune]
          "re:conv": null
          second:
            - prune: {ratio: 1.5}
    """)
    )
    before = digest(big_path)
    found = folder.compress(big_path)
    assert digest(big_path) == before and list(folder.path.iterdir()) == []
    for said in (
        "line 2: unknown key 'colour'", "line 4: ", "'quantise'", "line 5: ", "bits", "line 6: ", "'bitz'", "line 7: ",
        "'magic'", "line 9: there is no layer 'firts' (did you mean 'first'?)", "line 10: 're:conv' matches no layer",
        "line 12: ", "1.5",
    ):  # fmt: skip
        assert_one_sentence(found, 2, said)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the recipe is empty"),
        ("featherweight: 2\n", "this is version 2"),
        ("defaults: [quantize]\n", "the version is missing"),
        ("featherweight: 1\ndefaults: [quantize: {bits: 8}\n", "not YAML"),
        ("featherweight: 1\ndefaults: !!python/object/apply:os.system [id]\n", "defaults"),
        ("[" * 100_000, "not YAML"),
        ("\0\0", "not YAML"),
    ],
)
def test_a_recipe_that_is_none(folder: Folder, big_path: Path, text: str, said: str) -> None:
    folder.recipe.write_text(text)
    folder.refuses(big_path, said=said)


def test_a_recipe_that_cannot_be_read(folder: Folder, big_path: Path) -> None:
    folder.recipe.write_bytes(b"\xff\xfe\xfa" * 9)
    folder.refuses(big_path, said="no UTF-8 text")
    folder.recipe.unlink()
    folder.refuses(big_path, said="the recipe cannot be read")
    folder.recipe.mkdir()
    folder.refuses(big_path, said="the recipe cannot be read")


@pytest.mark.parametrize("read", ["data", "metric", "recipe", "twice"])
def test_no_output_takes_the_place_of_anything_that_is_read(folder: Folder, big_path: Path, read: str) -> None:
    np.savez(folder.path / "data.npz", x=np.zeros((4, 64), np.float32))
    metric = folder.path / "metric.py"
    metric.write_text("def f(outputs, labels, inputs): return 1.0")
    recipe = folder.path / "r.yaml"
    recipe.write_text(INT8)
    target = {"data": folder.path / "data.npz", "metric": metric, "recipe": recipe, "twice": folder.path / "new"}[read]
    data = ("--data", folder.path / "data.npz", "--metric-callable", f"{metric}:f", "--allow-code")
    before = {path: path.read_bytes() for path in folder.path.iterdir()}
    compress: tuple[Any, ...] = ("compress", big_path, "--recipe", recipe, "-o", target, *data)
    compare: tuple[Any, ...] = ("compare", big_path, "--methods", "--plan", recipe, "--html", target, *data)
    commands = [(*compress, "--report", target), (*compare, "--csv", target)]
    if read != "twice":
        commands = [compress, compare]
        commands.append(("compress", big_path, "--recipe", recipe, "-o", folder.target, "--report", target, *data))
        commands.append(("report", big_path, "--recipe", recipe, "-o", target, *data))
        commands.append(("compare", big_path, "--methods", "--plan", recipe, "--csv", target, *data))
    if read in ("data", "metric"):
        commands.append(("plan", big_path, "--size", "50%", "-o", target, *data))
    for command in commands:
        assert_one_sentence(folder.run(*command), 2, "files that are read" if read != "twice" else "two files")
        assert {path: path.read_bytes() for path in folder.path.iterdir()} == before


@pytest.mark.parametrize("seed", ["-1", str(2**63), "x"])
@pytest.mark.parametrize("command", ["compress", "plan", "report", "sensitivity", "compare"])
def test_a_seed_that_no_generator_takes_is_refused_at_once(command: str, seed: str, capsys: Any) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main([command, "m.onnx", "--seed", seed])
    assert stopped.value.code == 2 and "is no whole number from 0 to" in capsys.readouterr().err


def test_words_of_plans_and_comparisons(folder: Folder, big_path: Path) -> None:
    plan = ("plan", big_path, "--size", "50%", "-o")
    assert_one_sentence(folder.run(*plan, folder.target), 2, "a plan is a recipe, not a model")
    assert_one_sentence(folder.run(*plan, folder.path / "r.yaml", "--families", ","), 2, "names no family")
    found = folder.run("compare", big_path, "--methods", "--families", "prune,foo")
    assert_one_sentence(found, 2, "there are no families 'prune', 'foo'")


def test_sensitivity_of_a_model_without_layers(folder: Folder, make_model: Callable[..., Path]) -> None:
    bare = make_model([node("Relu", ["x"], ["y"])], {}, {"x": ["n", 4]}, {"y": ["n", 4]}, name="bare.onnx")
    assert_one_sentence(folder.run("sensitivity", bare, "--level", "free"), 2, "no weights were found")


def test_pictures_that_cannot_be_read_are_told_by_every_command(
    folder: Folder, make_model: Callable[..., Path], tmp_path: Path
) -> None:
    from PIL import Image

    rng = np.random.default_rng(0)
    weights = {"w": rng.normal(0, 1, (8, 1, 3, 3)).astype(np.float32)}
    model = make_model([node("Conv", ["x", "w"], ["y"])], weights, {"x": ["n", 1, 8, 8]}, {"y": ["n", 8, 6, 6]})
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for i in range(4):
        Image.fromarray(rng.integers(0, 255, (8, 8), np.uint8)).save(pictures / f"{i}.png")
    (pictures / "bad.png").write_bytes(b"no picture")
    (folder.path / "r.yaml").write_text("featherweight: 1\ndefaults: float16\n")
    said, data = "1 of 5 pictures could not be read: bad.png.", ("--data", pictures)
    for command in (
        ("sensitivity", model, *data),
        ("report", model, "--recipe", folder.path / "r.yaml", "-o", folder.path / "a.html", *data),
        ("compare", model, model, *data),
        ("plan", model, "--size", "90%", "--minutes", "0.01", "-o", folder.path / "b.yaml", *data),
    ):
        code, out, err = folder.run(*command)
        assert code == 0 and said in out, (command, err)
        assert said in json.loads(folder.run(*command, "--json")[1])["notes"]
