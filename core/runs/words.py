"""How runs read: their figures, times and recipes in words, for the command line and the window alike."""

from __future__ import annotations

import math
import time
from functools import lru_cache
from typing import TYPE_CHECKING

from core.figures import MINUS, TIMES, count_text, ms_text, percent_text, size_text
from core.runs.figures import BYTES, BYTES_BEFORE, LATENCY, LATENCY_BEFORE, SCORE, SCORE_BEFORE
from core.runs.run import POINTS, Figure, Run, RunState

if TYPE_CHECKING:
    from core.recipe import Step

STATE_WORDS = {
    RunState.RUNNING: "running", RunState.PAUSED: "paused", RunState.DONE: "done", RunState.CANCELLED: "cancelled",
    RunState.FAILED: "failed", RunState.INTERRUPTED: "interrupted",
}  # fmt: skip
DATA_WORDS = {
    "train": "trained on", "valid": "validated on", "test": "measured on", "calib": "calibrated on", "data": "samples",
}  # fmt: skip
"""What data was for, by its key in `Run.data`; others are named by their key."""
METRIC_UNITS = frozenset({"share", "error", "nats", "dB", "score"})


def figure_text(figure: Figure | None) -> str:
    """A figure with its unit; "" when there is none."""
    if figure is None:
        return ""
    value, unit = figure.value, figure.unit
    if unit == "B":
        return size_text(value)
    if unit == "ms":
        return ms_text(value)
    if unit == "s":
        return seconds_text(value)
    if unit == POINTS:
        return f"{100.0 * value:.2f} points" if math.isfinite(value) else "undefined"
    if unit in METRIC_UNITS:
        from core.analysis.task_metrics.base import Unit, value_text

        return value_text(Unit(unit), value).replace("-", MINUS)
    if math.isfinite(value) and value == int(value):
        return count_text(int(value))
    return f"{value:.4g}"


def change_text(run: Run) -> str:
    """How many times smaller the file became, and its share of the file before; "" without both sizes."""
    before, after = run.value(BYTES_BEFORE), run.value(BYTES)
    if not before or not after:
        return ""
    return f"{before / after:.1f}{TIMES} smaller, {percent_text(after / before, 1)} of the file"


def drop_of(run: Run) -> str:
    """What the metric lost against the original: "0.40 points" with a minus; "" without both."""
    before, after = run.figure(SCORE_BEFORE), run.figure(SCORE)
    if before is None or after is None or after.unit not in METRIC_UNITS:
        return ""
    from core.analysis.task_metrics.base import Unit, drop_text

    return drop_text(Unit(after.unit), before.value, after.value).replace("-", MINUS)


def speed_text(run: Run) -> str:
    """Latency against the original's: "0.45 ms", and its ratio; "" without."""
    before, after = run.value(LATENCY_BEFORE), run.figure(LATENCY)
    if after is None:
        return ""
    return figure_text(after) + (f" ({after.value / before:.2f}{TIMES})" if before else "")


def seconds_text(seconds: float) -> str:
    """A length of time: "4.2 s", "3 min 20 s", "2 h 5 min"."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def data_lines(run: Run) -> tuple[str, ...]:
    """The data of a run, a line each: "trained on /data/train.npz"."""
    return tuple(f"{DATA_WORDS.get(role, f'{role} data')}: {path}" for role, path in run.data.items())


def when_text(moment: float) -> str:
    """A moment in the person's own time zone: "2026-11-24 23:31"."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(moment))


def recipe_words(text: str) -> str:
    """What a recipe does, in a few words: "prune 0.9 + quantize:codebook 4 (3 layers)"; "" for none.

    A recipe that cannot be read (of a later version, with a method that is gone) is told as such.
    """
    from core.errors import FeatherweightError

    if not text.strip():
        return ""
    try:
        return _read_words(text)
    except FeatherweightError:
        return "a recipe that this version cannot read"


SHOWN_GROUPS = 3
"""Different lists of steps that a recipe's words name."""


@lru_cache(maxsize=512)
def _read_words(text: str) -> str:
    from collections import Counter

    from core.recipe import Recipe

    recipe = Recipe.parse(text)
    groups: Counter[str] = Counter()
    if recipe.defaults:
        groups[_steps_words(recipe.defaults)] = 0  # of all layers without an entry: how many is not known here
    for _, steps in recipe.layers:
        if steps:
            groups[_steps_words(steps)] += 1
    parts = [step.label() for step in recipe.graph]
    parts += [words if not count or len(groups) == 1 else f"{words} ({count})" for words, count in groups.items()]
    if not parts:
        return "leaves every layer as it is"
    more = f" and {len(parts) - SHOWN_GROUPS} more" if len(parts) > SHOWN_GROUPS else ""
    return ", ".join(parts[:SHOWN_GROUPS]) + more


def _steps_words(steps: tuple[Step, ...]) -> str:
    return " + ".join(step.label() for step in steps)


def model_name(run: Run) -> str:
    """The name of the person's own file that a run was of: for a converted PyTorch file that one, not its graph."""
    from core.torch_files.origin import shown_name

    return shown_name(run.model_path)
