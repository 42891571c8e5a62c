"""A comparison of methods as one HTML file: the recommendation, a chart, every row. No scripts, no network."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from core.exporting.staging import check_target, write_atomic
from core.method_comparison.recommend import Recommendation
from core.method_comparison.rows import Baseline, Row, Status, Study
from core.method_comparison.tables import cells

_STYLE = """
:root{--text:#1b2027;--muted:#5b6472;--line:#e4e7eb;--page:#fff;--pick:#e8effc;--c0:#2463eb;--c1:#d97706;--c2:#7c3aed;
--c3:#0d9488;--c4:#b91c1c;--c5:#6b7280}
@media(prefers-color-scheme:dark){:root{--text:#e9ebee;--muted:#9ca3ae;--line:#33383f;--page:#1d2025;--pick:#22304f;
--c0:#5b93ff;--c1:#fbab52;--c2:#b393fa;--c3:#3ccfc0;--c4:#f37272;--c5:#9ca3ae}}
body{font:14px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:75rem;padding:0 1rem;color:var(--text);
background:var(--page)}
h1{font-size:1.4rem}h2{font-size:1.1rem;margin-top:2rem}.note{color:var(--muted)}
table{border-collapse:collapse;width:100%;font-size:13px}
th,td{text-align:left;padding:.25rem .5rem;border-bottom:1px solid var(--line);vertical-align:top}
th{color:var(--muted);font-weight:500}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
tr.pick{background:var(--pick);font-weight:600}svg{max-width:100%;height:auto}svg text{fill:var(--muted);font-size:11px}
"""
_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 760, 340, 56, 40, 12
_SHAPES = ("circle", "up", "square", "diamond", "down", "cross")
_HEAD = ("", "family", "method", "setting", "size", "of the file", "memory", "multiply-adds", "latency", "x original",
         "output SQNR", "metric", "change", "time")  # fmt: skip
_FIGURES = ("size", "share", "memory", "multiply-adds", "latency", "ratio", "error", "metric", "change", "time")
_HOW = (
    "Sizes are of the exported files; times are medians of one thread, each measured in turn with the original; "
    "&#9679; none is both smaller and nearer to the original's outputs."
)
_TICKS = (1, 2, 5, 10, 20, 50, 100, 200)


def page(study: Study, advice: Recommendation) -> str:
    """The comparison as HTML."""
    title = f"Methods compared on {study.model_name}"
    on = f"Metric and error measured on {study.samples:,} samples of {study.source}." if study.samples else ""
    parts = [
        f"<!doctype html><html lang='en'><meta charset='utf-8'><title>{escape(title)}</title><style>{_STYLE}</style>",
        f"<h1>{escape(title)}</h1><p><b>{escape(advice.headline)}</b></p>",
        _listed(advice.reasons),
        _listed(f"{pick.title}: {pick.text}." for pick in advice.picks),
        "<h2>What the other families lack</h2>" + _listed(advice.losing) if advice.losing else "",
        f"<p class=note>{escape(' '.join(advice.cautions))}</p>",
        "<h2>Output error over size</h2>" + chart(study, advice) if study.samples else "",
        f"<h2>Trials</h2><p class=note>{escape(on)} {_HOW}</p>",
        _table(study, advice),
        _without(study),
        "</html>",
    ]
    return "\n".join(filter(None, parts))


def save_html(study: Study, advice: Recommendation, path: Path) -> None:
    """Write the page, whole or not at all. Raises TargetError."""
    check_target(path)
    write_atomic(path, page(study, advice).encode())


def _listed(lines: Iterable[str]) -> str:
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f"<ul>{items}</ul>" if items else ""


def _table(study: Study, advice: Recommendation) -> str:
    first = _HEAD.index("size")
    head = "".join(f"<th{' class=n' if i >= first else ''}>{escape(name)}</th>" for i, name in enumerate(_HEAD))
    rows = sorted((row for row in study.rows if row.status is Status.MEASURED), key=lambda row: row.nbytes or 0)
    return f"<table><tr>{head}</tr>" + "".join(_row(row, study, advice) for row in rows) + "</table>"


def _row(row: Row, study: Study, advice: Recommendation) -> str:
    known = cells(row, study)
    words = (row.family, row.method, row.setting + (f" ({row.baseline})" if row.baseline is Baseline.INT8 else ""))
    texts = "".join(f"<td>{escape(text)}</td>" for text in words)
    numbers = "".join(f"<td class=n>{escape(known[name])}</td>" for name in _FIGURES)
    kind = " class=pick" if row.key == advice.key else ""
    return f"<tr{kind}><td>{'&#9679;' if row.key in advice.pareto else ''}</td>{texts}{numbers}</tr>"


def _without(study: Study) -> str:
    rows = [row for row in study.rows if row.status is not Status.MEASURED]
    lines = _listed(f"{row.title}: {row.status}, {row.reason}" for row in rows)
    return f"<h2>Without figures</h2>{lines}" if lines else ""


def chart(study: Study, advice: Recommendation) -> str:
    """Output SQNR over the share of the file (logarithmic), a point a trial, as inline SVG; "" without points."""
    shown = [row for row in study.measured if row.quality is not None and math.isfinite(row.quality.sqnr_db)]
    if not shown:
        return ""
    xs = [math.log10(100.0 * (row.nbytes or 1) / max(study.bytes_before, 1)) for row in shown]
    ys = [row.quality.sqnr_db for row in shown if row.quality is not None]
    across, up = _Scale(min(xs), max(xs), _LEFT, _WIDTH - 12), _Scale(min(ys), max(ys), _HEIGHT - _BOTTOM, _TOP)
    families = list(dict.fromkeys(row.family for row in shown))
    marks = []
    for row, x, y in zip(shown, xs, ys, strict=True):
        number = families.index(row.family)
        words = f"{row.title}: {cells(row, study)['share']} of the file, {y:.1f} dB"
        ring = row.key == advice.key
        marks.append(_mark(number, across.at(x), up.at(y), row.key in advice.pareto, words, ring=ring))
    ticks = [
        f"<text x='{across.at(math.log10(v)):.1f}' y='{_HEIGHT - _BOTTOM + 16}' text-anchor='middle'>{v} %</text>"
        for v in _TICKS if min(xs) <= math.log10(v) <= max(xs)
    ]  # fmt: skip
    step = max(5, 5 * round((max(ys) - min(ys)) / 25))
    ticks += [
        f"<text x='{_LEFT - 8}' y='{up.at(v) + 4:.1f}' text-anchor='end'>{v} dB</text>"
        for v in range(step * math.ceil(min(ys) / step), int(max(ys)) + 1, step)
    ]
    legend = [
        _mark(i, _LEFT + 12 + 120 * i, _HEIGHT - 8, True, name)
        + f"<text x='{_LEFT + 22 + 120 * i}' y='{_HEIGHT - 4}'>{escape(name or 'plan')}</text>"
        for i, name in enumerate(families)
    ]
    frame = (f"<path d='M{_LEFT} {_TOP}V{_HEIGHT - _BOTTOM}H{_WIDTH}' fill='none' stroke='var(--line)'/>")
    label = "Output SQNR of each trial over its share of the file"
    return (f"<svg viewBox='0 0 {_WIDTH} {_HEIGHT}' width='{_WIDTH}' role='img' aria-label='{label}'>"
            + "".join([frame, *ticks, *marks, *legend]) + "</svg>")  # fmt: skip


class _Scale:
    """From data to pixels; the ends keep a little room."""

    def __init__(self, low: float, high: float, start: float, end: float) -> None:
        self._low, self._span = low, max(high - low, 1e-6)
        self._start, self._length = start + (end - start) * 0.03, (end - start) * 0.94

    def at(self, value: float) -> float:
        return self._start + self._length * (value - self._low) / self._span


def _mark(number: int, x: float, y: float, filled: bool, words: str, *, ring: bool = False) -> str:
    """A family's shape in its colour."""
    color, shape = f"var(--c{number % 6})", _SHAPES[number % len(_SHAPES)]
    corners: dict[str, Sequence[tuple[float, float]]] = {
        "up": ((-4.5, 4), (4.5, 4), (0, -4.5)), "down": ((-4.5, -4), (4.5, -4), (0, 4.5)),
        "square": ((-4, -4), (4, -4), (4, 4), (-4, 4)), "diamond": ((0, -5), (5, 0), (0, 5), (-5, 0)),
        "cross": ((-1, -5), (1, -5), (1, -1), (5, -1), (5, 1), (1, 1), (1, 5), (-1, 5), (-1, 1), (-5, 1), (-5, -1),
                  (-1, -1)),
    }  # fmt: skip
    look = f"fill='{color if filled else 'none'}' stroke='{color}' stroke-width='1.3'"
    tip = f"<title>{escape(words)}</title>"
    if shape == "circle":
        drawn = f"<circle cx='{x:.1f}' cy='{y:.1f}' r='4' {look}>{tip}</circle>"
    else:
        points = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in corners[shape])
        drawn = f"<polygon points='{points}' {look}>{tip}</polygon>"
    circle = f"<circle cx='{x:.1f}' cy='{y:.1f}' r='9' fill='none' stroke='var(--text)'/>" if ring else ""
    return drawn + circle
