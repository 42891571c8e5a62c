"""Text filled up to one length: what the mask leaves out is not computed where it changes nothing, else it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from core.analysis.sensitivity.originals import run_originals
from core.analysis.sensitivity.padding import cut_batches, masked_lengths
from core.analysis.sensitivity.suffixes import Suffixes
from core.data import Samples
from core.model.model import Model
from core.progress import SILENT
from tests.core.analysis.sensitivity.test_measured import check

LENGTHS = np.tile([3, 9, 4, 12, 5, 3, 7, 6, 12], 4)
WithData = Callable[..., tuple[Model, Samples]]


def texts(lengths: np.ndarray = LENGTHS, length: int = 12) -> dict[str, np.ndarray]:
    mask = (np.arange(length) < lengths[:, None]).astype(np.int64)
    ids = np.random.default_rng(2).integers(1, 40, mask.shape) * mask
    return {"ids": ids, "mask": mask}


@pytest.fixture
def reader(tmp_path: Path, with_data: WithData) -> Callable[..., tuple[Model, Samples]]:
    """A mean of embeddings over the words that the mask counts, or (`masked` False) over all positions."""

    def make(*, masked: bool = True, **arrays: np.ndarray) -> tuple[Model, Samples]:
        random = np.random.default_rng(1)
        stored = {
            "table": random.normal(0, 1, (40, 24)).astype(np.float32),
            "w": random.normal(0, 0.3, (24, 24)).astype(np.float32), "last": np.array([2], np.int64),
            "axis": np.array([1], np.int64),
        }  # fmt: skip
        nodes = [
            helper.make_node("Gather", ["table", "ids"], ["e"]), helper.make_node("MatMul", ["e", "w"], ["h"]),
            helper.make_node("Tanh", ["h"], ["t"]), helper.make_node("Cast", ["mask"], ["m"], to=TensorProto.FLOAT),
            helper.make_node("Unsqueeze", ["m", "last"], ["m3"]),
            helper.make_node("Mul", ["t", "m3"], ["kept"]) if masked else helper.make_node("Identity", ["t"], ["kept"]),
            helper.make_node("ReduceSum", ["kept", "axis"], ["sum"], keepdims=0),
            helper.make_node("ReduceSum", ["m", "axis"], ["n"], keepdims=1),
            helper.make_node("Div", ["sum", "n"], ["y"]),
        ]  # fmt: skip
        graph = helper.make_graph(
            nodes, "g",
            [helper.make_tensor_value_info(name, TensorProto.INT64, ["n", "length"]) for name in ("ids", "mask")],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 24])],
            [numpy_helper.from_array(array, name) for name, array in stored.items()],
        )  # fmt: skip
        path = tmp_path / "reader.onnx"
        path.write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString())
        return with_data(path, **(arrays or texts()))

    return make


def positions(model: Model, samples: Samples) -> int:
    with Suffixes(model) as suffixes:
        batches = run_originals(model, suffixes, samples, SILENT).batches
    assert sum(batch.count for batch in batches) == samples.n
    return sum(batch.feed["ids"].size for batch in batches)


def test_padding_is_left_out(reader: Callable[..., tuple[Model, Samples]]) -> None:
    model, samples = reader()
    assert positions(model, samples) < 0.8 * samples.n * 12
    check(model, samples)


def test_padding_that_counts_is_kept(reader: Callable[..., tuple[Model, Samples]]) -> None:
    model, samples = reader(masked=False)
    assert positions(model, samples) == samples.n * 12
    check(model, samples)


@pytest.mark.parametrize(
    "mask",
    [np.ones((36, 12), np.int64), texts()["mask"][:, ::-1], 2 * texts()["mask"], 0 * texts()["mask"]],
    ids=["nothing padded", "padded in front", "no mask", "nothing there"],
)
def test_what_is_no_padding(reader: Callable[..., tuple[Model, Samples]], mask: np.ndarray) -> None:
    model, samples = reader(ids=np.full((36, 12), 3), mask=np.ascontiguousarray(mask))
    assert masked_lengths(model.inputs, samples) is None


def test_batches_hold_every_sample_once(reader: Callable[..., tuple[Model, Samples]]) -> None:
    model, samples = reader()
    lengths = masked_lengths(model.inputs, samples)
    assert lengths is not None and lengths.tolist() == LENGTHS.tolist()
    found = list(cut_batches(samples, lengths, 2))
    assert sorted(np.concatenate([rows for rows, _ in found])) == list(range(36))
    for rows, feed in found:
        assert feed["ids"].shape == feed["mask"].shape == (len(rows), lengths[rows].max())
        assert feed["ids"].size <= 2 * 12
        for row, ids in zip(rows, feed["ids"], strict=True):
            assert np.array_equal(ids, samples.feed(int(row))["ids"][0, : len(ids)])
