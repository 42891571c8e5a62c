"""What stock ONNX Runtime makes of encodings, to compare with what they say of themselves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from core.encoding import Affine, Codebook, Codes, ConvChain, Encoding, Float, LowRank, Sparse, Sum, Trellis, Trits
from core.encoding.emitter import GraphEmitter
from core.encoding.trellis import lead_of

SHAPES = [(1,), (13,), (501,), (61, 7), (16, 64), (4, 3, 5), (5, 3, 10, 7), (3, 5, 7, 1, 11)]
ZEROS = [0.0, 0.3, 0.6, 0.9, 0.97, 1.0]


def _element_type(dtype: str) -> int:
    """ONNX's number of an element type."""
    return TensorProto.DataType.Value("FLOAT" if dtype == "float32" else dtype.upper())


def _graph(
    encodings: Sequence[Encoding], opset: int, nodes: Sequence = (), inputs: Sequence = (), outputs: Sequence = ()
):
    """A GraphProto that rebuilds the encodings as value0, value1, ... and then does `nodes`."""
    names = count()
    emitter = GraphEmitter(opset, lambda: f"w{next(names):03d}")
    for i, encoding in enumerate(encodings):
        emitter.emit(encoding, f"value{i}")
    tensors = [
        helper.make_tensor(t.name, _element_type(t.dtype), t.array.shape, t.array.tobytes(), raw=True)
        for t in emitter.tensors
    ]
    made = []
    for n in emitter.nodes:
        plain = {k: numpy_helper.from_array(v) if isinstance(v, np.ndarray) else v for k, v in n.attributes.items()}
        made.append(helper.make_node(n.op, n.inputs, [n.output], **plain))
    declared = [n for n in emitter.nodes if n.dtype is not None]
    infos = [helper.make_tensor_value_info(n.output, _element_type(n.dtype), n.shape) for n in declared]
    return helper.make_graph([*made, *nodes], "g", inputs, outputs, tensors, value_info=infos)


def _model(encodings: Sequence[Encoding], opset: int) -> onnx.ModelProto:
    """A model whose output i is encoding i minus the input "x", a scalar."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [])
    outputs = [helper.make_tensor_value_info(f"y{i}", TensorProto.FLOAT, e.shape) for i, e in enumerate(encodings)]
    nodes = [helper.make_node("Sub", [f"value{i}", "x"], [f"y{i}"]) for i in range(len(encodings))]
    graph = _graph(encodings, opset, nodes, [x], outputs)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=7 if opset < 19 else 10)


@pytest.fixture
def graph_of() -> Callable[..., onnx.GraphProto]:
    """graph_of(encodings, opset) -> the GraphProto that rebuilds them."""
    return _graph


@pytest.fixture
def rebuild() -> Callable[..., list[np.ndarray]]:
    """rebuild(encodings, opset, optimize) -> what ONNX Runtime rebuilds from a model that the checker accepts."""

    def run(encodings: Sequence[Encoding], opset: int = 13, optimize: bool = True) -> list[np.ndarray]:
        model = _model(encodings, opset)
        onnx.checker.check_model(model, full_check=True)
        options = ort.SessionOptions()
        levels = ort.GraphOptimizationLevel
        options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimize else levels.ORT_DISABLE_ALL
        options.intra_op_num_threads = 1
        session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return session.run(None, {"x": np.zeros((), np.float32)})

    return run


@pytest.fixture
def operators_left(tmp_path: Path) -> Callable[..., list[str]]:
    """operators_left(encodings, opset) -> operators that are left when a session has loaded, those on "x" excepted."""

    def run(encodings: Sequence[Encoding], opset: int = 13) -> list[str]:
        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
        options.log_severity_level = 3
        ort.InferenceSession(_model(encodings, opset).SerializeToString(), options, providers=["CPUExecutionProvider"])
        loaded = onnx.load(options.optimized_model_filepath)
        return [node.op_type for node in loaded.graph.node if "x" not in node.input]

    return run


@pytest.fixture(scope="session")
def random_codes() -> Callable[..., Codes]:
    """random_codes(rng, shape, bits, signed=False)."""

    def make(rng: np.random.Generator, shape: tuple[int, ...], bits: int, signed: bool = False) -> Codes:
        values = rng.integers(0, 1 << bits, shape, dtype=np.uint16).astype(np.uint8)
        return Codes(values.view(np.int8) if signed else values, bits, signed)

    return make


@pytest.fixture(scope="session")
def catalogue(random_codes) -> list[Encoding]:
    """Every encoding in every variant on shapes of rank 1 to 5, sizes of 1 weight and of no multiple of 8 included."""
    rng = np.random.default_rng(7)
    made: list[Encoding] = []
    for shape in SHAPES:
        values = rng.normal(size=shape).astype(np.float32)
        made += [Float(values), Float(values, "float16"), Float(values, "bfloat16")]
        made += _affines(rng, shape, random_codes)
        for bits in range(1, 9):
            made.append(Codebook(random_codes(rng, shape, bits), rng.normal(size=1 << bits).astype(np.float32)))
        made.append(Codebook(Codes(np.zeros(shape, np.uint8), 1), np.float32([0.3]), "float16"))
        made += _sparses(rng, values, random_codes)
        made += _with_tables(rng, values, random_codes)
        made += _trellises(rng, shape, random_codes)
    made += _low_ranks(rng, random_codes)
    made += _conv_chains(rng, random_codes)
    return made


def _affines(rng: np.random.Generator, shape: tuple[int, ...], random_codes) -> list[Encoding]:
    made: list[Encoding] = []
    per_channel = (shape[0], *(1 for _ in shape[1:]))
    for bits in range(1, 9):
        codes = random_codes(rng, shape, bits)
        made.append(Affine(codes, np.float32(0.1), np.float32(1 << bits - 1)))
        made.append(Affine(codes, rng.random(per_channel), rng.integers(0, 1 << bits, per_channel)))
    for axis, size in enumerate(shape):
        channels = Affine.channels(rng.random(size), len(shape), axis)
        made.append(Affine(random_codes(rng, shape, 8, signed=True), channels, scale_dtype="float16"))
    axis = len(shape) // 2
    for block in (2, 3, 4, 64):
        blocks = (*shape[:axis], -(-shape[axis] // block), *shape[axis + 1 :])
        codes = random_codes(rng, shape, 4)
        made.append(Affine(codes, rng.random(blocks), np.float32(8), axis, block, "float16"))
        made.append(Affine(codes, rng.random(blocks), rng.integers(0, 16, blocks), axis, block))
        if axis:
            made.append(Affine(codes, rng.random(per_channel), rng.random(blocks), axis, block))
    return made


def _sparses(rng: np.random.Generator, values: np.ndarray, random_codes) -> list[Encoding]:
    made: list[Encoding] = []
    per_channel = (values.shape[0], *(1 for _ in values.shape[1:]))
    for zeros in ZEROS:
        mask = rng.random(values.shape) >= zeros
        kept = (int(mask.sum()),)
        codes = random_codes(rng, kept, 3)
        made.append(Sparse.encode(Float(values[mask]), mask))
        made.append(Sparse.encode(Float(values[mask], "float16"), mask))
        made.append(Sparse.encode(Codebook(codes, rng.normal(size=8).astype(np.float32)), mask))
        made.append(Sparse.encode(Affine(codes, np.float32(0.5), np.float32(3)), mask))
        made.append(Affine(Sparse.encode(codes, mask, fill=4.0), rng.random(per_channel), np.float32(4)))
    return made


def _with_tables(rng: np.random.Generator, values: np.ndarray, random_codes) -> list[Encoding]:
    """Shared tables behind scales, ternary codes, and sums with outliers."""
    shape = values.shape
    per_channel = rng.random((shape[0], *(1 for _ in shape[1:]))).astype(np.float32)
    trits = Trits(rng.integers(0, 3, shape).astype(np.uint8))
    table = Codebook(random_codes(rng, shape, 4), np.sort(rng.normal(size=16)).astype(np.float32), shared=True)
    eight = Codebook(random_codes(rng, shape, 8), np.linspace(-9, 9, 256, dtype=np.float32), "float16", shared=True)
    scaled = [Affine(trits, scale, np.float32(1)) for scale in (np.float32(0.7), per_channel)]
    made: list[Encoding] = [trits, *scaled]
    made += [Affine(child, per_channel, scale_dtype="float16") for child in (table, eight)]
    mask = rng.random(shape) < 0.1
    far = Sparse.encode(Float(values[mask], "float16"), mask)
    return [*made, Sum(scaled[1], far), Sum(table, far), Sum(Float(values), far)]


def _trellises(rng: np.random.Generator, shape: tuple[int, ...], random_codes) -> list[Encoding]:
    """One and two weights a step, several streams, padding, axes in another order, states that a Mod has to cut."""
    made: list[Encoding] = []
    size = int(np.prod(shape))
    per_channel = rng.random((shape[0], *(1 for _ in shape[1:]))).astype(np.float32)
    for bits, width, states in ((1, 1, 256), (2, 1, 1024), (3, 1, 1024), (4, 1, 256), (5, 2, 1024), (7, 2, 4096)):
        for streams in (1, 3):
            steps = -(-size // (streams * width))
            if not 0 <= streams * steps * width - size < steps * width:
                continue
            symbols = random_codes(rng, (streams, lead_of(states, bits) + steps), bits)
            table = rng.normal(size=(states, width)).astype(np.float16).astype(np.float32)
            order = tuple(int(axis) for axis in rng.permutation(len(shape))) if streams > 1 else ()
            trellis = Trellis(symbols, table, shape, order, shared=streams == 1)
            made += [trellis, Affine(trellis, per_channel, scale_dtype="float16")]
    return made


def _low_ranks(rng: np.random.Generator, random_codes) -> list[Encoding]:
    left = Affine(random_codes(rng, (20, 4), 8, signed=True), rng.random((20, 1)))
    mask = rng.random((4, 6)) > 0.5
    kept = int(mask.sum())
    rights: list[Encoding] = [
        Float(rng.normal(size=(4, 6)).astype(np.float32), "float16"),
        Codebook(random_codes(rng, (4, 6), 4), rng.normal(size=16).astype(np.float32)),
        Affine(random_codes(rng, (4, 6), 5), rng.random((1, 6)), np.float32(16)),
        Sparse.encode(Float(rng.normal(size=kept).astype(np.float32)), mask),
    ]
    made: list[Encoding] = [LowRank(left, right, shape) for right in rights for shape in ((20, 6), (2, 10, 6))]
    batched = (Float(rng.normal(size=shape).astype(np.float32)) for shape in ((2, 7, 3), (2, 3, 5)))
    return [*made, LowRank(*batched, (2, 7, 5))]


def _conv_chains(rng: np.random.Generator, random_codes) -> list[Encoding]:
    """Convolutions of one, two and three kernel axes in a row."""

    def floats(*shape: int) -> Encoding:
        return Float(rng.normal(size=shape).astype(np.float32))

    def codes(*shape: int) -> Encoding:
        return Affine(random_codes(rng, shape, 8, signed=True), rng.random((shape[0], *(1 for _ in shape[1:]))))

    return [
        ConvChain((floats(3, 5, 4), floats(6, 3, 1))),
        *(ConvChain((way(3, 5, 4, 1), way(6, 3, 1, 2))) for way in (floats, codes)),
        *(ConvChain((way(2, 5, 1, 1), way(3, 2, 3, 2), way(6, 3, 1, 1))) for way in (floats, codes)),
        ConvChain((floats(2, 3, 2, 3, 1), floats(4, 2, 1, 1, 2))),
    ]
