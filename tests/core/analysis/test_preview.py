"""The preview says what the pipeline would do: same weight, same error, same bytes."""

from __future__ import annotations

import math
import pickle
import threading

import numpy as np
import pytest

from core.analysis.metrics import sqnr_db
from core.analysis.preview import BINS, LayerPreview, preview
from core.encoding import Float
from core.encoding.counting import emitted_size
from core.errors import Cancelled
from core.methods.base import Context, Memo
from core.model.layer import Kind, Layer
from core.pipeline import apply_steps
from core.progress import Reporter
from core.recipe import Step

OPSET = 20
WEIGHT = np.random.default_rng(0).standard_normal((96, 80)).astype(np.float32)
LAYER = Layer("fc.weight", Kind.LINEAR, WEIGHT.shape, "float32", WEIGHT.nbytes, output_axis=0, input_axis=1)
PLANS = [
    (Step.make("prune", ratio=0.7),),
    (Step.make("quantize", bits=4, scheme="codebook"),),
    (Step.make("quantize", bits=8),),
    (Step.make("prune", ratio=0.6), Step.make("quantize", bits=4)),
    (Step.make("low_rank", by="rank", rank=12),),
]


def show(steps: tuple[Step, ...], weight: np.ndarray = WEIGHT, memo: Memo | None = None) -> LayerPreview:
    return preview(LAYER, weight, Float(weight), steps, memo or Memo(), OPSET)


def test_tells_the_rank_also_of_quantized_factors() -> None:
    steps = (Step.make("low_rank", by="rank", rank=12), Step.make("quantize", bits=8))
    found = show(steps)
    assert (found.rank, found.rank_by) == (12, "")
    assert show(steps[1:]).rank is None


@pytest.mark.parametrize("steps", PLANS, ids=lambda steps: "+".join(step.method for step in steps))
def test_equals_the_pipeline(steps: tuple[Step, ...]) -> None:
    found = show(steps)
    encoding, reason = apply_steps(LAYER, Float(WEIGHT), steps, Context(LAYER))
    assert encoding is not None, reason
    decoded = encoding.decode()
    assert found.skipped == ""
    assert found.weight_sqnr_db == pytest.approx(sqnr_db(WEIGHT, decoded), rel=1e-9)
    assert (found.bytes_before, found.bytes_after) == (LAYER.nbytes, encoding.nbytes)
    assert found.file_after == emitted_size(encoding, OPSET, value_name_length=len(LAYER.name)).total
    assert found.zeros_after == np.count_nonzero(decoded == 0) / decoded.size
    assert found.range_after == (decoded.min(), decoded.max())
    assert found.after is not None
    assert found.after.total == WEIGHT.size


@pytest.mark.parametrize("steps", PLANS, ids=lambda steps: "+".join(step.method for step in steps))
def test_before_and_after_share_their_edges(steps: tuple[Step, ...]) -> None:
    found = show(steps)
    assert found.after is not None
    assert (found.after.low, found.after.high, found.after.bins) == (found.before.low, found.before.high, BINS)
    assert found.before.total == WEIGHT.size
    assert found.range_before == (WEIGHT.min(), WEIGHT.max())


def test_few_levels_are_named() -> None:
    found = show(PLANS[1])
    assert found.levels is not None
    assert found.n_levels == found.levels.size == 16
    assert show(PLANS[0]).n_levels is None


def test_without_steps_nothing_changes() -> None:
    found = show(())
    assert (found.after, found.label, found.skipped) == (None, "", "")
    assert found.bytes_after == found.bytes_before >= WEIGHT.nbytes
    assert math.isinf(found.weight_sqnr_db)
    assert found.range_after == found.range_before


def test_the_label_names_the_steps_in_order() -> None:
    assert show(PLANS[3]).label == "prune 60 % · int4"


def test_a_layer_that_cannot_be_compressed_gives_the_reason() -> None:
    broken = WEIGHT.copy()
    broken[3, 5] = np.nan
    found = show(PLANS[2], broken)
    assert "NaN" in found.skipped
    assert found.after is None
    assert found.bytes_after == found.bytes_before
    assert found.before.total == WEIGHT.size - 1


def test_a_memo_is_used_again_and_never_across_weights() -> None:
    memo = Memo()
    first = show(PLANS[0], memo=memo)
    assert show(PLANS[2], memo=memo).before is first.before
    other = show(PLANS[0], 2 * WEIGHT, memo)
    assert other.before is not first.before
    assert other.range_before[1] == 2 * first.range_before[1]


def test_the_original_is_left_as_it_was() -> None:
    weight = WEIGHT.copy()
    weight.flags.writeable = False
    for steps in PLANS:
        show(steps, weight)
    np.testing.assert_array_equal(weight, WEIGHT)


def test_cancelling() -> None:
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Cancelled):
        preview(LAYER, WEIGHT, Float(WEIGHT), PLANS[2], Memo(), OPSET, reporter=Reporter(cancel=cancel))


def test_pickles() -> None:
    found = show(PLANS[3])
    copy = pickle.loads(pickle.dumps(found))
    assert (copy.label, copy.bytes_after, copy.after.total) == (found.label, found.bytes_after, WEIGHT.size)
