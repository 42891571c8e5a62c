"""Ranges of the output channels: why one scale for a whole tensor wastes levels, and which channels stand out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from core.analysis.statistics import FENCE

Floats = np.ndarray[Any, np.dtype[np.float32]]


@dataclass(frozen=True, eq=False)
class ChannelRanges:
    """Smallest and largest weight of each of C channels.

    low, high  float32 (C,); NaN for a channel without a finite weight
    order      int64 (C,): channels from the largest magnitude to the smallest, channels without one last
    outlier    bool (C,): the channel's largest magnitude lies beyond Tukey's upper outer fence of all channels'
    """

    low: Floats
    high: Floats
    order: np.ndarray[Any, np.dtype[np.int64]]
    outlier: np.ndarray[Any, np.dtype[np.bool_]]

    @property
    def magnitude(self) -> Floats:
        """Largest magnitude of each channel, float32 (C,)."""
        return np.maximum(np.abs(self.low), np.abs(self.high))


def channel_ranges(values: np.ndarray[Any, Any], axis: int | None) -> ChannelRanges:
    """Ranges along `axis` (Layer.output_axis) of an array of any shape; None or a scalar: all of it is one channel.

    NaN and Inf are left out.
    """
    weights = np.asarray(values, dtype=np.float32)
    if axis is None or weights.ndim == 0:
        weights, axis = weights.reshape(1, -1), 0
    axis %= weights.ndim
    others = tuple(i for i in range(weights.ndim) if i != axis)
    low, high = _extremes(weights, others)
    magnitude = np.maximum(np.abs(low), np.abs(high))
    order = np.argsort(-magnitude, kind="stable")  # NaN sorts last
    return ChannelRanges(low, high, order, _far_out(magnitude))


def _extremes(weights: Floats, others: tuple[int, ...]) -> tuple[Floats, Floats]:
    if weights.size == 0:
        empty = np.full([n for i, n in enumerate(weights.shape) if i not in others], np.nan, np.float32)
        return empty, empty.copy()
    low, high = np.min(weights, axis=others), np.max(weights, axis=others)
    if np.isfinite(low).all() and np.isfinite(high).all():
        return low, high
    finite = np.where(np.isfinite(weights), weights, np.float32(np.nan))
    return np.fmin.reduce(finite, axis=others), np.fmax.reduce(finite, axis=others)


def _far_out(magnitude: Floats) -> np.ndarray[Any, np.dtype[np.bool_]]:
    known = magnitude[np.isfinite(magnitude)].astype(np.float64)
    if not known.size:
        return np.zeros(magnitude.shape, np.bool_)
    first, third = np.quantile(known, (0.25, 0.75))
    if first == third:  # half of the channels alike: no measure of spread
        return np.zeros(magnitude.shape, np.bool_)
    return np.asarray(magnitude > third + FENCE * (third - first))
