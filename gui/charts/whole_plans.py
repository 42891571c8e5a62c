"""What the Trade-off chart shows, as values: whole plans by size and quality. No Qt."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from gui.units import file_size


@dataclass(frozen=True)
class Mark:
    """One whole plan.

    x, y      bytes; the quality shown, NaN when it is not known
    measured  solid; hollow when predicted
    label     of a uniform setting; "" for a plan of the front
    words     for the read-out
    on_front  whether it is among the plans that a drag visits
    """

    x: float
    y: float
    measured: bool
    label: str
    words: str
    on_front: bool = False


@dataclass(frozen=True)
class Scene:
    """What the chart shows.

    y_label   what y is, with its unit
    chosen    place of the plan in force, None when there is none
    ring      its words: "plan: 2.1 MB · 97.6 %"
    budget    bytes or None; and the quality that is to be kept, or None
    low       worse plans are drawn at this y, as triangles that point down
    """

    marks: tuple[Mark, ...]
    y_label: str
    low: float = -math.inf
    chosen: int | None = None
    ring: str = ""
    budget_x: float | None = None
    budget_y: float | None = None
    budget_words: str = ""


def size_ticks(low: float, high: float, most: int) -> list[tuple[float, str]]:
    """Up to `most` sizes at round numbers between two decimal logarithms, far enough from each other."""
    found: list[tuple[float, str]] = []
    gap = (high - low) / most
    for steps in ((1.0,), (5.0,), (2.0,), (3.0,), (1.5, 7.0, 4.0), (1.2, 2.5, 6.0)):
        for decade in range(math.floor(low), math.ceil(high) + 1):
            for step in steps:
                x = decade + math.log10(step)
                if low + gap / 4 <= x <= high - gap / 4 and all(abs(x - other) >= gap for other, _ in found):
                    found.append((x, _round_size(10.0**x)))
    return sorted(found)


def _round_size(nbytes: float) -> str:
    """A round size without needless digits: "2 MB", "1.5 MB"."""
    number, unit = file_size(nbytes).split(" ")
    return f"{number.rstrip('0').rstrip('.') if '.' in number else number} {unit}"


def better(marks: Sequence[tuple[float, float]]) -> list[int]:
    """Places of the (size, quality) pairs that no other beats in both, by size."""
    found: list[int] = []
    best = -math.inf
    order = sorted(range(len(marks)), key=lambda i: (marks[i][0], -marks[i][1]))
    for i in order:
        if math.isfinite(marks[i][1]) and marks[i][1] > best:
            best = marks[i][1]
            found.append(i)
    return found
