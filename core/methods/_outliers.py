"""The few largest weights kept apart, so that they do not stretch the range of the others."""

from __future__ import annotations

from typing import Any

import numpy as np

from core.encoding import Encoding, Float, Sparse, Sum
from core.encoding.base import Array
from core.encoding.positions import gather
from core.methods.params import param

_SMALL = np.float32(2.0**-10)
"""Typical corrections of at least this are stored as float16: their own error is then 60 dB below them."""


def outliers_param() -> Any:
    """The parameter `outliers`, the same for all methods that have it."""
    return param(
        0.0, "Outliers apart", "Share of the weights, the largest ones, that are stored in 16 bits beside the others: "
        "about 27 bits each, places included. 0.5 % pays at 2 to 4 bits: often more than finer scales do.",
        minimum=0.0, maximum=0.05, percent=True, grid=(0.01, 0.005, 0.0), unit="%",
    )


def outlier_mask(values: Array, share: float) -> Array | None:
    """Bool mask of the round(share * n) largest magnitudes, of equal ones the first; None when there are none."""
    count = int(np.floor(share * values.size + 0.5))
    if count == 0:
        return None
    magnitudes = np.abs(values.reshape(-1))
    edge = np.partition(magnitudes, magnitudes.size - count)[magnitudes.size - count]
    mask = magnitudes > edge
    mask[np.flatnonzero(magnitudes == edge)[: count - np.count_nonzero(mask)]] = True
    return mask.reshape(values.shape)


def with_outliers(values: Array, dense: Encoding, apart: Array) -> Sum:
    """`dense` and what it lacks of the weights of the mask `apart`, of the shape of `values`."""
    lacking = gather(values, apart) - gather(np.ascontiguousarray(dense.decode()), apart)
    sizes = np.abs(lacking)
    fits = np.median(sizes) >= _SMALL and sizes.max() <= np.finfo(np.float16).max
    return Sum(dense, Sparse.encode(Float(lacking, "float16" if fits else "float32"), apart))
