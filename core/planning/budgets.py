"""Budgets as a person writes them: a size, a time, multiply-adds, an output SQNR, a drop of the metric."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from enum import StrEnum

from core.errors import ParameterError
from core.figures import count_text, ms_text, size_text

_BYTES = {"": 1, "b": 1, "kb": 1e3, "mb": 1e6, "gb": 1e9, "kib": 2**10, "mib": 2**20, "gib": 2**30}
_TIMES = {"ms": 1.0, "us": 1e-3, "µs": 1e-3, "s": 1e3}
_COUNTS = {"": 1, "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12}
_NUMBER = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*(.*)")


class Goal(StrEnum):
    """What a budget limits; the plan is the best in everything else."""

    SIZE = "size"
    """Bytes of the file: the plan of the smallest output error is looked for."""
    LATENCY = "latency"
    """Milliseconds of one run: likewise."""
    MULTIPLY_ADDS = "multiply_adds"
    """Multiply-adds of one run: likewise."""
    SQNR = "sqnr"
    """Output SQNR in dB: the smallest file that keeps it is looked for."""
    DROP = "drop"
    """Points of the metric that may be lost: the smallest file that loses no more is looked for."""

    @property
    def is_cost(self) -> bool:
        """Whether it limits what the model takes, not what it may lose."""
        return self in (Goal.SIZE, Goal.LATENCY, Goal.MULTIPLY_ADDS)


@dataclass(frozen=True)
class Budget:
    """A limit.

    value  SIZE: bytes; LATENCY: milliseconds; MULTIPLY_ADDS: their number; each at most this.
           SQNR: dB, at least this; DROP: points (hundredths of the metric), at most this
    """

    goal: Goal
    value: float

    @property
    def text(self) -> str:
        """The limit in words."""
        if self.goal is Goal.SQNR:
            return f"an output SQNR of at least {self.value:g} dB"
        if self.goal is Goal.DROP:
            return f"at most {self.value:g} point{'' if self.value == 1 else 's'} lost"
        return f"at most {self.cost_text(self.value)}"

    def cost_text(self, value: float) -> str:
        """A value of what the budget limits, with its unit; for costs."""
        if self.goal is Goal.LATENCY:
            return f"{ms_text(value)} a run"
        return f"{count_text(round(value))} multiply-adds" if self.goal is Goal.MULTIPLY_ADDS else size_text(value)


@dataclass(frozen=True)
class Originals:
    """What the original takes: that relative limits are shares of.

    file_bytes     of the file
    milliseconds   of one run; None when not measured
    multiply_adds  of one run; None when not counted
    """

    file_bytes: int
    milliseconds: float | None = None
    multiply_adds: int | None = None


def parse_budget(goal: str, limit: str, original: Originals) -> Budget:
    """The budget that a person wrote for a goal (`Goal`'s words). Raises ParameterError with what is allowed."""
    if goal not in tuple(Goal):
        raise ParameterError(f"the budget is for {goal!r}", do=f"give one for {', '.join(Goal)}")
    if goal == Goal.SIZE:
        return size_budget(limit, original.file_bytes)
    if goal == Goal.LATENCY:
        return latency_budget(limit, original.milliseconds)
    if goal == Goal.MULTIPLY_ADDS:
        return multiply_adds_budget(limit, original.multiply_adds)
    return sqnr_budget(limit) if goal == Goal.SQNR else drop_budget(limit)


def check_budget(goal: str, limit: str) -> Goal:
    """The goal, when the limit can be read: before the original is measured. Raises ParameterError."""
    return parse_budget(goal, limit, Originals(1_000_000, 1.0, 1_000_000)).goal


def size_budget(text: str, file_bytes: int) -> Budget:
    """A size: "25%" of the file, "4x" smaller, "2MB", "300 kB", "1.5 MiB", or bytes. Raises ParameterError."""
    allowed = 'a share or a size: "25%", "4x", "2MB", "300kB"'
    return Budget(Goal.SIZE, math.floor(_cost(text, "the size", allowed, _BYTES, file_bytes)))


def latency_budget(text: str, milliseconds: float | None) -> Budget:
    """A time of one run: "2x" faster, "50%" of the time, "4.9ms", "800 us". Raises ParameterError.

    milliseconds  of the original; None when it is not known, and only a time will do
    """
    allowed = 'a ratio or a time: "2x" (faster), "50%" (of the time), "4.9ms"'
    return Budget(Goal.LATENCY, _cost(text, "the latency", allowed, _TIMES, milliseconds))


def multiply_adds_budget(text: str, count: int | None) -> Budget:
    """Multiply-adds of one run: "60%", "2x" fewer, "1.2G", "300M". Raises ParameterError.

    count  of the original; None when it is not known, and only a number will do
    """
    allowed = 'a share or a number: "60%", "2x" (fewer), "1.2G", "300M"'
    return Budget(Goal.MULTIPLY_ADDS, math.floor(_cost(text, "the multiply-adds", allowed, _COUNTS, count)))


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


def _cost(text: str, what: str, allowed: str, units: dict[str, float], whole: float | None) -> float:
    """A limit of a cost: a share of the whole, so many times less of it, or a value with its unit."""
    number, unit = _parts(text, what, allowed)
    relative = unit.lower() in ("%", "x", "×")
    if relative and whole is None:
        raise ParameterError(f"{what} is {text!r}, and that of the original is not known", do="give a value")
    if unit == "%" and whole is not None:
        return number / 100 * whole
    if relative and whole is not None and number >= 1:
        return whole / number
    if relative or unit.lower() not in units:
        raise ParameterError(f"{what} is {text!r}", do=f"give {allowed}")
    return number * units[unit.lower()]


def _parts(text: str, what: str, allowed: str, *, zero: bool = False) -> tuple[float, str]:
    """Number and unit of a budget."""
    found = _NUMBER.fullmatch(text.strip())
    number = float(found[1]) if found else -1.0
    if found is None or not math.isfinite(number) or not (number > 0 or (zero and number == 0)):
        raise ParameterError(f"{what} is {text!r}", do=f"give {allowed}")
    return number, found[2].strip()
