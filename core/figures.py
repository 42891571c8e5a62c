"""How figures read, wherever a person sees them: with a unit, and no more digits than they carry."""

from __future__ import annotations

import math

MINUS, TIMES = "\N{MINUS SIGN}", "\N{MULTIPLICATION SIGN}"


def size_text(nbytes: float) -> str:
    """Bytes for a person: "812 B", "41.3 kB", "10.86 MB" (1 kB = 1,000 B, as on disk labels)."""
    if nbytes < 1_000:
        return f"{nbytes:.0f} B"
    if nbytes < 1_000_000:
        return f"{nbytes / 1e3:.1f} kB"
    return f"{nbytes / 1e6:.2f} MB"


def percent_text(share: float, digits: int = 0) -> str:
    """A share for a person: "8.1 %"."""
    return f"{100.0 * share:.{digits}f} %".replace("-", MINUS)


def signed_text(value: float, spec: str) -> str:
    """A change for a person, always with its sign: "+3.1". spec: as of `format`, without the sign."""
    return f"{value:+{spec}}".replace("-", MINUS)


def count_text(count: int) -> str:
    """A count of operations for a person: "812", "41.3 k", "10.86 M", "2.41 G"."""
    for size, unit, digits in ((1e9, "G", 2), (1e6, "M", 2), (1e3, "k", 1)):
        if count >= size:
            return f"{count / size:.{digits}f} {unit}"
    return str(count)


def ms_text(milliseconds: float) -> str:
    """A time for a person: "0.045 ms", "4.91 ms", "38.2 ms"."""
    digits = 3 if milliseconds < 0.1 else 2 if milliseconds < 10 else 1
    return f"{milliseconds:.{digits}f} ms"


def db_text(value: float | None) -> str:
    """A ratio in dB for a person; "exact" when nothing changed."""
    if value is None:
        return "not measured"
    if math.isinf(value):
        return "exact" if value > 0 else "not finite"
    return f"{value:.1f} dB"
