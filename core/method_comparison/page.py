"""A comparison of methods as one HTML file: the recommendation, charts, every row. No scripts, no network."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

from core.exporting.staging import check_target, write_atomic
from core.method_comparison.recommend import Recommendation
from core.method_comparison.rows import Baseline, Row, Status, Study
from core.method_comparison.tables import cells, family_text
from core.reporting.markup import bullets, paragraph
from core.reporting.page import Section
from core.reporting.page import page as whole_page
from core.reporting.svg import Series, xy_chart
from core.reporting.tables import table
from core.reporting.ticks import Axis

_HEAD = ("", "family", "method", "setting", "size", "of the file", "memory", "multiply-adds", "latency", "x original",
         "output SQNR", "metric", "change", "time to compress")  # fmt: skip
_FIGURES = ("size", "share", "memory", "multiply-adds", "latency", "ratio", "error", "metric", "change", "time")
_HOW = (
    "Sizes are of the exported files on disk. Times are medians of one thread, each measured in turn with the "
    "original; memory is what a process grows by when it loads and runs the file once. Rows with a dot: none is both "
    "smaller and nearer to the original's outputs. The recommended row has a star."
)


def page(study: Study, advice: Recommendation) -> str:
    """The comparison as HTML."""
    title = f"Methods compared on {study.model_name}"
    on = f"Metric and error were measured on {study.samples:,} samples of {study.source}." if study.samples else ""
    sections = [
        Section("Recommendation", _advice(advice)),
        Section("Charts", error_chart(study, advice) + time_chart(study)),
        Section("Trials", paragraph(" ".join(filter(None, (on, _HOW))), "note") + _rows(study, advice)),
        Section("Without figures", _without(study)),
    ]
    return whole_page(title, sections, lead=" ".join(filter(None, (_unfinished(study), advice.headline))))


def _unfinished(study: Study) -> str:
    """That not everything was tried, or ""."""
    if study.complete:
        return ""
    done = sum(row.is_trial for row in study.rows)
    return f"This comparison is not complete: it was stopped after {done:,} settings; a better one may be missing."


def save_html(study: Study, advice: Recommendation, path: Path) -> None:
    """Write the page, whole or not at all. Raises TargetError."""
    check_target(path)
    write_atomic(path, page(study, advice).encode())


def _advice(advice: Recommendation) -> str:
    picks = tuple(f"{pick.title}: {pick.text}." for pick in advice.picks)
    cautions = paragraph(" ".join(advice.cautions), "note") if advice.cautions else ""
    return bullets((*advice.reasons, *picks, *advice.losing)) + cautions


def _rows(study: Study, advice: Recommendation) -> str:
    rows = sorted((row for row in study.rows if row.status is Status.MEASURED), key=lambda row: row.nbytes or 0)
    return table(_HEAD, [_cells(row, study, advice) for row in rows], range(_HEAD.index("size"), len(_HEAD)))


def _cells(row: Row, study: Study, advice: Recommendation) -> tuple[str, ...]:
    known = cells(row, study)
    mark = "\N{BLACK STAR}" if row.key == advice.key else "\N{BULLET}" if row.key in advice.pareto else ""
    setting = f"{row.setting} ({row.baseline})" if row.baseline is Baseline.INT8 else row.setting
    return (mark, family_text(row), row.method, setting, *(known[name] for name in _FIGURES))


def _without(study: Study) -> str:
    rows = [row for row in study.rows if row.status is not Status.MEASURED]
    lines = [(row.method, row.setting, str(row.status), row.reason) for row in rows]
    return table(("method", "setting", "", "why"), lines)


def error_chart(study: Study, advice: Recommendation) -> str:
    """Output SQNR over the share of the file, a series a family; "" without data."""
    shown = [row for row in study.measured if row.quality is not None and math.isfinite(row.quality.sqnr_db)]
    front = sorted((row for row in shown if row.key in advice.pareto), key=lambda row: row.nbytes or 0)
    series = [Series("not beaten", [_error_point(row, study) for row in front], "line", 0)] if len(front) > 1 else []
    series += _by_family(shown, study, _error_point)
    return xy_chart(
        "Output error over size", "Each point is one setting for the whole model; up and to the left is better.",
        Axis("share of the file, % (logarithmic)", log=True), Axis("output SQNR, dB"), series,
    )  # fmt: skip


def time_chart(study: Study) -> str:
    """The metric over the time of a run, a series a family; "" without data or times."""
    shown = [row for row in study.measured if row.quality is not None and row.times is not None]
    if not shown or shown[0].quality is None:
        return ""
    return xy_chart(
        "Metric over time", "Each point is one setting for the whole model; up and to the left is better.",
        Axis("time of a run, multiple of the original's"), Axis(shown[0].quality.metric),
        _by_family(shown, study, _time_point),
    )  # fmt: skip


def _by_family(rows: Sequence[Row], study: Study, place: Callable[[Row, Study], tuple[float, float]]) -> list[Series]:
    families = list(dict.fromkeys(row.family for row in rows))
    found = []
    for number, family in enumerate(families):
        some = [row for row in rows if row.family == family]
        notes = [f"{row.title}: {cells(row, study)['share']}, {cells(row, study)['error']}" for row in some]
        found.append(
            Series(family or "plan", [place(row, study) for row in some], "dots", number % 6 + 1, notes=notes)
        )
    return found


def _share(row: Row, study: Study) -> float:
    return 100.0 * (row.nbytes or 0) / max(study.bytes_before, 1)


def _error_point(row: Row, study: Study) -> tuple[float, float]:
    return _share(row, study), row.quality.sqnr_db if row.quality is not None else math.nan


def _time_point(row: Row, _study: Study) -> tuple[float, float]:
    return row.times.ratio if row.times is not None else math.nan, row.quality.value if row.quality else math.nan
