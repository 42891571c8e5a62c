"""The distribution of values of a graph over samples, counted in two passes: first the range, then what lies where."""

from __future__ import annotations

from typing import Any

import numpy as np

from core.analysis.one_node import NOT_RUN
from core.data.layer_inputs import ValueRange

Array = np.ndarray[Any, np.dtype[Any]]

BINS = 2048
"""Fine enough to place a clip or a scale of 8 bits (NVIDIA, "8-bit Inference with TensorRT", 2017, takes 2,048)."""


class RangeCounter:
    """One value. Show it every sample with `see`, then every sample again with `count`."""

    def __init__(self) -> None:
        self._low, self._high = np.inf, -np.inf
        self._n = self._zeros = self._left_out = 0
        self._counts = np.zeros(BINS, np.int64)

    def see(self, value: Array) -> None:
        """First pass: extremes, zeros; NaN and infinite elements do not count."""
        flat = _finite(value)
        self._left_out += value.size - flat.size
        if flat.size:
            self._low, self._high = min(self._low, float(flat.min())), max(self._high, float(flat.max()))
            self._n += flat.size
            self._zeros += int(flat.size - np.count_nonzero(flat))

    def count(self, value: Array) -> None:
        """Second pass."""
        if self._low >= self._high:
            return
        flat = _finite(value)
        scale = BINS / (self._high - self._low)
        for start in range(0, flat.size, 1 << 18):  # stays in the cache
            places = (flat[start : start + (1 << 18)].astype(np.float64) - self._low) * scale
            self._counts += np.bincount(np.clip(places, 0, BINS - 1).astype(np.int64), minlength=BINS)

    def why_none(self, what: str) -> str:
        """Why `result` is None (one clause). what: of a layer the value is: "input"."""
        if not self._left_out:
            return NOT_RUN
        return f"all {self._left_out:,} values at its {what} are NaN or infinite on these samples"

    def result(self) -> ValueRange | None:
        """The distribution; None when no element was finite. A constant value has all its elements in the first bin."""
        if not self._n:
            return None
        counts = self._counts.copy()
        if self._low >= self._high:
            counts[0] = self._n
        return ValueRange(self._low, self._high, counts, self._zeros, self._n)


def _finite(value: Array) -> Array:
    flat = np.asarray(value, np.float32).reshape(-1)
    with np.errstate(invalid="ignore"):  # infinities of both signs
        total = float(flat.sum(dtype=np.float64)) if flat.size else 0.0
    return flat if np.isfinite(total) else flat[np.isfinite(flat)]
