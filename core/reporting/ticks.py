"""Axes: where their ticks are, how these read, and where a value lies between the ends."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Axis:
    """What a chart needs to know of one direction.

    title  with the unit, unless `text` writes it with each tick
    text   how a tick reads; None: the plain number
    log    logarithmic; values of 0 and below are then left out
    zero   a linear axis begins at 0 when all values are positive
    """

    title: str
    text: Callable[[float], str] | None = None
    log: bool = False
    zero: bool = False

    def scale(self, values: Iterable[float]) -> Scale:
        """The scale that holds all finite values with some room."""
        found = [v for v in values if math.isfinite(v) and (v > 0 or not self.log)]
        low, high = (min(found), max(found)) if found else (1.0, 10.0) if self.log else (0.0, 1.0)
        if self.log:
            low, high = math.log10(low), math.log10(high)
        room = 0.04 * (high - low) or (0.5 if self.log else 0.5 * abs(high) or 0.5)
        if self.zero and not self.log and low >= 0:
            return Scale(self, 0.0, high + room)
        return Scale(self, low - room, high + room)


@dataclass(frozen=True)
class Scale:
    """An axis with its ends (of the logarithm, base 10, on a logarithmic axis)."""

    axis: Axis
    low: float
    high: float

    def share(self, value: float) -> float | None:
        """0 at the low end, 1 at the high one; None for what cannot be shown."""
        if not math.isfinite(value) or (self.axis.log and value <= 0):
            return None
        placed = math.log10(value) if self.axis.log else value
        return (placed - self.low) / (self.high - self.low)

    def ticks(self, most: int = 7) -> list[tuple[float, str]]:
        """(share, text) of at most about `most` round values."""
        values = self._decades(most) if self.axis.log else _round_steps(self.low, self.high, most)
        placed = [(self.share(v), v) for v in values]
        write = self.axis.text or number_text
        return [(share, write(v)) for share, v in placed if share is not None and -1e-9 <= share <= 1 + 1e-9]

    def _decades(self, most: int) -> list[float]:
        first, last = math.floor(self.low), math.ceil(self.high)
        within = self.high - self.low
        factors = (1, 2, 5) if within < most / 3 else (1,)
        if within < 0.5:  # hardly one factor of ten: round steps read better
            return _round_steps(10.0**self.low, 10.0**self.high, most)
        every = max(1, math.ceil(within / most))
        return [factor * 10.0**exponent for exponent in range(first, last + 1, every) for factor in factors]


def _round_steps(low: float, high: float, most: int) -> list[float]:
    raw = (high - low) / max(most, 1)
    base = 10.0 ** math.floor(math.log10(raw))
    step = next(base * factor for factor in (1, 2, 5, 10) if base * factor >= raw * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    return [step * i for i in range(first, first + most + 2) if step * i <= high + 1e-9 * step]


def number_text(value: float) -> str:
    """A tick's number, without a needless digit: "0.25", "1,500", "2e-05"."""
    if value and not 1e-4 <= abs(value) < 1e7:
        return f"{value:.3g}"
    text = f"{value:,.6f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text
