"""Shortens names so that what tells them apart stays: names of one network share their beginnings."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable
from itertools import takewhile

_DOTS = "\N{HORIZONTAL ELLIPSIS}"
_SEPARATORS = "./_:"
_LONGEST_FRAGMENT = 3
"""Letters of a cut word that are left out as well, so that a name begins at a whole one."""


class Elision:
    """Shortens any of some names.

    The beginning goes first ("…0.linear1"). Where another name has the same ending, the place where the two differ is
    kept as well ("…10…dense").
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._reversed = sorted({name[::-1] for name in names})

    def shortened(self, name: str, room: int, width: Callable[[str], int]) -> str:
        """The name if it fits into `room`, else as much of it as fits. width: of a text, in the unit of `room`."""
        if width(name) <= room:
            return name
        shared = self._shared_ending(name)
        tail = _ending(name, _most(len(name), room, lambda n: width(_ending(name, n))))
        if shared == len(name):  # another name ends with all of this one
            return tail
        if len(tail) - len(_DOTS) > shared:
            return _from_a_word(tail, shared)
        start, end = _word_at(name, len(name) - shared - 1)
        differing = (_DOTS if start else "") + name[start:end]
        most = _most(len(name) - end - 1, room, lambda n: width(differing + _ending(name, n)))
        return differing + _ending(name, most) if most else tail

    def _shared_ending(self, name: str) -> int:
        """How many letters the name has in common with the end of the most similar other name."""
        backwards = name[::-1]
        at = bisect_left(self._reversed, backwards)
        after = at + 1 if at < len(self._reversed) and self._reversed[at] == backwards else at
        neighbours = [*self._reversed[max(at - 1, 0) : at], *self._reversed[after : after + 1]]
        return max((_in_common(backwards, other) for other in neighbours), default=0)


def _word_at(name: str, place: int) -> tuple[int, int]:
    """Start and end of the word at a place, or of the one behind it when a separator stands there."""
    start = place + 1 if name[place] in _SEPARATORS else max(name.rfind(mark, 0, place + 1) for mark in _SEPARATORS) + 1
    ends = [found for mark in _SEPARATORS if (found := name.find(mark, max(start, place + 1))) >= 0]
    return start, min(ends, default=len(name))


def _in_common(one: str, other: str) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _most(letters: int, room: int, width: Callable[[int], int]) -> int:
    """The greatest number of letters, at most `letters`, whose width fits; 0 when not even one does."""
    return max(bisect_right(range(letters + 1), room, key=width) - 1, 0)


def _ending(name: str, letters: int) -> str:
    return _DOTS + name[len(name) - letters :]


def _from_a_word(tail: str, shared: int) -> str:
    """The ending from the start of its first whole word, when that (its separator included) still tells it apart."""
    kept = tail[len(_DOTS) :]
    for at, letter in enumerate(kept[: _LONGEST_FRAGMENT + 1]):
        if letter in _SEPARATORS and shared < len(kept) - at:
            return _DOTS + kept[at + 1 :]
    return tail
