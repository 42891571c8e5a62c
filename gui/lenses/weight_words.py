"""What the Weights lens says in words. No Qt; "{role}" is a square in that role's colour (see charts.card.Caption)."""

from __future__ import annotations

import math

import numpy as np

from core.analysis.spectra import FrequencyEnergy, Spectrum
from gui.charts.ranges import single_weights
from gui.inspector.live import Shown
from gui.inspector.summary import level_words, share_words
from gui.units import NBSP, decibels, number

_WIDE_GAP = f"{NBSP * 4} "
"""Between figures; a line may end there."""


def distribution_words(shown: Shown, selected: int, *, waits: bool = False) -> str:
    """The line above the histogram: how many weights, what is before and after, zeros, levels, SQNR.

    waits   samples are being run for the layer's steps: what is known of them is out of date
    """
    preview, n = shown.preview, shown.layer.n_weights
    parts = [f"first of {selected} selected layers"] if selected > 1 else []
    parts.append(f"{n:,} weight{'' if n == 1 else 's'}")
    if shown.statistics is not None and shown.statistics.nonfinite:
        parts.append(f"{shown.statistics.nonfinite:,} of them NaN or infinite, not drawn")
    if waits:
        return " · ".join([*parts, "before {before}", "samples are being run for this step\N{HORIZONTAL ELLIPSIS}"])
    if preview is None:
        return " · ".join(parts)
    if preview.skipped:
        return " · ".join([*parts, "before {before}", f"left as it is: {preview.skipped}"])
    if preview.after is None:
        return " · ".join([*parts, "stored as it is {before}", f"zeros {share_words(preview.zeros_before)}"])
    label = preview.label.replace(" · ", " + ") or ("channels cut" if preview.note else "fewer inputs")
    parts += ["before {before}", f"after {label} {{after}}", f"zeros {share_words(preview.zeros_after)}"]
    if preview.n_levels is not None:
        parts.append(level_words(preview, shown.steps))
    parts.append(f"SQNR {decibels(preview.weight_sqnr_db)}")
    return " · ".join(parts)


def statistics_words(shown: Shown) -> str:
    """The line below the histogram, of the original weight."""
    s = shown.statistics
    if s is None:
        return ""
    if math.isnan(s.minimum):
        return "no finite weight"
    figures = (("min", s.minimum), ("max", s.maximum), ("mean", s.mean), ("std", s.std))
    parts = [f"{name} {number(value)}" for name, value in figures]
    parts += [f"zeros {s.zeros:,}", f"outliers {s.outliers:,}"]
    return _WIDE_GAP.join(part.replace(" ", NBSP) for part in parts)


def range_words(shown: Shown) -> str:
    """The line above the ranges: how many channels and how many stand out. "Outliers" are single weights, not these."""
    if shown.channels is None:
        return ""
    before, _after = shown.channels
    if shown.layer.output_axis is None:
        return "this weight has no output channels: the range of all of it"
    channels, wide = len(before.low), int(np.sum(before.outlier))
    text = f"{channels:,} channel{'' if channels == 1 else 's'}"
    if single_weights(before):
        text += " of one weight" if channels == 1 else ", one weight each"
        kind = "unusually large"
    else:
        kind = "unusually wide"
    odd = f"{wide:,} {kind} {{bad}}" if wide else f"none {kind}"
    return f"{text}, the smallest first · {odd}" if channels > 1 else text


def singular_words(spectrum: Spectrum) -> str:
    """How many ranks keep 90 % and 99 % of the energy."""
    low, high = spectrum.rank_for(0.9), spectrum.rank_for(0.99)
    parts = [f"rank {rank} keeps {share} %" for rank, share in ((low, 90), (high, 99)) if rank is not None]
    known = len(spectrum.values)
    if low is None or high is None:
        parts.append(f"the first {known} keep {share_words(float(spectrum.energy[-1]) if known else 0.0)}")
    parts[0] += f" of the energy (of {spectrum.full_rank})"
    return ", ".join(parts) + (", estimated" if spectrum.method == "randomized" else "")


def cut_words(rank: int, by: str) -> str:
    """What the low rank step keeps; `by`: what it was weighted by, which the chart's plain spectrum is not."""
    kept = f"the step keeps rank {rank}, drag to change"
    return f"{kept}; it weights by {by}, the chart shows the spectrum without weighting" if by else kept


def frequency_words(energy: FrequencyEnergy) -> str:
    """How much of the coefficients 90 % of the energy needs."""
    lowest = share_words(reaching(energy, energy.lowest))
    largest = share_words(reaching(energy, energy.largest))
    what = "each kernel's" if energy.domain == "kernel" else "the matrix's"
    return f"90 % of the energy lies in the lowest {lowest}, or the largest {largest}, of {what} DCT coefficients"


def reaching(energy: FrequencyEnergy, curve: np.ndarray, share: float = 0.9) -> float:
    """The share of coefficients at which a curve reaches `share` of the energy."""
    return float(energy.kept[min(int(np.searchsorted(curve, share)), len(curve) - 1)])
