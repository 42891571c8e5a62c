"""What an emitter collects, and how values get their names."""

from __future__ import annotations

import pickle
from itertools import count

import numpy as np
import pytest

from core.encoding import Affine, Codes, Encoding, Float
from core.encoding.emitter import GraphEmitter
from core.errors import InternalError


def emitter() -> GraphEmitter:
    numbers = count(1)
    return GraphEmitter(13, lambda: f"w{next(numbers)}")


def test_a_leaf_and_a_tree_take_the_given_name():
    out = emitter()
    assert out.emit(Float(np.ones(2, np.float32)), "bias") == "bias"
    assert out.emit(Float(np.ones(2, np.float32), "float16"), "weight") == "weight"
    assert [tensor.name for tensor in out.tensors] == ["bias", "w2"]
    assert [(node.op, node.inputs, node.output) for node in out.nodes] == [("Cast", ("w2",), "weight")]


def test_equal_constants_are_stored_once_but_weights_are_not():
    out = emitter()
    encoding = Affine(Codes(np.zeros((30, 10), np.uint8), 4), np.float32(2), np.float32(8))
    out.emit(encoding, "a")
    first = [tensor.name for tensor in out.tensors if tensor.constant]
    start = len(out.nodes)
    out.emit(encoding, "b")
    assert [tensor.name for tensor in out.tensors if tensor.constant] == first
    assert sum(not tensor.constant for tensor in out.tensors) == 4
    made = {node.output for node in out.nodes[start:]} | {t.name for t in out.tensors}
    assert all(name in made for node in out.nodes[start:] for name in node.inputs)


def test_an_encoding_must_write_its_value_last():
    class Wrong(Float):
        def emit_as(self, out, shape):
            name = super().emit_as(out, shape)
            out.node("Identity", [name])
            return name

    with pytest.raises(InternalError, match="did not write its value last"):
        emitter().emit(Wrong(np.ones(2, np.float32)), "weight")


def test_encodings_cross_processes(catalogue: list[Encoding]):
    for encoding in catalogue:
        again = pickle.loads(pickle.dumps(encoding))
        assert again.describe() == encoding.describe()
        np.testing.assert_array_equal(again.decode(), encoding.decode())
