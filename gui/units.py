"""Numbers as people read them. Sizes are decimal, as file managers and download pages show them."""

from __future__ import annotations

import math
import re

NBSP = "\N{NO-BREAK SPACE}"
MINUS = "\N{MINUS SIGN}"
TIMES = "\N{MULTIPLICATION SIGN}"
NONE = "\N{EM DASH}"
_KEPT_TOGETHER = re.compile(
    r" (?=\N{MIDDLE DOT})"  # a line never starts with a separator
    r"|(?<=[<>]) |(?<=SQNR) (?=\S)"
    r"|(?<=\d) (?=(?:%|dB|B|kB|MB|GB|k|M|G|ms|s|bits?)(?!\w))"
    r"| (?=\{\w+\})"  # a coloured square belongs to the word before it
)
_QUOTED = re.compile(r" '[^']*'")


def file_size(nbytes: float) -> str:
    """Bytes with about three digits: "812 B", "33 kB", "0.52 MB", "10.9 MB", "1.20 GB"."""
    if nbytes < 1000:
        return f"{nbytes:.0f} B"
    kilobytes = nbytes / 1e3
    if kilobytes < 99.5:  # from 0.1 MB on, megabytes read better side by side
        return f"{kilobytes:.1f} kB" if kilobytes < 9.95 else f"{kilobytes:.0f} kB"
    value, unit = (nbytes / 1e6, "MB") if nbytes < 999.5e6 else (nbytes / 1e9, "GB")
    return f"{value:.{_digits(value)}f} {unit}"


def _digits(value: float) -> int:
    return 2 if value < 9.995 else 1 if value < 99.95 else 0


def count(n: float) -> str:
    """A count: "512", "131 k", "1.61 M", "0.98 G"."""
    for unit, scale in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if n >= scale * 0.9995:
            value = n / scale
            digits = 0 if unit == "k" and value >= 9.95 else _digits(value)
            return f"{value:.{digits}f} {unit}"
    return f"{n:.0f}"


def percent_change(before: float, after: float) -> str:
    """The change as "−81 %", "+3 %", "−0.4 %" or "unchanged"."""
    if not before:
        return ""
    change = 100.0 * (after / before - 1.0)
    if abs(change) < 0.05:
        return "unchanged"
    digits = 0 if abs(change) >= 9.95 else 1
    return signed(change, digits) + " %"


def signed(value: float, digits: int) -> str:
    """A number with its sign, the minus being a real one."""
    text = f"{abs(value):.{digits}f}"
    return (MINUS if value < 0 else "+") + text


def decibels(db: float) -> str:
    """An SQNR: "33.4 dB", "exact" for infinity, an em dash when it is not known."""
    if math.isnan(db):
        return NONE
    if math.isinf(db):
        return "exact" if db > 0 else "no signal"
    return f"{db:.1f} dB".replace("-", MINUS)


def number(value: float) -> str:
    """A weight's value with three significant digits: "−0.0123", "1.2e−5"."""
    return f"{value:.3g}".replace("-", MINUS)


def unbroken(text: str) -> str:
    """The text with no-break spaces where a line must not end: before units and separators, after "<"."""
    return _KEPT_TOGETHER.sub(NBSP, text)


def without_names(reason: str) -> str:
    """A reason without the quoted names in it, so that reasons of one kind count as one."""
    return _QUOTED.sub("", reason)


def milliseconds(ms: float) -> str:
    """A duration: "0.021 ms", "8.24 ms", "29.1 ms", "1.20 s"."""
    if ms >= 1000:
        return f"{ms / 1000:.2f} s"
    return f"{ms:.{3 if ms < 0.1 else 2 if ms < 10 else 1}f} ms"


def time_left(seconds: float | None) -> str:
    """"about 9 s left", "about 3 min left"; empty when there is no estimate."""
    if seconds is None:
        return ""
    if seconds < 1.5:
        return "almost done"
    return f"about {seconds:.0f} s left" if seconds < 90 else f"about {seconds / 60:.0f} min left"
