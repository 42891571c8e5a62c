"""The distributions of what goes into each activation of a model and of what comes out, over samples; and what would
come out of another function."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from core.analysis.calibration import FEW, Calibration
from core.analysis.exposing import inner_values
from core.data.layer_inputs import ValueRange
from core.data.samples import Samples
from core.progress import SILENT, Reporter

if TYPE_CHECKING:
    from core.model.model import Model

Array = np.ndarray[Any, np.dtype[Any]]

_POINTS = 8
"""In each bin: elements are taken to lie evenly in their bin."""


def activation_ranges(
    model: Model, samples: Samples, reporter: Reporter = SILENT, *, limit: int = FEW, threads: int | None = None
) -> dict[str, tuple[ValueRange, ValueRange]]:
    """(of the input, of the result) by `Activation.key`; plain values that pickle. May run in any thread.

    Activations in branches that do not run on the samples, and those that get no finite number, are left out. The
    share of zeros of a ReLU is the result's `share_of_zeros`. Raises DataError or ModelFileError when the model does
    not run on the samples, and Cancelled.
    """
    from core.model.activations import matches

    graph = model.graph()
    keys = {inner.value: key for key, inner in inner_values(graph).items()}
    keys.update((value, value.name or "") for value in graph.graph.inputs)
    sides = {
        match.key: (keys[match.input], keys[match.output])
        for match in matches(graph)
        if match.input in keys and match.output in keys
    }
    wanted = dict.fromkeys(key for pair in sides.values() for key in pair)
    found = Calibration(model, samples, limit=limit, threads=threads).ranges(wanted, reporter)
    return {key: (found[a], found[b]) for key, (a, b) in sides.items() if a in found and b in found}


def replaced_output(before: ValueRange, function: Callable[[Array], Array]) -> ValueRange:
    """The distribution that another function would give for the same inputs, predicted without running the model.

    before    of the activation's input, as measured
    function  elementwise, of float64 arrays; results that are NaN or infinite are left out. ValueError when all are

    As exact as the bins are narrow: shares move by at most what one bin holds. Exact zeros of the input are kept apart,
    so that they stay zeros where the function keeps them. An activation behind another replaced one gets other inputs
    than were measured; this does not know of it.
    """
    points, weights = _spread(before)
    with np.errstate(all="ignore"):
        values = np.asarray(function(points), np.float64)
    usable = np.isfinite(values) & (weights > 0)
    values, weights = values[usable], weights[usable]
    if not values.size:
        raise ValueError("the function gives no finite number for these inputs")
    low, high, bins = float(values.min()), float(values.max()), before.counts.size
    places = (values - low) * (bins / (high - low)) if low < high else np.zeros(values.size)
    sums = np.bincount(np.clip(places, 0, bins - 1).astype(np.int64), weights, bins)
    counts = np.diff(np.rint(np.cumsum(sums)), prepend=0).astype(np.int64)  # whole numbers that keep the total
    zeros = round(float(weights[values == 0].sum()))
    return ValueRange(low, high, counts, zeros, int(counts.sum()), predicted=True)


def _spread(found: ValueRange) -> tuple[Array, Array]:
    """Points that stand for the elements, and how many each stands for; the extremes and exact zeros by themselves."""
    low, high, bins = found.minimum, found.maximum, found.counts.size
    if low >= high:
        return np.array([low]), np.array([float(found.n)])
    alone = np.array([low, high, 0.0])
    extreme_zeros = int(found.zeros > 0 and 0 in (low, high))
    weights = np.array([1.0, 1.0, found.zeros - extreme_zeros])
    left = found.counts.astype(np.float64)
    places = np.clip((alone - low) * (bins / (high - low)), 0, bins - 1).astype(np.int64)  # as they were counted
    np.subtract.at(left, places, weights)
    left = np.maximum(left, 0) / _POINTS
    inside = low + (high - low) * (np.arange(bins * _POINTS) + 0.5) / (bins * _POINTS)
    return np.concatenate((inside, alone)), np.concatenate((np.repeat(left, _POINTS), weights))
