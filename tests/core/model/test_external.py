"""External data: lazy, checked when the file is opened, and never from outside the model's folder."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import onnx
import psutil
import pytest
from onnx import TensorProto, helper

from core.errors import ModelFileError
from core.model.readers import open_model

GIGABYTE = 2**30


def external_model(
    folder: Path, location: str, rows: int = 8, offset: int | None = None, length: int | None = None
) -> Path:
    """y = x @ w with w (rows x 8, float32) in an external file that is not written here."""
    weight = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[rows, 8], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", location), ("offset", offset), ("length", length)):
        if value is not None:
            weight.external_data.add(key=key, value=str(value))
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, rows])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 8])],
        [weight],
    )
    path = folder / "model.onnx"
    path.write_bytes(
        helper.make_model(graph, ir_version=9, opset_imports=[helper.make_opsetid("", 20)]).SerializeToString()
    )
    return path


def test_external_data_is_read_where_it_lies(tmp_path: Path) -> None:
    values = np.arange(64, dtype=np.float32)
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "w.bin").write_bytes(b"\0" * 16 + values.tobytes() + b"\0" * 8)
    path = external_model(tmp_path, "weights/w.bin", offset=16, length=256)
    model = open_model(path)
    np.testing.assert_array_equal(model.weight("w"), values.reshape(8, 8))
    assert model.file_bytes == path.stat().st_size + 280
    assert model.graph().graph.initializers["w"].const_value.tobytes() == values.tobytes()


def test_offset_and_length_may_be_left_out(tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(np.ones(64, np.float32).tobytes())
    np.testing.assert_array_equal(open_model(external_model(tmp_path, "w.bin")).weight("w"), np.ones((8, 8)))


@pytest.mark.parametrize(
    "location", ["../w.bin", "/etc/passwd", "a/../../w.bin", "C:\\w.bin", "\\\\host\\w.bin", "", "link.bin"]
)
def test_data_outside_the_folder_is_refused(tmp_path: Path, location: str) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "w.bin").write_bytes(bytes(256))
    os.symlink(tmp_path / "w.bin", folder / "link.bin")
    with pytest.raises(
        ModelFileError, match=r"model.onnx: .* outside the model's folder; external data must lie beside"
    ):
        open_model(external_model(folder, location))


def test_missing_data_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"model.onnx: the data file 'w.bin' is missing; put it into the folder"):
        open_model(external_model(tmp_path, "w.bin"))


@pytest.mark.parametrize(("offset", "length"), [(None, None), (0, 256), (2**62, 256)])
def test_short_data_is_noticed_when_opening(tmp_path: Path, offset: int | None, length: int | None) -> None:
    (tmp_path / "w.bin").write_bytes(bytes(255))
    with pytest.raises(ModelFileError, match=r"model.onnx: the data of 'w' should lie at bytes"):
        open_model(external_model(tmp_path, "w.bin", offset=offset, length=length))


def test_a_length_that_does_not_fit_the_shape(tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(bytes(1024))
    with pytest.raises(ModelFileError, match=r"'w' holds 128 bytes of data, but its shape \[8, 8\] needs 256"):
        open_model(external_model(tmp_path, "w.bin", offset=0, length=128))


@pytest.mark.parametrize("value", ["many", "-4", "", "1e3"])
@pytest.mark.parametrize("key", ["offset", "length"])
def test_an_offset_that_is_no_number(tmp_path: Path, key: str, value: str) -> None:
    (tmp_path / "w.bin").write_bytes(bytes(256))
    path = external_model(tmp_path, "w.bin", offset=0, length=256)
    proto = onnx.load(path, load_external_data=False)
    next(entry for entry in proto.graph.initializer[0].external_data if entry.key == key).value = value
    path.write_bytes(proto.SerializeToString())
    with pytest.raises(ModelFileError, match=f"the data of 'w' has the impossible {key} '{value}'"):
        open_model(path)


@pytest.mark.parametrize("external", [True, False])
def test_two_gigabytes_open_without_being_read(tmp_path: Path, external: bool) -> None:
    """A sparse file: reading it would take seconds and gigabytes."""
    rows = GIGABYTE * 2 // 32 - 4096
    if external:
        path = external_model(tmp_path, "w.bin", rows, 0, rows * 32)
        with open(tmp_path / "w.bin", "wb") as file:
            file.truncate(rows * 32)
    else:
        path = inline_model(tmp_path / "model.onnx", rows)
    memory = psutil.Process().memory_info().rss
    start = time.perf_counter()
    model = open_model(path)
    seconds = time.perf_counter() - start
    graph = model.graph()
    assert seconds < 1
    assert psutil.Process().memory_info().rss - memory < 100 * 2**20
    assert model.layers[0].nbytes == rows * 32
    assert graph.graph.initializers["w"].const_value.nbytes == rows * 32
    assert float(model.weight("w")[-1, -1]) == 0


def inline_model(path: Path, rows: int) -> Path:
    """The same model with its weight inside the file, written as a hole."""
    small = external_model(path.parent, "w.bin", 8)
    proto = onnx.load(small, load_external_data=False)
    weight = proto.graph.initializer[0]
    weight.Clear()
    weight.name, weight.data_type = "w", TensorProto.FLOAT
    weight.dims.extend([rows, 8])
    size = rows * 32
    tensor = weight.SerializeToString() + b"\x4a" + varint(size)
    del proto.graph.initializer[:]
    graph = proto.graph.SerializeToString() + b"\x2a" + varint(len(tensor) + size) + tensor
    proto.ClearField("graph")
    head = proto.SerializeToString() + b"\x3a" + varint(len(graph) + size) + graph
    with open(path, "wb") as file:
        file.write(head)
        file.truncate(len(head) + size)
    return path


def varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])
