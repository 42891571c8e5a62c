"""What charts share: the plotting area with its ticks, the legend, and the figure around a chart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core.reporting.markup import escaped
from core.reporting.ticks import Scale

_BELOW = 46


@dataclass(frozen=True)
class Frame:
    """The area that a chart is drawn in, in the units of its view box.

    y  None for charts whose rows are named
    """

    x: Scale
    y: Scale | None
    width: float
    height: float
    left: float = 76
    top: float = 10
    right: float = 24

    @property
    def bottom(self) -> float:
        return self.height - _BELOW

    def across(self, value: float) -> float | None:
        """Where a value of the horizontal axis lies; None for what cannot be shown."""
        share = self.x.share(value)
        return None if share is None else self.left + share * (self.width - self.left - self.right)

    def up(self, value: float) -> float | None:
        """Where a value of the vertical axis lies; None for what cannot be shown."""
        share = self.y.share(value) if self.y is not None else None
        return None if share is None else self.bottom - share * (self.bottom - self.top)

    def place(self, x: float, y: float) -> tuple[float, float] | None:
        """Both at once."""
        across, up = self.across(x), self.up(y)
        return None if across is None or up is None else (across, up)

    def grid(self) -> str:
        """Grid lines, ticks and both titles."""
        inner = self.width - self.left - self.right
        parts: list[str] = []
        for share, text in self.x.ticks():
            x = self.left + share * inner
            parts.append(f'<line class="grid" x1="{x:.1f}" y1="{self.top}" x2="{x:.1f}" y2="{self.bottom:.1f}"/>')
            parts.append(
                f'<text class="tick" x="{x:.1f}" y="{self.bottom + 16:.1f}" text-anchor="middle">{escaped(text)}</text>'
            )
        for share, text in self.y.ticks(6) if self.y is not None else ():
            y = self.bottom - share * (self.bottom - self.top)
            parts.append(
                f'<line class="grid" x1="{self.left:.1f}" y1="{y:.1f}" x2="{self.width - self.right}" y2="{y:.1f}"/>'
            )
            parts.append(
                f'<text class="tick" x="{self.left - 6:.1f}" y="{y + 4:.1f}" text-anchor="end">{escaped(text)}</text>'
            )
        parts.append(
            f'<path class="axis" d="M{self.left:.1f} {self.top}V{self.bottom:.1f}H{self.width - self.right}"/>'
        )
        parts.append(
            f'<text class="tick" x="{self.left + inner / 2:.1f}" y="{self.height - 8:.1f}" text-anchor="middle">'
            f"{escaped(self.x.axis.title)}</text>"
        )
        if self.y is not None:
            middle = (self.top + self.bottom) / 2
            parts.append(
                f'<text class="tick" transform="translate(14 {middle:.1f}) rotate(-90)" text-anchor="middle">'
                f"{escaped(self.y.axis.title)}</text>"
            )
        return "".join(parts)


def legend(keys: Sequence[tuple[str, int, str]]) -> str:
    """Names of series with their mark: (name, colour, style); style as in `svg.Series`, or "bar"."""
    if not keys:
        return ""
    parts: list[str] = []
    for name, colour, style in keys:
        parts.append(
            '<span class="key">'
            '<svg width="22" height="12" viewBox="0 0 22 12" aria-hidden="true" class="key">'
            f"{_mark(colour, style)}</svg>{escaped(name)}</span> "
        )
    return "".join(parts)


def _mark(colour: int, style: str) -> str:
    if style == "bar":
        return f'<rect class="k{colour} fill" x="2" y="1" width="18" height="10"/>'
    parts = []
    if "line" in style or "dashed" in style:
        dash = " dash" if "dashed" in style else ""
        parts.append(f'<path class="k{colour} stroke{dash}" d="M1 6H21"/>')
    if "rings" in style or "dots" in style:
        kind = "ring" if "rings" in style else "dot"
        parts.append(f'<circle class="k{colour} {kind}" cx="11" cy="6" r="4"/>')
    return "".join(parts)


def wrapped(title: str, description: str, width: float, height: float, body: str, keys: str) -> str:
    """The chart as a figure. Its title is shown as well; the description is for screen readers."""
    caption = f"<figcaption><b>{escaped(title)}</b>{'<br/>' + keys if keys else ''}</figcaption>"
    return (
        f'<figure>{caption}<svg viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}" role="img" '
        f'aria-label="{escaped(title)}"><desc>{escaped(description)}</desc>{body}</svg></figure>\n'
    )
