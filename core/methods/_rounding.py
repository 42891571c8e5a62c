"""Rounding that knows how a layer is used: errors that a layer's sum over its inputs would add up are made to cancel.

Case 1  kernels that are long signals (LONG taps or more along the last axis, as of a filter bank): error diffusion
        along the taps, since what they are applied to changes slowly from one tap to the next
Case 2  all other layers that sum over inputs: the sum of each output channel's errors is brought to nearly zero, since
        inputs behind a ReLU or the like have a common positive mean
Embeddings and norms are not summed over, so their weights are rounded to nearest.

Source: case 2 after Guo et al., "SQuant", ICLR 2022; case 1 is first-order noise shaping.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from core.encoding.base import Array, Shape
from core.methods._groups import Groups
from core.methods.base import Context
from core.model.layer import Kind, Layer

LONG = 16
_SUMMED = {Kind.CONV, Kind.DEPTHWISE, Kind.CONV_TRANSPOSE, Kind.LINEAR, Kind.RECURRENT}
_CONVOLUTIONS = {Kind.CONV, Kind.DEPTHWISE}


def output_axes(layer: Layer, shape: Shape) -> tuple[int, ...]:
    """The axes whose every place is a sum over inputs of its own."""
    output = layer.output_axis if layer.output_axis is not None else 0
    return tuple(sorted({0, output})) if layer.kind is Kind.RECURRENT and len(shape) > 2 else (output,)


@dataclass(frozen=True)
class Levels:
    """What the codes of a weight stand for: (code - offset) * scale.

    scale, offset    of rank 0 or of the weight's rank
    axis, block      they change every `block` weights along `axis`; block 0: no blocks
    lowest, highest  code
    """

    scale: Array
    offset: Array
    axis: int | None
    block: int
    lowest: int
    highest: int


def balance(values: Array, codes: Array, levels: Levels, context: Context, sparse: bool) -> None:
    """Change codes, in place, so that errors cancel at the layer's output.

    values, codes  of the weight's shape
    sparse         weights that are zero were removed and stay so
    """
    layer = context.layer
    if layer.kind not in _SUMMED or values.ndim < 2:
        return
    if not levels.block and layer.kind in _CONVOLUTIONS and values.shape[-1] >= LONG and not sparse:
        _diffuse(values, codes, levels, context)
    else:
        _balance(values, codes, levels, context, sparse)


def _diffuse(values: Array, codes: Array, levels: Levels, context: Context) -> None:
    from core.kernels.rounding import diffuse_rows

    groups = Groups(values.shape, tuple(range(values.ndim - 1)))
    for piece in groups.pieces():
        context.reporter.check()
        rows = groups.rows(codes, piece)
        numbers = (_rows(part, values.shape, groups, piece)[:, :1].copy() for part in (levels.scale, levels.offset))
        diffuse_rows(groups.rows(values, piece), *numbers, levels.lowest, levels.highest, rows)
        groups.put(rows, codes, piece)


def _balance(values: Array, codes: Array, levels: Levels, context: Context, sparse: bool) -> None:
    from core.kernels import in_threads
    from core.kernels.rounding import balance_rows

    groups = Groups(values.shape, output_axes(context.layer, values.shape))
    inner = groups.order[len(groups.axes) :]
    others = prod(values.shape[axis] for axis in inner[1:])
    length = groups.length
    if levels.block and levels.axis is not None and levels.scale.ndim and levels.scale.shape[levels.axis] > 1:
        if inner[0] != levels.axis:  # a block's weights would not be neighbours
            return
        length = levels.block * others
    shape = tuple(
        -(-size * others // length) if axis == inner[0] else 1 if axis in inner else size
        for axis, size in enumerate(values.shape)
    )

    def work(piece: slice) -> None:
        context.reporter.check()
        rows = groups.rows(codes, piece)
        numbers = (_rows(part, shape, groups, piece) for part in (levels.scale, levels.offset))
        balance_rows(groups.rows(values, piece), *numbers, length, levels.lowest, levels.highest, sparse, rows)
        groups.put(rows, codes, piece)

    for _ in in_threads(work, list(groups.pieces())):
        context.reporter.check()


def _rows(numbers: Array, shape: Shape, groups: Groups, piece: slice) -> Array:
    """Numbers that broadcast to `shape`, as rows of the groups, (n_groups, numbers in a group)."""
    spread = np.broadcast_to(numbers, shape).transpose(groups.order)[piece]
    count = prod(spread.shape[: len(groups.axes)])
    return np.ascontiguousarray(spread, np.float32).reshape(count, -1)
