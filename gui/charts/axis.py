"""Axes whose numbers read like numbers in a text: a real minus sign, thousands apart, no exponents."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyqtgraph as pg

from gui.units import MINUS


def plain(value: float, step: float = 0.0) -> str:
    """A number with as many decimals as `step` needs: "−0.05", "12,000", "0"."""
    decimals = 0
    while decimals < 8 and step and abs(step * 10**decimals - round(step * 10**decimals)) > 1e-6:
        decimals += 1
    text = f"{value:,.{decimals}f}" if step else f"{value:,.4g}"
    text = text.replace("-", MINUS)
    return text.removeprefix(MINUS) if not any(c in "123456789" for c in text) else text


class Axis(pg.AxisItem):
    """An axis with its own way to write numbers.

    write   from (value, step between ticks) to the text; `plain` when not given
    """

    def __init__(self, side: str, write: Callable[[float, float], str] = plain) -> None:
        self.write = write
        super().__init__(side)

    def updateAutoSIPrefix(self) -> None:
        """Units stay what the label says: values are never shown in thousandths behind the reader's back."""
        self.autoSIPrefixScale = 1.0
        self._updateLabel()

    def tickStrings(self, values: Any, scale: float, spacing: float) -> list[str]:
        return [self.write(v * scale, spacing * scale) for v in values]

    def tickSpacing(self, minVal: float, maxVal: float, size: float) -> list[tuple[float, float]]:
        """Only the widest level of ticks: a calm axis has few numbers."""
        return super().tickSpacing(minVal, maxVal, size)[:1]
