"""The metric of plans that were not measured, from plans that were: for a chart, never for a decision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from core.planning.plan import PlanPoint

_EXACT = 1e-4
"""An error this many times below the smallest measured one counts as none: then the metric is the original's."""


def metric_between(points: Sequence[PlanPoint], measured: Sequence[PlanPoint]) -> tuple[float, ...]:
    """The metric of each point: its own where it was measured, else interpolated over the logarithm of the error.

    points    any plans
    measured  plans to interpolate between; those without a measurement are passed over

    NaN where a plan's error is larger than that of every measured one: nothing is extrapolated. The values are in the
    metric's own unit.
    """
    known = sorted(
        (p.best_error, p.measured.value) for p in measured if p.measured is not None and 0.0 < p.best_error < np.inf
    )
    reference = next((p.measured.reference for p in measured if p.measured is not None), None)
    if not known or reference is None:
        return tuple(float("nan") if p.measured is None else p.measured.value for p in points)
    floor = known[0][0] * _EXACT
    errors = np.log(np.array([floor, *(error for error, _ in known)]))
    values = np.array([reference, *(value for _, value in known)])
    found = []
    for point in points:
        if point.measured is not None:
            found.append(float(point.measured.value))
        elif point.error <= known[-1][0]:
            found.append(float(np.interp(np.log(max(point.error, floor)), errors, values)))
        else:
            found.append(float("nan"))
    return tuple(found)
