"""A comparison of methods as a table: for a terminal, as CSV, and as one HTML file."""

from __future__ import annotations

import csv
import io
import math
import re
from pathlib import Path
from typing import Any

from core.exporting.staging import check_target, write_atomic
from core.figures import count_text, db_text, size_text
from core.method_comparison.recommend import Recommendation
from core.method_comparison.rows import Baseline, Row, Status, Study

COLUMNS = (
    "family", "method", "setting", "status", "reason", "baseline", "recommended", "pareto", "bytes", "share_of_file",
    "memory_bytes", "multiply_adds", "latency_ms", "latency_ms_low", "latency_ms_high", "original_latency_ms",
    "load_ms", "output_sqnr_db", "kl_nats", "metric", "value", "original_value", "drop", "drop_text", "samples",
    "seconds", "layers_changed", "layers", "key",
)  # fmt: skip
"""Columns of the CSV file; sizes in bytes, shares from 0 to 1, times in ms (median, 10 %, 90 %) and s."""

_FIGURE = re.compile(r"[-+][\d.,]+(e[-+]?\d+)?( %)?( [a-z]+)*")
"""A number with its unit: nothing in it can be a formula."""


def cells(row: Row, study: Study) -> dict[str, str]:
    """A row's figures for a person, by column: size, share, memory, multiply-adds, latency (also as a multiple
    of the original's, measured in turn with it), error, metric, time."""
    times, quality = row.times, row.quality
    return {
        "size": "" if row.nbytes is None else size_text(row.nbytes),
        "share": "" if row.nbytes is None else f"{row.nbytes / max(study.bytes_before, 1):.1%}",
        "memory": "" if row.memory is None else size_text(row.memory),
        "multiply-adds": "" if row.multiply_adds is None else count_text(row.multiply_adds),
        "latency": "" if times is None else f"{times.median:.3g} ms",
        "ratio": "" if times is None else f"x{times.ratio:.2f}",
        "error": "" if quality is None else db_text(quality.sqnr_db),
        "metric": "" if quality is None else quality.value_text,
        "change": "" if quality is None else quality.drop_text,
        "time": "" if row.seconds is None else f"{row.seconds:.1f} s",
    }


def family_text(row: Row) -> str:
    """The family for a person; a plan, which may have steps of several, is one of its own."""
    return "Plan" if row.baseline is Baseline.PLAN else row.family


def csv_text(study: Study, advice: Recommendation) -> str:
    """All rows as CSV (RFC 4180), one line each, with a head; infinite decibels are "inf"."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\r\n")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in _values(row, study, advice).items()} for row in study.rows)
    return text.getvalue()


def _cell(value: Any) -> Any:
    """What a spreadsheet takes for a value: text that begins like a formula is marked as text, a figure is not."""
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) and not _FIGURE.fullmatch(value):
        return f"'{value}"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return "" if value is None else value


def _values(row: Row, study: Study, advice: Recommendation) -> dict[str, Any]:
    times, quality = row.times, row.quality
    return {
        "family": family_text(row), "method": row.method, "setting": row.setting, "status": row.status.value,
        "reason": row.reason, "baseline": row.baseline.value, "recommended": int(row.key == advice.key),
        "pareto": int(row.key in advice.pareto), "bytes": row.nbytes,
        "share_of_file": None if row.nbytes is None else round(row.nbytes / max(study.bytes_before, 1), 6),
        "memory_bytes": row.memory, "multiply_adds": row.multiply_adds,
        "latency_ms": times and times.median, "latency_ms_low": times and times.low,
        "latency_ms_high": times and times.high, "original_latency_ms": times and times.original_median,
        "load_ms": times and times.load,
        "output_sqnr_db": quality and quality.sqnr_db, "kl_nats": quality and quality.kl,
        "metric": quality and quality.metric, "value": quality and quality.value,
        "original_value": quality and quality.reference, "drop": quality and quality.drop,
        "drop_text": quality and quality.drop_text, "samples": quality and quality.samples,
        "seconds": row.seconds, "layers_changed": row.layers, "layers": row.of_layers, "key": row.key,
    }  # fmt: skip


def save_csv(study: Study, advice: Recommendation, path: Path) -> None:
    """Write the table as CSV, whole or not at all. Raises TargetError."""
    check_target(path)
    write_atomic(path, csv_text(study, advice).encode("utf-8-sig"))  # the mark tells spreadsheets that it is UTF-8


def terminal_text(study: Study, advice: Recommendation) -> str:
    """The comparison for a terminal: rows by size, what cannot be measured, the recommendation."""
    from core.commands.base import table

    rows = sorted((r for r in study.rows if r.status is Status.MEASURED), key=lambda row: row.nbytes or 0)
    names = ("size", "share", "memory", "multiply-adds", "latency", "ratio", "error", "metric", "change", "time")
    shown = [(row, cells(row, study)) for row in rows]
    lines = [
        table(
            ("", "method", "setting", *names),
            [(_mark(row, advice), row.method, row.setting, *(texts[name] for name in names)) for row, texts in shown],
            right=frozenset(range(3, 3 + len(names))),
        )
    ]
    lines += ["* recommended, . none is both smaller and nearer to the original's outputs", ""]
    reasons = dict.fromkeys((row.status, row.reason) for row in study.rows if row.status is not Status.MEASURED)
    for status, reason in reasons:
        titles = [row.title for row in study.rows if (row.status, row.reason) == (status, reason)]
        lines.append(f"{status}, {reason}: {'; '.join(titles)}")
    return "\n".join([*lines, "", *advice_lines(advice)])


def _mark(row: Row, advice: Recommendation) -> str:
    return "*" if row.key == advice.key else "." if row.key in advice.pareto else ""


def advice_lines(advice: Recommendation) -> list[str]:
    """The recommendation, a sentence a line."""
    picks = [f"{pick.title}: {pick.text}." for pick in advice.picks]
    return [advice.headline, *advice.reasons, *picks, *advice.losing, *advice.cautions]


def study_data(study: Study, advice: Recommendation) -> dict[str, Any]:
    """The comparison as the JSON of `compare --methods --json`."""
    return {
        "model": study.model_name, "sha256": study.model_sha256, "bytes_before": study.bytes_before,
        "samples": study.samples, "source": study.source, "seconds": study.seconds, "complete": study.complete,
        "rows": [row.to_dict() for row in study.rows],
        "recommendation": {
            "key": advice.key, "headline": advice.headline, "reasons": list(advice.reasons),
            "picks": [{"aim": str(p.aim), "key": p.key, "title": p.title, "text": p.text} for p in advice.picks],
            "losing": list(advice.losing), "cautions": list(advice.cautions), "pareto": sorted(advice.pareto),
        },
    }  # fmt: skip
