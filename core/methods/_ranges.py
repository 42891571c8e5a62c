"""Which range of a value of the graph its 8-bit codes cover, from its distribution on samples.

Case 1  minmax: all that was seen
Case 2  percentile: all but a share of what was seen, half of it at each end where the value goes both ways
Case 3  entropy: the cut at which the rounded distribution tells most of the whole one apart from the least
        (Kullback-Leibler divergence; Migacz, "8-bit Inference with TensorRT", GTC 2017)
"""

from __future__ import annotations

import numpy as np

from core.data.layer_inputs import ValueRange
from core.encoding.base import Array
from core.encoding.integer import Levels
from core.errors import LayerSkipped
from core.methods._integer import LARGEST, SMALLEST

_CANDIDATES = 128
_ONE_SIDED, _TWO_SIDED = 256, 128
"""Levels of magnitude: all codes where a value has one sign, else half of them."""


def levels_of(measured: ValueRange, how: str, percentile: float) -> Levels:
    """The levels of a value whose distribution was measured.

    how         "minmax", "percentile" or "entropy"
    percentile  per cent of what was seen that the range covers, for "percentile"
    Raises LayerSkipped when nothing finite was seen, only zeros, or values whose levels float32 does not hold.
    """
    low, high = measured.minimum, measured.maximum
    if measured.n == 0 or not np.isfinite((low, high)).all():
        raise LayerSkipped("nothing finite reached it on the samples", do="check the samples and their preprocessing")
    if high > low and measured.counts.sum() > 0:
        if how == "percentile":
            low, high = _percentile(measured, percentile)
        elif how == "entropy":
            low, high = _entropy(measured)
    width = max(high, 0.0) - min(low, 0.0)
    if width == 0:
        raise LayerSkipped("only zeros enter or leave it on the samples", do="check the samples")
    if not SMALLEST <= width <= LARGEST:
        raise LayerSkipped(
            f"what enters or leaves it lies within {low:.2g} to {high:.2g} on the samples, and 8-bit levels in float32 "
            "do not cover that", do="check the samples and their preprocessing"
        )
    return Levels.of_range(low, high)


def _percentile(measured: ValueRange, percentile: float) -> tuple[float, float]:
    share = 1 - percentile / 100
    one_sided = measured.minimum >= 0 or measured.maximum <= 0
    total = np.concatenate(([0.0], np.cumsum(measured.counts, dtype=np.float64)))
    tail = total[-1] * (share if one_sided else share / 2)
    edges = measured.edges
    low = float(np.interp(tail, total, edges)) if measured.minimum < 0 else measured.minimum
    high = float(np.interp(total[-1] - tail, total, edges)) if measured.maximum > 0 else measured.maximum
    return low, high


def _entropy(measured: ValueRange) -> tuple[float, float]:
    magnitudes, width = _by_magnitude(measured)
    one_sided = measured.minimum >= 0 or measured.maximum <= 0
    levels = _ONE_SIDED if one_sided else _TWO_SIDED
    if magnitudes.size <= levels:
        return measured.minimum, measured.maximum
    candidates = np.unique(np.linspace(levels, magnitudes.size, _CANDIDATES).astype(int))
    # The first bin holds exact zeros (padding, dead units): every cut keeps them, and they would drown the rest.
    best = min(candidates, key=lambda stop: _divergence(magnitudes, int(stop), levels))
    cut = float(best * width)
    return max(measured.minimum, -cut), min(measured.maximum, cut)


def _by_magnitude(measured: ValueRange) -> tuple[Array, float]:
    """Counts by magnitude, (bins,) float64, of bins of one width from zero; exact zeros are left out."""
    size = measured.counts.size
    edges = measured.edges
    centres = np.abs(edges[1:] + edges[:-1]) / 2
    top = max(abs(measured.minimum), abs(measured.maximum))
    width = top / size
    counts = np.zeros(size)
    np.add.at(counts, np.minimum((centres / width).astype(int), size - 1), measured.counts.astype(np.float64))
    counts[0] = max(0.0, counts[0] - measured.zeros)
    return counts, width


def _divergence(counts: Array, stop: int, levels: int) -> float:
    """KL divergence of the counts below `stop` (what lies above added to the last) from their rounding to `levels`."""
    wanted = counts[:stop].copy()
    used = wanted > 0
    group = np.arange(stop) * levels // stop
    sums, filled = np.bincount(group, wanted, levels), np.bincount(group, used, levels)
    rounded = np.where(used, sums[group] / np.maximum(filled[group], 1), 0.0)
    wanted[-1] += counts[stop:].sum()
    total, kept = wanted.sum(), rounded.sum()
    if total == 0 or kept == 0:
        return np.inf
    both = (wanted > 0) & (rounded > 0)
    missing = wanted[(wanted > 0) & (rounded == 0)].sum() / total
    p, q = wanted[both] / total, rounded[both] / kept
    return float(np.sum(p * np.log(p / q)) + missing * np.log(1e6))
