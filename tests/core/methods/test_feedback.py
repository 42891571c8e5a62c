"""Error feedback: the factor of the inputs' products, and rounding whose later weights make up for earlier errors."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest

from core.data.layer_inputs import LayerInputs
from core.errors import Cancelled, LayerSkipped
from core.methods._feedback import BLOCK, feedback, with_feedback
from core.methods._hessian import DAMPING, hessian_of
from core.model.layer import Kind
from core.progress import SILENT, Reporter

SHAPES = [(1, 24, 2 * BLOCK + 30), (3, 10, 20), (5, 1, 9), (1, 1, 1)]


def correlated(rng, groups: int, d: int) -> np.ndarray:
    """Moments (groups, d, d) of inputs that resemble each other and differ in size."""
    x = rng.normal(size=(groups, 3 * d + 5, d)) @ rng.normal(size=(groups, d, d)) * np.exp(rng.normal(size=d))
    return (x.swapaxes(1, 2) @ x / x.shape[1]).astype(np.float32)


def inputs_of(moments: np.ndarray) -> LayerInputs:
    return LayerInputs(samples=8, rows=8, moments=moments)


def output_error(change: np.ndarray, moments: np.ndarray) -> float:
    return float(np.einsum("god,gde,goe->", change, moments, change, dtype=np.float64))


class Rounding:
    """Nearest of 15 even levels of each row."""

    def __init__(self, rows: np.ndarray) -> None:
        self.scale = np.abs(rows).max(axis=2, keepdims=True) / 7

    def all(self, rows: np.ndarray) -> np.ndarray:
        return np.clip(np.rint(rows / self.scale), -7, 7) * self.scale

    def column(self, column: np.ndarray, place: int) -> np.ndarray:
        return self.all(column[..., np.newaxis])[..., 0]


@pytest.fixture
def hessian(context_of):
    """hessian(moments, **options) -> the Hessian of a layer with these moments."""

    def make(moments: np.ndarray, **options):
        context = context_of(np.zeros((2, moments.shape[1]), np.float32), Kind.LINEAR, 0, 1)
        return hessian_of(replace(context, inputs=inputs_of(moments)), **options)

    return make


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_factor_is_that_of_the_damped_moments(rng, hessian, shape, ordered) -> None:
    groups, _, d = shape
    moments = correlated(rng, groups, d)
    found = hessian(moments, ordered=ordered)
    squares = np.diagonal(moments, axis1=1, axis2=2)
    damped = moments + DAMPING * squares.mean(axis=1)[:, np.newaxis, np.newaxis] * np.eye(d)
    product = np.einsum("gij,gj,gkj->gik", found.upper, found.diagonal, found.upper)
    expected = damped[:, found.order][:, :, found.order]
    np.testing.assert_allclose(product, expected, rtol=0, atol=2e-6 * np.abs(expected).max())
    assert (np.triu(found.upper) == found.upper).all() and (found.diagonal > 0).all()
    sizes = (squares / squares.mean(axis=1, keepdims=True)).sum(axis=0)[found.order]
    assert (np.diff(sizes) <= 0).all() if ordered else (found.order == np.arange(d)).all()


def test_it_is_the_published_algorithm(rng, hessian) -> None:
    """Column by column with the Cholesky factor of the inverse, as in the paper of GPTQ."""
    d = BLOCK + 20
    rows, moments = rng.normal(size=(1, 9, d)).astype(np.float32), correlated(rng, 1, d)
    rounding = Rounding(rows)
    damped = moments[0] + DAMPING * np.diag(moments[0]).mean() * np.eye(d)
    upper = np.linalg.cholesky(np.linalg.inv(damped)).T
    left, expected = rows[0].astype(np.float64), np.empty((9, d))
    for j in range(d):
        expected[:, j] = rounding.column(left[np.newaxis, :, j], j)
        left[:, j:] -= np.outer((left[:, j] - expected[:, j]) / upper[j, j], upper[j, j:])
    targets = feedback(rows, hessian(moments, ordered=False), rounding.column, None, SILENT)
    same = np.isclose(rounding.all(targets)[0], expected, rtol=1e-3, atol=1e-5)
    assert same.mean() > 0.99  # a tie may fall to the other side in float32, and its row goes another way from there


@pytest.mark.parametrize("shape", SHAPES[:3], ids=str)
def test_the_output_errs_less_than_rounded_to_nearest(rng, hessian, shape) -> None:
    rows, moments = rng.normal(size=shape).astype(np.float32), correlated(rng, shape[0], shape[2])
    rounding = Rounding(rows)
    targets = feedback(rows, hessian(moments), rounding.column, None, SILENT)
    nearest, fed = (output_error(rounding.all(x) - rows, moments) for x in (rows, targets))
    assert fed < 0.75 * nearest


def test_blocks_are_seen_before_their_columns_and_every_column_once(rng, hessian) -> None:
    shape = SHAPES[0]
    rows, moments = rng.normal(size=shape).astype(np.float32), correlated(rng, 1, shape[2])
    blocks, columns = [], []

    def start(values: np.ndarray, places: np.ndarray) -> None:
        assert values.shape == (1, shape[1], places.size)
        blocks.extend(places)
        assert len(columns) + places.size == len(blocks)

    def quantize(column: np.ndarray, place: int) -> np.ndarray:
        columns.append(place)
        return column

    found = hessian(moments)
    np.testing.assert_allclose(feedback(rows, found, quantize, start, SILENT), rows)
    assert columns == blocks == list(found.order)


@pytest.mark.parametrize(("kind", "shape", "axes"), [
    (Kind.LINEAR, (30, 12), (1, 0)), (Kind.LINEAR, (12, 30), (0, 1)), (Kind.CONV, (12, 10, 3, 1), (0, 1)),
])
def test_a_layer_gets_values_of_its_shape(rng, context_of, kind, shape, axes) -> None:
    weight, moments = rng.normal(size=shape).astype(np.float32), correlated(rng, 1, 30)
    context = replace(context_of(weight, kind, *axes), inputs=inputs_of(moments))
    targets = with_feedback(weight, context, lambda column, place: np.round(column))
    assert targets.shape == shape
    turn = (lambda x: x.T) if axes[0] else (lambda x: x.reshape(12, 30))
    errors = [output_error(turn(np.round(x) - weight)[np.newaxis], moments) for x in (weight, targets)]
    assert errors[1] < errors[0]


def test_inputs_that_are_always_zero_round_to_nearest(rng, hessian) -> None:
    moments = correlated(rng, 2, 12)
    moments[1] = 0
    moments[0, 3], moments[0, :, 3] = 0, 0
    rows = rng.normal(size=(2, 4, 12)).astype(np.float32)
    targets = feedback(rows, hessian(moments), Rounding(rows).column, None, SILENT)
    np.testing.assert_array_equal(targets[1], rows[1])
    np.testing.assert_allclose(targets[0, :, 3], rows[0, :, 3], rtol=1e-6)


def test_a_singular_matrix_is_damped_until_it_has_a_factor(hessian) -> None:
    assert hessian(np.ones((1, 40, 40), np.float32)).damping == DAMPING
    indefinite = np.full((1, 8, 8), -1.0, np.float32) + 7.5 * np.eye(8, dtype=np.float32)
    assert hessian(indefinite).damping > DAMPING


def test_what_cannot_be_used_is_told(rng, context_of, hessian) -> None:
    with pytest.raises(LayerSkipped, match="no matrix that can be factorised"):
        hessian(np.full((1, 8, 8), -50.0, np.float32) + 51 * np.eye(8, dtype=np.float32))
    bad = correlated(rng, 1, 8)
    bad[0, 2, 3] = np.nan
    with pytest.raises(LayerSkipped, match="not finite"):
        hessian(bad)
    weight = np.ones((4, 8), np.float32)
    with pytest.raises(LayerSkipped, match="none are loaded"):
        hessian_of(context_of(weight, Kind.LINEAR, 0, 1))
    with pytest.raises(LayerSkipped, match="Embedding"):
        with_feedback(weight, context_of(weight, Kind.EMBEDDING, 0, 1), lambda column, place: column)


def test_the_memo_keeps_one_factor_for_one_set_of_moments(rng, context_of) -> None:
    context = context_of(np.zeros((2, 9), np.float32), Kind.LINEAR, 0, 1)
    context = replace(context, inputs=inputs_of(correlated(rng, 1, 9)))
    first = hessian_of(context)
    assert hessian_of(context) is first
    assert hessian_of(replace(context, inputs=inputs_of(correlated(rng, 1, 9)))) is not first


def test_a_cancel_is_heard_in_both_parts(rng, context_of) -> None:
    cancel = threading.Event()
    weight = rng.normal(size=(6, 300)).astype(np.float32)
    context = replace(context_of(weight, Kind.LINEAR, 0, 1), inputs=inputs_of(correlated(rng, 1, 300)))
    context = replace(context, reporter=Reporter(cancel=cancel))

    def quantize(column: np.ndarray, place: int) -> np.ndarray:
        cancel.set()
        return column

    with pytest.raises(Cancelled):
        with_feedback(weight, context, quantize)
    with pytest.raises(Cancelled):
        hessian_of(context, ordered=False)
