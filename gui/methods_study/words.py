"""What the Methods lens says, and the figures of its table as text and as numbers to sort by."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

from gui.units import MINUS, NONE, TIMES, count, decibels, file_size, milliseconds

if TYPE_CHECKING:
    from core.method_comparison.rows import Row, Study

DOT = " \N{MIDDLE DOT} "


class Column(IntEnum):
    """Columns of the table, from left to right."""

    SETTING = 0
    SIZE = 1
    SHARE = 2
    LATENCY = 3
    ERROR = 4
    METRIC = 5
    MEMORY = 6
    WORK = 7
    TIME = 8


BEST_FIRST = frozenset({Column.ERROR, Column.METRIC})
"""Columns whose keys rise while their values fall: the nearest to the original comes first."""
HEADERS = ("Setting", "Size", "% of file", "Latency", "SQNR", "Metric", "Memory", "Mult.-adds", "Time")
HINTS = (
    "What is done to every layer, by family of methods; the shape is that of the family in the chart",
    "Size of the exported file on disk, measured",
    "Size of the exported file as a share of the original's",
    "Time of one run, one thread, median, as a multiple of the original's, measured in turn with it. ~: their runs "
    "scatter more than they differ",
    "10 log10(signal / error) at the model's outputs, dB; higher is nearer to the original",
    "The metric of the compressed model, and its change in points; measured on samples that no step learnt from",
    "What a process grows by when it loads the file and runs it once",
    "Multiplications with additions of one run, counted",
    "To compress and export, checks included",
)


@dataclass(frozen=True)
class Line:
    """A row as the table shows it.

    texts    by column; "" where nothing is known
    keys     what to sort by, by column; inf where nothing is known
    tip      everything about it
    """

    row: Row
    texts: tuple[str, ...]
    keys: tuple[float | str, ...]
    tip: str


def lines(study: Study) -> tuple[Line, ...]:
    """The study's rows as lines."""
    return tuple(line(row, study) for row in study.rows)


def line(row: Row, study: Study) -> Line:
    """One row, formatted once."""
    share = None if row.nbytes is None else 100.0 * row.nbytes / max(study.bytes_before, 1)
    quality, times = row.quality, row.times
    why = f"{row.status}: {row.reason}" if row.reason else ""
    texts = (
        f"{name_text(row)}: {why}" if why else name_text(row),
        _text(row.nbytes, file_size), _text(share, lambda value: f"{value:.1f} %"),
        "" if times is None else ratio_text(row), "" if quality is None else decibels(quality.sqnr_db),
        "" if quality is None else short_metric(row), _text(row.memory, file_size), _text(row.multiply_adds, count),
        _text(row.seconds, lambda value: f"{value:.1f} s"),
    )
    keys = (
        f"{row.family} {row.method} {row.setting}".lower(), _key(row.nbytes), _key(share),
        math.inf if times is None else times.ratio, math.inf if quality is None else -quality.sqnr_db,
        math.inf if quality is None else max(quality.drop, 0.0), _key(row.memory), _key(row.multiply_adds),
        _key(row.seconds),
    )  # fmt: skip
    return Line(row, texts, keys, tip_text(row))


def _text(value: float | None, write: Callable[[float], str]) -> str:
    return "" if value is None else write(value)


def _key(value: float | None) -> float:
    return math.inf if value is None else float(value)


def metric_text(row: Row) -> str:
    """Value and loss: "97.20 % (−0.40 points)" """
    quality = row.quality
    if quality is None:
        return ""
    if row.is_trial and quality.drop_text != "unchanged":
        return f"{quality.value_text} ({quality.drop_text})".replace("-", MINUS)
    return quality.value_text


def name_text(row: Row) -> str:
    """What a row is called: its method and setting, and what it is beside a trial."""
    return f"{row.title} ({row.baseline})" if row.baseline and row.is_trial and row.family else row.title


def short_metric(row: Row) -> str:
    """The value with the loss in its unit's measure: "97.2 % (−0.40)", "98.6 %" where nothing is lost."""
    quality = row.quality
    if quality is None:
        return ""
    if not row.is_trial or abs(quality.drop) < 0.005:
        return quality.value_text
    lost = f"{-quality.drop:+.2f}" if math.isfinite(quality.drop) else "undefined"
    return f"{quality.value_text} ({lost})".replace("-", MINUS)


def ratio_text(row: Row) -> str:
    """The time as a multiple of the original's, "×0.61", marked where the runs scatter more than that."""
    times = row.times
    if times is None or not row.is_trial:
        return "" if times is None else milliseconds(times.median)
    return f"{'' if times.faster or times.slower else '~'}{TIMES}{times.ratio:.2f}"


def tip_text(row: Row) -> str:
    """Everything about a row, a line each."""
    told = [f"{row.family}: {row.title}" if row.family else row.title]
    if row.family:
        told += filter(None, [_summary(row.method)])
    if row.baseline and row.is_trial:
        told.append(f"For reference: {row.baseline}.")
    if row.reason:
        told.append(f"{str(row.status).capitalize()}: {row.reason}.")
    if row.nbytes is not None and row.is_trial:
        told.append(f"{row.nbytes:,} bytes; {row.layers} of {row.of_layers} layers changed.")
    if row.quality is not None:
        told.append(f"{row.quality.metric}: {metric_text(row)}, on {row.quality.samples:,} samples.")
    if row.times is not None:
        t = row.times
        told.append(f"{milliseconds(t.median)} (10{NONE}90 %: {milliseconds(t.low)} to {milliseconds(t.high)}); "
                    f"the original {milliseconds(t.original_median)} in turn with it; loads in {milliseconds(t.load)}.")
    if row.kept:
        told.append("Kept from an earlier comparison of the same model and data.")
    return "\n".join(told)


def _summary(method: str) -> str:
    """What a method does, in its own words; "" for one that this version does not have."""
    from core.methods.registry import all_methods

    return next((each.summary for each in all_methods() if each.title == method), "")


def duration(seconds: float) -> str:
    """A rough time: "about half a minute", "about 4 minutes"."""
    if seconds < 45:
        return "about half a minute"
    minutes = round(seconds / 60)
    return "about a minute" if minutes <= 1 else f"about {minutes} minutes"


def ordered(shown: Sequence[Line], column: int, falling: bool) -> tuple[Line, ...]:
    """Lines sorted by a column, equal ones by size; those without a figure there come last either way."""
    by_size = sorted(shown, key=lambda one: _number(one.keys[Column.SIZE]))
    known = [one for one in by_size if one.keys[column] not in (math.inf, "")]
    rest = [one for one in by_size if one.keys[column] in (math.inf, "")]
    if column == Column.SETTING:
        return (*sorted(known, key=lambda one: str(one.keys[column]), reverse=falling), *rest)
    return (*sorted(known, key=lambda one: _number(one.keys[column]), reverse=falling), *rest)


def _number(key: float | str) -> float:
    return math.inf if isinstance(key, str) else key
