"""From the curves of a training to what its charts draw: lines, marks, the range that is worth seeing. No Qt."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from core.training.events import EpochDone, Started
from gui.charts.axis import plain
from gui.training.curves import Series
from gui.units import number

TRAIN, VALID, ORIGINAL, OTHERS, RATE = "series_2", "series_1", "muted", "strong_border", "series_3"
"""Roles of the lines."""
MOST_MARKS = 8
"""Stages that are marked; of more, the read-out alone tells."""
_WIDE = 30.0
"""Ratio of the largest to the smallest loss from which on a logarithmic axis is chosen."""
_SHOWN = 0.8
"""Share of the epochs so far, the last ones, that the range of the metric is made for: it begins anywhere."""
_FEW = 4


class What(Enum):
    """What a chart shows."""

    LOSS = auto()
    METRIC = auto()
    RATE = auto()


@dataclass(frozen=True)
class Line:
    """One curve. `name` is for the read-out, "" for a line that it leaves out; `faint` lines are behind the others."""

    name: str
    role: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    faint: bool = False


@dataclass(frozen=True)
class Picture:
    """What one chart draws; x are epochs.

    begins, ends   epochs that the axis shows
    low, high  range of the values (not of their logarithms)
    marks      (x, words) of stages
    ring       the best epoch and its value, or None
    parted     epoch from which on training and validation have parted, or None
    unit       written behind the values: "%", or ""
    reference  a level and what it is, or None
    tips       by epoch: what the read-out says
    """

    what: What
    lines: tuple[Line, ...] = ()
    begins: float = 0.0
    ends: float = 1.0
    low: float = 0.0
    high: float = 1.0
    logarithmic: bool = False
    marks: tuple[tuple[float, str], ...] = ()
    ring: tuple[float, float] | None = None
    parted: float | None = None
    reference: tuple[float, str] | None = None
    tips: tuple[tuple[float, str], ...] = ()
    unit: str = ""

    @property
    def first(self) -> bool:
        """Whether only the first epoch is shown, which is under way."""
        return self.ends - self.begins == 1.0

    @property
    def empty(self) -> bool:
        return not any(line.x for line in self.lines)


def loss_picture(series: Sequence[Series], at: int, *, logarithmic: bool | None = None) -> Picture:
    """Losses of the series `at`, those of the others faint behind it. logarithmic None: where they fall far."""
    mine = series[at]
    others = tuple(_line("", OTHERS, one.points, _valid_or_train, faint=True)
                   for place, one in enumerate(series) if place != at)
    steps = Line("", TRAIN, tuple(s.epoch for s in mine.steps), tuple(s.loss for s in mine.steps),
                 faint=bool(mine.points))
    train = _line("train", TRAIN, mine.points, lambda point: point.train_loss)
    valid = _line("validation", VALID, mine.points, lambda point: point.valid_loss)
    drawn = [*train.y, *valid.y]
    if len(mine.points) < 2:  # until then the batches are the curve
        drawn += _without_start(steps.y)
    if not mine.points:
        drawn += [y for line in others for y in line.y]
    log = _falls_far(drawn) if logarithmic is None else logarithmic and min(drawn, default=0.0) > 0
    low, high = _range(drawn, logarithmic=log)
    best = mine.best
    ring = (float(best.epoch), best.valid_loss) if best is not None and best.valid_loss is not None else None
    return Picture(What.LOSS, (*others, steps, train, valid), *_ends(mine, others), low, high, log, _marks(mine), ring,
                   _parted(mine), None, _tips(mine, loss_tip))


def metric_picture(series: Sequence[Series], at: int, reference: tuple[float, str] | None = None) -> Picture:
    """The metric of the series `at`, and where the original is, in the metric's own unit (shares as per cent)."""
    mine = series[at]
    scale = 100.0 if mine.started.share else 1.0
    others = tuple(_line("", OTHERS, one.points, lambda point: point.valid_metric, scale, faint=True)
                   for place, one in enumerate(series) if place != at)
    train = _line("train", TRAIN, mine.points, lambda point: point.train_metric, scale)
    valid = _line("validation", VALID, mine.points, lambda point: point.valid_metric, scale)
    seen = [*_last(train.y), *_last(valid.y)] or [y for line in others for y in _last(line.y)]
    if reference is not None:
        reference = (scale * reference[0], reference[1])
        seen.append(reference[0])
    low, high = _range(seen, logarithmic=False)
    if mine.started.share:
        low, high = max(low, 0.0), min(high, 100.5)
    best = mine.best
    ring = (float(best.epoch), scale * best.valid_metric) if best and best.valid_metric is not None else None
    return Picture(What.METRIC, (*others, train, valid), *_ends(mine, others), low, high, False, _marks(mine), ring,
                   _parted(mine), reference, _tips(mine, lambda point: metric_tip(point, mine.started)),
                   "%" if mine.started.share else "")


def rate_picture(series: Sequence[Series], at: int) -> Picture:
    """The learning rate of the series `at`."""
    mine = series[at]
    line = _line("learning rate", RATE, mine.points, lambda point: point.learning_rate)
    return Picture(What.RATE, (line,), *_ends(mine), 0.0, 1.08 * max(line.y, default=1.0), False, _marks(mine),
                   tips=_tips(mine, lambda point: f"learning rate {number(point.learning_rate)}"))


def metric_text(value: float | None, started: Started) -> str:
    """A value of the validation metric as people read it; "" where there is none."""
    if value is None:
        return ""
    return f"{100 * value:.2f} %" if started.share else plain(value)


def loss_tip(point: EpochDone) -> str:
    """Both losses of an epoch."""
    parts = [f"train {plain(point.train_loss)}"]
    if point.valid_loss is not None:
        parts.append(f"validation {plain(point.valid_loss)}")
    return ", ".join(parts)


def metric_tip(point: EpochDone, started: Started) -> str:
    """Both values of the metric of an epoch."""
    values = (("train", point.train_metric), ("validation", point.valid_metric))
    parts = [f"{name} {metric_text(value, started)}" for name, value in values if value is not None]
    return ", ".join(parts) or "not measured"


def _line(name: str, role: str, points: Sequence[EpochDone], value: Callable[[EpochDone], float | None],
          scale: float = 1.0, *, faint: bool = False) -> Line:
    known = [(float(point.epoch), scale * y) for point in points
             if (y := value(point)) is not None and math.isfinite(y)]
    return Line(name, role, tuple(x for x, _ in known), tuple(y for _, y in known), faint)


def _valid_or_train(point: EpochDone) -> float | None:
    return point.valid_loss if point.valid_loss is not None else point.train_loss


def _ends(series: Series, others: Sequence[Line] = ()) -> tuple[float, float]:
    """The whole way from the first epoch's point; the first epoch alone while it is under way."""
    if not series.points and not any(line.x for line in others):
        return float(series.started.done), series.started.done + 1.0
    return 0.5, max(series.started.epochs, series.epochs_done, 1) + 0.6


def _marks(series: Series) -> tuple[tuple[float, str], ...]:
    stages = series.stages
    return tuple((first - 0.5, words) for first, words in stages) if 1 < len(stages) <= MOST_MARKS else ()


def _parted(series: Series) -> float | None:
    return float(series.parted.epoch) if series.parted is not None else None


def _tips(series: Series, words: Callable[[EpochDone], str]) -> tuple[tuple[float, str], ...]:
    found, best, several = [], series.best, len(series.stages) > 1
    for point in series.points:
        stage = f" ({point.stage})" if several and point.stage else ""
        mark = " \N{MIDDLE DOT} best" if point is best else ""
        found.append((float(point.epoch), f"epoch {point.epoch:,}{stage}: {words(point)}{mark}"))
    return tuple(found)


def _last(values: Sequence[float]) -> list[float]:
    return list(values[-max(_FEW, math.ceil(_SHOWN * len(values))):])


def _without_start(values: Sequence[float]) -> list[float]:
    return list(values[len(values) // 10:])


def _falls_far(values: Sequence[float]) -> bool:
    return bool(values) and min(values) > 0 and max(values) > _WIDE * min(values)


def _range(values: Sequence[float], *, logarithmic: bool) -> tuple[float, float]:
    if not values:
        return (0.1, 1.0) if logarithmic else (0.0, 1.0)
    low, high = min(values), max(values)
    if logarithmic:
        pad = (high / low) ** 0.06 if high > low else 1.5
        return low / pad, high * pad
    pad = 0.08 * (high - low) or 0.05 * abs(high) or 0.5
    return low - pad, high + pad
