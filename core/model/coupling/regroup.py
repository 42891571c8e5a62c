"""What a Reshape makes of axes: their factors in a row, cut anew into the target's sizes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from core.model.coupling.axes import Axes, Axis, Factor, Ledger, fixed, size_of
from core.model.coupling.sizes import Entries, Entry


def regroup(ledger: Ledger, data: Axes, target: Entries) -> Axes | None:
    """The axes of the reshaped value, or None when the new shape cannot be followed.

    Sizes are matched from the front and from the back; what lies between goes to the -1, or to the one number that is
    not known. An axis of unknown size stands for a number of unknown size. Where the model says a size that cannot
    be (a batch of 1 for a free one), free axes count as one place.
    """
    row = [factor for axis in data for factor in axis]
    found = _match(ledger, row, target)
    if found is None:
        still = [factor for factor in row if factor.size is not None]
        found = _match(ledger, still, target) if len(still) < len(row) else None
    return found if found is not None else _match_ends(ledger, row, target)


def _match(ledger: Ledger, row: list[Factor], target: Entries) -> Axes | None:
    free = [place for place, entry in enumerate(target) if entry.size == -1]
    if not free:
        free = [place for place, entry in enumerate(target) if entry.size is None and not entry.axis][:1]
    middle = free[0] if free else len(target)
    left = list(row)
    front: list[Axis] = []
    for entry in target[:middle]:
        axis = _consume(ledger, left, entry, from_back=False)
        if axis is None:
            return None
        front.append(axis)
    back: list[Axis] = []
    for entry in reversed(target[middle + 1 :]):
        axis = _consume(ledger, left, entry, from_back=True)
        if axis is None:
            return None
        back.append(axis)
    if not free:
        return tuple(front) if not left else None
    return (*front, tuple(left), *reversed(back))


def _match_ends(ledger: Ledger, row: list[Factor], target: Entries) -> Axes | None:
    """Match what can be matched from both ends; what is left between may be anything as long as it stays as it is."""
    front: list[Axis] = []
    back: list[Axis] = []
    left = list(row)
    for entries, done, from_back in ((target, front, False), (target[::-1], back, True)):
        for entry in entries[: len(target) - len(front)]:
            trial = list(left)
            axis = _consume(ledger, trial, entry, from_back=from_back) if entry.size != -1 else None
            if axis is None:
                break
            left = trial
            done.append(axis)
    if _is_tracked(left):
        return None
    between = target[len(front) : len(target) - len(back)]
    middle = [entry.axis if entry.axis is not None and not _is_tracked(entry.axis)
              else fixed(entry.size if entry.size != -1 else None) for entry in between]  # fmt: skip
    return (*front, *middle, *reversed(back))


def _is_tracked(factors: Iterable[Factor]) -> bool:
    return any(factor.atoms is not None for factor in factors)


def _consume(ledger: Ledger, row: list[Factor], entry: Entry, *, from_back: bool) -> Axis | None:
    """Take the factors of one number off an end of the row; None when they do not make it up."""
    if entry.axis and _is_next(row, entry.axis, from_back=from_back):
        return _take(row, len(entry.axis), from_back=from_back)
    if entry.size is None or (entry.axis and size_of(entry.axis) is None):
        at = -1 if from_back else 0
        return (row.pop(at),) if row and row[at].size is None else None
    taken: list[Factor] = []
    left = entry.size
    while left > 1:
        if not row:
            return None
        factor = row[-1 if from_back else 0]
        if factor.size is None:
            return None
        if left % factor.size == 0:
            row.pop(-1 if from_back else 0)
            left //= factor.size
        elif factor.size % left == 0:
            outer, inner = ledger.split(factor, factor.size // left if from_back else left)
            row[-1 if from_back else 0] = outer if from_back else inner
            factor, left = (inner if from_back else outer), 1
        else:
            return None
        taken.append(factor)
    return tuple(reversed(taken)) if from_back else tuple(taken)


def _is_next(row: Sequence[Factor], axis: Axis, *, from_back: bool) -> bool:
    count = len(axis)
    return len(row) >= count and all(
        a is b for a, b in zip(row[-count:] if from_back else row[:count], axis, strict=True)
    )


def _take(row: list[Factor], count: int, *, from_back: bool) -> Axis:
    part = row[-count:] if from_back else row[:count]
    del row[-count if from_back else 0 : len(row) if from_back else count]
    return tuple(part)
