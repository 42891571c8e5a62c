"""Budgets as a person writes them: a size, an output SQNR, a drop of the metric."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from enum import StrEnum

from core.errors import ParameterError
from core.figures import size_text

_UNITS = {"": 1, "b": 1, "kb": 1e3, "mb": 1e6, "gb": 1e9, "kib": 2**10, "mib": 2**20, "gib": 2**30}
_NUMBER = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*(.*)")


class Goal(StrEnum):
    """What a budget limits; the plan is the best in everything else."""

    SIZE = "size"
    """Bytes of the file: the plan of the smallest output error is looked for."""
    SQNR = "sqnr"
    """Output SQNR in dB: the smallest file that keeps it is looked for."""
    DROP = "drop"
    """Points of the metric that may be lost: the smallest file that loses no more is looked for."""


@dataclass(frozen=True)
class Budget:
    """A limit.

    value  SIZE: bytes; SQNR: dB, at least this; DROP: points (hundredths of the metric), at most this
    """

    goal: Goal
    value: float

    @property
    def text(self) -> str:
        """The limit in words."""
        if self.goal is Goal.SIZE:
            return f"at most {size_text(self.value)}"
        if self.goal is Goal.SQNR:
            return f"an output SQNR of at least {self.value:g} dB"
        return f"at most {self.value:g} points lost"


def size_budget(text: str, file_bytes: int) -> Budget:
    """A size: "25%" of the file, "2MB", "300 kB", "1.5 MiB", or bytes. Raises ParameterError with what is allowed."""
    number, unit = _parts(text, "the size", 'a share or a size: "25%", "2MB", "300kB"')
    if unit == "%":
        return Budget(Goal.SIZE, math.floor(number / 100 * file_bytes))
    if unit.lower() not in _UNITS:
        raise ParameterError(f"the size is {text!r}", do='give a share or a size: "25%", "2MB", "300kB"')
    return Budget(Goal.SIZE, math.floor(number * _UNITS[unit.lower()]))


def sqnr_budget(text: str) -> Budget:
    """An output SQNR in dB: "30", "30 dB". Raises ParameterError."""
    number, unit = _parts(text, "the output SQNR", 'decibels: "30"')
    if unit.lower() not in ("", "db"):
        raise ParameterError(f"the output SQNR is {text!r}", do='give decibels: "30"')
    return Budget(Goal.SQNR, number)


def drop_budget(text: str) -> Budget:
    """Points of the metric: "0.5", "1 point", "0.5 %". Raises ParameterError."""
    number, unit = _parts(text, "the drop", 'points from 0 to 100: "0.5"', zero=True)
    if unit.lower() not in ("", "%", "point", "points") or number > 100:
        raise ParameterError(f"the drop is {text!r}", do='give points from 0 to 100: "0.5"')
    return Budget(Goal.DROP, number)


def _parts(text: str, what: str, allowed: str, *, zero: bool = False) -> tuple[float, str]:
    """Number and unit of a budget."""
    found = _NUMBER.fullmatch(text.strip())
    number = float(found[1]) if found else -1.0
    if found is None or not math.isfinite(number) or not (number > 0 or (zero and number == 0)):
        raise ParameterError(f"{what} is {text!r}", do=f"give {allowed}")
    return number, found[2].strip()
