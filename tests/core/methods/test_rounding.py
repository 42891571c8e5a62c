"""Rounding in which errors cancel: sums are kept, codes stay next to the nearest, long kernels are shaped."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from core.encoding import Float, Sparse
from core.methods.quantize_affine import AffineParams, QuantizeAffine
from core.model.layer import Kind


def quantize(weight, context, **values):
    return QuantizeAffine().apply(Float(weight), AffineParams(**values), context)


def pair(weight, context, **values):
    """The balanced and the nearest encoding with the same scales."""
    return (quantize(weight, context, rounding=way, **values) for way in ("balanced", "nearest"))


@pytest.mark.parametrize(
    ("bits", "granularity", "symmetric", "axis"),
    list(product([3, 4, 8], ["tensor", "channel", "block", "auto"], [True, False], [0, 1])),
)
def test_each_channels_errors_sum_to_less_than_a_step(rng, context_of, bits, granularity, symmetric, axis) -> None:
    weight = rng.normal(0.02, 0.1, size=(48, 64) if axis == 0 else (64, 48)).astype(np.float32)
    context = context_of(weight, Kind.LINEAR, axis, 1 - axis)
    balanced, nearest = pair(weight, context, bits=bits, granularity=granularity, symmetric=symmetric, range="minmax")
    sums = [np.abs((e.decode().astype(np.float64) - weight).sum(axis=1 - axis)) for e in (balanced, nearest)]
    step = float(nearest.stored_scale.decode().max())
    assert sums[0].max() <= 0.5001 * step
    assert sums[0].sum() < 0.7 * sums[1].sum()
    moved = np.abs(balanced.child.values.astype(int) - nearest.child.values)
    assert moved.max() == 1
    assert np.abs(balanced.decode() - weight).max() <= 1.001 * step
    assert balanced.nbytes == nearest.nbytes


def test_an_input_with_a_common_mean_gains_and_one_without_loses_little(rng, context_of) -> None:
    weight = rng.normal(size=(64, 512)).astype(np.float32)
    balanced, nearest = pair(weight, context_of(weight, Kind.LINEAR), bits=4, granularity="channel")
    positive = np.maximum(rng.normal(size=(512, 200)), 0) + 0.5
    centred = rng.normal(size=(512, 200))

    def error(encoding, inputs):
        return float(np.square((encoding.decode().astype(np.float64) - weight) @ inputs).sum())

    assert error(balanced, positive) < 0.6 * error(nearest, positive)
    assert error(balanced, centred) < 1.1 * error(nearest, centred)


@pytest.mark.parametrize("kind", [Kind.EMBEDDING, Kind.NORM, Kind.OTHER])
def test_weights_that_are_not_summed_over_are_rounded_to_nearest(rng, context_of, kind) -> None:
    weight = rng.normal(size=(40, 64)).astype(np.float32)
    balanced, nearest = pair(weight, context_of(weight, kind), bits=4)
    np.testing.assert_array_equal(balanced.decode(), nearest.decode())


def test_kernels_that_are_signals_push_their_errors_to_high_frequencies(rng, context_of) -> None:
    weight = (np.hanning(256) * np.cos(np.arange(1, 33)[:, None] * np.arange(256) / 20)).astype(np.float32)[:, None]
    shaped, nearest = pair(weight, context_of(weight, Kind.CONV, 0, 1), bits=8)

    def low(encoding):
        return float(np.square(np.abs(np.fft.rfft(encoding.decode() - weight, axis=2))[:, :, :16]).sum())

    assert low(shaped) < 0.1 * low(nearest)
    assert np.abs(shaped.decode() - weight).max() <= 2 * float(nearest.stored_scale.decode().max())


def test_removed_weights_stay_zero_when_the_kept_are_balanced(rng, context_of) -> None:
    weight = rng.normal(size=(32, 128)).astype(np.float32)
    mask = np.abs(weight) > 0.8
    sparse = Sparse.encode(Float(weight[mask]), mask)
    found = QuantizeAffine().apply(sparse, AffineParams(bits=4, granularity="channel"), context_of(weight, Kind.LINEAR))
    assert (found.decode()[~mask] == 0).all()
    kept = np.where(mask, weight, 0)
    assert np.abs((found.decode() - kept).sum(axis=1)).max() <= 0.51 * float(found.stored_scale.decode().max())


def test_automatic_blocks_follow_the_channels_length(rng, context_of) -> None:
    def blocks(*shape, **layer):
        weight = rng.normal(size=shape).astype(np.float32)
        context = context_of(weight, Kind.CONV, 0, 1)
        found = quantize(weight, replace(context, layer=replace(context.layer, **layer)))
        return found.block, found.stored_scale.shape[1]

    assert blocks(80, 96, 1, 1) == (0, 1)  # shorter than two blocks
    assert blocks(80, 384, 1, 1) == (96, 4)
    assert blocks(80, 480, 1, 1) == (96, 5)
    assert blocks(80, 64, 3, 3) == (8, 8)  # 72 weights: the divisor that comes nearest
    assert blocks(80, 384, 1, 1, folds_norm=True) == (0, 1)  # so that the norm's factor fits into the scales
