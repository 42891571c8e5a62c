"""Which coefficients of an orthonormal basis stay, and in which of two layouts they take fewer bytes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import log2, prod

import numpy as np

from core.encoding import Float, Sparse, Transformed
from core.encoding.base import Array, Shape
from core.encoding.counting import smallest
from core.encoding.floats import FloatType
from core.encoding.positions import gather
from core.errors import LayerSkipped
from core.methods._filter_views import View, energy_table, joint, transform
from core.methods._prune_masks import magnitude_mask
from core.methods._structure import chunks
from core.methods.base import Context, Memo

_BUCKETS = 1 << 15  # by the upper bits of a float32 magnitude
_SLACK = 1e-12  # of the energy: what sums in another order may differ by

Box = tuple[Array, ...]
"""Functions that stay, for each axis of the view, rising."""


@dataclass(frozen=True)
class Wish:
    """What is to be kept: `by` "cutoff", "share" or "energy"; `layout` "auto", "shared" or "each"."""

    by: str
    cutoff: float
    share: float
    energy: float
    layout: str


@dataclass(frozen=True)
class Coefficients:
    """All coefficients of a weight.

    values  float32, the view's padded grid
    table   energy of each combination of functions, float64 (`energy_table`)
    energy  sum of squares of the weight itself: the padding does not count
    bases   (functions, length) float64 for each axis of the view
    """

    values: Array
    table: Array
    energy: float
    view: View
    bases: tuple[Array, ...]
    dtype: FloatType
    shape: Shape
    name: str

    def target(self, share: float) -> float:
        """Energy that must stay of the padded weight so that `share` of the weight's own is sure to."""
        whole = float(self.table.sum())
        return whole - (1 - share) * self.energy - _SLACK * whole

    def with_box(self, box: Box) -> Transformed:
        """The coefficients of some functions, dense."""
        values = self.values
        for axis, kept in zip(self.view.axes, box, strict=True):
            if kept.size < axis.length:
                starts = np.arange(self.view.blocks(axis))[:, np.newaxis] * axis.length
                values = values.take((starts + kept).reshape(-1), axis.at)
        return self._encoding(Float(values, self.dtype), [b[k] for b, k in zip(self.bases, box, strict=True)])

    def with_mask(self, mask: Array) -> Transformed:
        """The coefficients that a mask marks, sparse."""
        kept = Sparse.encode(Float(gather(self.values, mask), self.dtype), mask)
        return self._encoding(kept, self.bases)

    def _encoding(self, child: Float | Sparse, bases: Sequence[Array]) -> Transformed:
        by_axis: list[Array | None] = [None] * len(self.view.grid)
        for axis, basis in zip(self.view.axes, bases, strict=True):
            by_axis[axis.at] = basis.astype(np.float32)
        return Transformed(child, tuple(by_axis), self.view.grid, self.shape, self.name)


def coefficients(
    leaf: Float, values: Array, view: View, make_basis: Callable[[int], Array], name: str, context: Context
) -> Coefficients:
    """The weight in the basis that `make_basis` gives for each length. Raises LayerSkipped for a weight of zeros."""
    bases = tuple(joint([make_basis(length) for length in axis.parts]) for axis in view.axes)
    table = np.zeros([axis.length for axis in view.axes])

    def look(piece: Array) -> None:
        np.add(table, energy_table(piece, view), out=table)

    made = transform(values, view, [basis.T for basis in bases], context, look, (0.0, 0.6))
    energy = sum(float(np.square(values.reshape(-1)[p], dtype=np.float64).sum()) for p in chunks(values.size, context))
    if energy == 0.0:
        raise LayerSkipped("all its weights are zero: there is nothing to filter")
    return Coefficients(made, table, energy, view, bases, leaf.dtype, leaf.shape, name)


def keep(found: Coefficients, wish: Wish, context: Context) -> Transformed:
    """The coefficients that a wish keeps, in the smaller layout. Raises LayerSkipped when that would be all of them."""
    quiet = replace(context, memo=Memo(), reporter=context.reporter.part(0.6, 1.0))
    if wish.by == "cutoff":
        return _shared(found, low_pass(found.view, wish.cutoff))
    if wish.by == "energy":
        box = box_for_energy(found.table, found.target(wish.energy))
    else:
        box = box_for_share(found.table, wish.share)
    if wish.layout == "shared":
        return _shared(found, box)
    count = _count(found, box, wish, quiet)
    if wish.layout == "each":
        return _each(found, count, quiet)
    if not _worth_a_try(found, box, count, wish, quiet):
        return _shared(found, box)
    each = _each(found, count, quiet)
    return each if wish.by == "share" or _is_all(found, box) else smallest(_shared(found, box), each)


def _shared(found: Coefficients, box: Box) -> Transformed:
    if _is_all(found, box):
        raise LayerSkipped("these settings keep every coefficient: there is nothing to filter", do="keep less")
    return found.with_box(box)


def _each(found: Coefficients, count: int, context: Context) -> Transformed:
    if count >= found.values.size:
        raise LayerSkipped("these settings keep every coefficient: there is nothing to filter", do="keep less")
    return found.with_mask(magnitude_mask(found.values, 1 - count / found.values.size, context))


def _is_all(found: Coefficients, box: Box) -> bool:
    return prod(kept.size for kept in box) == found.table.size


def _count(found: Coefficients, box: Box, wish: Wish, context: Context) -> int:
    """How many coefficients stay when each is chosen by itself."""
    if wish.by == "share":
        return max(1, round(wish.share * found.values.size))
    return count_for_energy(found.values.reshape(-1), found.target(wish.energy), context)


def _worth_a_try(found: Coefficients, box: Box, count: int, wish: Wish, context: Context) -> bool:
    """Whether single coefficients could take fewer bytes than a box of as much energy.

    Their places take at least the entropy of "kept or not", which the forms of Sparse come near to.
    """
    size, width = found.values.size, 4 if found.dtype == "float32" else 2
    if count >= size or _bytes(count, size, width) >= size * width:
        return False
    if wish.by == "share":  # compared where both keep the same energy: at equal shares they do not
        count = count_for_energy(found.values.reshape(-1), float(found.table[np.ix_(*box)].sum()), context)
    boxed = size // found.table.size * prod(kept.size for kept in box) * width
    unused = sum(4 * (axis.length - kept.size) * axis.length for axis, kept in zip(found.view.axes, box, strict=True))
    return _bytes(count, size, width) + unused < boxed  # single coefficients need every function of the basis


def _bytes(count: int, size: int, width: int) -> float:
    share = min(max(count / size, 1e-12), 1 - 1e-12)
    return count * width - size * (share * log2(share) + (1 - share) * log2(1 - share)) / 8


def low_count(length: int, cutoff: float) -> int:
    """Functions that a cut-off, 0..1, keeps of `length`: at least one."""
    return max(1, int(np.floor(cutoff * length + 0.5)))


def low_pass(view: View, cutoff: float) -> Box:
    """The lowest functions along each part of each axis."""
    box = []
    for axis in view.axes:
        places = np.indices(axis.parts).reshape(len(axis.parts), -1)
        limits = np.array([low_count(length, cutoff) for length in axis.parts])
        box.append(np.flatnonzero((places < limits[:, np.newaxis]).all(axis=0)))
    return tuple(box)


def box_for_share(table: Array, share: float) -> Box:
    """The box of most energy that has at most `share` of the functions (at least one)."""
    order, sums, areas = _boxes(table)
    sums = np.where(areas <= max(1.0, share * table.size + 1e-9), sums, -1.0)
    return _cut(order, int(sums.argmax()), table.shape)


def box_for_energy(table: Array, target: float) -> Box:
    """The smallest box that has this energy; of equals the one of most energy."""
    order, sums, areas = _boxes(table)
    enough = np.flatnonzero(sums.reshape(-1) >= target)
    if not enough.size:  # sums in another order lost the last bits
        return _cut(order, table.size - 1, table.shape)
    best = np.lexsort((-sums.reshape(-1)[enough], areas.reshape(-1)[enough]))[0]
    return _cut(order, int(enough[best]), table.shape)


def _boxes(table: Array) -> tuple[list[Array], Array, Array]:
    """Functions of each axis by falling energy; the energy and the size of every box of the first ones."""
    order = []
    for axis in range(table.ndim):
        others = tuple(other for other in range(table.ndim) if other != axis)
        order.append(np.argsort(-table.sum(axis=others), kind="stable"))
    sums = table[np.ix_(*order)]
    areas = np.ones((1,) * table.ndim)
    for axis, size in enumerate(table.shape):
        sums = sums.cumsum(axis)
        areas = areas * np.arange(1, size + 1).reshape(tuple(-1 if a == axis else 1 for a in range(table.ndim)))
    return order, sums, areas


def _cut(order: list[Array], place: int, shape: Shape) -> Box:
    last = np.unravel_index(place, shape)
    return tuple(np.sort(functions[: int(end) + 1]) for functions, end in zip(order, last, strict=True))


def count_for_energy(flat: Array, target: float, context: Context) -> int:
    """The fewest values whose squares sum to `target`: counted by magnitude in buckets, and exactly in the last."""
    counts, sums = np.zeros(_BUCKETS, np.int64), np.zeros(_BUCKETS)
    for part in chunks(flat.size, context):
        bucket = _bucket(flat[part])
        counts += np.bincount(bucket, minlength=_BUCKETS)
        sums += np.bincount(bucket, np.square(flat[part], dtype=np.float64), _BUCKETS)
    from_top = np.cumsum(sums[::-1])
    last = int(np.searchsorted(from_top, target))
    if last >= _BUCKETS:
        return int(flat.size)
    before = float(from_top[last - 1]) if last else 0.0
    chosen = _BUCKETS - 1 - last
    found = [flat[part][_bucket(flat[part]) == chosen] for part in chunks(flat.size, context)]
    squares = np.sort(np.square(np.concatenate(found), dtype=np.float64))[::-1]
    inside = int(np.searchsorted(np.cumsum(squares), target - before)) + 1
    return max(1, int(counts[chosen + 1 :].sum()) + min(inside, squares.size))


def _bucket(part: Array) -> Array:
    return (part.view(np.uint32) >> 16) & np.uint32(_BUCKETS - 1)
