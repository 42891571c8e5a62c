"""Charts as inline SVG: points and lines, bars by group, histograms, stacked parts, heat maps.

Every chart has a title and a description for screen readers, ticks with units and, with several series, a legend.
Colours are classes (k1 to k6, k0 for what is merely there) that the page sets for light, dark and print. All values are
shown as given: what is not finite, or not positive on a logarithmic axis, is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from core.reporting.frame import Frame, legend, wrapped
from core.reporting.markup import escaped, shortened
from core.reporting.ticks import Axis

WIDTH = 1040
HEIGHT = 340
_BAR = 11
_LONGEST_NAME = 34


@dataclass(frozen=True)
class Series:
    """Points (x, y) of one kind.

    style  "line", "dots", "rings" (hollow), "dashed", or two of them: "line dots"
    notes  what a tool tip says at each point; () for none
    names  written beside each point; () for none
    """

    name: str
    points: Sequence[tuple[float, float]]
    style: str = "line"
    colour: int = 1
    notes: Sequence[str] = field(default=())
    names: Sequence[str] = field(default=())


def xy_chart(title: str, description: str, x: Axis, y: Axis, series: Sequence[Series], *, height: int = HEIGHT) -> str:
    """Points and lines over two axes; "" when no series has a point."""
    points = [point for one in series for point in one.points]
    if not points:
        return ""
    frame = Frame(x.scale(p[0] for p in points), y.scale(p[1] for p in points), WIDTH, height)
    body = [frame.grid(), *(_series(frame, one) for one in series)]
    keys = [(one.name, one.colour, one.style) for one in series if one.name]
    return wrapped(title, description, WIDTH, height, "".join(body), legend(keys))


def _series(frame: Frame, one: Series) -> str:
    placed = [frame.place(x, y) for x, y in one.points]
    parts: list[str] = []
    if "line" in one.style or "dashed" in one.style:
        run: list[str] = [f"{at[0]:.1f},{at[1]:.1f}" for at in placed if at is not None]
        dash = " dash" if "dashed" in one.style else ""
        parts.append(f'<polyline class="k{one.colour} stroke{dash}" points="{" ".join(run)}"/>')
    marker = "ring" if "rings" in one.style else "dot" if "dots" in one.style else ""
    for i, at in enumerate(placed):
        if at is None:
            continue
        note = f"<title>{escaped(one.notes[i])}</title>" if i < len(one.notes) else ""
        if marker:
            parts.append(
                f'<circle class="k{one.colour} {marker}" cx="{at[0]:.1f}" cy="{at[1]:.1f}" r="4">{note}</circle>'
            )
        if i < len(one.names) and one.names[i]:
            parts.append(f'<text class="tick" x="{at[0] + 7:.1f}" y="{at[1] - 6:.1f}">{escaped(one.names[i])}</text>')
    return "".join(parts)


def bars(
    title: str,
    description: str,
    axis: Axis,
    names: Sequence[str],
    series: Sequence[tuple[str, Sequence[float | None]]],
    *,
    first: int = 1,
) -> str:
    """Horizontal bars by group; a value that is None or not finite has none. "" without groups.

    names   of the groups
    series  (name, one value a group), drawn below each other in each group
    first   colour of the first series, 0 (grey) for what was there before
    """
    known = [v for _name, values in series for v in values if v is not None]
    if not names or not known:
        return ""
    left = 16 + 6.6 * max(len(shortened(name, _LONGEST_NAME)) for name in names)
    step = _BAR * len(series) + 8
    height = round(step * len(names) + 56)
    frame = Frame(axis.scale([*known, *(() if axis.log else (0.0,))]), None, WIDTH, height, left=left)
    parts = [frame.grid()]
    start = frame.across(0.0) if not axis.log else None
    for row, name in enumerate(names):
        top = frame.top + row * step + 4
        middle = top + (step - 8) / 2 + 4
        parts.append(
            f'<text x="{left - 6:.1f}" y="{middle:.1f}" text-anchor="end">{escaped(shortened(name, _LONGEST_NAME))}'
            f"<title>{escaped(name)}</title></text>"
        )
        for which, (label, values) in enumerate(series):
            parts.append(_bar(frame, start, top + which * _BAR, values[row], f"{name}: {label}", first + which))
    keys = [(label, first + i, "bar") for i, (label, _values) in enumerate(series)]
    return wrapped(title, description, WIDTH, height, "".join(parts), legend(keys if len(keys) > 1 else []))


def _bar(frame: Frame, start: float | None, top: float, value: float | None, words: str, colour: int) -> str:
    at = frame.across(value) if value is not None else None
    if at is None or value is None:
        return ""
    begin = frame.left if start is None else start
    write = frame.x.axis.text or (lambda v: f"{v:,.4g}")
    x, width = min(begin, at), max(abs(at - begin), 0.5)
    return (
        f'<rect class="k{colour} fill" x="{x:.1f}" y="{top:.1f}" width="{width:.1f}" height="{_BAR - 1}">'
        f"<title>{escaped(f'{words}, {write(value)}')}</title></rect>"
    )


def histogram(
    title: str, description: str, axis: Axis, series: Sequence[tuple[str, Sequence[float]]], *, bins: int = 30,
    first: int = 1, height: int = 260,
) -> str:  # fmt: skip
    """How values are spread: the counts in equal bins over the range of all of them; "" without values."""
    import numpy as np

    values = [np.asarray(found, dtype=np.float64) for _name, found in series]
    values = [found[np.isfinite(found)] for found in values]
    if not sum(found.size for found in values):
        return ""
    joint = np.concatenate(values)
    edges = np.linspace(joint.min(), joint.max() if joint.max() > joint.min() else joint.min() + 1.0, bins + 1)
    counts = [np.histogram(found, edges)[0] for found in values]
    frame = Frame(
        axis.scale(edges.tolist()), Axis("count", zero=True).scale([max(int(c.max()) for c in counts)]), WIDTH, height
    )
    parts = [frame.grid()]
    for which, count in enumerate(counts):
        steps = [(edges[0], 0.0)]
        for low, high, n in zip(edges[:-1], edges[1:], count, strict=True):
            steps += [(low, float(n)), (high, float(n))]
        outline = [frame.place(float(x), y) for x, y in [*steps, (edges[-1], 0.0)]]
        path = " ".join(f"{at[0]:.1f},{at[1]:.1f}" for at in outline if at is not None)
        colour = first + which
        parts.append(f'<polygon class="k{colour} fill" fill-opacity="0.35" points="{path}"/>')
        parts.append(f'<polyline class="k{colour} stroke" points="{path}"/>')
    keys = [(name, first + i, "bar") for i, (name, _found) in enumerate(series)]
    return wrapped(title, description, WIDTH, height, "".join(parts), legend(keys))


def intervals(title: str, description: str, axis: Axis, rows: Sequence[tuple[str, float, float, float]]) -> str:
    """Spreads side by side: (name, low, middle, high) a row, a bar from low to high and a dot in the middle."""
    if not rows:
        return ""
    left, step = 16 + 6.6 * max(len(shortened(row[0], _LONGEST_NAME)) for row in rows), 34
    height = step * len(rows) + 56
    frame = Frame(axis.scale([0.0, *(v for row in rows for v in row[1:])]), None, WIDTH, height, left=left, right=90)
    write = axis.text or (lambda v: f"{v:,.4g}")
    parts = [frame.grid()]
    for i, (name, low, middle, high) in enumerate(rows):
        y, ends = frame.top + step * i + step / 2, [frame.across(v) for v in (low, middle, high)]
        parts.append(f'<text x="{left - 6:.1f}" y="{y + 4:.1f}" text-anchor="end">{escaped(name)}</text>')
        if (a := ends[0]) is None or (m := ends[1]) is None or (b := ends[2]) is None:
            continue
        said = escaped(f"{name}: {write(middle)}, from {write(low)} to {write(high)}")
        kind = f"k{0 if i == 0 and len(rows) == 2 else 1}"
        parts.append(
            f'<rect class="{kind} fill" x="{a:.1f}" y="{y - 6:.1f}" width="{max(b - a, 1):.1f}" height="12" rx="3">'
            f'<title>{said}</title></rect><circle class="k2 dot" cx="{m:.1f}" cy="{y:.1f}" r="4"/>'
            f'<text x="{b + 8:.1f}" y="{y + 4:.1f}">{escaped(write(middle))}</text>'
        )
    return wrapped(title, description, WIDTH, height, "".join(parts), "")


def parts_bar(title: str, description: str, rows: Sequence[tuple[str, Sequence[tuple[str, float, str]]]]) -> str:
    """What wholes are made of: rows of (name, parts), parts of (name, value, text); all rows to one scale.

    Parts that are too narrow for their name have it in the tool tip and the legend alone.
    """
    total = max((sum(part[1] for part in found) for _name, found in rows), default=0.0)
    if total <= 0:
        return ""
    left = 16 + 6.6 * max(len(name) for name, _found in rows)
    room, step = WIDTH - left - 20, 44
    names = list(dict.fromkeys(part[0] for _name, found in rows for part in found))
    parts: list[str] = []
    for i, (name, found) in enumerate(rows):
        top, x = 12 + step * i, left
        parts.append(f'<text x="{left - 6:.1f}" y="{top + 19}" text-anchor="end">{escaped(name)}</text>')
        for label, value, text in found:
            width = room * value / total
            colour = (names.index(label) + 1) % 7
            parts.append(
                f'<rect class="k{colour} fill" x="{x:.1f}" y="{top}" width="{max(width - 1, 0.5):.1f}" height="28">'
                f"<title>{escaped(f'{name}: {label}, {text}')}</title></rect>"
            )
            x += width
    height = 12 + step * len(rows)
    keys = [(label, (i + 1) % 7, "bar") for i, label in enumerate(names)]
    return wrapped(title, description, WIDTH, height, "".join(parts), legend(keys))
