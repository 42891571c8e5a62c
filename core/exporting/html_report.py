"""One self-contained HTML file that says what was done, what it gave and how that was measured."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from core.figures import count_text, db_text, size_text

if TYPE_CHECKING:
    from core.jobs import CompressOutcome

_STYLE = """
body{font:14px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem;color:#1f2328;background:#fff}
h1{font-size:1.4rem}h2{font-size:1.1rem;margin-top:2rem}table{border-collapse:collapse;width:100%}
th,td{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #d8dee4;vertical-align:top}td.n,th.n{text-align:right;
font-variant-numeric:tabular-nums}th{color:#59636e;font-weight:500}pre{background:#f6f8fa;padding:1rem;overflow:auto}p.note{color:#59636e}
@media(prefers-color-scheme:dark){body{color:#e6edf3;background:#1b1f24}th,p.note{color:#9aa4b0}pre{background:#22272e}
th,td{border-color:#373e47}}
"""


def html_report(outcome: CompressOutcome, model_name: str, recipe_text: str) -> str:
    """The report of one compression as HTML. No scripts, no network."""
    report = outcome.report
    parts = [
        f"<!doctype html><html lang='en'><meta charset='utf-8'><title>{escape(model_name)} - Featherweight</title>",
        f"<style>{_STYLE}</style><h1>{escape(model_name)}</h1>",
        f"<p>{size_text(report.bytes_before)} &rarr; <b>{size_text(report.bytes_after)}</b> on disk "
        f"({report.ratio:.1%} of the original; predicted {size_text(report.bytes_predicted)}).</p>",
        "<h2>Before and after</h2>",
        _figures(outcome),
        "<h2>Layers</h2>",
        _layers(outcome),
        f"<p class=note>Calibrated on {escape(outcome.calibrated_on)}.</p>" if outcome.calibrated_on else "",
        "<h2>Checks</h2>",
        _rows(
            ("check", "passed", "what was found"),
            [(c.name, "yes" if c.passed else "no", c.text) for c in report.checks],
        ),
    ]
    changes = [*report.changes, *(f"not done: {line}" for line in report.trouble)]
    if changes:
        parts += ["<h2>Graph</h2>", "<ul>", *(f"<li>{escape(line)}</li>" for line in changes), "</ul>"]
    if report.savings:
        parts += [
            "<h2>Clean-up</h2>",
            _rows(("what", "bytes saved"), [(s.what, f"{s.nbytes:,}") for s in report.savings]),
        ]
    parts += ["<h2>Recipe</h2>", f"<pre>{escape(recipe_text)}</pre>", "</html>"]
    return "\n".join(parts)


def _rows(head: tuple[str, ...], rows: Sequence[tuple[str, ...]], numbers: frozenset[int] = frozenset()) -> str:
    def cells(row: tuple[str, ...], tag: str) -> str:
        return "".join(
            f"<{tag}{' class=n' if i in numbers else ''}>{escape(text)}</{tag}>" for i, text in enumerate(row)
        )

    return f"<table><tr>{cells(head, 'th')}</tr>" + "".join(f"<tr>{cells(row, 'td')}</tr>" for row in rows) + "</table>"


def _figures(outcome: CompressOutcome) -> str:
    report, c, latency = outcome.report, outcome.comparison, outcome.latency
    rows: list[tuple[str, ...]] = [
        ("file on disk", f"{report.bytes_before:,} B", f"{report.bytes_after:,} B", "measured")
    ]
    if latency:
        text = [f"{t.median_ms:.3g} ms ({t.low_ms:.3g}-{t.high_ms:.3g})" for t in (latency.before, latency.after)]
        rows.append((f"latency, median (10-90 %), {latency.threads} thread", *text, outcome.latency_on))
    if c:
        on = f"measured on {c.measured_on}"
        if c.memory_before is not None and c.memory_after is not None:
            rows.append(
                (
                    "memory when loaded and run",
                    size_text(c.memory_before),
                    size_text(c.memory_after),
                    "measured, 1 sample",
                )
            )
        if c.multiply_adds_before is not None and c.multiply_adds_after is not None:
            counts = [count_text(n) for n in (c.multiply_adds_before, c.multiply_adds_after)]
            rows.append(("multiply-adds of one run", *counts, "counted on 1 sample"))
        if c.accuracy_before is not None and c.accuracy_after is not None:
            rows.append(("accuracy", f"{c.accuracy_before:.2%}", f"{c.accuracy_after:.2%}", on))
        if c.score is not None and c.score.metric not in ("accuracy", "agreement"):
            rows.append((c.score.words, c.score.reference_text, c.score.value_text, on))
        if c.agreement is not None:
            rows.append(("same answer as the original", "", f"{c.agreement:.2%}", on))
        rows.append(("output error, SQNR", "", db_text(c.output_sqnr_db), on))
    else:
        rows.append(("output error", "", "not measured", "no data was given"))
    return _rows(("", "before", "after", "how"), rows, frozenset({1, 2}))


def _layers(outcome: CompressOutcome) -> str:
    error = {e.name: e.accumulated_sqnr_db for e in outcome.accumulated}
    rows = [
        (
            r.name,
            str(r.kind),
            " + ".join(r.steps) or "left as it was",
            f"{r.bytes_before:,}",
            f"{r.bytes_after:,}",
            db_text(r.weight_sqnr_db),
            db_text(error.get(r.name)),
            "; ".join(filter(None, (r.skipped, r.note))),
        )
        for r in outcome.layers
    ]
    return _rows(
        ("layer", "kind", "steps", "bytes before", "after", "weight SQNR", "error at its output", "note"),
        rows,
        frozenset({3, 4, 5, 6}),
    )
