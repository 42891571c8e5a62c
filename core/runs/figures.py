"""The figures that runs of every kind have in common, under the same names, so that they can be compared."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from core.runs.run import Figure

if TYPE_CHECKING:
    from core.analysis.comparison import Comparison
    from core.analysis.latency import LatencyComparison
    from core.exporting.report import ExportReport

BYTES, BYTES_BEFORE = "bytes", "bytes_before"
SCORE, SCORE_BEFORE = "score", "score_before"
SQNR = "sqnr"
LATENCY, LATENCY_BEFORE = "latency", "latency_before"
MULTIPLY_ADDS, MULTIPLY_ADDS_BEFORE = "multiply_adds", "multiply_adds_before"
DEVIATION, STANDARD_ERROR = "deviation", "standard_error"
"""Of a cross-validation, over its folds; their mean is its score."""


def result_figures(
    report: ExportReport, comparison: Comparison | None = None, latency: LatencyComparison | None = None
) -> tuple[Figure, ...]:
    """What an export and a comparison with the original measured.

    latency  when it was measured without data; else the comparison's
    """
    found = [
        Figure(BYTES_BEFORE, report.bytes_before, "B", "file before"), Figure(BYTES, report.bytes_after, "B", "file"),
    ]  # fmt: skip
    if comparison is not None:
        on = f"{comparison.measured_on} of {Path(comparison.source).name}"
        score = comparison.score
        if score is not None:
            unit = str(score.unit)
            found.append(Figure(SCORE_BEFORE, score.reference, unit, f"{score.words} before", on=on))
            found.append(Figure(SCORE, score.value, unit, score.words, on=on))
        found.append(Figure(SQNR, comparison.output_sqnr_db, "dB", "output SQNR", on=on))
        before, after = comparison.multiply_adds_before, comparison.multiply_adds_after
        if before is not None and after is not None:
            found.append(Figure(MULTIPLY_ADDS_BEFORE, before, "", "multiply-adds before"))
            found.append(Figure(MULTIPLY_ADDS, after, "", "multiply-adds"))
        latency = latency or comparison.latency
    if latency is not None:
        on = f"{latency.threads} thread{'' if latency.threads == 1 else 's'}"
        found.append(Figure(LATENCY_BEFORE, latency.before.median_ms, "ms", "latency before", on=on))
        found.append(Figure(LATENCY, latency.after.median_ms, "ms", "latency", on=on))
    return tuple(figure for figure in found if not math.isnan(figure.value))
