"""What the Sensitivity lens says in words about the table as a whole. No Qt widgets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from gui.sensitivity.figures import WHOLE_LAYER, Grid, by_reason
from gui.sensitivity.state import Phase
from gui.sensitivity.words import FREE, full_figure
from gui.units import TIMES, without_names

if TYPE_CHECKING:
    from gui.session import Session

_LONGEST_NOTE, _MOST_REASONS = 140, 8
_FEWEST = 2
"""Layers from which there is a worst one."""
_TITLES = {
    "kl": "Output divergence by layer, mnat (1/1000 nat)",
    "squared": "Output SQNR by layer, dB",
    "weight": "Weight SQNR by layer, dB",
}


def title_words(grid: Grid) -> str:
    """What the figures are."""
    return _TITLES[grid.measure]


def caption_words(session: Session, grid: Grid, shown: int) -> tuple[str, str]:
    """(the line below the title, what its tool tip adds): what there is, from what, and what to do with it.

    shown  rows in the table
    """
    state = session.sensitivity
    total = len(grid.names)
    of = f"{shown:,} of " if shown != total else ""
    none = int((grid.tiers < 0).sum()) if grid.filled.all() or state.phase is Phase.DONE else 0
    parts = [f"{of}{total:,} layer{'' if total == 1 else 's'} {TIMES} {len(grid.settings)} settings"
             + (f" ({none:,} cannot be had)" if none else ""), _cells(session, grid)]
    if state.made is not None and state.phase is Phase.DONE and state.made.samples:
        parts.append(_seconds(state.made.seconds))
    if state.problem:
        parts.append(state.problem.removesuffix("."))
    notes = state.made.notes if state.made is not None and state.phase is Phase.DONE else ()
    if notes and len(notes[0]) <= _LONGEST_NOTE:
        parts.append(notes[0].removesuffix("."))
    if state.phase is Phase.DONE:
        parts.append("click a cell to use it")
    lines = _left_out(grid) if state.phase is Phase.DONE else []
    return " · ".join(part for part in parts if part), "\n".join([*notes, *lines])


def _left_out(grid: Grid) -> list[str]:
    """Lines about the layers that have no cell: how many, and why."""
    empty = np.flatnonzero(~grid.filled).tolist()
    if not empty:
        return []
    reasons = by_reason(without_names(grid.reason(row, WHOLE_LAYER)) for row in empty)
    has, is_ = ("has", "is") if len(empty) == 1 else ("have", "are")
    lines = [f"{len(empty):,} layer{'' if len(empty) == 1 else 's'} {has} no setting and {is_} not shown:"]
    return lines + [f"{count:,} {TIMES} {reason}" for reason, count in list(reasons.items())[:_MOST_REASONS] if reason]


def _cells(session: Session, grid: Grid) -> str:
    state = session.sensitivity
    free, fast, measured = grid.counts()
    total = free + fast + measured
    if state.phase is Phase.RUNNING:
        if not fast and not measured:
            return f"shown: {total:,} cells of the weights alone; what the outputs lose is on the way"
        alone = f", {free:,} still of the weight alone" if free else ""
        return f"so far {measured:,} measured and {fast:,} predicted of {total:,} cells{alone}"
    if not fast and not measured:
        busy = "; more are being computed" if state.phase is Phase.FREE else ""
        advice = f"{'measure' if session.samples is not None else 'load data'} to see what the outputs lose"
        return f"{total:,} cells of the weights alone{busy} · {advice}"
    on = f" on {state.samples:,} sample{'' if state.samples == 1 else 's'}" if state.samples else ""
    if state.stale:
        on += " of data that is not loaded now"
    if not measured:
        words = f"{fast:,} predicted{on}"
    else:
        words = f"{measured:,} measured{on}" + (f", {fast:,} predicted" if fast else "")
    return f"{total:,} cells: {words}" + (f", {free:,} of the weight alone" if free else "")


def answer_words(session: Session, grid: Grid, titles: Sequence[str]) -> str:
    """Which layer hurts most and which least, by the error at the setting that layers are compared by; "" unknown."""
    from core.analysis.sensitivity.cells import setting_label

    column = session.sensitivity.reference
    tiers, errors = grid.tiers[:, column], grid.errors[:, column]
    best = int(tiers.max(initial=-1))
    alike = tiers > FREE if best > FREE else tiers == FREE  # errors of weights and of outputs are not compared
    rows = np.flatnonzero(alike & ~np.isnan(errors))
    if len(rows) < _FEWEST:
        return ""
    worst, least = int(rows[np.argmax(errors[rows])]), int(rows[np.argmin(errors[rows])])
    high, low = (full_figure(float(errors[row]), int(tiers[row]), grid.measure) for row in (worst, least))
    alone = "" if best > FREE else " (of the weights alone)"
    label = setting_label(grid.settings[column])
    return f"{titles[worst]} hurts most at {label}: {high}; {titles[least]} least: {low}{alone}"


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def why_empty(session: Session) -> tuple[str, str]:
    """What stands where no table is: a sentence and what to do."""
    state = session.sensitivity
    if session.model is None:
        return "No model is open.", "Open an ONNX file, or the sample, to see which layer hurts."
    if state.problem:
        return "The sensitivity is not known.", state.problem
    if not session.model.layers:
        return "This model has no weights that can be compressed.", ""
    if state.phase is Phase.DONE:
        reason = state.grid.reason(0, WHOLE_LAYER) if state.grid is not None else ""
        return "No layer of this model has a setting to try.", reason
    return "The errors of the weights are being computed\N{HORIZONTAL ELLIPSIS}", "They come by themselves."
