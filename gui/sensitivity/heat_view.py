"""What the heat map shows and marks, as values. No Qt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gui.sensitivity.figures import Array, Grid


@dataclass(frozen=True, eq=False)
class HeatView:
    """What is shown.

    grid      the figures
    rows      grid rows from top to bottom
    columns   grid columns from left to right
    titles    names of all grid rows
    heads, names      of all grid columns; equal heads side by side are one
    sorted_by grid column that rows are sorted by, -1 when by something else; `falling`: the worst first
    """

    grid: Grid
    rows: Array
    columns: Array
    titles: Sequence[str]
    heads: Sequence[str]
    names: Sequence[str]
    sorted_by: int = -1
    falling: bool = True


@dataclass
class Marks:
    """What is marked in the map, by grid row.

    chosen    column of the plan's setting
    selected  rows of selected layers
    others    what the plan does where no column fits: (short words, words for the tool tip, level of colour or -1)
    """

    chosen: Mapping[int, int] = field(default_factory=dict)
    selected: frozenset[int] = frozenset()
    others: Mapping[int, tuple[str, str, int]] = field(default_factory=dict)
