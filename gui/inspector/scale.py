"""How a bounded number is laid along a slider. No Qt: plain arithmetic, so that it can be tested by itself."""

from __future__ import annotations

import math
from dataclasses import dataclass

from core.methods.params import Spec

_FINE_STEPS = 1000
_LOG_FROM = 200.0
"""A positive range whose ends differ by more than this factor is laid out logarithmically."""


@dataclass(frozen=True)
class Scale:
    """Maps values minimum..maximum onto slider positions 0..steps.

    integer      values are whole numbers
    logarithmic  equal distances on the slider are equal ratios
    """

    minimum: float
    maximum: float
    steps: int
    integer: bool
    logarithmic: bool

    @classmethod
    def of(cls, spec: Spec) -> Scale | None:
        """The scale of a parameter, or None when it has no two bounds and thus no slider."""
        if spec.minimum is None or spec.maximum is None or spec.maximum <= spec.minimum:
            return None
        integer = spec.type == "integer"
        logarithmic = spec.minimum > 0 and spec.maximum / spec.minimum > _LOG_FROM
        span = spec.maximum - spec.minimum
        steps = int(span) if integer and not logarithmic and span <= _FINE_STEPS else _FINE_STEPS
        return cls(spec.minimum, spec.maximum, steps, integer, logarithmic)

    def position(self, value: float) -> int:
        """The slider position nearest to a value; values outside the bounds go to the ends."""
        value = min(max(value, self.minimum), self.maximum)
        if self.logarithmic:
            share = math.log(value / self.minimum) / math.log(self.maximum / self.minimum)
        else:
            share = (value - self.minimum) / (self.maximum - self.minimum)
        return round(share * self.steps)

    def value(self, position: int) -> float | int:
        """The value at a slider position: a whole number when `integer`, else rounded to what the slider can tell."""
        share = min(max(position / self.steps, 0.0), 1.0)
        if self.logarithmic:
            value = self.minimum * (self.maximum / self.minimum) ** share
        else:
            value = self.minimum + (self.maximum - self.minimum) * share
        if self.integer:
            return round(value)
        if share in (0.0, 1.0):
            return float(self.maximum if share else self.minimum)
        return round(value, self.decimals)

    @property
    def decimals(self) -> int:
        """Decimals that tell neighbouring slider positions apart."""
        if self.integer:
            return 0
        if self.logarithmic:
            return max(0, 3 - math.floor(math.log10(self.minimum)))
        return max(0, -math.floor(math.log10((self.maximum - self.minimum) / self.steps)))

    @property
    def page(self) -> int:
        """Slider positions for Page Up and Page Down: a tenth of the way."""
        return max(1, self.steps // 10)

    @property
    def step(self) -> int:
        """Slider positions for an arrow key: a hundredth of the way, at least one position."""
        return max(1, self.steps // 100)
