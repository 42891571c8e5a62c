"""A layer's weight as the matrix that multiplies its inputs: for each group, one row of weights an output."""

from __future__ import annotations

from typing import Any

import numpy as np

from core.model.layer import Kind, Layer

Array = np.ndarray[Any, np.dtype[Any]]


def has_rows(layer: Layer) -> bool:
    """Whether the layer multiplies input vectors by rows: not an embedding, a norm, or a tensor of unclear use."""
    if layer.kind in (Kind.CONV, Kind.DEPTHWISE, Kind.CONV_TRANSPOSE):
        return len(layer.shape) >= 3
    if layer.kind is Kind.LINEAR:
        return len(layer.shape) == 2 and layer.output_axis is not None
    return layer.kind is Kind.RECURRENT and len(layer.shape) == 3


def as_rows(weight: Array, layer: Layer) -> Array:
    """(groups, outputs, d): the weight with its input axes last; a view where possible.

    Case 1  Linear (in, out) or (out, in): one group, d = in
    Case 2  Conv (out, in / groups, kernel): d = in / groups x kernel, the order of a patch
    Case 3  ConvTranspose (in, out / groups, kernel): outputs = out / groups x kernel, d = in / groups
    Case 4  Recurrent (directions, gates x hidden, in): a group a direction
    `has_rows` says for which layers this works.
    """
    if layer.kind is Kind.LINEAR:
        return (weight if layer.output_axis == 0 else weight.T)[np.newaxis]
    if layer.kind is Kind.RECURRENT:
        return weight
    groups = max(layer.groups, 1)
    if layer.kind is Kind.CONV_TRANSPOSE:
        return weight.reshape(groups, weight.shape[0] // groups, -1).swapaxes(1, 2)
    return weight.reshape(groups, weight.shape[0] // groups, -1)


def from_rows(rows: Array, layer: Layer) -> Array:
    """The inverse of `as_rows`: a C-contiguous weight of the layer's shape."""
    if layer.kind is Kind.LINEAR:
        weight = rows[0] if layer.output_axis == 0 else rows[0].T
    elif layer.kind is Kind.CONV_TRANSPOSE:
        weight = rows.swapaxes(1, 2).reshape(layer.shape)
    else:
        weight = rows.reshape(layer.shape)
    return np.ascontiguousarray(weight)
