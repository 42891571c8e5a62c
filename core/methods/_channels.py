"""What methods that cut channels share: a group of coupled channels as they see it, and how to judge its units.

A unit is what stays or goes as a whole: a channel of every layer that is coupled, or an attention head. Scores of a
group are the mean over its layers, each scaled to a mean of one, so that a layer of large numbers does not outvote the
others (Fang et al., "DepGraph", CVPR 2023, section 3.3).
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from core.data.layer_inputs import LayerInputs, Need
from core.errors import LayerSkipped
from core.methods.base import ChannelMethod, Context, require_finite, require_inputs
from core.model.layer import Kind, Layer

Array = np.ndarray[Any, np.dtype[Any]]

WEIGHED = frozenset({Kind.CONV, Kind.DEPTHWISE, Kind.CONV_TRANSPOSE, Kind.LINEAR, Kind.RECURRENT, Kind.EMBEDDING})
"""Kinds whose weights count when a unit is judged by its weights."""

PRODUCER, CONSUMER, FOLLOWER = "producer", "consumer", "follower"


@dataclass(frozen=True, eq=False)
class Part:
    """One layer's axis along which the units lie.

    role     PRODUCER (makes the channels), CONSUMER (sums over them) or FOLLOWER (one number or kernel a channel)
    unit_of  (size of the axis,) the unit of each place, or -1 where a place belongs to none
    weight   gives the weight as float32
    inputs   statistics of the layer on samples, or None
    scale    the tensor is a batch norm's scale
    """

    layer: Layer
    axis: int
    role: str
    unit_of: Array = field(repr=False)
    weight: Callable[[], Array] = field(repr=False)
    inputs: LayerInputs | None = field(default=None, repr=False)
    scale: bool = False

    def spread(self, numbers: Array, units: int) -> Array:
        """(units,) float64: the sum over each unit's places of (size of the axis,) numbers."""
        mine = self.unit_of >= 0
        return np.bincount(self.unit_of[mine], numbers[mine].astype(np.float64), minlength=units)

    def sums(self, values: Array, units: int) -> Array:
        """(units,) float64: the sum of all of a weight-shaped array's numbers that go with each unit."""
        others = tuple(axis for axis in range(values.ndim) if axis != self.axis)
        return self.spread(values.sum(axis=others, dtype=np.float64), units)


@dataclass(frozen=True, eq=False)
class Channels:
    """A group of coupled channels.

    units  how many can go
    width  channels of the first producer that a unit has (a head's size)
    heads  the units are attention heads
    slices numbers of units of which at least one must stay: they make up an axis of their own (a Split's part)
    """

    units: int
    width: int
    heads: bool
    parts: tuple[Part, ...]
    slices: tuple[Array, ...] = field(default=(), repr=False)

    def with_role(self, *roles: str) -> tuple[Part, ...]:
        """The layers with weights that have one of these roles."""
        return tuple(part for part in self.parts if part.role in roles and part.layer.kind in WEIGHED)


class ChannelChooser(ChannelMethod):
    """A channel method that `rewriting.cuts` can carry out: it says which units of a group stay."""

    @abstractmethod
    def choose(self, channels: Channels, params: Any, context: Context) -> Array:
        """(units,) bool: which stay, at least one. `context` is that of the layer with the step.

        Raises LayerSkipped with the reason when nothing can or should go, Cancelled.
        """


def power(channels: Channels, exponent: int, context: Context) -> Array:
    """(units,) importance by the L1 (1) or L2 (2) norm of a unit's weights (Li et al., ICLR 2017, over a group)."""
    scores = []
    for part in channels.with_role(PRODUCER, CONSUMER, FOLLOWER):
        context.reporter.check()
        values = part.weight()
        require_finite(values, part.layer)
        sums = part.sums(np.abs(values) if exponent == 1 else _squares(values), channels.units)
        scores.append(sums if exponent == 1 else np.sqrt(sums))
    return mean_of(scores)


def scale_size(channels: Channels, context: Context) -> Array:
    """(units,) size of the batch norms' scales (Liu et al., "Network Slimming", ICCV 2017)."""
    scores = []
    for part in channels.parts:
        if part.scale:
            values = part.weight()
            require_finite(values, part.layer)
            scores.append(part.spread(np.abs(values).reshape(-1), channels.units))
    if not scores:
        raise LayerSkipped("no batch norm follows it", do="choose another criterion")
    return mean_of(scores)


def response(channels: Channels, context: Context) -> Array:
    """(units,) how much a unit gives on samples: the RMS of its output times the norm of what multiplies it."""
    require_inputs(context, Need.OUTPUTS)
    rms = []
    for part in channels.with_role(PRODUCER, FOLLOWER):
        square = part.inputs.output_square if part.inputs is not None else None
        if square is not None and square.size == part.unit_of.size:
            rms.append(np.sqrt(part.spread(square, channels.units)))
    if not rms:
        raise LayerSkipped("the outputs of its channels were not measured")
    weights = []
    for part in channels.with_role(CONSUMER):
        values = part.weight()
        require_finite(values, part.layer)
        weights.append(np.sqrt(part.sums(_squares(values), channels.units)))
    size = mean_of(rms)
    require_finite_scores(size, context)
    return size * mean_of(weights) if weights else size


def taylor(channels: Channels, context: Context) -> Array:
    """(units,) expected change of the outputs when the unit's weights become zero: the sum of w^2 times the squared
    gradient (Molchanov et al., "Importance Estimation for Neural Network Pruning", CVPR 2019)."""
    require_inputs(context, Need.GRADIENTS)
    total = np.zeros(channels.units)
    for part in channels.with_role(PRODUCER, FOLLOWER):
        square = part.inputs.gradient_square if part.inputs is not None else None
        if square is not None and square.shape == part.layer.shape:
            context.reporter.check()
            values = part.weight()
            require_finite(values, part.layer)
            total += part.sums(_squares(values) * square, channels.units)
    require_finite_scores(total, context)
    return total


def activity(channels: Channels, context: Context) -> Array:
    """(units,) share of positions at which a unit is above zero: that of its most active channel."""
    require_inputs(context, Need.OUTPUTS)
    found = np.full(channels.units, -np.inf)
    for part in channels.with_role(PRODUCER, FOLLOWER):
        active = part.inputs.active if part.inputs is not None else None
        if active is not None and active.size == part.unit_of.size:
            mine = part.unit_of >= 0
            np.maximum.at(found, part.unit_of[mine], active[mine])
    if not np.isfinite(found).all():
        raise LayerSkipped("how often its channels fire was not measured")
    return found


def mean_of(scores: Iterable[Array]) -> Array:
    """The mean of several scores, each scaled to a mean of one; a score of all zeros says nothing."""
    scores = list(scores)
    with np.errstate(invalid="ignore"):  # what is infinite becomes NaN, to be refused
        scaled = [score / score.mean() for score in scores if score.mean() != 0]
    return np.mean(scaled, axis=0) if scaled else np.zeros_like(scores[0])


def _squares(values: Array) -> Array:
    """In float64, where the square of a large float32 is still a number."""
    return np.square(values, dtype=np.float64)


def require_finite_scores(scores: Array, context: Context) -> None:
    """Raise LayerSkipped when statistics gave scores that are NaN or infinite."""
    if not np.isfinite(scores).all():
        raise LayerSkipped("its statistics hold NaN or infinite numbers", where=context.layer.name,
                           do="check the samples")


def kept_count(units: int, width: int, ratio: float, round_to: int) -> int:
    """How many units stay: rounded up so that channels come in multiples, unless that would undo the cut.

    Raises LayerSkipped when the share is less than one unit.
    """
    exact = max(units - math.floor(ratio * units + 0.5), 1)
    if exact == units:
        raise LayerSkipped(f"{100 * ratio:.4g} % of its {units} {'channel' if units == 1 else 'channels'} is less than "
                           "one", do="remove a larger share")
    step = round_to // math.gcd(round_to, width)
    rounded = -(-exact // step) * step
    return rounded if rounded < units else exact


def keep_best(scores: Array, count: int, slices: Sequence[Array] = ()) -> Array:
    """(units,) bool: the `count` units of the highest score; of equal ones the first stay.

    The best unit of each slice (`Channels.slices`) stays in any case, also where that makes more than `count`.
    """
    kept = best_of_each(scores, slices)
    order = np.argsort(-scores, kind="stable")
    kept[order[~kept[order]][: max(count - int(kept.sum()), 0)]] = True
    return kept


def best_of_each(scores: Array, slices: Sequence[Array]) -> Array:
    """(units,) bool: the unit of the highest score of each slice; of equal ones the first."""
    kept = np.zeros(scores.size, bool)
    kept[[units[np.argmax(scores[units])] for units in slices]] = True
    return kept
