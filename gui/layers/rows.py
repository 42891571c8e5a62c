"""What a row of the layers table shows, formatted once: painting thousands of rows then costs only drawing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from PySide6.QtCore import QRectF

from core.model.layer import Kind, Layer
from core.rewriting.rewrite import channel_step
from gui.sensitivity.words import FREE, GOOD, POOR, full_figure, shares, tier_words
from gui.units import MINUS, TIMES, count, file_size, number

if TYPE_CHECKING:
    from core.analysis.statistics import Statistics
    from gui.session import Session

SPARK_WIDTH, SPARK_HEIGHT, SPARK_BARS = 65, 15, 22
_SHORT = {Kind.DEPTHWISE: "Conv\N{MIDDLE DOT}dw", Kind.CONV_TRANSPOSE: "ConvT", Kind.EMBEDDING: "Embed",
          Kind.RECURRENT: "Recur"}
"""Badges of kinds whose name is too long for the table."""
_KEY_WORDS = {"it goes into the convolution": "folded", "would take": "no gain", "are NaN or infinite": "NaN",
              "is already quantized": "quantized", "is already factorised": "factorised",
              "works from samples": "needs data", "weight of an attention layer": "no attention",
              "averages over these channels": "normalized", "the model's output": "is the output"}
"""Reasons that layers are left alone for, and the words for them in the table."""
_USUAL_ENDING = ".weight"
GOOD_DB, POOR_DB, WORST_DB, BEST_DB = 30.0, 15.0, 0.0, 50.0
"""SQNR that counts as good, below which it is bad, and the ends of the error bar."""


@dataclass(frozen=True)
class Row:
    """Texts and shapes of one row.

    size_after   size by the plan, "" without one
    bars         rectangles of the histogram, in the cell's own coordinates; () until statistics are there
    error_share  length of the error bar, 0 to 1 (longer is worse), or None when there is nothing to show
    error_role   theme role of the bar, also told by the bar's length and the number
    measured     whether the error was measured at the layer's output (a solid bar), or is the weight's own (hollow)
    sensitivity  what 4 bits cost, in words; "" where that is not known
    sensitive    length of the sensitivity bar, 0 to 1 (longer is worse), or None
    sensitive_role  theme role of that bar
    from_outputs whether sensitivity is of the model's outputs (a solid bar), or of the weight alone (hollow)
    plan         the steps, or the reason why not in a word or two; the tool tip has all of it
    plan_role    theme role of the plan's text
    """

    name: str
    badge: str
    size: str
    size_after: str
    bars: tuple[QRectF, ...]
    error: str
    error_share: float | None
    error_role: str
    measured: bool
    sensitivity: str
    sensitive: float | None
    sensitive_role: str
    from_outputs: bool
    plan: str
    plan_role: str


def build_row(session: Session, layer: Layer) -> Row:
    """The row of a layer as the session stands now."""
    error, measured = error_db(session, layer.name)
    plan, role = plan_text(session, layer)
    plan = _in_few_words(plan)
    badge = _SHORT.get(layer.kind, str(layer.kind))
    bars = spark_bars(session.statistics.get(layer.name))
    size, after = file_size(layer.nbytes), planned_size(session, layer)
    words, sensitive, color, outputs = _sensitivity_cell(session, layer.name)
    return Row(short_name(layer), badge, size, after, bars, *_error_cell(error), measured, words, sensitive, color,
               outputs, plan, role)


def short_name(layer: Layer) -> str:
    """The name for the table: nearly all end in ".weight", which only takes room. The tool tip has the whole name."""
    return short_title(layer.title)


def short_title(title: str) -> str:
    """A layer's whole name as the table shows it."""
    return title.removesuffix(_USUAL_ENDING) or title


def error_db(session: Session, name: str) -> tuple[float, bool]:
    """SQNR of a layer in dB and whether it was measured at its output; the weight's own while it was not.

    NaN when the layer has no steps, nothing is known yet, or samples are being run for its steps.
    """
    if is_measured(session, name) and session.result is not None:
        return session.result.live[name], True
    preview = session.previews.get(name)
    foretold = session.plans.foretold_bytes(name) is not None  # the preview is of earlier steps
    hidden = preview is None or foretold or why_skipped(session, name) or session.waits_for_samples(name)
    return (math.nan if preview is None or hidden else preview.weight_sqnr_db), False


def is_measured(session: Session, name: str) -> bool:
    """Whether the layer's own output error was measured with these steps and these samples.

    It is the error of this layer alone, so that edits of other layers do not make it stale.
    """
    result = session.result
    return (result is not None and name in result.live and result.same_numbers(session.data)
            and result.recipe.steps_for(name) == session.steps(name))


def planned_size(session: Session, layer: Layer) -> str:
    """Size of the layer by the plan; "" when it has none, or is left alone."""
    foretold = session.plans.foretold_bytes(layer.name)
    if foretold is not None:
        return file_size(foretold)
    preview = session.previews.get(layer.name)
    if preview is None or why_skipped(session, layer.name) or session.waits_for_samples(layer.name):
        return ""
    return file_size(preview.bytes_after)


def why_skipped(session: Session, name: str) -> str:
    """Why the steps of a layer were not taken, by the last compression if it still holds, else by its preview or ""."""
    if session.result_current and session.result is not None and name in session.result.layers:
        return session.result.layers[name].skipped
    if session.plans.foretold_bytes(name) is not None:
        return ""
    preview = session.previews.get(name)
    return (preview.skipped if preview is not None else "") or _why_uncut(session, name)


def _why_uncut(session: Session, name: str) -> str:
    """Why the layer's channels stay, when cutting them is all that it was to have."""
    prepared, steps = session.prepared, session.steps(name)
    if prepared is None or len(steps) != 1 or name in prepared.rewriting.cut:
        return ""
    return prepared.rewriting.refused.get(name, "")


def cut_words(session: Session, layer: Layer) -> tuple[str, str]:
    """What cutting other layers' channels does to a layer: for the plan column, and in full; "" when nothing."""
    prepared = session.prepared
    now = None if prepared is None else prepared.layers.get(layer.name)
    if prepared is None or now is None or now.shape == layer.shape:
        return "", ""
    rewriting = prepared.rewriting
    if layer.name in rewriting.cut:
        kept, of = rewriting.cut[layer.name]
        return f"{kept:,} of {of:,} channels", rewriting.notes.get(layer.name, "")
    before, after = TIMES.join(map(str, layer.shape)), TIMES.join(map(str, now.shape))
    return "fewer inputs", f"the layers before are cut: {before} becomes {after}"


def _error_cell(db: float) -> tuple[str, float | None, str]:
    if math.isnan(db):
        return "", None, "good"
    if math.isinf(db):
        return ("exact", 0.0, "good") if db > 0 else ("lost", 1.0, "bad")
    share = min(max((BEST_DB - db) / (BEST_DB - WORST_DB), 0.03), 1.0)
    role = "good" if db >= GOOD_DB else "warn" if db >= POOR_DB else "bad"
    return f"{db:.0f}".replace("-", MINUS), share, role


def sensitivity_share(session: Session, name: str) -> float | None:
    """How much 4 bits hurt with this layer alone compressed, from 0 to 1; None where that is not known."""
    state = session.sensitivity
    error, tier = state.compared(name)
    if tier < 0 or state.grid is None:
        return None
    return float(shares(np.array(error), np.array(tier), state.grid.measure))


def _sensitivity_cell(session: Session, name: str) -> tuple[str, float | None, str, bool]:
    share = sensitivity_share(session, name)
    state = session.sensitivity
    if share is None or state.grid is None:
        return "", None, "good", False
    from core.analysis.sensitivity.cells import setting_label

    error, tier = state.compared(name)
    role = "good" if share < GOOD else "warn" if share < POOR else "bad"
    label = setting_label(state.grid.settings[state.reference])
    words = f"{label} alone: {full_figure(error, tier, state.grid.measure)}, {tier_words(tier, state.samples)}"
    return words, max(share, 0.04), role, tier > FREE


def plan_text(session: Session, layer: Layer) -> tuple[str, str]:
    """What happens to a layer, and the theme role that the text is shown in."""
    if layer.locked:
        return layer.locked, "faint"
    steps = session.steps(layer.name)
    if not steps:
        cut, _whole = cut_words(session, layer)
        return (cut, "muted") if cut else ("keep", "faint")
    if session.waits_for_samples(layer.name):
        return "samples are run", "muted"
    skipped = why_skipped(session, layer.name)
    if skipped:
        return f"skipped: {skipped}", "warn"
    words = [*(step.label() for step in steps), _besides(session, layer)]
    return " \N{MIDDLE DOT} ".join(filter(None, words)), "accent"


def _besides(session: Session, layer: Layer) -> str:
    """What other layers' cuts do to a layer that has steps of its own, for the plan column, or ""."""
    cut, _whole = cut_words(session, layer)
    if not cut or channel_step(session.steps(layer.name)) is None:
        return cut
    now = session.prepared.layers[layer.name].shape if session.prepared is not None else layer.shape
    axes = (axis for axis in range(len(layer.shape)) if axis != layer.output_axis)
    return "fewer inputs" if any(now[axis] != layer.shape[axis] for axis in axes) else ""


def _in_few_words(plan: str) -> str:
    """The key word of a reason, which would not fit into the column."""
    for words, key in _KEY_WORDS.items():
        if words in plan:
            return f"skipped: {key}" if plan.startswith("skipped: ") else key
    return plan


@lru_cache(maxsize=4096)  # rows are built anew whenever a plan changes, their histograms stay
def spark_bars(found: Statistics | None) -> tuple[QRectF, ...]:
    """The histogram as rectangles of 2 px, 1 px apart; heights by square root, so that tails can be seen."""
    if found is None:
        return ()
    counts = np.asarray(found.histogram.counts, dtype=np.float64)
    edges = np.linspace(0, counts.size, SPARK_BARS + 1).round().astype(int)[:-1]
    grouped = np.sqrt(np.add.reduceat(counts, edges)) if counts.size >= SPARK_BARS else np.sqrt(counts)
    top = grouped.max(initial=0.0)
    if top <= 0:
        return ()
    heights = np.ceil(grouped / top * SPARK_HEIGHT)
    return tuple(QRectF(3.0 * i, SPARK_HEIGHT - h, 2.0, h) for i, h in enumerate(heights) if h)


def tool_tip(session: Session, layer: Layer) -> str:
    """Everything about a layer, as lines."""
    shape = "\N{MULTIPLICATION SIGN}".join(map(str, layer.shape)) or "scalar"
    uses = ", ".join(dict.fromkeys(use.op for use in layer.uses))
    names = [layer.name] if layer.title == layer.name else [layer.title, layer.name]
    after = planned_size(session, layer)
    size = f"{count(layer.n_weights)} weights, {file_size(layer.nbytes)}"
    if after:
        size += f" \N{RIGHTWARDS ARROW} {after} by the plan"
    lines = [*names, f"{layer.kind} {shape}, {layer.dtype}, {size}"]
    if uses:
        lines.append(f"used by {uses}" + (f" ({len(layer.uses)} nodes)" if len(layer.uses) > 1 else ""))
    lines += _figures(session.statistics.get(layer.name))
    plan, _role = plan_text(session, layer)
    words = cut_words(session, layer)[1] or (session.prepared.rewriting.words(layer.name) if session.prepared else "")
    sensitivity = _sensitivity_cell(session, layer.name)[0]
    return "\n".join(filter(None, [*lines, sensitivity, f"plan: {plan}", words]))


def _figures(s: Any) -> list[str]:
    if s is None:
        return ["statistics are being computed"]
    lines = [f"min {number(s.minimum)}, max {number(s.maximum)}, mean {number(s.mean)}, std {number(s.std)}",
             f"{100 * s.zeros / max(s.n, 1):.1f} % zeros, {s.outliers:,} outliers"]
    return [*lines, f"{s.nonfinite:,} weights are NaN or infinite"] if s.nonfinite else lines
