"""Pruning by other criteria than magnitude, in blocks, rows and columns, and what the kept weights make up for."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest

from core.data.layer_inputs import LayerInputs, Need
from core.encoding import Blocks, Float, Sparse
from core.errors import Cancelled, LayerSkipped
from core.methods.prune import Prune, PruneParams
from core.methods.quantize_affine import AffineParams, QuantizeAffine
from core.model.layer import Kind, Layer
from core.model.matrix import as_rows
from core.progress import Reporter

PRUNE = Prune()
LAYERS = {
    "linear": Layer("a", Kind.LINEAR, (24, 16), "float32", 1536, 0, 1),
    "matmul": Layer("b", Kind.LINEAR, (16, 24), "float32", 1536, 1, 0),
    "conv": Layer("c", Kind.CONV, (24, 4, 2, 2), "float32", 1536, 0, 1),
    "grouped": Layer("d", Kind.CONV, (24, 4, 2, 2), "float32", 1536, 0, 1, groups=2),
    "transposed": Layer("e", Kind.CONV_TRANSPOSE, (16, 8, 2, 2), "float32", 2048, 1, 0),
    "recurrent": Layer("f", Kind.RECURRENT, (2, 24, 16), "float32", 3072, 1, 2),
}


@pytest.fixture(params=LAYERS, ids=str)
def layer(request: pytest.FixtureRequest) -> Layer:
    return LAYERS[request.param]


@pytest.fixture
def measured(rng, context_of):
    """measured(layer) -> its weight, the inputs (groups, n, d) and the context with their statistics."""

    def make(layer: Layer):
        weight = rng.normal(size=layer.shape).astype(np.float32)
        groups, _, d = as_rows(weight, layer).shape
        latent = rng.normal(size=(groups, 200, d // 2)) @ rng.normal(size=(groups, d // 2, d))  # inputs that are alike
        x = (latent + rng.normal(0, 0.3, (groups, 200, d)) + 3) * np.exp(0.5 * rng.normal(size=d))
        inputs = LayerInputs(
            samples=4, rows=200, mean=x.mean(1).astype(np.float32), square=(x**2).mean(1).astype(np.float32),
            moments=(x.swapaxes(1, 2) @ x / 200).astype(np.float32),
            gradient_square=np.square(rng.normal(size=layer.shape)).astype(np.float32),
        )
        return weight, x, replace(context_of(weight), layer=layer, inputs=inputs)

    return make


def pruned(weight: np.ndarray, context, **params) -> np.ndarray:
    return PRUNE.apply(Float(weight), PruneParams(**params), context).decode()


def outputs(weight: np.ndarray, x: np.ndarray, layer: Layer) -> np.ndarray:
    return as_rows(weight, layer).astype(np.float64) @ x.swapaxes(1, 2)


def test_each_criterion_removes_what_it_says(layer, measured) -> None:
    weight, _, context = measured(layer)
    rows = as_rows(weight, layer)
    by_input = np.abs(rows) * np.sqrt(context.inputs.square)[:, np.newaxis]
    scores = {
        "magnitude": np.abs(rows), "l2": np.abs(rows), "activation": by_input,
        "taylor": as_rows(np.abs(weight) * np.sqrt(context.inputs.gradient_square), layer),
    }
    for criterion, score in scores.items():
        kept = as_rows(pruned(weight, context, ratio=0.5, criterion=criterion), layer) != 0
        assert np.count_nonzero(kept) == weight.size // 2
        assert score[~kept].max() < score[kept].min()
    kept = as_rows(pruned(weight, context, ratio=0.25, criterion="activation", scope="output"), layer) != 0
    assert (np.count_nonzero(~kept, axis=2) == rows.shape[2] // 4).all()
    assert (np.where(kept, 0, by_input).max(axis=2) < np.where(kept, by_input, np.inf).min(axis=2)).all()


def test_random_is_the_seeds_and_the_layers(rng, context_of) -> None:
    weight = rng.normal(size=(40, 30)).astype(np.float32)
    context = context_of(weight)
    first = pruned(weight, context, ratio=0.5, criterion="random") != 0
    again = pruned(weight, context_of(weight), ratio=0.5, criterion="random") != 0
    others = (replace(context_of(weight), seed=1), replace(context_of(weight), layer=replace(context.layer, name="b")))
    np.testing.assert_array_equal(first, again)
    assert np.count_nonzero(first) == 600
    for other in others:
        assert 0.4 < np.mean(first == (pruned(weight, other, ratio=0.5, criterion="random") != 0)) < 0.6


def test_rows_are_outputs_and_columns_are_inputs(layer, measured) -> None:
    weight, _, context = measured(layer)
    for pattern, axis in (("rows", layer.output_axis), ("columns", layer.input_axis)):
        kept = PRUNE.apply(Float(weight), PruneParams(pattern=pattern, ratio=0.25), context)
        assert isinstance(kept, Blocks)
        lines = np.moveaxis(kept.decode() != 0, axis, 0)
        if layer.kind is Kind.RECURRENT or (layer.groups > 1 and pattern == "columns"):
            parts = np.split(kept.decode() != 0, 2)  # each direction, or group, has lines of its own
            lines = np.concatenate([np.moveaxis(part, axis, 0).reshape(part.shape[axis], -1) for part in parts])
        lines = lines.reshape(len(lines), -1)
        assert (lines.all(axis=1) | ~lines.any(axis=1)).all()
        assert np.count_nonzero(~lines.any(axis=1)) == round(0.25 * len(lines))
        assert kept.zeros == pytest.approx(0.25)


@pytest.mark.parametrize("block", ["4x1", "1x4", "8x1", "4x4"])
def test_blocks_are_outputs_by_inputs(layer, measured, block) -> None:
    weight, _, context = measured(layer)
    params = PruneParams(pattern="blocks", block=block, ratio=0.5)
    a, b = map(int, block.split("x"))
    rows = as_rows(weight, layer)
    groups, n, d = rows.shape
    if n % a or d % b:
        assert "multiples" in PRUNE.why_not(layer, params)
        return
    kept = PRUNE.apply(Float(weight), params, context)
    cut = (groups, n // a, a, d // b, b)
    whole = (as_rows(kept.decode(), layer) != 0).reshape(cut).transpose(0, 1, 3, 2, 4).reshape(-1, a * b)
    assert (whole.all(axis=1) | ~whole.any(axis=1)).all()
    norms = np.abs(rows).reshape(cut).transpose(0, 1, 3, 2, 4).reshape(-1, a * b).sum(axis=1)
    assert norms[~whole[:, 0]].max() < norms[whole[:, 0]].min()
    assert kept.nbytes == 2 * weight.size + len(whole) if len(whole) < 115 else kept.nbytes < 2.3 * weight.size


@pytest.mark.parametrize("params", [
    {"ratio": 0.5}, {"ratio": 0.5, "criterion": "activation", "scope": "output"}, {"pattern": "2:4"},
    {"pattern": "columns", "ratio": 0.25}, {"pattern": "blocks", "block": "1x4", "ratio": 0.5},
], ids=str)
def test_kept_weights_make_up_for_removed_ones(layer, measured, params) -> None:
    weight, x, context = measured(layer)
    if PRUNE.why_not(layer, PruneParams(**params)):
        pytest.skip("the pattern does not fit")
    wanted = outputs(weight, x, layer)
    plain, means, update = (pruned(weight, context, **params, compensate=how) for how in ("none", "mean", "update"))
    np.testing.assert_array_equal(plain == 0, update == 0)
    np.testing.assert_array_equal(plain == 0, means == 0)
    errors = [np.square(outputs(found, x, layer) - wanted).sum() for found in (plain, means, update)]
    shifts = [np.square((outputs(found, x, layer) - wanted).mean(axis=2)).sum() for found in (plain, means)]
    assert errors[2] < 0.6 * errors[0]
    assert shifts[1] < 0.5 * shifts[0]


def test_the_update_is_the_solution_of_each_rows_least_squares(rng, context_of) -> None:
    """Few enough inputs that conjugate gradients end: against the normal equations."""
    weight = rng.normal(size=(30, 8)).astype(np.float32)
    x = rng.normal(size=(100, 8)) + 1
    moments = (x.T @ x / 100).astype(np.float32)
    context = replace(context_of(weight, Kind.LINEAR, 0, 1), inputs=LayerInputs(1, 100, moments=moments[np.newaxis]))
    found = pruned(weight, context, ratio=0.5, compensate="update")
    damped = moments + 0.01 * np.diag(moments).mean() * np.eye(8)
    for row, new in zip(weight, found, strict=True):
        kept = new != 0
        expected = np.linalg.solve(damped[np.ix_(kept, kept)], damped[kept] @ row) if kept.any() else []
        np.testing.assert_allclose(new[kept], expected, rtol=2e-3, atol=2e-3)


def test_statistics_are_asked_for() -> None:
    assert PRUNE.needs(PruneParams()) == set()
    assert PRUNE.needs(PruneParams(criterion="activation")) == {Need.MEANS}
    assert PRUNE.needs(PruneParams(criterion="taylor", compensate="mean")) == {Need.GRADIENTS, Need.MEANS}
    assert PRUNE.needs(PruneParams(pattern="2:4", compensate="update")) == {Need.MOMENTS}
    assert PRUNE.needs(PruneParams(pattern="rows", compensate="update")) == set()  # nothing of a row is left


@pytest.mark.parametrize("params", [
    {"criterion": "activation"}, {"criterion": "taylor"}, {"compensate": "mean"}, {"compensate": "update"},
], ids=str)
def test_without_samples_or_with_useless_ones_the_layer_is_skipped(measured, params) -> None:
    weight, _, context = measured(LAYERS["linear"])
    with pytest.raises(LayerSkipped, match="none are loaded"):
        pruned(weight, replace(context, inputs=None), **params)
    bad = {
        name: np.full_like(getattr(context.inputs, name), np.nan)
        for name in ("mean", "square", "moments", "gradient_square")
    }
    with pytest.raises(LayerSkipped, match="not finite"):
        pruned(weight, replace(context, inputs=replace(context.inputs, **bad)), **params)


@pytest.mark.parametrize("ratio", [0.0, 1.0])
@pytest.mark.parametrize("pattern", ["unstructured", "rows", "columns", "blocks"])
@pytest.mark.parametrize("compensate", ["none", "mean", "update"])
def test_all_or_nothing_and_inputs_of_nothing_but_zeros(measured, pattern, ratio, compensate) -> None:
    weight, _, context = measured(LAYERS["linear"])
    params = {"pattern": pattern, "ratio": ratio, "compensate": compensate}
    expected = weight * (1 - ratio)
    np.testing.assert_allclose(pruned(weight, context, **params), expected, rtol=1e-5)
    zeros = {name: np.zeros_like(getattr(context.inputs, name)) for name in ("mean", "square", "moments")}
    silent = replace(context, inputs=replace(context.inputs, **zeros))
    np.testing.assert_allclose(pruned(weight, silent, **params, criterion="activation"), expected, rtol=1e-5)


def test_one_weight(context_of) -> None:
    weight = np.float32([[3]])
    inputs = LayerInputs(1, 1, np.ones((1, 1), np.float32), np.ones((1, 1), np.float32), np.ones((1, 1, 1), np.float32))
    context = replace(context_of(weight, Kind.LINEAR, 0, 1), inputs=inputs)
    for compensate in ("none", "mean", "update"):
        for pattern in ("unstructured", "rows", "columns"):
            found = [pruned(weight, context, ratio=r, pattern=pattern, compensate=compensate) for r in (0.4, 0.6)]
            np.testing.assert_allclose(found, [[[3]], [[0]]])


def test_why_not_names_what_is_missing() -> None:
    table = Layer("t", Kind.EMBEDDING, (20, 8), "float32", 640, 0, 1)
    norm = Layer("n", Kind.NORM, (20,), "float32", 80, 0, None)
    batched = Layer("b", Kind.LINEAR, (3, 20, 8), "float32", 1920, 2, 1)
    assert "sum over no inputs" in PRUNE.why_not(table, PruneParams(criterion="activation"))
    assert PRUNE.why_not(table, PruneParams(compensate="update")) == (
        "kept weights cannot make up for removed ones: Embedding layers sum over no inputs"
    )
    for params in (PruneParams(criterion="activation"), PruneParams(compensate="update")):
        assert PRUNE.why_not(batched, params).endswith("its weight has 3 axes, and only weights of two are handled")
    assert "those of a matrix" in PRUNE.why_not(norm, PruneParams(pattern="rows"))
    assert "no rows" in PRUNE.why_not(norm, PruneParams(scope="output"))
    assert PRUNE.why_not(table, PruneParams(pattern="rows")) == ""
    assert PRUNE.why_not(LAYERS["linear"], PruneParams(pattern="blocks", block="16x16")) == (
        "blocks of this shape need multiples of 16, here are 24"
    )


def test_patterns_stack_without_losing_what_was_removed(rng, measured) -> None:
    weight, _, context = measured(LAYERS["linear"])
    rows = PRUNE.apply(Float(weight), PruneParams(pattern="rows", ratio=0.25), context)
    more = PRUNE.apply(rows, PruneParams(pattern="rows", ratio=0.5), context)
    assert isinstance(more, Blocks) and more.zeros == 0.5
    both = PRUNE.apply(rows, PruneParams(ratio=0.5), context)
    assert isinstance(both, Sparse) and not both.decode()[~rows.mask()].any()
    turned = PRUNE.apply(both, PruneParams(pattern="columns", ratio=0.25), context)
    assert isinstance(turned, Sparse) and not turned.decode()[~both.mask()].any()


def test_blocks_can_be_quantized_afterwards(measured) -> None:
    weight, _, context = measured(LAYERS["linear"])
    rows = PRUNE.apply(Float(weight), PruneParams(pattern="rows", ratio=0.25), context)
    for granularity in ("channel", "tensor"):
        both = QuantizeAffine().apply(rows, AffineParams(bits=8, granularity=granularity), context)
        np.testing.assert_allclose(both.decode(), rows.decode(), atol=0.03)
        assert not both.decode()[~rows.mask()].any()


def test_a_cancel_is_heard_while_weights_are_refitted(measured) -> None:
    weight, _, context = measured(LAYERS["linear"])
    cancel = threading.Event()
    reporter = Reporter(lambda progress: cancel.set() if progress.done > 0.6 else None, cancel)
    with pytest.raises(Cancelled):
        pruned(weight, replace(context, reporter=reporter), ratio=0.5, compensate="update")
