"""Pruning removes exactly what it says, the smallest first."""

from __future__ import annotations

import numpy as np
import pytest

from core.encoding import Float, Sparse
from core.errors import LayerSkipped
from core.methods._prune_masks import magnitude_mask
from core.methods.base import Memo
from core.methods.prune import Prune, PruneParams
from core.methods.quantize_affine import AffineParams, QuantizeAffine
from core.model.layer import Kind


@pytest.mark.parametrize("ratio", [0.0, 0.001, 0.1, 0.5, 0.9, 0.999, 1.0])
@pytest.mark.parametrize("shape", [(1,), (17,), (33, 31), (300, 700)])
def test_the_smallest_are_removed_and_exactly_so_many(rng, context_of, shape, ratio) -> None:
    weight = rng.normal(size=shape).astype(np.float32)
    mask = magnitude_mask(weight, ratio, context_of(weight))
    removed = int(np.floor(ratio * weight.size + 0.5))
    assert np.count_nonzero(~mask) == removed
    if 0 < removed < weight.size:
        assert np.abs(weight[~mask]).max() < np.abs(weight[mask]).min()


def test_of_equal_weights_the_first_go(context_of) -> None:
    weight = np.float32([1, -1, 2, 1, -1, 1, 3, 1])
    mask = magnitude_mask(weight, 0.5, context_of(weight))
    assert mask.tolist() == [False, False, True, False, False, True, True, True]


def test_a_large_weight_is_cut_across_its_chunks(rng, context_of) -> None:
    weight = rng.integers(-3, 4, (1100, 1024)).astype(np.float32)  # more than a chunk, and full of equal magnitudes
    mask = magnitude_mask(weight, 0.6, context_of(weight))
    assert np.count_nonzero(~mask) == round(0.6 * weight.size)
    assert np.abs(weight[~mask]).max() <= np.abs(weight[mask]).min()
    tied = np.abs(weight) == np.abs(weight[mask]).min()
    assert not mask[tied][: np.count_nonzero(tied & ~mask)].any()


def test_the_memo_answers_for_the_weight_it_saw(rng, context_of) -> None:
    first, second = (rng.normal(scale=s, size=500).astype(np.float32) for s in (1, 50))
    context = context_of(first)
    masks = [magnitude_mask(weight, 0.4, context) for weight in (first, second, first)]
    for weight, mask in zip((first, second, first), masks, strict=True):
        np.testing.assert_array_equal(mask, np.abs(weight) > np.sort(np.abs(weight))[199])


def test_memo_computes_once_for_one_array() -> None:
    memo, calls = Memo(), []
    array = np.arange(6, dtype=np.float32)
    for view in (array, array.view(), array.reshape(2, 3), array.reshape(2, 3)):
        memo.of("x", view, lambda: calls.append(1))
    assert len(calls) == 2


def test_a_second_pruning_keeps_what_was_removed_removed(rng, context_of) -> None:
    weight = rng.normal(size=(40, 40)).astype(np.float32)
    once = Prune().apply(Float(weight), PruneParams(ratio=0.8), context_of(weight))
    again = Prune().apply(once, PruneParams(ratio=0.5), context_of(weight))
    np.testing.assert_array_equal(again.decode(), once.decode())
    more = Prune().apply(once, PruneParams(ratio=0.9), context_of(weight))
    assert np.count_nonzero(more.decode()) == 160


def test_sixteen_bit_weights_stay_sixteen_bit(rng, context_of) -> None:
    weight = rng.normal(size=(40, 40)).astype(np.float32)
    pruned = Prune().apply(Float(weight, "float16"), PruneParams(ratio=0.5), context_of(weight))
    assert isinstance(pruned, Sparse)
    assert pruned.values.nbytes == 2 * 800


@pytest.mark.parametrize(("pattern", "axis"), [("2:4", 1), ("2:4", 0), ("4:8", 1), ("1:2", 0), ("1:4", 1)])
def test_n_of_m_keeps_the_largest_of_every_group(rng, context_of, pattern, axis) -> None:
    n, m = map(int, pattern.split(":"))
    weight = rng.normal(size=(16, 24, 3)).astype(np.float32)
    context = context_of(weight, Kind.CONV, 1 - axis, axis)
    kept = Prune().apply(Float(weight), PruneParams(pattern=pattern), context).decode() != 0
    groups = np.abs(np.moveaxis(weight, axis, -1)).reshape(-1, m)
    marks = np.moveaxis(kept, axis, -1).reshape(-1, m)
    expected = groups >= np.sort(groups, axis=1)[:, m - n, np.newaxis]
    np.testing.assert_array_equal(marks, expected)


def test_n_of_m_says_why_not(context_of) -> None:
    three = context_of(np.zeros((8, 3, 3, 3), np.float32), Kind.CONV).layer
    reason = Prune().why_not(three, PruneParams(pattern="2:4"))
    assert reason == "2:4 needs input channels in multiples of 4, here are 3"
    table = context_of(np.zeros((8, 4), np.float32), Kind.EMBEDDING, None, None).layer
    assert "input axis" in Prune().why_not(table, PruneParams(pattern="2:4"))
    assert Prune().why_not(three, PruneParams()) == ""


def test_pruning_after_quantizing_names_the_right_order(rng, context_of) -> None:
    weight = rng.normal(size=(40, 40)).astype(np.float32)
    codes = QuantizeAffine().apply(Float(weight), AffineParams(), context_of(weight))
    with pytest.raises(LayerSkipped, match=r"already quantized .* put prune before quantize"):
        Prune().apply(codes, PruneParams(), context_of(weight))
