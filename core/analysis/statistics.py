"""What a layer's weights look like: moments, zeros, outliers and a histogram.

Outliers are Tukey's far-out values (Exploratory Data Analysis, 1977): more than three interquartile ranges below the
first or above the third quartile of the weights that are not zero, which for a normal distribution is 4.7 standard
deviations. Unlike a limit in standard deviations, one huge weight does not move it. The quartiles come from an evenly
spread sample of 2,048 weights; given the limits, the count is exact.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from core.analysis.histogram import BINS, Histogram, bin_range, histogram
from core.progress import SILENT, Reporter

if TYPE_CHECKING:
    from core.kernels.moments import Moments
    from core.model.layer import Layer
    from core.model.model import Model

FENCE = 3.0
"""Interquartile ranges beyond the quartiles at which a weight counts as an outlier."""

_SAMPLE = 2048
_SMALL, _LARGE = 1 << 14, 1 << 20


@dataclass(frozen=True, eq=False)
class Statistics:
    """Figures of one weight.

    n                     number of weights, `nonfinite` (NaN or Inf) included; those are left out of all the rest
    minimum ... std       NaN when no weight is finite; std is that of the population
    zeros                 weights that are exactly zero
    outliers              weights outside the histogram's range (see the module)
    histogram             over the range without outliers; it always covers zero when there are zeros
    """

    n: int
    minimum: float
    maximum: float
    mean: float
    std: float
    zeros: int
    outliers: int
    nonfinite: int
    histogram: Histogram


def statistics(values: np.ndarray[Any, Any], bins: int = BINS, *, parallel: bool = True) -> Statistics:
    """Statistics of an array of any shape, taken as float32.

    parallel: spread over the kernels' threads; must be False inside their pool. ValueError for bins outside 1..253.
    """
    from core.kernels import flat_float32
    from core.kernels.moments import moments, sample

    flat = flat_float32(values)
    drawn = sample(flat, _SAMPLE)
    drawn = np.sort(drawn[np.isfinite(drawn)])
    shift = float(drawn[drawn.size // 2]) if drawn.size else 0.0
    m = moments(flat, shift=shift, parallel=parallel)
    low, high = _range_without_outliers(m, drawn[drawn != 0])
    picture = histogram(flat, *bin_range(low, high, bins), bins, parallel=parallel)
    outliers = picture.below + picture.above
    return Statistics(m.n, m.minimum, m.maximum, m.mean, m.std, m.zeros, outliers, m.nonfinite, picture)


def _range_without_outliers(m: Moments, ordered: np.ndarray[Any, Any]) -> tuple[float, float]:
    """Tukey's outer fences, no wider than the data; the data's own range when half of the weights are equal."""
    if m.nonfinite == m.n:
        return 0.0, 0.0
    low, high = m.minimum, m.maximum
    if ordered.size:
        first, third = (float(ordered[round(share * (ordered.size - 1))]) for share in (0.25, 0.75))
        reach = FENCE * (third - first)
        if reach > 0:
            low, high = max(low, first - reach), min(high, third + reach)
    return (min(low, 0.0), max(high, 0.0)) if m.zeros else (low, high)


def all_statistics(
    model: Model, reporter: Reporter = SILENT, on_layer: Callable[[str, Statistics], None] | None = None
) -> dict[str, Statistics]:
    """Statistics of every layer, by name. `on_layer` is called in the caller's thread as each layer is ready.

    Raises Cancelled, and ModelFileError when a weight cannot be read.
    """
    results: dict[str, Statistics] = {}
    total = sum(layer.n_weights for layer in model.layers) or 1
    done = 0
    for layer, found in _each(model):
        results[layer.name] = found
        if on_layer is not None:
            on_layer(layer.name, found)
        done += layer.n_weights
        reporter.report(done / total, f"statistics of {layer.name}")
    return results


def _each(model: Model) -> Iterator[tuple[Layer, Statistics]]:
    """Large layers are spread over the threads one by one, middling ones go a layer to a thread; meanwhile the caller
    does the small ones, for which handing over would take longer than the work."""
    from core.kernels import threads

    middling = [layer for layer in model.layers if _SMALL < layer.n_weights <= _LARGE]
    for layer in model.layers:
        if layer.n_weights > _LARGE:
            yield layer, statistics(model.weight(layer.name))
    running = threads().map(lambda layer: statistics(model.weight(layer.name), parallel=False), middling)
    for layer in model.layers:
        if layer.n_weights <= _SMALL:
            yield layer, statistics(model.weight(layer.name), parallel=False)
    yield from zip(middling, running, strict=True)  # closing this cancels what has not begun
