"""Samples of text filled up to one length: what a mask says is not there need not be computed.

Texts of a data set are padded to the longest. Behind an attention mask the padding changes nothing, yet the runtime
computes with it; batches of texts of like length, cut to it, give the same outputs for less. That it is so is checked
on the model itself before anything is measured so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from core.data.samples import Samples
    from core.model.layer import Port

Array = np.ndarray[Any, np.dtype[Any]]


def masked_lengths(inputs: Sequence[Port], samples: Samples) -> Array | None:
    """(n,) how many leading positions of each sample its mask counts; None when nothing is padded, or no mask says so.

    The inputs must be integers of one shape (samples, positions) whose positions the model takes any number of, and one
    of them a mask: ones, then zeros. At least an eighth of all positions must be padding for it to be worth the while.
    """
    shapes = [port.shape or () for port in inputs]
    free = all(len(shape) == 2 and not isinstance(shape[1], int) for shape in shapes)
    if not free or not samples.batchable or samples.n < 2:
        return None
    whole = next(samples.batches(samples.n))
    if any(array.dtype.kind not in "iu" for array in whole.values()) or len({a.shape for a in whole.values()}) != 1:
        return None
    for array in whole.values():
        ones = array == 1
        lengths = ones.sum(axis=1)
        if np.array_equal(array, ones) and np.all(np.diff(array.astype(np.int8), axis=1) <= 0) and lengths.min() > 0:
            return lengths if lengths.sum() <= array.size * 7 // 8 else None
    return None


def cut_batches(samples: Samples, lengths: Array, size: int) -> Iterator[tuple[Array, Mapping[str, Array]]]:
    """(indices, feed) of batches of samples of like length, the shortest first, cut to their longest.

    size  samples of full length in a batch; shorter ones come in larger batches, with about as many positions
    """
    whole = next(samples.batches(samples.n))
    positions = size * next(iter(whole.values())).shape[1]
    order = np.argsort(lengths, kind="stable")
    start = 0
    while start < len(order):
        stop = start + 1
        while stop < len(order) and (stop + 1 - start) * lengths[order[stop]] <= positions:
            stop += 1
        rows = order[start:stop]
        length = int(lengths[rows[-1]])
        yield rows, {name: np.ascontiguousarray(array[rows, :length]) for name, array in whole.items()}
        start = stop
