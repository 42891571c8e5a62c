"""The input vectors that a layer multiplies with its weights, cut out of recorded values.

For each operator one reading: where its input comes from and how vectors are made of it, in the order of
`model.matrix.as_rows`, so that rows of weights times these vectors are the layer's outputs. Sources: the operator
definitions of ONNX (Conv, ConvTranspose, Gemm, LSTM).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from core.analysis.one_node import OneNode
from core.analysis.patches import Window, picked, window_of
from core.model.layer import Kind, Layer

if TYPE_CHECKING:
    import onnx_ir as ir

Array = np.ndarray[Any, np.dtype[Any]]
Record = Mapping[str, Array]
"""Recorded values of one sample by key."""


class Reading(Protocol):
    """How input vectors are read from recorded values. Frozen; equal readings give equal vectors.

    id    names the reading within a model, also in files
    keys  values that it reads
    """

    @property
    def id(self) -> str: ...

    @property
    def keys(self) -> tuple[str, ...]: ...

    def rows(self, record: Record, most: int, random: np.random.Generator) -> Array:
        """(groups, rows, d): at most `most` input vectors of a sample, drawn evenly where there are more."""
        ...


@dataclass(frozen=True)
class Vectors:
    """MatMul, Gemm, Attention: vectors along the last axis of the value, or along the last but one."""

    key: str
    along_last: bool = True

    @property
    def id(self) -> str:
        return f"vectors {'' if self.along_last else 'across '}{self.key}"

    @property
    def keys(self) -> tuple[str, ...]:
        return (self.key,)

    def rows(self, record: Record, most: int, random: np.random.Generator) -> Array:
        value = record[self.key]
        if value.ndim > 1 and not self.along_last:
            value = np.swapaxes(value, -1, -2)
        flat = value.reshape(-1, value.shape[-1])
        return (flat if len(flat) <= most else flat[picked(len(flat), most, random)])[np.newaxis]


@dataclass(frozen=True)
class Patches:
    """Conv: the patch under the kernel at each output position."""

    key: str
    groups: int
    window: Window

    @property
    def id(self) -> str:
        return f"patches {self.groups} {self.window} {self.key}"

    @property
    def keys(self) -> tuple[str, ...]:
        return (self.key,)

    def rows(self, record: Record, most: int, random: np.random.Generator) -> Array:
        patches = self.window.patches(record[self.key], most, random)
        return patches.reshape(len(patches), self.groups, -1).swapaxes(0, 1)


@dataclass(frozen=True)
class Positions:
    """ConvTranspose: the channels at each input position."""

    key: str
    groups: int

    @property
    def id(self) -> str:
        return f"positions {self.groups} {self.key}"

    @property
    def keys(self) -> tuple[str, ...]:
        return (self.key,)

    def rows(self, record: Record, most: int, random: np.random.Generator) -> Array:
        flat = np.moveaxis(record[self.key], 1, -1)
        flat = flat.reshape(-1, flat.shape[-1])
        if len(flat) > most:
            flat = flat[picked(len(flat), most, random)]
        return flat.reshape(len(flat), self.groups, -1).swapaxes(0, 1)


@dataclass(frozen=True)
class Sequence:
    """W of LSTM, GRU, RNN: each step of the sequence, the same for each direction."""

    key: str
    directions: int

    @property
    def id(self) -> str:
        return f"sequence {self.directions} {self.key}"

    @property
    def keys(self) -> tuple[str, ...]:
        return (self.key,)

    def rows(self, record: Record, most: int, random: np.random.Generator) -> Array:
        rows = Vectors(self.key).rows(record, most, random)
        return np.broadcast_to(rows, (self.directions, *rows.shape[1:]))


@dataclass(frozen=True)
class HiddenStates:
    """R of LSTM, GRU, RNN: the hidden state before each step, which is Y one step earlier; first the initial state.

    key        of Y, (steps, directions, batch, hidden)
    initial    key of initial_h, "" where there is none (zeros), None where it is a constant: then the first step is
               left out
    reverse    for each direction whether it runs backwards
    batch_first  Y is (batch, steps, directions, hidden) and initial_h (batch, directions, hidden)
    """

    key: str
    initial: str | None
    reverse: tuple[bool, ...]
    batch_first: bool = False

    @property
    def id(self) -> str:
        return f"hidden {self.initial} {self.reverse} {self.batch_first} {self.key}"

    @property
    def keys(self) -> tuple[str, ...]:
        return (self.key, self.initial) if self.initial else (self.key,)

    def rows(self, record: Record, most: int, random: np.random.Generator) -> Array:
        states = np.moveaxis(record[self.key], 0, 2) if self.batch_first else record[self.key]
        first = record[self.initial] if self.initial else np.zeros(states.shape[1:], states.dtype)
        if self.initial and self.batch_first:
            first = first.swapaxes(0, 1)
        before = []
        for direction, backwards in enumerate(self.reverse):
            steps = states[::-1, direction] if backwards else states[:, direction]
            start = [] if self.initial is None else [first[np.newaxis, direction]]
            before.append(np.concatenate([*start, steps[:-1]]).reshape(-1, states.shape[-1]))
        rows = np.stack(before)
        return rows if rows.shape[1] <= most else rows[:, picked(rows.shape[1], most, random)]


def width(layer: Layer) -> tuple[int, int]:
    """(groups, d) of the rows that `as_rows` makes of the layer's weight."""
    shape, groups = layer.shape, max(layer.groups, 1)
    if layer.kind is Kind.LINEAR:
        return 1, shape[1 - (layer.output_axis or 0)]
    if layer.kind is Kind.RECURRENT:
        return shape[0], shape[2]
    if layer.kind is Kind.CONV_TRANSPOSE:
        return groups, shape[0] // groups
    return groups, math.prod(shape[1:])


def reading(layer: Layer, cut: OneNode, place: int) -> Reading | str:
    """How to read the input vectors of the node `cut`, whose input `place` is the weight; or why that is not possible.

    Nodes that do not multiply (a tied embedding's Gather) have no such vectors: "".
    """
    node = cut.node
    keys = {given.name: given.key for given in cut.feeds}

    def key_of(index: int) -> str:
        value = node.inputs[index] if index < len(node.inputs) else None
        return keys.get(value.name or "", "") if value is not None else ""

    if node.op_type in ("Gather", "EmbedLayerNormalization"):
        return ""
    if node.op_type in ("MatMul", "Gemm", "FusedMatMul", "FusedGemm", "Attention"):
        return _vectors(node, key_of(1 if place == 0 else 0), place)
    if node.op_type in ("LSTM", "GRU", "RNN"):
        return _recurrent(node, cut, layer, key_of, place)
    if node.op_type not in ("Conv", "FusedConv", "ConvTranspose"):
        return f"how {node.op_type} uses it is not known"
    if not key_of(0):
        return "its input is a constant"
    if layer.output_axis != (1 if node.op_type == "ConvTranspose" else 0):
        return "its weight is stored with other axes than the convolution takes"
    if node.op_type == "ConvTranspose":
        return Positions(key_of(0), max(layer.groups, 1))
    return Patches(key_of(0), max(layer.groups, 1), window_of(node, layer.shape[2:]))


def _vectors(node: ir.Node, key: str, place: int) -> Reading | str:
    from core.model.graph import attribute

    if not key:
        return "its other operand is a constant"
    transposed = bool(attribute(node, "transA" if place else "transB", 0))
    return Vectors(key, along_last=bool(place) != transposed)


def _recurrent(node: ir.Node, cut: OneNode, layer: Layer, key_of: Any, place: int) -> Reading | str:
    from core.model.graph import attribute

    if place == 1:
        return Sequence(key_of(0), layer.shape[0]) if key_of(0) else "its input is a constant"
    if not node.outputs or node.outputs[0].name != cut.output.name:
        return "the model does not give its hidden states"
    given = node.inputs[5] if len(node.inputs) > 5 else None
    initial = "" if given is None else key_of(5) or None
    found = node.attributes.get("direction")
    direction = found.as_string() if found is not None and not found.is_ref() else "forward"
    reverse = {"forward": (False,), "reverse": (True,)}.get(direction, (False, True))
    return HiddenStates(cut.output.key, initial, reverse, bool(attribute(node, "layout", 0)))
