"""Files that are no models, damaged or malicious: one sentence each, never a traceback, a hang or a crash."""

from __future__ import annotations

import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from core.errors import FeatherweightError, ModelFileError
from core.model.readers import open_model

Make = Callable[..., Path]
node = helper.make_node


def not_models() -> dict[str, tuple[bytes, str]]:
    return {
        "empty": (b"", "the file is empty"),
        "text": (b"import os\nprint('hello')\n", "text file"),
        "text after an empty line": ("\n  Größe: 3\n".encode(), "text file"),
        "pickle": (pickle.dumps({"weight": [1, 2, 3]}), "pickle"),
        "old pickle": (pickle.dumps([1], protocol=2), "pickle"),
        "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 2\n", "Git LFS pointer"),
        "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(64), "HDF5"),
        "tflite": (b"\x1c\0\0\0TFL3" + bytes(64), "TensorFlow Lite"),
        "zeros": (bytes(4096), "damaged"),
        "ones": (b"\xff" * 4096, "damaged"),
        "one byte": (b"\x08", "damaged"),
        "no graph": (b"\x08\x09", "not an ONNX model"),
    }


@pytest.mark.parametrize("kind", not_models())
def test_not_a_model(tmp_path: Path, kind: str) -> None:
    content, problem = not_models()[kind]
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=problem) as caught:
        open_model(path)
    assert str(caught.value).startswith("model.onnx: ")


@pytest.mark.parametrize("suffix", [".onnx", ""])
def test_pytorch_files_under_another_name(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"model{suffix}"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("model/data.pkl", pickle.dumps(1))
    with pytest.raises(ModelFileError, match=r"give its name the ending \.pt"):
        open_model(path)


def test_a_folder_a_missing_file_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.onnx")
    for path, problem in (
        (tmp_path, "this is a folder"),
        (tmp_path / "none.onnx", "there is no such file"),
        (tmp_path / "pipe.onnx", "not a regular file"),
        (Path("nul\0.onnx"), "cannot be read"),
        (tmp_path / ("x" * 5000), "cannot be read"),
    ):
        with pytest.raises(ModelFileError, match=problem):
            open_model(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(mlp_path: Path) -> None:
    mlp_path.chmod(0)
    with pytest.raises(ModelFileError, match="may not be read"):
        open_model(mlp_path)


@pytest.mark.parametrize("dims", [[-1, 4], [2**62, 4], [2**31, 2**31], [5, 4], [0, 4], [2**40, 0, 2**40]])
def test_dimensions_that_do_not_fit(mlp_path: Path, dims: list[int]) -> None:
    proto = onnx.load(mlp_path)
    weight = proto.graph.initializer[0]
    del weight.dims[:]
    weight.dims.extend(dims)
    onnx.save(proto, mlp_path)
    with pytest.raises(ModelFileError, match=r"mlp.onnx: 'fc1.weight' (has the impossible shape|holds 2,048 bytes)"):
        open_model(mlp_path)


def test_a_circle(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [node("Add", ["x", "b"], ["a"]), node("Relu", ["a"], ["b"])],
        "g",
        [helper.make_tensor_value_info("x", 1, [1])],
        [helper.make_tensor_value_info("b", 1, [1])],
    )
    write(graph, tmp_path / "circle.onnx")
    with pytest.raises(ModelFileError, match=r"circle.onnx: the graph runs in a circle"):
        open_model(tmp_path / "circle.onnx")


def test_a_value_that_nothing_produces(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [node("Add", ["x", "ghost"], ["a"])],
        "g",
        [helper.make_tensor_value_info("x", 1, [1])],
        [helper.make_tensor_value_info("a", 1, [1])],
    )
    write(graph, tmp_path / "ghost.onnx")
    with pytest.raises(ModelFileError, match=r"reads 'ghost', which nothing produces"):
        open_model(tmp_path / "ghost.onnx")


def test_nodes_out_of_order_are_put_in_order(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [node("Relu", ["a"], ["b"]), node("Abs", ["x"], ["a"])],
        "g",
        [helper.make_tensor_value_info("x", 1, [1])],
        [helper.make_tensor_value_info("b", 1, [1])],
    )
    write(graph, tmp_path / "order.onnx")
    assert [n.op_type for n in open_model(tmp_path / "order.onnx").graph().graph] == ["Abs", "Relu"]


@pytest.mark.parametrize("depth", [60, 2_000])
def test_graphs_nested_without_end(tmp_path: Path, depth: int) -> None:
    """Each level is a GraphProto in an AttributeProto in a NodeProto."""
    body = b""
    for _ in range(depth):
        for tag in (b"\x32", b"\x2a", b"\x0a"):  # g, attribute, node
            body = tag + varint(len(body)) + body
    path = tmp_path / "deep.onnx"
    path.write_bytes(b"\x08\x09" + b"\x42\x02\x10\x14" + b"\x3a" + varint(len(body)) + body)
    with pytest.raises(ModelFileError):
        open_model(path)


def test_a_constant_that_would_take_all_memory(make_model: Make) -> None:
    zero = helper.make_tensor("zero", TensorProto.FLOAT, [1], [0.0])
    nodes = [node("ConstantOfShape", ["size"], ["w"], value=zero), node("MatMul", ["x", "w"], ["y"])]
    path = make_model(nodes, {"size": np.array([2**20, 2**20])}, {"x": [1, 2**20]}, {"y": [1, 2**20]})
    model = open_model(path)
    for layer in model.layers:
        with pytest.raises(ModelFileError, match="impossible"):
            model.weight(layer.name)


@pytest.mark.timeout(30)
@pytest.mark.parametrize("op", ["Identity", "Neg"])
def test_very_long_chains_of_constants(tmp_path: Path, op: str) -> None:
    """Every value is used again by a node that is not constant: following each to its start would never end."""
    nodes = [node(op, ["w"], ["c0"])]
    for number in range(1_500):
        nodes.append(node(op, [f"c{number}"], [f"c{number + 1}"]))
        nodes.append(node("MatMul", ["x", f"c{number + 1}"], [f"y{number}"]))
    weight = numpy_helper.from_array(np.eye(8, dtype=np.float32), "w")
    outputs = [helper.make_tensor_value_info("y0", 1, [1, 8])]
    write(
        helper.make_graph(nodes, "g", [helper.make_tensor_value_info("x", 1, [1, 8])], outputs, [weight]),
        tmp_path / "long.onnx",
    )
    try_everything(tmp_path / "long.onnx")


@pytest.mark.timeout(60)
def test_a_file_of_endless_fields(tmp_path: Path) -> None:
    path = tmp_path / "fields.onnx"
    path.write_bytes(b"\x08\x01" * 8_000_000)
    with pytest.raises(ModelFileError, match="not an ONNX model"):
        open_model(path)


def hostile_base() -> bytes:
    """A small model with everything that the reader looks at: Conv, Gemm, Constant, int8 weights, an If, float_data."""
    rng = np.random.default_rng(1)

    def array(*shape: int) -> np.ndarray:
        return rng.normal(0, 1, shape).astype(np.float32)

    inner = numpy_helper.from_array(array(20, 20))
    branches = {
        name: helper.make_graph(
            [node("Constant", [], [f"k{name}"], value=inner), node("MatMul", ["h", f"k{name}"], [name])],
            name,
            [],
            [helper.make_tensor_value_info(name, 1, [1, 20])],
        )
        for name in ("then_branch", "else_branch")
    }
    nodes = [
        node("Conv", ["x", "conv.weight"], ["c"]),
        node("Flatten", ["c"], ["f"]),
        node("Gemm", ["f", "fc.weight", "fc.bias"], ["g"], transB=1),
        node("Cast", ["codes"], ["w1"], to=1),
        node("Mul", ["w1", "scale"], ["w2"]),
        node("Reshape", ["w2", "dims"], ["q.weight"]),
        node("MatMul", ["g", "q.weight"], ["h"]),
        node("If", ["which"], ["y"], **branches),
    ]
    tensors = [
        numpy_helper.from_array(array(8, 3, 3, 3), "conv.weight"),
        numpy_helper.from_array(array(16, 8), "fc.weight"),
        helper.make_tensor("fc.bias", 1, [16], array(16)),
        numpy_helper.from_array(rng.integers(-9, 9, (320,)).astype(np.int8), "codes"),
        numpy_helper.from_array(np.float32(0.1), "scale"),
        numpy_helper.from_array(np.array([16, 20]), "dims"),
        helper.make_tensor("unused", 1, [300], array(300)),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [
            helper.make_tensor_value_info("x", 1, [1, 3, 3, 3]),
            helper.make_tensor_value_info("which", TensorProto.BOOL, []),
        ],
        [helper.make_tensor_value_info("y", 1, [1, 20])],
        tensors,
    )
    return helper.make_model(graph, ir_version=9, opset_imports=[helper.make_opsetid("", 20)]).SerializeToString()


def mutations(data: bytes, count: int, seed: int, structure: int | None = None) -> list[bytes]:
    """Seeded damage: flipped bits and bytes, cuts, pieces copied, removed or zeroed.

    structure  damage only bytes before this position or after the last as many, where the structure lies, else anywhere
    """
    rng = np.random.default_rng(seed)
    span = min(structure or len(data), len(data))

    def place() -> int:
        at = int(rng.integers(span))
        return at if rng.random() < 0.5 or structure is None else len(data) - 1 - at

    out = []
    for number in range(count):
        copy = bytearray(data)
        kind = number % 6
        at, length = place(), int(rng.integers(1, 64))
        if kind == 0:
            copy[at] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            for _ in range(8):
                copy[place()] = int(rng.integers(256))
        elif kind == 2:
            del copy[at:]
        elif kind == 3:
            source = place()
            copy[at:at] = data[source : source + length]
        elif kind == 4:
            del copy[at : at + length]
        else:
            copy[at : at + length] = bytes(len(copy[at : at + length]))
        out.append(bytes(copy))
    return out


def try_everything(path: Path) -> bool:
    """Open and use a damaged file. True when it opened; anything but a FeatherweightError comes through."""
    try:
        model = open_model(path)
        model.graph()
    except FeatherweightError as error:
        text = str(error)
        assert text.endswith(".") and "\n" not in text and len(text) < 1000
        return False
    for layer in model.layers:
        try:
            assert model.weight(layer.name).shape == layer.shape
        except FeatherweightError:
            continue
    return True


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_five_hundred_mutations(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    opened = 0
    for damaged in mutations(hostile_base(), 500, seed=0):
        path.write_bytes(damaged)
        opened += try_everything(path)
        path.unlink()
    assert 50 < opened < 450  # both ways are really taken


@pytest.mark.models
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", ["lenet300", "silero_vad", "ppocr_cls"])
def test_mutations_of_public_models(tmp_path: Path, models_dir: Path, name: str) -> None:
    data = (models_dir / name / "model.onnx").read_bytes()
    path = tmp_path / "m.onnx"
    for damaged in mutations(data, 60, seed=len(name), structure=60_000):
        path.write_bytes(damaged)
        try_everything(path)
        path.unlink()


def write(graph: onnx.GraphProto, path: Path) -> None:
    path.write_bytes(
        helper.make_model(graph, ir_version=9, opset_imports=[helper.make_opsetid("", 20)]).SerializeToString()
    )


def varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])
