"""A heat map as inline SVG: rows and columns with a figure in each cell."""

from __future__ import annotations

import math
from collections.abc import Sequence

from core.reporting.frame import wrapped
from core.reporting.markup import escaped, shortened

_ROW = 20
_STOPS = ((0x2C, 0x4A, 0x9C), (0x1F, 0x8A, 0x8C), (0xE0, 0xC0, 0x4A), (0xF2, 0x7A, 0x3A))
"""From little (blue) to much (orange): ordered in lightness and told apart by colour-blind readers."""
_LONGEST_NAME = 30


def heat_map(
    title: str, description: str, rows: Sequence[str], columns: Sequence[str],
    values: Sequence[Sequence[float | None]], texts: Sequence[Sequence[str]],
) -> str:  # fmt: skip
    """Cells coloured by the logarithm of their value; "" without one.

    values  positive; None, 0 and what is not finite has no colour
    texts   what is written in each cell
    """
    logs = [math.log10(v) for row in values for v in row if v is not None and math.isfinite(v) and v > 0]
    if not rows or not columns or not logs:
        return ""
    low, high = min(logs), max(logs)
    left = 16 + 6.6 * max(len(shortened(name, _LONGEST_NAME)) for name in rows)
    width = max(980.0, left + 46.0 * len(columns) + 10)
    cell = (width - left - 10) / len(columns)
    head = 16 + 6.2 * max(len(shortened(name, 22)) for name in columns) * 0.75
    parts: list[str] = []
    for j, name in enumerate(columns):
        x = left + (j + 0.5) * cell
        parts.append(
            f'<text class="tick" transform="translate({x:.1f} {head - 6:.1f}) rotate(-45)">'
            f"{escaped(shortened(name, 22))}</text>"
        )
    for i, name in enumerate(rows):
        y = head + i * _ROW
        parts.append(
            f'<text x="{left - 6:.1f}" y="{y + 14:.1f}" text-anchor="end">{escaped(shortened(name, _LONGEST_NAME))}'
            f"<title>{escaped(name)}</title></text>"
        )
        for j, value in enumerate(values[i]):
            said = escaped(f"{name}, {columns[j]}: {texts[i][j]}")
            parts.append(_cell(left + j * cell, y, cell, value, low, high, texts[i][j], said))
    return wrapped(title, description, width + 60, head + _ROW * len(rows) + 8, "".join(parts), "")


def _cell(x: float, y: float, width: float, value: float | None, low: float, high: float, text: str, said: str) -> str:
    if value is None or not math.isfinite(value) or value <= 0:
        place = f'x="{x + width / 2:.1f}" y="{y + 14:.1f}"'
        return f'<text class="tick" {place} text-anchor="middle">{escaped(text)}</text>'
    share = (math.log10(value) - low) / (high - low) if high > low else 0.0
    at = share * (len(_STOPS) - 1)
    first = min(int(at), len(_STOPS) - 2)
    red, green, blue = (
        round(a + (b - a) * (at - first)) for a, b in zip(_STOPS[first], _STOPS[first + 1], strict=True)
    )
    ink = "#101418" if 0.299 * red + 0.587 * green + 0.114 * blue > 120 else "#ffffff"
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width - 1:.1f}" height="{_ROW - 1}" fill="rgb({red},{green},{blue})">'
        f"<title>{said}</title></rect>"
        f'<text x="{x + width / 2:.1f}" y="{y + 14:.1f}" text-anchor="middle" style="fill:{ink};font-size:10px">'
        f"{escaped(text)}</text>"
    )
