"""Runs as lines of a table, formatted once; no Qt, so that a thread can make them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING

from core.progress import Reporter
from core.runs.figures import BYTES, BYTES_BEFORE, LATENCY, LATENCY_BEFORE, SCORE, SQNR
from core.runs.run import POINTS, Run, RunKind, RunState
from core.runs.store import RunStore
from core.runs.words import (
    METRIC_UNITS,
    STATE_WORDS,
    drop_of,
    figure_text,
    model_name,
    recipe_words,
    seconds_text,
    speed_text,
    when_text,
)

if TYPE_CHECKING:
    from core.model.model import Model
    from core.runs.run import Figure

NOT_KNOWN = "\N{EN DASH}"


class Column(IntEnum):
    """Columns of the table, from the left."""

    RUN = 0
    STATE = 1
    SIZE = 2
    SHARE = 3
    SCORE = 4
    SQNR = 5
    LATENCY = 6
    TIME = 7
    SEED = 8
    BEGUN = 9


HEADERS = ("Run", "State", "File", "Share", "Metric", "SQNR", "Latency", "Time", "Seed", "Begun")
HINTS = (
    "What was done, with which recipe", "Where it stands", "Bytes of the file on disk",
    "Of the original file", "On the data that it was measured on; against the original's in the tool tip",
    "Output error against the original", "Median of one run, on one thread", "That the run took", "Of what is drawn",
    "In your time zone",
)  # fmt: skip
SIGNS = {
    RunState.RUNNING: "\N{BLACK RIGHT-POINTING TRIANGLE}", RunState.PAUSED: "\N{DOUBLE VERTICAL BAR}",
    RunState.DONE: "\N{CHECK MARK}", RunState.CANCELLED: "\N{MULTIPLICATION SIGN}", RunState.FAILED: "!",
    RunState.INTERRUPTED: "\N{HORIZONTAL ELLIPSIS}",
}  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One run.

    texts   by Column
    keys    by Column: what is sorted by
    recipe  in words
    kept    whether a copy of its result is there
    """

    run: Run
    texts: tuple[str, ...]
    keys: tuple[float | str, ...]
    recipe: str
    kept: bool
    bytes_on_disk: int
    tip: str

    @property
    def key(self) -> str:
        return self.run.id

    @property
    def share(self) -> float | None:
        """Of the original file's bytes, in %."""
        before, after = self.run.value(BYTES_BEFORE), self.run.value(BYTES)
        return 100.0 * after / before if before and after is not None else None


@dataclass(frozen=True)
class Loaded:
    """What a store held when it was read.

    rows     newest first
    damaged  (id, why) of entries that cannot be read
    model    SHA-256 of the model that is open, "" for none: runs know theirs by it, wherever the file lies
    """

    rows: tuple[Row, ...] = ()
    damaged: tuple[tuple[str, str], ...] = ()
    model: str = ""

    def of_model(self) -> tuple[Row, ...]:
        """Runs of the open model alone."""
        return tuple(row for row in self.rows if self.model and row.run.model_sha256 == self.model)


def load(folder: Path, known: Mapping[str, Row], model: Model | None, reporter: Reporter) -> Loaded:
    """Read a store. Rows of runs that have not changed are taken from `known`."""
    store = RunStore(folder)
    found = store.listing()
    rows = []
    for run in found.runs:
        reporter.check()
        before = known.get(run.id)
        rows.append(before if before is not None and before.run == run else row_of(store, run))
    return Loaded(tuple(rows), found.damaged, model.sha256 if model is not None else "")


def row_of(store: RunStore, run: Run) -> Row:
    """A run with everything that a table shows of it."""
    file = store.result_file(run)
    texts = tuple(text or NOT_KNOWN for text in _texts(run))
    recipe = recipe_words(run.recipe_text)
    return Row(run, texts, _keys(run), recipe, file is not None, store.nbytes(run.id), _tip(run, texts, recipe))


def _texts(run: Run) -> tuple[str, ...]:
    before, after = run.value(BYTES_BEFORE), run.value(BYTES)
    share = f"{100.0 * after / before:.1f} %" if before and after is not None else ""
    score = figure_text(run.figure(SCORE))
    if run.kind is RunKind.CROSSVAL:
        deviation = run.figure("deviation")
        if deviation is not None and score:
            score = f"{score} \N{PLUS-MINUS SIGN} {_spread(deviation)}"
    return (
        title_of(run), f"{SIGNS[run.state]} {STATE_WORDS[run.state]}", figure_text(run.figure(BYTES)), share, score,
        figure_text(run.figure(SQNR)), figure_text(run.figure(LATENCY)), seconds_text(run.seconds), str(run.seed),
        when_text(run.started),
    )  # fmt: skip


def _spread(figure: Figure) -> str:
    """A standard deviation beside its mean, whose unit it shares."""
    if figure.unit == POINTS and math.isfinite(figure.value):
        return f"{100.0 * figure.value:.2f}"
    return figure_text(figure)


def title_of(run: Run) -> str:
    """What a run is, without repeating its model where only that is known."""
    words = recipe_words(run.recipe_text)
    return f"{run.kind.words}: {words}" if words else f"{run.kind.words}: {run.title}"


def _keys(run: Run) -> tuple[float | str, ...]:
    def value(name: str) -> float:
        found = run.value(name)
        return math.inf if found is None or math.isnan(found) else found

    before, after = value(BYTES_BEFORE), value(BYTES)
    share = after / before if math.isfinite(before) and before else math.inf
    return (
        title_of(run).lower(), STATE_WORDS[run.state], after, share, value(SCORE), value(SQNR), value(LATENCY),
        run.seconds, float(run.seed), run.started,
    )  # fmt: skip


def _tip(run: Run, texts: Sequence[str], recipe: str) -> str:
    lines = [run.title, f"{run.kind.words}, {texts[Column.STATE]}", model_name(run)]
    lines += [recipe] if recipe else []
    score, drop = run.figure(SCORE), drop_of(run)
    if score is not None:
        lines.append(f"{score.words}: {figure_text(score)}" + (f" ({drop}; {score.on})" if drop else ""))
    if run.value(LATENCY_BEFORE) is not None:
        lines.append(f"latency {speed_text(run)} of the original's")
    lines += [run.why] if run.why else []
    return "\n".join(lines)


@dataclass(frozen=True)
class Branch:
    """A row and those that branch from it."""

    row: Row
    children: tuple[Branch, ...] = ()


def as_tree(rows: Sequence[Row], column: int = Column.BEGUN, *, falling: bool = True) -> tuple[Branch, ...]:
    """Rows below the runs that they branch from; a run whose parent is not among them stands at the top.

    Sorted by a column on each level. Parents that go in a circle (a damaged file) are cut at the oldest run.
    """
    ordered = arranged(rows, column, falling=falling)
    keys = {row.key for row in rows}
    below: dict[str, list[Row]] = {}
    for row in ordered:
        parent = row.run.parent
        # ids begin with the time: a parent is older than its branch, so no circle can come of it
        below.setdefault(parent if parent in keys and parent < row.key else "", []).append(row)

    def branch(row: Row) -> Branch:
        return Branch(row, tuple(branch(child) for child in below.get(row.key, ())))

    return tuple(branch(row) for row in below.get("", ()))


def arranged(rows: Sequence[Row], column: int = Column.BEGUN, *, falling: bool = True) -> tuple[Row, ...]:
    """Sorted by a column; what is not known comes last either way."""
    def unknown(row: Row) -> bool:
        key = row.keys[column]
        return isinstance(key, float) and math.isinf(key) and row.texts[column] == NOT_KNOWN

    there = [row for row in rows if not unknown(row)]
    there.sort(key=lambda row: row.keys[column], reverse=falling)
    return (*there, *(row for row in rows if unknown(row)))


def heights(rows: Sequence[Row]) -> tuple[str, tuple[tuple[Row, float], ...]]:
    """The metric that most rows share, with each one's value for a chart (shares in percent); ("", ()) for none."""
    scores = [(row, figure) for row in rows if (figure := row.run.figure(SCORE)) is not None]
    words = [figure.words for _, figure in scores if figure.unit in METRIC_UNITS and math.isfinite(figure.value)]
    if not words:
        return "", ()
    common = max(set(words), key=lambda each: (words.count(each), each))
    shown = [(row, figure) for row, figure in scores if figure.words == common and math.isfinite(figure.value)]
    percent = shown[0][1].unit == "share"
    found = tuple((row, 100.0 * figure.value if percent else figure.value) for row, figure in shown)
    return common + (", %" if percent else ""), found

