"""Parts of a report about the whole model: before and after, how it was measured, predictions, what to mind."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from core.figures import count_text, db_text, ms_text, size_text
from core.reporting.markup import bullets, paragraph
from core.reporting.svg import intervals, parts_bar
from core.reporting.tables import table
from core.reporting.ticks import Axis

if TYPE_CHECKING:
    from core.analysis.comparison import Comparison
    from core.analysis.latency import LatencyComparison, Timing
    from core.planning.plan import PlanPoint
    from core.reporting.subject import Subject

FEW_SAMPLES = 100
"""Samples below which one answer is worth a point or more of the metric."""
_LARGE_MISS_DB = 3.0
MINUS = "\N{MINUS SIGN}"


def before_and_after(subject: Subject) -> str:
    """The figures of both models with their change, spread and origin, and the time as a picture."""
    rows = [
        ("file on disk", f"{subject.bytes_before:,} B", f"{subject.bytes_after:,} B",
         _change(subject.bytes_before, subject.bytes_after), "measured")
    ]  # fmt: skip
    if subject.latency is not None:
        rows.append(_latency_row(subject.latency, subject.latency_on))
    rows += _measured(subject.comparison) if subject.comparison is not None else []
    text = table(("", "before", "after", "change", "how it is known"), rows, (1, 2, 3))
    if subject.comparison is None:
        text += paragraph("No data was given: what it costs in quality was not measured.", "warning")
    elif subject.comparison.score is not None and subject.comparison.score.assumed:
        text += paragraph(subject.comparison.score.assumed, "note")
    return text + file_parts(subject) + _latency_chart(subject.latency)


def _change(before: float, after: float) -> str:
    if before == after:
        return "unchanged"
    return f"{100 * (after / before - 1):+.1f} %".replace("-", MINUS) if before else ""


def _latency_row(found: LatencyComparison, on: str) -> tuple[str, str, str, str, str]:
    within = found.within_spread
    change = f"\N{MULTIPLICATION SIGN}{found.ratio:.2f}" + (", within the spread" if within else "")
    name = f"time of one run, median (10 to 90 %), {found.threads} thread{'s' if found.threads != 1 else ''}"
    return name, _spread(found.before), _spread(found.after), change, on or "measured"


def _spread(timing: Timing) -> str:
    return f"{ms_text(timing.median_ms)} ({ms_text(timing.low_ms)} to {ms_text(timing.high_ms)})"


def _measured(c: Comparison) -> list[tuple[str, str, str, str, str]]:
    on = f"measured on {c.measured_on}"
    rows: list[tuple[str, str, str, str, str]] = []
    if c.memory_before is not None and c.memory_after is not None:
        texts = (size_text(c.memory_before), size_text(c.memory_after), _change(c.memory_before, c.memory_after))
        rows.append(("memory when loaded and run", *texts, "growth of a fresh process, 1 sample"))
    if c.multiply_adds_before is not None and c.multiply_adds_after is not None:
        counts = (c.multiply_adds_before, c.multiply_adds_after)
        rows.append(
            ("multiply-adds of one run", count_text(counts[0]), count_text(counts[1]), _change(*counts),
             "counted in the graph, for the first sample")
        )  # fmt: skip
    if c.accuracy_before is not None and c.accuracy_after is not None:
        rows.append(("accuracy (top-1)", *_shares(c.accuracy_before, c.accuracy_after), on))
    if c.top5_before is not None and c.top5_after is not None:
        rows.append(("accuracy (top-5)", *_shares(c.top5_before, c.top5_after), on))
    if c.score is not None and c.score.metric not in ("accuracy", "top5", "agreement"):
        rows.append((c.score.words, c.score.reference_text, c.score.value_text, c.score.drop_text, on))
    if c.agreement is not None:
        changed = f"{c.changed:,} changed" if c.changed is not None else ""
        rows.append(("same answer as the original", "", f"{100 * c.agreement:.2f} %", changed, on))
    if c.kl_divergence is not None:
        name = "how far the answers' probabilities moved (mean KL divergence from the original)"
        rows.append((name, "", f"{c.kl_divergence:.3g} nats", "", on))
    rows.append(("output error, SQNR over all outputs", "", db_text(c.output_sqnr_db), "", on))
    if len(c.outputs) > 1:
        rows += [
            (f"SQNR of output {o.name}", "", db_text(o.sqnr_db), "", on) for o in c.outputs if o.sqnr_db is not None
        ]
    return rows


def _shares(before: float, after: float) -> tuple[str, str, str]:
    change = f"{100 * (after - before):+.2f} points".replace("-", MINUS) if after != before else "unchanged"
    return f"{100 * before:.2f} %", f"{100 * after:.2f} %", change


def _latency_chart(found: LatencyComparison | None) -> str:
    if found is None:
        return ""
    rows = [
        (name, timing.low_ms, timing.median_ms, timing.high_ms)
        for name, timing in (("before", found.before), ("after", found.after))
    ]
    said = "; ".join(f"{name} {_spread(t)}" for name, t in (("before", found.before), ("after", found.after)))
    title = "Time of one run: the middle 80 % of the rounds, and the median"
    return intervals(title, said, Axis("milliseconds", ms_text, zero=True), rows)


def file_parts(subject: Subject) -> str:
    """What the two files are made of: weights by kind of layer, and all else."""
    if not subject.layers:
        return ""
    rows = []
    for name, total, which in (
        ("before", subject.bytes_before, "bytes_before"), ("after", subject.bytes_after, "bytes_after")
    ):  # fmt: skip
        kinds: Counter[str] = Counter()
        for layer in subject.layers:
            kinds[str(layer.kind)] += getattr(layer, which)
        parts = [(kind, float(nbytes), f"{nbytes:,} B") for kind, nbytes in kinds.items() if nbytes]
        rest = max(total - sum(kinds.values()), 0)
        rows.append((name, [*parts, ("all else", float(rest), f"{rest:,} B")]))
    said = "; ".join(f"{name}: " + ", ".join(f"{p[0]} {p[2]}" for p in parts) for name, parts in rows)
    return parts_bar("What the file is made of: weights by kind of layer, and all else", said, rows)


def how_measured(subject: Subject) -> str:
    """Samples, threads, versions, date: what somebody needs to measure it again."""
    c, latency = subject.comparison, subject.latency
    facts: list[str] = []
    if c is not None:
        facts.append(f"Quality: both files were run on {c.measured_on} of {_file_name(c.source)}, one at a time.")
    if subject.calibrated_on:
        facts.append(f"Steps worked from {subject.calibrated_on}.")
    elif c is not None and subject.export is not None:
        facts.append("No step worked from samples: nothing was calibrated on what was measured on.")
    if latency is not None:
        facts.append(
            f"Time: {latency.runs:,} runs of each file in {latency.after.n} rounds, the two in turn within each round "
            f"({subject.latency_on}), {latency.threads} thread within an operator; the change is the median over "
            f"the rounds. Loading: {ms_text(latency.before.load_ms)} before, {ms_text(latency.after.load_ms)} after."
        )
    if subject.export is not None and subject.export.parity is not None:
        facts.append(
            f"The written file against the simulated result: {_parity(subject.export.parity)}, "
            f"on {subject.export.compared_on}."
        )
    versions = ", ".join(f"{name} {version}" for name, version in subject.setup.versions)
    facts.append(f"Made with {versions}; {subject.setup.machine}.")
    return bullets([*facts, f"Report made on {subject.setup.when}."])


def _parity(difference: float) -> str:
    return "no difference" if difference == 0 else f"largest difference {difference:.2g} of the output's range (parity)"


def _file_name(source: str) -> str:
    return source.replace("\\", "/").rstrip("/").rpartition("/")[2] or source


def predictions(subject: Subject) -> str:
    """What was foretold against what came out."""
    rows: list[tuple[str, str, str, str]] = []
    if subject.export is not None:
        told, got = subject.export.bytes_predicted, subject.bytes_after
        rows.append(("file on disk", f"{told:,} B", f"{got:,} B", _change(told, got)))
    plan, c = subject.plan, subject.comparison
    if plan is not None and subject.chosen is not None:
        rows += _chosen_rows(subject.chosen, c)
    elif plan is not None:
        found = plan.measured.sqnr_db if plan.measured is not None else c.output_sqnr_db if c is not None else None
        if plan.sqnr_predicted_db is not None and found is not None:
            rows.append(
                ("output SQNR of the plan", db_text(plan.sqnr_predicted_db), db_text(found),
                 _decibels_off(found - plan.sqnr_predicted_db))
            )  # fmt: skip
        if plan.latency_predicted_ms is not None and plan.latency is not None:
            got_ms = plan.latency.after.median_ms
            rows.append(
                ("time of one run", ms_text(plan.latency_predicted_ms), ms_text(got_ms),
                 _change(plan.latency_predicted_ms, got_ms))
            )  # fmt: skip
    known = plan.measured if plan is not None and subject.chosen is None else subject.chosen and subject.chosen.measured
    if known and c is not None and c.score is not None and c.score.metric == known.metric:
        change = "unchanged" if c.score.value == known.value else ""
        rows.append((f"{c.score.words} (left: while planning, on {known.samples:,} samples)", known.value_text,
                     c.score.value_text, change))  # fmt: skip
    return table(("", "predicted", "measured", "difference"), rows, (1, 2, 3))


def _decibels_off(difference: float) -> str:
    return "none" if abs(difference) < 0.05 else f"{difference:+.1f} dB".replace("-", MINUS)


def _chosen_rows(chosen: PlanPoint, c: Comparison | None) -> list[tuple[str, str, str, str]]:
    if chosen.sqnr_db is None or c is None:
        return []
    told, got = chosen.sqnr_db, c.output_sqnr_db
    return [("output SQNR", db_text(told), db_text(got), _decibels_off(got - told))]


def warnings(subject: Subject) -> str:
    """What a reader must know before trusting the figures."""
    c, latency, found = subject.comparison, subject.latency, list[str]()
    if c is not None:
        if c.n < FEW_SAMPLES:
            found.append(f"Only {c.n} samples were measured: one changed answer is {100 / max(c.n, 1):.2g} points.")
        if c.available > c.n:
            found.append(f"Only the first {c.n:,} of {c.available:,} samples were used.")
        if c.no_accuracy and c.accuracy_before is None:
            found.append(f"Accuracy was not measured: {c.no_accuracy}.")
        found += [
            f"Output {o.name} has NaN or infinity in {o.nonfinite_after} samples of the compressed model"
            f" ({o.nonfinite_before} of the original)." for o in c.outputs if o.nonfinite_after
        ]  # fmt: skip
        found += [
            f"Output {o.name} is the same for all samples: its figures say little."
            for o in c.outputs
            if o.constant_before
        ]
        found += c.notes
    if "only sample" in subject.calibrated_on:
        found.append("Steps worked from the sample that was measured on: the figures are better than on other samples.")
    if latency is not None and latency.before.high_ms > 1.5 * latency.before.low_ms:
        found.append("Times varied by more than half while they were measured: the machine did other things as well.")
    if subject.export is not None:
        found += [
            f"Check {check.name} did not pass: {check.text}." for check in subject.export.checks if not check.passed
        ]
        found += [f"Not done: {line}" for line in subject.export.trouble]
    refused = [layer for layer in subject.layers if layer.steps and layer.skipped]
    if refused:
        found.append(
            f"{len(refused)} layer{'s' if len(refused) != 1 else ''} could not be compressed as asked, see below."
        )
    missed = subject.plan if subject.chosen is None else None
    if missed is not None and missed.measured is not None and missed.sqnr_predicted_db is not None:
        miss = abs(missed.measured.sqnr_db - missed.sqnr_predicted_db)
        if miss > _LARGE_MISS_DB:
            found.append(f"The plan's predicted output SQNR was off by {miss:.1f} dB.")
    return bullets(list(dict.fromkeys(found)))
