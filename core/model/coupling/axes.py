"""Axes of values as products of factors, and the ledger of which places along them must go together.

Every stored tensor's axis is a factor whose places are atoms, numbers that name them. Factors flow through the graph:
what passes a channel axis on hands on the very factor, a Reshape splits and joins factors, and where two axes meet,
their atoms are tied. An axis of one place has no factors. In the end connected atoms are one unit: they stay or go
together.

A factor is one of
tracked   its places are atoms
fixed     of a known size that stays (a picture's height, an input's channels); `why` says why
dynamic   of a size that is known at run time alone
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

BLOCKS = "they are blocks that can only go as a whole"


@dataclass(eq=False)
class Factor:
    """A part of an axis; see the module's text. `pieces` are the factors that it was split into, by outer size."""

    size: int | None
    atoms: Array | None = None
    why: str = ""
    pieces: dict[int, tuple[Factor, Factor]] = field(default_factory=dict)


Axis = tuple[Factor, ...]
"""Factors from the outermost to the innermost; () is an axis of one place."""

Axes = tuple[Axis, ...]


@dataclass(frozen=True, eq=False)
class Split:
    """whole[i * inner.size + j] is place i of `outer` and j of `inner`: only one of the two directions can be cut."""

    whole: Array
    outer: Factor
    inner: Factor


def size_of(axis: Axis) -> int | None:
    """Places along an axis; None when it is dynamic."""
    sizes = [factor.size for factor in axis]
    return None if None in sizes else math.prod(size for size in sizes if size is not None)


def fixed(size: int | None, why: str = "it meets an axis of a size that cannot change") -> Axis:
    """An axis that stays as it is; dynamic for None."""
    return () if size == 1 else (Factor(size, why=why),)


class Ledger:
    """All atoms of a graph with what ties and pins them."""

    def __init__(self) -> None:
        self.count = 0
        self.ties: list[tuple[Array, Array]] = []
        self.pins: list[tuple[Array, str]] = []
        self.splits: list[Split] = []

    def new(self, size: int) -> Axis:
        """An axis of `size` fresh atoms."""
        if size == 1:
            return ()
        self.count += size
        return (Factor(size, np.arange(self.count - size, self.count)),)

    def pin(self, axis: Axis, why: str) -> None:
        """State that no place along the axis can go, and why (one clause)."""
        self.pins.extend((factor.atoms, why) for factor in axis if factor.atoms is not None)

    def tie(self, first: Axis, second: Axis) -> Axis:
        """Two axes that meet place by place; returns the one to go on with. An axis of one place is broadcast."""
        if not first or not second or first is second:
            return first or second
        one, other = list(first), list(second)
        if [factor.size is None for factor in first] != [factor.size is None for factor in second]:
            # Free factors on one side alone: they are one place, or the sizes would not fit.
            one, other = ([factor for factor in axis if factor.size is not None] for axis in (one, other))
        if not one or not other or math.prod(f.size or 1 for f in one) != math.prod(f.size or 1 for f in other):
            return self._mismatch(first, second)
        return self._tie_lists(one, other, first, second)

    def _mismatch(self, first: Axis, second: Axis) -> Axis:
        for axis in (first, second):
            self.pin(axis, "it meets an axis of another or unknown size")
        return second if size_of(first) is None else first

    def _tie_lists(self, one: list[Factor], other: list[Factor], first: Axis, second: Axis) -> Axis:
        """Tie factor lists of the same size, splitting where one is finer than the other."""
        done: list[Factor] = []
        while one and other:
            a, b = one[0], other[0]
            if a.size == b.size:
                done.append(self._tie_factors(a, b))
                one, other = one[1:], other[1:]
            elif a.size is None or b.size is None:
                return self._mismatch(first, second)
            elif a.size > b.size and a.size % b.size == 0:
                one = [*self.split(a, b.size), *one[1:]]
            elif b.size > a.size and b.size % a.size == 0:
                other = [*self.split(b, a.size), *other[1:]]
            else:
                return self._mismatch(first, second)
        return tuple(done)

    def _tie_factors(self, a: Factor, b: Factor) -> Factor:
        if a is b:
            return a
        if a.atoms is None or b.atoms is None:
            self.pin((a,), b.why)
            self.pin((b,), a.why)
            return b if a.atoms is not None else a
        self.ties.append((a.atoms, b.atoms))
        if a.pieces is not b.pieces:
            for outer in a.pieces.keys() & b.pieces.keys():
                for piece, twin in zip(a.pieces[outer], b.pieces[outer], strict=True):
                    self._tie_factors(piece, twin)
            a.pieces.update({outer: pieces for outer, pieces in b.pieces.items() if outer not in a.pieces})
            b.pieces = a.pieces
        return a

    def split(self, factor: Factor, outer: int) -> tuple[Factor, Factor]:
        """(outer, inner) of a factor of static size; always the same two for the same outer size."""
        size = factor.size or 1
        if outer in (1, size):
            one = Factor(1, why=factor.why)
            return (one, factor) if outer == 1 else (factor, one)
        if outer not in factor.pieces:
            if factor.atoms is None:
                factor.pieces[outer] = (Factor(outer, why=factor.why), Factor(size // outer, why=factor.why))
            else:
                (first,), (second,) = self.new(outer), self.new(size // outer)
                factor.pieces[outer] = (first, second)
                self.splits.append(Split(factor.atoms, first, second))
        return factor.pieces[outer]

    def flat(self, axis: Axis) -> Factor | None:
        """The axis as one factor; None when it is dynamic or has one place."""
        size = size_of(axis)
        if size is None or not axis:
            return None
        if len(axis) == 1:
            return axis[0]
        if all(factor.atoms is None for factor in axis):
            return Factor(size, why=axis[0].why)
        whole = self.new(size)
        self.tie(whole, axis)
        return whole[0]

    def taken(self, factor: Factor, places: Iterable[int] | slice) -> Axis:
        """The axis of some places of a factor."""
        index = places if isinstance(places, slice) else np.fromiter(places, np.int64)
        if factor.atoms is None:
            size = len(range(factor.size or 0)[index]) if isinstance(index, slice) else index.size
            return fixed(size, factor.why)
        return self.row(factor.atoms[index])

    def row(self, atoms: Array) -> Axis:
        """An axis with these atoms as its places; one place alone cannot go, so it is pinned."""
        if atoms.size == 1:
            self.pins.append((atoms, "it is used alone, by its number"))
            return ()
        return (Factor(int(atoms.size), atoms),)

    def joined(self, axes: list[Axis]) -> Axis:
        """The axis of several axes in a row (a Concat)."""
        if any(size_of(axis) is None for axis in axes):
            for axis in axes:
                self.pin(axis, "it is joined with an axis of unknown size")
            return fixed(None)
        flats = [self.flat(axis) for axis in axes]
        if not any(flat is not None and flat.atoms is not None for flat in flats):
            return fixed(sum(size_of(axis) or 0 for axis in axes), next((f.why for f in flats if f), ""))
        return self.row(np.concatenate([self._atoms(flat) for flat in flats]))

    def _atoms(self, flat: Factor | None) -> Array:
        """Atoms of a part of a row; fresh ones that stay for a fixed part."""
        if flat is not None and flat.atoms is not None:
            return flat.atoms
        size = 1 if flat is None or flat.size is None else flat.size
        atoms = np.arange(self.count, self.count + size)
        self.count += size
        self.pins.append((atoms, flat.why if flat is not None else "it is joined with a single number"))
        return atoms
