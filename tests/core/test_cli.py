"""The command line: JSON with the promised keys, exit codes, quiet and progress, the same bytes, Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import core
from core import cli
from core.analysis import comparison
from core.errors import GateError, InternalError
from core.jobs import CompressSpec, compress_file
from core.sample import SamplePaths

ROOT = Path(core.__file__).parents[1]
INT8 = "featherweight: 1\ndefaults: [{quantize: {bits: 8}}]\n"
MIXED = INT8 + (
    "layers:\n"
    "  conv1.weight: null\n"
    '  "re:fc\\\\d":\n'
    "    - prune: {ratio: 0.5}\n"
    "    - quantize: {bits: 4, scheme: codebook}\n"
)
COMPRESS_KEYS = {
    "output", "bytes_before", "bytes_after", "bytes_predicted", "layers", "output_sqnr_db", "latency_ms_before",
    "latency_ms_after", "seconds",
}  # fmt: skip
LAYER_KEYS = {"name", "kind", "steps", "skipped", "bytes_before", "bytes_after", "weight_sqnr_db"}
INSPECT_KEYS = {
    "name", "kind", "shape", "dtype", "n_weights", "bytes", "mean", "std", "min", "max", "zeros", "outliers"
}  # fmt: skip


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "LATENCY_SECONDS", 0.05)


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(MIXED)
    return path


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Any:
    """run(*argv) -> (exit code, standard output, standard error), in this process."""

    def command(*argv: str | Path) -> tuple[int, str, str]:
        capfd.readouterr()
        code = cli.main([str(argument) for argument in argv])
        return code, *capfd.readouterr()

    return command


def program(*argv: str | Path, **more: Any) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "core.cli", *map(str, argv)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, timeout=120, check=False, **more)


def one_object(text: str) -> dict[str, Any]:
    """The text as exactly one JSON object on one line, without NaN or Infinity."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    assert text.count("\n") == 1
    found = json.loads(text, parse_constant=refuse)
    assert isinstance(found, dict)
    return found


def test_inspect(run: Any, sample: SamplePaths) -> None:
    code, out, _ = run("inspect", sample.model, "--json", "--quiet")
    data = one_object(out)
    assert code == 0 and len(data["layers"]) == 6
    for layer in data["layers"]:
        assert layer.keys() >= INSPECT_KEYS
        assert layer["min"] <= layer["mean"] <= layer["max"] and layer["std"] > 0
        assert layer["bytes"] == 4 * layer["n_weights"] == 4 * np.prod(layer["shape"])
    assert data["bytes"] == sample.model.stat().st_size
    code, out, _ = run("inspect", sample.model)
    assert code == 0 and all(layer["title"] in out for layer in data["layers"])


def test_methods(run: Any) -> None:
    code, out, err = run("methods", "--json")
    words = {(method["word"], method["scheme"]) for method in one_object(out)["methods"]}
    assert code == 0 and err == ""
    assert words >= {("prune", ""), ("quantize", "affine"), ("quantize", "codebook"), ("low_rank", "")}
    text = run("methods")[1]
    assert all(word in text for word, _ in words)


def test_compress_with_data(run: Any, sample: SamplePaths, recipe: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.onnx"
    code, out, _ = run("compress", sample.model, "--recipe", recipe, "--data", sample.data, "-o", target, "--json")
    data = one_object(out)
    assert code == 0 and data.keys() >= COMPRESS_KEYS
    assert data["output"] == str(target) and data["bytes_after"] == target.stat().st_size
    assert data["bytes_before"] == sample.model.stat().st_size
    assert data["bytes_predicted"] == pytest.approx(data["bytes_after"], rel=0.01)
    assert data["output_sqnr_db"] > 10 and data["latency_ms_before"] > 0 and data["latency_ms_after"] > 0
    layers = {layer["name"]: layer for layer in data["layers"]}
    assert all(layer.keys() >= LAYER_KEYS for layer in layers.values())
    assert layers["conv1.weight"]["steps"] == [] and layers["conv1.weight"]["weight_sqnr_db"] == 200.0
    assert len(layers["fc1.weight"]["steps"]) == 2 and len(layers["conv2.weight"]["steps"]) == 1
    assert layers["fc1.weight"]["bytes_after"] < 0.15 * layers["fc1.weight"]["bytes_before"]


def test_compress_without_data(run: Any, sample: SamplePaths, recipe: Path, tmp_path: Path) -> None:
    code, out, _ = run("compress", sample.model, "--recipe", recipe, "-o", tmp_path / "out.onnx", "--json")
    data = one_object(out)
    assert code == 0 and data.keys() >= COMPRESS_KEYS
    assert data["output_sqnr_db"] is None and data["latency_ms_after"] > 0
    assert "made-up" in data["latency_on"]
    code, out, _ = run("compress", sample.model, "--recipe", recipe, "-o", tmp_path / "out.onnx")
    assert code == 0 and "fc1.weight" in out and "accuracy" not in out


def test_compare(run: Any, sample: SamplePaths, recipe: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.onnx"
    assert run("compress", sample.model, "--recipe", recipe, "-o", target)[0] == 0
    code, out, _ = run("compare", sample.model, target, "--data", sample.data, "--json", "--limit", "50")
    data = one_object(out)
    assert code == 0 and data["n"] == 50 and data["output_sqnr_db"] > 10
    assert data["bytes_after"] == target.stat().st_size
    assert 0.5 < data["accuracy_after"] <= 1 and data["latency"]["before"]["median_ms"] > 0
    assert "accuracy" in run("compare", sample.model, target, "--data", sample.data, "--limit", "50")[1]


def test_the_same_recipe_gives_the_same_bytes(run: Any, sample: SamplePaths, recipe: Path, tmp_path: Path) -> None:
    targets = [tmp_path / f"{number}.onnx" for number in range(4)]
    for target in targets[:2]:
        assert run("compress", sample.model, "--recipe", recipe, "-o", target)[0] == 0
    done = program("compress", sample.model, "--recipe", recipe, "--data", sample.data, "-o", targets[2], "--quiet")
    assert done.returncode == 0, done.stderr
    # As the window does it: with data, and measuring each layer on the way.
    compress_file(CompressSpec(str(sample.model), MIXED, str(targets[3]), str(sample.data), limit=8))
    assert len({target.read_bytes() for target in targets}) == 1


def test_progress_goes_to_standard_error_only(sample: SamplePaths, recipe: Path, tmp_path: Path) -> None:
    done = program("compress", sample.model, "--recipe", recipe, "-o", tmp_path / "out.onnx", "--json")
    assert done.returncode == 0
    one_object(done.stdout.decode())
    lines = done.stderr.decode().splitlines()
    assert len(lines) > 1 and all(line[:4].strip().endswith("%") for line in lines)
    assert lines[-1].startswith("100%")


def test_quiet_says_nothing_on_standard_error(sample: SamplePaths, recipe: Path, tmp_path: Path) -> None:
    done = program("compress", sample.model, "--recipe", recipe, "-o", tmp_path / "out.onnx", "--json", "--quiet")
    assert (done.returncode, done.stderr) == (0, b"")
    assert one_object(done.stdout.decode()).keys() >= COMPRESS_KEYS


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["squash", "a.onnx"],
        ["inspect"],
        ["compress", "a.onnx", "-o", "b.onnx"],
        ["compress", "a.onnx", "--recipe", "r.yaml"],
        ["compress", "a.onnx", "--recipe", "r.yaml", "-o", "b.onnx", "--seed", "x"],
        ["compare"],
        ["inspect", "a.onnx", "--jsn"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_exit_code_2(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        cli.main(argv)
    assert left.value.code == 2
    out, err = capsys.readouterr()
    assert out == "" and "usage:" in err and "error:" in err


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (GateError("the export differs", do="nothing was written"), 3, "the export differs; nothing was written."),
        (InternalError("a worker died"), 1, "a worker died."),
        (MemoryError(), 1, "there is not enough memory"),
        (ZeroDivisionError("a\nb"), 1, "internal error (ZeroDivisionError: a b); please report it."),
    ],
)
def test_exit_codes(run: Any, sample: SamplePaths, monkeypatch: Any, error: Exception, code: int, said: str) -> None:
    import core.model.readers

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(core.model.readers, "open_model", fail)
    found, out, err = run("inspect", sample.model, "--quiet")
    assert (found, out) == (code, "")
    assert said in err and err.count("\n") == 1 and "Traceback" not in err


def test_debug_shows_where_an_internal_error_came_from(run: Any, sample: SamplePaths, monkeypatch: Any) -> None:
    import core.model.readers

    monkeypatch.setattr(core.model.readers, "open_model", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run("inspect", sample.model, "--debug")


def test_the_interrupt_handler_is_given_back(run: Any) -> None:
    before = signal.getsignal(signal.SIGINT)
    run("methods")
    assert signal.getsignal(signal.SIGINT) is before


def test_a_reader_that_leaves_early_sees_no_traceback() -> None:
    with subprocess.Popen([sys.executable, "-m", "core.cli", "methods"], cwd=ROOT, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE) as process:  # fmt: skip
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.wait(60) == 1
        assert process.stderr.read() == b""


def test_output_does_not_depend_on_the_terminals_encoding(mlp_path: Path) -> None:
    path = mlp_path.rename(mlp_path.with_name("größe.onnx"))
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    text = program("inspect", path, "--quiet", env=environment)
    assert text.returncode == 0 and b"gr\\xf6\\xdfe.onnx" in text.stdout
    data = program("inspect", path, "--quiet", "--json", env=environment)
    assert one_object(data.stdout.decode())["model"] == "größe.onnx"


def test_ctrl_c_leaves_nothing_behind(sample: SamplePaths, recipe: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    command = [sys.executable, "-m", "core.cli", "compress", str(sample.model), "--recipe", str(recipe), "--data",
               str(sample.data), "-o", str(target / "out.onnx")]  # fmt: skip
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        first = process.stderr.readline()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert "Compressing" in first
    assert (process.returncode, out) == (130, "")
    assert err.splitlines()[-1] == "cancelled" and "Traceback" not in err
    assert list(target.iterdir()) == []


@pytest.mark.parametrize(("redirect", "code", "said"), [
    (">&-", 0, ""),
    ("> /dev/full", 2, "standard output: the answer cannot be written"),
])  # fmt: skip
def test_a_standard_output_that_takes_nothing(redirect: str, code: int, said: str) -> None:
    if "full" in redirect and not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    command = f'"{sys.executable}" -m core.cli methods --json {redirect}'
    done = subprocess.run(["sh", "-c", command], cwd=Path(cli.__file__).parents[1], capture_output=True, text=True)
    assert done.returncode == code and done.stderr.count("\n") == bool(said)
    assert said in done.stderr


def test_a_file_larger_than_predicted_is_told(sample: SamplePaths, tmp_path: Path) -> None:
    from dataclasses import replace

    from core.commands.compress import _text

    outcome = compress_file(CompressSpec(str(sample.model), INT8, str(tmp_path / "o.onnx"), live=False))
    assert "larger than predicted" not in _text(outcome)
    report = replace(outcome.report, bytes_predicted=int(outcome.report.bytes_after / 1.02))
    assert "the file is 2.0% larger than predicted" in _text(replace(outcome, report=report))
