"""Each output channel of a layer over samples, behind the batch norm and activation that follow it directly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from core.analysis.one_node import NOT_RUN
from core.model.layer import Kind, Layer

if TYPE_CHECKING:
    import onnx_ir as ir

    from core.analysis.one_node import OneNode

Array = np.ndarray[Any, np.dtype[Any]]

_KINDS = (Kind.CONV, Kind.DEPTHWISE, Kind.CONV_TRANSPOSE, Kind.LINEAR)


@dataclass(frozen=True, eq=False)
class ChannelStatistics:
    """positions: values of each channel that were seen; the arrays are those of `LayerInputs`, (channels,) float32."""

    positions: int
    mean: Array = field(repr=False)
    square: Array = field(repr=False)
    active: Array = field(repr=False)


@dataclass(frozen=True)
class ChannelOutput:
    """Where a layer's output channels are seen: the value's key, and its axis that indexes them, from the front if
    positive, from the back if negative."""

    key: str
    axis: int
    channels: int


class ChannelSums:
    """Sums of one layer's output channels."""

    def __init__(self, output: ChannelOutput) -> None:
        self._axis, channels = output.axis, output.channels
        self._n = self._left_out = 0
        self._sum, self._square, self._active = np.zeros(channels), np.zeros(channels), np.zeros(channels, np.int64)

    def fits(self, value: Array) -> bool:
        """Whether the value has the layer's channels along its axis."""
        return -value.ndim <= self._axis < value.ndim and value.shape[self._axis] == self._sum.size

    def add(self, value: Array) -> None:
        """Add a sample's value; positions at which a channel is NaN or infinite are left out."""
        flat = np.moveaxis(np.asarray(value, np.float32), self._axis, 0).reshape(self._sum.size, -1)
        with np.errstate(invalid="ignore"):  # infinities of both signs
            total = flat.sum(dtype=np.float64)
        if not np.isfinite(total):
            usable = np.isfinite(flat).all(axis=0)
            self._left_out += int(usable.size - np.count_nonzero(usable))
            flat = flat[:, usable]
        self._n += flat.shape[1]
        self._sum += flat.sum(axis=1, dtype=np.float64)
        self._square += np.square(flat, dtype=np.float64).sum(axis=1)
        self._active += np.count_nonzero(flat > 0, axis=1)

    def why_none(self) -> str:
        """Why `result` is None (one clause)."""
        if not self._left_out:
            return NOT_RUN
        return f"all {self._left_out:,} positions of its output hold NaN or infinite numbers on these samples"

    def result(self) -> ChannelStatistics | None:
        """What was summed; None when no position was usable."""
        if not self._n:
            return None
        mean, square, active = (total / self._n for total in (self._sum, self._square, self._active))
        with np.errstate(over="ignore"):  # a square of more than a float32 holds is infinite: those who read it look
            return ChannelStatistics(self._n, *(figures.astype(np.float32) for figures in (mean, square, active)))


def channel_output(
    layer: Layer, cut: OneNode, keys: Mapping[ir.Value, str], behind: Mapping[ir.Value, ir.Value]
) -> ChannelOutput | None:
    """Where the output channels of the node are seen; None where it has none that belong to the weight alone.

    keys    keys of the values that can be recorded
    behind  results of activations by the value that goes into them alone (`model.activations.behind`)
    """
    if layer.output_axis is None or layer.kind not in _KINDS:
        return None
    axis = (-1 if layer.uses[0].input else -2) if layer.kind is Kind.LINEAR else 1
    channels = layer.shape[layer.output_axis] * (layer.groups if layer.kind is Kind.CONV_TRANSPOSE else 1)
    seen = _last(cut.node.outputs[0], behind)
    return ChannelOutput(keys.get(seen, cut.output.key), axis, channels)


def _last(value: ir.Value, behind: Mapping[ir.Value, ir.Value]) -> ir.Value:
    """What the value is behind a bias, a scale, a batch norm and an activation that take it directly and alone."""
    for _ in range(4):
        if value in behind:
            return behind[value]
        users = [use.node for use in value.uses()]
        if len(users) != 1 or value.is_graph_output():
            return value
        node = users[0]
        others = [v for v in node.inputs if v is not value]
        if node.op_type not in ("Add", "Mul", "BatchNormalization") or not all(map(_is_stored, others)):
            return value
        value = node.outputs[0]
    return value


def _is_stored(value: ir.Value | None) -> bool:
    """Whether the value is a stored tensor, perhaps in another shape or type."""
    while value is not None:
        node = value.producer()
        if node is None:
            return value.const_value is not None and not value.is_graph_input()
        if node.op_type == "Constant":
            return True
        if node.op_type not in ("Identity", "Cast", "Reshape", "Unsqueeze"):
            return False
        value = node.inputs[0]
    return False
