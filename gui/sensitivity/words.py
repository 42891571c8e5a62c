"""How sensitivity reads: figures in cells, names of settings, what the pointer shows. No Qt."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from gui.sensitivity.figures import Array, Grid
from gui.units import MINUS, TIMES, count, decibels, file_size, unbroken

if TYPE_CHECKING:
    from core.analysis.sensitivity.cells import Setting

FREE, FAST, MEASURED = 0, 1, 2
"""Tiers (`core.analysis.sensitivity.cells.Tier`)."""
KL = "kl"
_ENDS = {False: (-4.5, -0.5), True: (-4.0, 0.0)}
"""log10 of the errors at which colours end: 45 and 5 dB; for divergences 0.0001 and 1 nat."""
GOOD, POOR = 0.375, 0.75
"""Shares of the scale that 30 and 15 dB lie at (0.003 and 0.1 nats): below is good, above is bad."""


def in_nats(tier: int, measure: str) -> bool:
    """Whether a cell's error is a divergence; else it is a share of a sum of squares."""
    return measure == KL and tier > FREE


def figure(error: float, tier: int, measure: str) -> str:
    """A cell's error in at most four characters: whole dB ("36"), or millinats ("21", "3.4", ".26")."""
    if math.isnan(error):
        return ""
    if math.isinf(error):
        return TIMES
    if in_nats(tier, measure):
        return _millinats(error)
    return "\N{INFINITY}" if error <= 0.0 else f"{-10 * math.log10(error):.0f}".replace("-", MINUS)


def _millinats(error: float) -> str:
    """Thousandths of a nat: the range that matters, 0.0001 to 1 nat, then reads without exponents."""
    small = 1e3 * error
    if small >= 9_999.5:
        return "9999"
    if small >= 9.95:
        return f"{small:.0f}"
    if small >= 0.0995:
        return f"{small:.1f}".removeprefix("0")
    return f"{small:.2f}".removeprefix("0") if small >= 0.005 else "0"


def full_figure(error: float, tier: int, measure: str) -> str:
    """The error with its unit: "36.2 dB", "21 mnat"."""
    if math.isinf(error):
        return "the output is no longer finite"
    if in_nats(tier, measure):
        if error < 1e-6:
            return "below 0.001 mnat"
        return f"{np.format_float_positional(1e3 * error, 2, fractional=False, trim='-')} mnat"
    return decibels(math.inf if error <= 0.0 else -10 * math.log10(error))


def shares(errors: Array, tiers: Array, measure: str) -> Array:
    """Where errors lie on the scale from 0 (harmless) to 1 (ruinous), same shape; NaN where there is no cell."""
    lows, highs = (np.where((tiers > FREE) & (measure == KL), _ENDS[True][end], _ENDS[False][end]) for end in (0, 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.clip((np.log10(errors) - lows) / (highs - lows), 0.0, 1.0))


def scale_ends(measure: str, tier: int) -> tuple[str, str]:
    """The figures at the harmless and the ruinous end of the colours."""
    return ("0.1", "1,000 mnat") if in_nats(tier, measure) else ("45 dB", "5 dB")


def tier_words(tier: int, samples: int) -> str:
    """How a figure was found: "measured on 64 samples"."""
    on = f" on {samples:,} sample{'' if samples == 1 else 's'}" if samples else ""
    if tier == MEASURED:
        return f"measured{on} with this layer alone compressed"
    if tier == FAST:
        return f"predicted from gradients{on}"
    return "of the weight alone, without data"


def cell_words(grid: Grid, row: int, column: int, title: str, samples: int, float_bytes: int) -> str:
    """Everything about a cell, as lines."""
    from core.analysis.sensitivity.cells import setting_label

    head = f"{title}: {setting_label(grid.settings[column])}"
    tier = int(grid.tiers[row, column])
    reason = grid.reason(row, column)
    if tier < FREE:
        return f"{head}\ncannot be had: {reason}" if reason else f"{head}\nnot computed yet"
    error = float(grid.errors[row, column])
    nbytes = float(grid.nbytes[row, column])
    what = "SQNR of the weight" if tier == FREE else "KL divergence" if grid.measure == KL else "SQNR of the outputs"
    lines = [head, f"{what} {full_figure(error, tier, grid.measure)}, {tier_words(tier, samples)}"]
    share = f", {100 * nbytes / float_bytes:.3g} % of float32" if float_bytes else ""
    exact = f" ({nbytes:,.0f} B)" if nbytes >= 1000 else ""
    lines.append(f"{file_size(nbytes)}{exact}{share}")
    counted = float(grid.multiply_adds[row, column])
    if not math.isnan(counted):
        lines.append(f"{count(counted)} multiply-adds a run")
    return "\n".join([*lines, reason] if reason and tier == FREE else lines)


def family_of(steps: Setting) -> str:
    """The family of a setting's methods: "Pruning", "Pruning + Quantization"."""
    from core.methods import registry

    return " + ".join(dict.fromkeys(registry.by_key(step.method).family for step in steps))


def column_names(settings: Sequence[Setting]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(headings, short names) of the columns: what all settings of a family say alike is left to the heading.

    Where a family has a single column, the numbers of its setting are its name; the tool tip has all of it.
    """
    from core.analysis.sensitivity.cells import setting_label

    families = [family_of(steps) for steps in settings]
    words = [setting_label(steps).split() for steps in settings]
    heads, short = list(families), [""] * len(settings)
    for family in dict.fromkeys(families):
        mine = [index for index, of in enumerate(families) if of == family]
        if len(mine) == 1 and len(words[mine[0]]) > 1:
            figures = words[mine[0]][1:]
            numbers = [at for at, word in enumerate(figures) if word[0].isdigit()]
            short[mine[0]] = unbroken(" ".join(figures[numbers[0] :] if numbers else figures))
            continue
        before, behind = _shared([words[index] for index in mine])
        for index in mine:
            short[index] = unbroken(" ".join(words[index][before : len(words[index]) - behind]))
    return tuple(heads), tuple(short)


def _shared(labels: Sequence[Sequence[str]]) -> tuple[int, int]:
    """How many words all labels begin and end with alike, a unit not counted as an ending; at least one word stays."""
    if len(labels) < 2:
        return 0, 0
    least = min(map(len, labels)) - 1
    before = next((n for n in range(least) if len({label[n] for label in labels}) > 1), least)
    behind = 0
    while behind < least - before and len({label[-1 - behind] for label in labels}) == 1:
        if labels[0][-1 - behind] == "%":
            break
        behind += 1
    return before, behind
