"""What a training has told so far, in the shape that charts draw. No Qt."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from core.training.events import EpochDone, Started, StepDone

MOST_STEPS = 2_000
"""Losses of steps that are kept of one curve; when there are more, neighbours are put together."""
_RECENT = 5
"""Epochs that the time of the next ones is foretold from."""


@dataclass(frozen=True)
class Series:
    """The learning curves of one training: of the whole job, or of one member, fold or phase of it.

    steps   losses of a few batches each, within epochs; for what has no whole epoch yet
    points  one for each epoch that is done
    """

    started: Started
    points: tuple[EpochDone, ...] = ()
    steps: tuple[StepDone, ...] = ()

    @property
    def title(self) -> str:
        return self.started.title

    @property
    def epochs_done(self) -> int:
        """Epochs that are done, those before an interruption included."""
        return self.points[-1].epoch if self.points else self.started.done

    @property
    def best(self) -> EpochDone | None:
        """The point whose state is kept: the last one that was better than all before it in the last stage. Those of
        stages before it are not what the training gives: not all is compressed there yet."""
        last = self.started.last_stage
        return next((point for point in reversed(self.points) if point.best and last in ("", point.stage)), None)

    @property
    def parted(self) -> EpochDone | None:
        """Where training and validation parted, and stayed so since; None while they have not."""
        found = None
        for point in reversed(self.points):
            if not point.parted:
                break
            found = point
        return found

    @property
    def stages(self) -> tuple[tuple[int, str], ...]:
        """(first epoch, words) of each stage that has begun, where there are several."""
        found: list[tuple[int, str]] = []
        for point in self.points:
            if point.stage and (not found or found[-1][1] != point.stage):
                found.append((point.epoch, point.stage))
        return tuple(found)

    @property
    def seconds_an_epoch(self) -> float | None:
        """Of the last few epochs; None before the first is done."""
        recent = sorted(point.seconds for point in self.points[-_RECENT:])
        return recent[len(recent) // 2] if recent else None

    def seconds_left(self, since_epoch: float) -> float | None:
        """Until the last epoch, at most: early stopping may end it sooner.

        since_epoch  seconds since the last epoch was done
        """
        each = self.seconds_an_epoch
        if each is None:
            return None
        rest = self.started.epochs - self.epochs_done
        return max(each * rest - min(since_epoch, each), 0.0)


class Heard:
    """Collects the events of a job: a `Started` begins a series, or goes on with it after an interruption."""

    def __init__(self) -> None:
        self._series: list[Series] = []
        self._points: list[EpochDone] = []
        self._steps: list[StepDone] = []
        self._dirty = False  # whether the last series lacks some of these

    @property
    def series(self) -> tuple[Series, ...]:
        """All series, in the order in which they began; the last one is at work."""
        self._settle()
        return tuple(self._series)

    def go_on_with(self, series: Sequence[Series]) -> None:
        """Begin with what was told before an interruption."""
        self._series, self._points, self._steps, self._dirty = list(series), [], [], False
        if self._series:
            self._points, self._steps = list(self._series[-1].points), list(self._series[-1].steps)

    def start(self, started: Started) -> None:
        self._settle()
        before = self._before(started)
        if before is None:
            self._points, self._steps = [], []
            self._series.append(Series(started))
            return
        self._series.remove(before)  # it is at work, so it comes last
        self._points = [point for point in before.points if point.epoch <= started.done]
        self._steps = [step for step in before.steps if step.epoch <= started.done]
        self._series.append(replace(before, started=started))
        self._dirty = True

    def _before(self, started: Started) -> Series | None:
        """The series that a training goes on with; the only one of a run may have had no title on disk."""
        if not started.done:
            return None
        named = next((one for one in self._series if one.title == started.title), None)
        alone = len(self._series) == 1 and self._series[0].started.run == started.run
        return named or (self._series[0] if alone else None)

    def step(self, step: StepDone) -> None:
        if self._series and math.isfinite(step.loss):
            self._dirty = True
            self._steps.append(step)
            if len(self._steps) > MOST_STEPS:
                self._steps = _halved(self._steps)

    def epoch(self, point: EpochDone) -> None:
        if self._series:
            self._dirty = True
            self._points.append(point)

    def _settle(self) -> None:
        if self._dirty:
            self._dirty = False
            self._series[-1] = replace(self._series[-1], points=tuple(self._points), steps=tuple(self._steps))


def _halved(steps: Sequence[StepDone]) -> list[StepDone]:
    """Each two neighbours as one, with the mean of their losses."""
    pairs = zip(steps[::2], steps[1::2], strict=False)
    return [StepDone(later.epoch, (sooner.loss + later.loss) / 2) for sooner, later in pairs]
