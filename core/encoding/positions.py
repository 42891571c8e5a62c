"""Places of kept weights as gaps: short codes for the distance from one kept weight to the next."""

from __future__ import annotations

import numpy as np

from core.encoding.base import Array

GAP_BITS = range(2, 9)
_CHUNK = 1 << 16  # elements of a mask that are looked at at a time: temporaries stay in the cache


def gather(values: Array, mask: Array) -> Array:
    """values[mask] of two arrays of one shape, as a line, five times faster: by places."""
    values, mask = values.reshape(-1), mask.reshape(-1)
    kept = np.empty(np.count_nonzero(mask), values.dtype)
    done = 0
    for start in range(0, mask.size, _CHUNK):
        places = np.flatnonzero(mask[start : start + _CHUNK])
        values[start : start + _CHUNK].take(places, out=kept[done : done + places.size], mode="clip")
        done += places.size
    return kept


def mask_positions(flags: Array) -> Array:
    """Places of the nonzero elements of a flat array, int32 where that suffices."""
    places = np.empty(int(np.count_nonzero(flags)), np.int32 if flags.size < 2**31 else np.int64)
    filled = 0
    for start in range(0, flags.size, _CHUNK):
        found = np.flatnonzero(flags[start : start + _CHUNK])
        np.add(found, start, out=places[filled : filled + found.size], casting="same_kind")
        filled += found.size
    return places


def distances(mask: Array) -> Array:
    """Places from each kept weight back to the one before it (the first: to the place before the start); at least 1."""
    places = mask_positions(mask)
    steps = np.empty_like(places)
    if places.size:
        steps[0] = places[0] + 1
        np.subtract(places[1:], places[:-1], out=steps[1:])
    return steps


def gap_sizes(mask: Array) -> dict[int, int]:
    """Number of codes, fillers included, for each width of GAP_BITS."""
    steps = distances(mask)
    sizes = {}
    for bits in GAP_BITS:
        top = (1 << bits) - 1
        sizes[bits] = int(steps.size + ((steps - 1) // top).sum(dtype=np.int64))
    return sizes


def encode_gaps(mask: Array, bits: int) -> Array:
    """uint8 codes: a kept weight's code is its distance; before it, a 0 for every 2**bits - 1 places too many."""
    top = (1 << bits) - 1
    steps = distances(mask)
    steps -= 1
    fillers, rest = np.divmod(steps, steps.dtype.type(top))
    rest += 1
    ends = np.cumsum(fillers, dtype=steps.dtype)
    ends += np.arange(steps.size, dtype=steps.dtype)
    codes = np.zeros(int(ends[-1]) + 1 if ends.size else 0, np.uint8)
    codes[ends] = rest
    return codes


def gap_positions(codes: Array, bits: int) -> Array:
    """Places of the kept weights; the inverse of `encode_gaps`."""
    kept = codes != 0
    steps = np.where(kept, codes, np.uint8((1 << bits) - 1))
    ends: Array = np.cumsum(steps, dtype=np.int32 if codes.size < 2**23 else np.int64)[kept]
    return np.subtract(ends, 1, out=ends)
