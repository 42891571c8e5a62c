"""How long a task still takes, from how fast it has been lately: phases of one task differ in speed a hundredfold."""

from __future__ import annotations

import math
from collections import deque

_WINDOW = 4.0
"""Seconds that the rate is taken from."""
_SETTLING = 1.0
"""Seconds in which a phase has no estimate yet."""
_LEAST = 0.01
"""Share of the task that a phase must have done before its rate says anything, unless it is older than the window."""
_SMOOTHING = 1.5
"""Time constant, in seconds, of the exponential smoothing of the estimate."""


class Pace:
    """Hears progress and estimates the rest. Times are seconds of any steady clock.

    A phase is known by the first word of the progress text ("Compressing conv1", "sample 3 of 8"); the rate of one says
    nothing about the next, so each starts anew.
    """

    def __init__(self) -> None:
        self._heard: deque[tuple[float, float]] = deque()  # (time, done) of the present phase
        self._phase = ""
        self._phase_began, self._phase_from = math.inf, 0.0
        self._left: float | None = None
        self._asked = 0.0
        self._figure, self._figure_since = -1, 0.0

    def hear(self, now: float, done: float, text: str) -> None:
        """Progress arrived."""
        phase = text.partition(" ")[0]
        if not self._heard or phase != self._phase:
            self._heard.clear()
            self._phase, self._phase_began, self._left, self._phase_from = phase, now, None, done
        self._heard.append((now, done))
        while len(self._heard) > 2 and self._heard[1][0] <= now - _WINDOW:
            self._heard.popleft()

    def seconds_left(self, now: float) -> float | None:
        """The estimate, or None while there is nothing to go by; 0 when a figure has stood longer than it says."""
        if now - self._phase_began < _SETTLING:
            return None
        elapsed, self._asked = now - self._asked, now
        (since, before), (_last, done) = self._heard[0], self._heard[-1]
        if self._left is None and done - self._phase_from < _LEAST and now - self._phase_began < _WINDOW:
            return None
        rate = (done - before) / (now - since)
        if self._left is None:
            self._left = (1.0 - done) / rate if rate > 0 else None
        else:
            self._left = max(self._left - elapsed, 0.0)
            if rate > 0:
                share = 1.0 - math.exp(-elapsed / _SMOOTHING)
                self._left += share * ((1.0 - done) / rate - self._left)
        return None if self._left is None else self._unless_worn(now, self._left)

    def _unless_worn(self, now: float, left: float) -> float:
        figure = round(left)
        if figure != self._figure:
            self._figure, self._figure_since = figure, now
        return 0.0 if now - self._figure_since > max(figure, 1) else left
