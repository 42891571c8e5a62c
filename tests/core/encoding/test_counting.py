"""Sizes are exact to the byte."""

from __future__ import annotations

from itertools import count

import numpy as np
import onnx
import pytest

from core.encoding import Affine, Codes, Encoding, Float, Sparse
from core.encoding.counting import emitted_size, size_together, smallest
from core.encoding.emitter import GraphEmitter

EMPTY = onnx.helper.make_graph([], "g", [], []).ByteSize()


def emit(encoding: Encoding) -> GraphEmitter:
    names = count()
    emitter = GraphEmitter(13, lambda: f"w{next(names)}")
    emitter.emit(encoding, "value")
    return emitter


@pytest.mark.parametrize("opset", [11, 21])
def test_emitted_size_is_what_the_graph_takes(catalogue, graph_of, opset):
    for encoding in catalogue:
        size = emitted_size(encoding, opset, name_length=len("w000"), value_name_length=len("value0"))
        graph = graph_of([encoding], opset)
        assert size.total == graph.ByteSize() - EMPTY, encoding.describe()
        assert size.data == sum(len(tensor.raw_data) for tensor in graph.initializer)


def test_weights_of_one_graph_share_constants(catalogue, graph_of):
    some = [encoding for encoding in catalogue if len(emit(encoding).nodes) > 3][:10]
    alone = [emitted_size(encoding, 13, name_length=len("w000"), value_name_length=len("value0")) for encoding in some]
    together = size_together(alone)
    assert together.total == graph_of(some, 13).ByteSize() - EMPTY
    assert together.total < sum(size.total for size in alone)


def test_nbytes_is_what_is_stored(catalogue):
    for encoding in catalogue:
        stored = sum(t.array.nbytes for t in emit(encoding).tensors if not t.constant)
        assert encoding.nbytes == stored, encoding.describe()


def test_longer_names_count():
    encoding = Affine(Codes(np.zeros((4, 4), np.int8), 8, signed=True), np.float32(1))
    assert emitted_size(encoding, 13, value_name_length=40).total == emitted_size(encoding, 13).total + 28
    # codes, scale and the cast value, each written where it is made and where it is used
    assert emitted_size(encoding, 13, name_length=4).total == emitted_size(encoding, 13).total + 6


def test_smallest_weighs_nodes_against_bytes():
    rng = np.random.default_rng(0)
    few, many = np.zeros((3, 3), bool), rng.random((100, 100)) < 0.1
    few[1, 1] = many[0, 0] = True
    for mask, wins in ((few, Float), (many, Sparse)):
        values = np.where(mask, rng.normal(size=mask.shape), 0).astype(np.float32)
        dense, sparse = Float(values), Sparse.encode(Float(values[mask]), mask)
        assert type(smallest(dense, sparse)) is wins
