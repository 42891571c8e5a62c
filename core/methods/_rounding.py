"""Rounding that knows how a layer is used: errors that a layer's sum over its inputs would add up are made to cancel.

Case 1  kernels that are long signals (LONG taps or more along the last axis, as of a filter bank): error diffusion
        along the taps, since what they are applied to changes slowly from one tap to the next
Case 2  all other layers that sum over inputs: the sum of each output channel's errors is brought to nearly zero, since
        inputs behind a ReLU or the like have a common positive mean
Embeddings and norms are not summed over, so their weights are rounded to nearest.

Source: case 2 after Guo et al., "SQuant", ICLR 2022; case 1 is first-order noise shaping.
"""

from __future__ import annotations

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


def balance(
    values: Array,
    codes: Array,
    scale: Array,
    offset: Array,
    axis: int | None,
    block: int,
    limits: tuple[int, int],
    context: Context,
    sparse: bool,
) -> None:
    """Change codes, in place, so that errors cancel at the layer's output.

    values, codes  of the weight's shape
    scale, offset  of rank 0 or of the weight's rank, in blocks of `block` along `axis` (block 0: none)
    limits         lowest and highest code
    sparse         weights that are zero were removed and stay so
    """
    layer = context.layer
    if layer.kind not in _SUMMED or values.ndim < 2:
        return
    if not block and layer.kind in _CONVOLUTIONS and values.shape[-1] >= LONG and not sparse:
        _diffuse(values, codes, scale, offset, limits, context)
    else:
        _balance(values, codes, scale, offset, axis, block, limits, context, sparse)


def _diffuse(
    values: Array, codes: Array, scale: Array, offset: Array, limits: tuple[int, int], context: Context
) -> None:
    from core.kernels.rounding import diffuse_rows

    groups = Groups(values.shape, tuple(range(values.ndim - 1)))
    for piece in groups.pieces():
        context.reporter.check()
        rows = groups.rows(codes, piece)
        numbers = (_rows(number, values.shape, groups, piece)[:, :1].copy() for number in (scale, offset))
        diffuse_rows(groups.rows(values, piece), *numbers, *limits, rows)
        groups.put(rows, codes, piece)


def _balance(
    values: Array,
    codes: Array,
    scale: Array,
    offset: Array,
    axis: int | None,
    block: int,
    limits: tuple[int, int],
    context: Context,
    sparse: bool,
) -> None:
    from core.kernels.rounding import balance_rows

    groups = Groups(values.shape, output_axes(context.layer, values.shape))
    inner = groups.order[len(groups.axes) :]
    per_block = groups.length
    if block and axis is not None and scale.ndim and scale.shape[axis] > 1:
        if inner[0] != axis:  # a block's weights would not be neighbours
            return
        per_block = block * prod(values.shape[a] for a in inner[1:])
    numbers_shape = tuple(
        -(-size * prod(values.shape[a] for a in inner[1:]) // per_block) if a == inner[0] else 1 if a in inner else size
        for a, size in enumerate(values.shape)
    )
    for piece in groups.pieces():
        context.reporter.check()
        rows = groups.rows(codes, piece)
        numbers = (_rows(number, numbers_shape, groups, piece) for number in (scale, offset))
        balance_rows(groups.rows(values, piece), *numbers, per_block, *limits, sparse, rows)
        groups.put(rows, codes, piece)


def _rows(numbers: Array, shape: Shape, groups: Groups, piece: slice) -> Array:
    """Numbers that broadcast to `shape`, as rows of the groups, (n_groups, numbers in a group)."""
    spread = np.broadcast_to(numbers, shape).transpose(groups.order)[piece]
    count = prod(spread.shape[: len(groups.axes)])
    return np.ascontiguousarray(spread, np.float32).reshape(count, -1)
