"""Trellis quantization against what theory and the field's own figures ask of a Gaussian, and its edges."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest

from core.data.layer_inputs import LayerInputs
from core.encoding import Affine, Float, Trellis
from core.errors import Cancelled, LayerSkipped
from core.methods._trellis import RATES, STATES, Stream, normal_table
from core.methods.prune import Prune, PruneParams
from core.methods.quantize_codebook import CodebookParams, QuantizeCodebook
from core.methods.quantize_trellis import QuantizeTrellis, TrellisParams
from core.model.layer import Kind
from core.progress import Reporter


def quantize(weight, context, **params) -> Affine:
    return QuantizeTrellis().apply(Float(weight), TrellisParams(**params), context)


def sqnr_db(weight, found) -> float:
    noise = np.square(found.decode() - weight, dtype=np.float64).sum()
    return 10 * np.log10(np.square(weight, dtype=np.float64).sum() / noise)


@pytest.mark.parametrize(
    ("bits", "db", "share"),
    [(1.0, 5.3, 0.034), (1.5, 8.0, 0.05), (2.0, 11.0, 0.065), (2.5, 13.5, 0.081), (3.0, 16.5, 0.097),
     (4.0, 21.85, 0.129)],
)  # fmt: skip
def test_a_gaussian_gets_what_the_trellis_promises(rng, context_of, bits, db, share) -> None:
    """At the sizes of a test; tests/bench/bench_trellis.py has a million weights."""
    weight = rng.normal(scale=0.03, size=(200, 500)).astype(np.float32)
    found = quantize(weight, context_of(weight), bits=bits)
    assert sqnr_db(weight, found) >= db
    assert found.nbytes <= share * weight.nbytes


def test_it_beats_the_best_codebook_of_as_many_bits(rng, context_of) -> None:
    weight = rng.standard_t(6, size=(150, 200)).astype(np.float32)
    plain = QuantizeCodebook().apply(Float(weight), CodebookParams(2), context_of(weight))
    assert sqnr_db(weight, quantize(weight, context_of(weight), bits=2.0)) > sqnr_db(weight, plain) + 1.0


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("states", STATES[:2])
def test_the_path_is_the_best_of_all(rng, rate, states) -> None:
    """Against a plain Viterbi search in numpy, in pieces and as a whole."""
    bits, width = RATES[rate]
    table = normal_table(rate, states)
    values = rng.normal(size=(40, width)).astype(np.float32)
    path = Stream(bits, table).path(values)
    cost = np.zeros(states)
    every = np.arange(states)
    for step in values:
        came = np.stack([(every >> bits) | (top * (states >> bits)) for top in range(1 << bits)])
        cost = cost[came].min(axis=0) + np.square(table - step).sum(axis=1)
    error = np.square(table[path.states()] - values).sum()
    assert error == pytest.approx(cost.min(), rel=1e-4)


def test_pieces_of_a_stream_are_as_good_as_the_whole(rng, monkeypatch) -> None:
    values = rng.normal(size=(3000, 1)).astype(np.float32)
    stream = Stream(2, normal_table(2.0, 256))

    def error() -> float:
        return float(np.square(stream.table[stream.path(values).states()] - values).sum())

    whole = error()
    monkeypatch.setattr("core.methods._trellis._PIECE", 1)  # the shortest pieces
    assert error() == pytest.approx(whole, rel=1e-4)


def test_channels_of_different_size_get_scales_of_their_own(rng, context_of) -> None:
    weight = (rng.normal(size=(100, 300)) * np.geomspace(0.01, 1, 100)[:, np.newaxis]).astype(np.float32)
    found = quantize(weight, context_of(weight), bits=3.0)
    assert found.stored_scale.shape == (100, 1)
    whole = quantize(weight, context_of(weight), bits=3.0, granularity="tensor")
    assert sqnr_db(weight, found) > sqnr_db(weight, whole)
    alike = rng.normal(size=(100, 300)).astype(np.float32)
    assert quantize(alike, context_of(alike), bits=3.0).stored_scale.shape == ()


def test_a_table_is_fitted_where_it_pays(rng, context_of) -> None:
    two = (rng.choice([-1.0, 1.0], 300_000) * rng.normal(1.0, 0.05, 300_000)).astype(np.float32)
    found = quantize(two.reshape(500, 600), context_of(two.reshape(500, 600)), bits=2.0, states=256)
    assert isinstance(found.child, Trellis)
    assert not found.child.shared
    normal = rng.normal(size=(60, 60)).astype(np.float32)
    assert quantize(normal, context_of(normal), bits=2.0).child.shared


def test_kept_weights_are_quantized_as_a_list(rng, context_of) -> None:
    weight = rng.normal(size=(80, 90)).astype(np.float32)
    context = context_of(weight)
    pruned = Prune().apply(Float(weight), PruneParams(0.7), context)
    found = QuantizeTrellis().apply(pruned, TrellisParams(3.0), context)
    np.testing.assert_array_equal(found.decode() != 0, pruned.decode() != 0)


@pytest.mark.parametrize("value", [0.0, 0.25])
def test_weights_of_one_value_are_left_to_a_codebook(context_of, value) -> None:
    weight = np.full((20, 30), value, np.float32)
    with pytest.raises(LayerSkipped, match=f"all its weights are {value:g}"):
        quantize(weight, context_of(weight), bits=2.0)


def test_rows_of_zeros_stay_zero(rng, context_of) -> None:
    weight = rng.normal(size=(80, 300)).astype(np.float32)
    weight[3] = 0
    found = quantize(weight, context_of(weight), bits=2.0, granularity="channel")
    np.testing.assert_allclose(found.decode()[3], 0, atol=1e-3)


def test_too_few_weights_are_left_alone(rng, context_of) -> None:
    weight = rng.normal(size=(7, 9)).astype(np.float32)
    with pytest.raises(LayerSkipped, match="63 weights are too few"):
        quantize(weight, context_of(weight), bits=2.0)


def test_cancel(rng, context_of) -> None:
    weight = rng.normal(size=(300, 300)).astype(np.float32)
    cancel = threading.Event()
    cancel.set()
    context = replace(context_of(weight), reporter=Reporter(lambda _: None, cancel))
    with pytest.raises(Cancelled):
        quantize(weight, context, bits=2.0)


@pytest.mark.parametrize("axes", [(0, 1), (1, 0)])
def test_error_feedback_lowers_the_error_of_the_output(rng, context_of, axes) -> None:
    """Inputs that are alike: what one weight errs by, the others can make up for."""
    inputs = (rng.normal(size=(2000, 8)) @ rng.normal(size=(8, 64)) + 0.2 * rng.normal(size=(2000, 64))).astype(
        np.float32
    )
    weight = rng.normal(size=(128, 64)).astype(np.float32)
    stored = weight if axes == (0, 1) else np.ascontiguousarray(weight.T)
    context = context_of(stored, Kind.LINEAR, *axes)
    measured = LayerInputs(
        mean=inputs.mean(0)[np.newaxis], square=np.square(inputs).mean(0)[np.newaxis],
        moments=(inputs.T @ inputs / len(inputs))[np.newaxis], samples=len(inputs), rows=len(inputs),
    )
    context = replace(context, inputs=measured)

    def output_error(**params) -> float:
        found = quantize(stored, context, bits=2.0, table="normal", **params).decode()
        matrix = found if axes == (0, 1) else found.T
        return float(np.square(inputs @ (matrix - weight).T).mean())

    assert output_error(rounding="feedback") < 0.5 * output_error()
