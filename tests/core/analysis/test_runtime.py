"""Sessions of the stock runtime: what goes wrong is a sentence."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from core.analysis.runtime import LONGEST_MESSAGE, output_names, run, session, short_message
from core.errors import DataError, ModelFileError


def test_a_path_and_bytes_give_the_same(mlp_path: Path) -> None:
    feed = {"x": np.ones((2, 16), np.float32)}
    from_path, from_bytes = session(mlp_path), session(mlp_path.read_bytes(), optimize=False, keep_memory=False)
    assert output_names(from_path) == ("logits",)
    np.testing.assert_allclose(run(from_path, feed)[0], run(from_bytes, feed)[0], rtol=1e-5)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"gone\.onnx: there is no such file; check the path\.$"):
        session(tmp_path / "gone.onnx")


@pytest.mark.parametrize("content", [b"junk" * 30, b"\x08\x09", b""])
def test_no_model(tmp_path: Path, content: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "bad.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=r"bad\.onnx: "):
        session(path)
    assert capfd.readouterr() == ("", "")


def test_an_unknown_operator(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    value = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    graph = helper.make_graph(
        [helper.make_node("NoSuch", ["x"], ["y"])],
        "g",
        [value],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)]), tmp_path / "odd.onnx")
    with pytest.raises(ModelFileError, match="NoSuch") as caught:
        session(tmp_path / "odd.onnx")
    assert "\n" not in str(caught.value)
    assert "ONNXRuntimeError" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("x", [np.ones((2, 15), np.float32), np.ones((2, 16)), np.ones(16, np.float32)])
def test_data_that_does_not_fit(mlp_path: Path, x: np.ndarray) -> None:
    with pytest.raises(DataError, match=r"mlp\.onnx: the model does not take this data"):
        run(session(mlp_path), {"x": x}, where="mlp.onnx")


def test_a_missing_input(mlp_path: Path) -> None:
    with pytest.raises(DataError, match="does not take this data"):
        run(session(mlp_path), {})


def test_messages_are_one_short_clause() -> None:
    text = short_message(
        RuntimeError("[ONNXRuntimeError] : 1 : FAIL : Load model from /a/b.onnx failed:" + "word \n" * 99)
    )
    assert text.startswith("word word")
    assert len(text) <= LONGEST_MESSAGE
    assert not re.search(r"\n|ONNXRuntimeError|/a/b", text)
