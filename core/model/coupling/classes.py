"""From ties and pins to units: which atoms stay or go together, and which can never go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from core.model.coupling.axes import BLOCKS, Factor, Ledger, Split

Array = np.ndarray[Any, np.dtype[Any]]


class Classes:
    """The classes of a ledger's atoms.

    label   (atoms,) the smallest atom of each atom's class
    pinned  (atoms,) at a class's label: the number of the first reason that pins it, or -1
    reasons the clauses that `pinned` numbers
    """

    def __init__(self, ledger: Ledger) -> None:
        self.label = np.arange(ledger.count)
        self.pinned = np.full(ledger.count, -1)
        self.reasons: list[str] = []
        self._known: dict[str, int] = {}
        if ledger.ties:
            self._tie(*(np.concatenate(side) for side in zip(*ledger.ties, strict=True)))
        for atoms, why in ledger.pins:
            self._pin(atoms, why)
        self._resolve(ledger.splits)

    def why(self, atoms: Array) -> str:
        """The first reason why one of these atoms cannot go, or ""."""
        found = self.pinned[self.label[atoms]]
        found = found[found >= 0]
        return self.reasons[int(found.min())] if found.size else ""

    def free(self, atoms: Array) -> Array:
        """(atoms,) whether each can go."""
        return self.pinned[self.label[atoms]] < 0

    def _pin(self, atoms: Array, why: str) -> None:
        number = self._known.setdefault(why, len(self.reasons))
        if number == len(self.reasons):
            self.reasons.append(why)
        labels = self.label[atoms]
        self.pinned[labels[self.pinned[labels] < 0]] = number

    def _tie(self, first: Array, second: Array) -> None:
        """Join classes; the work goes with the classes that are touched, but for one look-up over all."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        labels, places = np.unique(self.label[np.concatenate([first, second])], return_inverse=True)
        a, b = places[: first.size], places[first.size :]
        net = coo_array((np.ones(a.size, np.int8), (a, b)), shape=(labels.size, labels.size))
        count, part = connected_components(net, directed=False)
        smallest = np.full(count, self.label.size)
        np.minimum.at(smallest, part, labels)
        worst = np.full(count, np.iinfo(np.int64).max)
        reasons = self.pinned[labels]
        np.minimum.at(worst, part[reasons >= 0], reasons[reasons >= 0])
        table = np.arange(self.label.size)
        table[labels] = smallest[part]
        self.label = table[self.label]
        self.pinned[smallest] = np.where(worst < np.iinfo(np.int64).max, worst, -1)

    def _resolve(self, splits: Sequence[Split]) -> None:
        """Decide for each split along which of its directions can be cut.

        Case 1  one direction is pinned, or the whole is tied across it: the other one
        Case 2  both are open: the outer one, so that whole blocks go (attention heads)
        Decisions of case 1 come first, as each may force others; those of case 2 follow in the graph's order.
        """
        left = list(splits)
        while left:
            undecided = [split for split in left if not self._forced(split)]
            if len(undecided) < len(left):
                left = undecided
                continue
            touched: set[int] = set()
            for split in left:
                mine = set(self.label[_all_atoms(split)].tolist())
                if not mine & touched:
                    self._cut_along(split, outer=True)
                touched |= mine

    def _forced(self, split: Split) -> bool:
        """Decide a split that has no choice (case 1); False when both directions are open."""
        outer, inner = self._stays(split.outer), self._stays(split.inner)
        if not self.free(split.whole).any():
            outer = inner = True
        if not outer and not inner:
            grid = self.label[split.whole].reshape(split.outer.size or 1, -1)
            outer = bool((grid == grid[:1]).all())
            inner = not outer and bool((grid == grid[:, :1]).all())
        if outer and inner:
            why = self.why(np.concatenate([split.whole, _all_atoms(split)])) or split.outer.why or split.inner.why
            self._pin(_all_atoms(split), why)
        elif outer or inner:
            self._cut_along(split, outer=inner)
        return outer or inner

    def _stays(self, factor: Factor) -> bool:
        return factor.atoms is None or not self.free(factor.atoms).any()

    def _cut_along(self, split: Split, *, outer: bool) -> None:
        cut, stays = (split.outer, split.inner) if outer else (split.inner, split.outer)
        if stays.atoms is not None:
            self._pin(stays.atoms, BLOCKS)
        if cut.atoms is None:
            return
        places = np.arange(split.whole.size)
        inner = split.inner.size or 1
        self._tie(split.whole, cut.atoms[places // inner if outer else places % inner])


def _all_atoms(split: Split) -> Array:
    return np.concatenate([a for a in (split.whole, split.outer.atoms, split.inner.atoms) if a is not None])
