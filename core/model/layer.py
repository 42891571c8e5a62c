"""What a layer is: one stored weight tensor with the nodes that use it. Frozen values only."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum


class Kind(StrEnum):
    """The kind of a layer, as shown and as written in filters (`kind:conv`).

    OTHER is a float tensor of two or more real dimensions that enters the graph elsewhere (positions, masks, tables).
    """

    CONV = "Conv"
    DEPTHWISE = "Depthwise"
    CONV_TRANSPOSE = "ConvTranspose"
    LINEAR = "Linear"
    EMBEDDING = "Embedding"
    RECURRENT = "Recurrent"
    NORM = "Norm"
    OTHER = "Other"


@dataclass(frozen=True)
class Use:
    """One node that consumes the weight.

    node    name of the node as `graph.node_key` gives it (unique within the model, also for nameless nodes)
    op      operator type, e.g. "Conv"
    input   index of the node's input that the weight feeds
    via     operators between the stored tensor and the node, nearest the tensor first, e.g. ("Transpose",)
    scope   names of the If/Loop/Scan nodes around the node, outermost first; () in the main graph
    """

    node: str
    op: str
    input: int
    via: tuple[str, ...] = ()
    scope: tuple[str, ...] = ()


@dataclass(frozen=True)
class Layer:
    """One weight tensor and the nodes that use it; a tied weight is one layer.

    name          unique; the tensor's own name (initializer, or output of its Constant node)
    kind          see Kind
    shape         as stored in the file (for an encoded layer: the shape it decodes to)
    dtype         numpy name of the stored type, e.g. "float32"; for an encoded layer its encoding in words
    n_weights     number of elements
    nbytes        bytes of tensor data that this layer occupies in the file now
    output_axis   axis of `shape` that indexes output channels (an embedding: its rows, one a token; LSTM and GRU: the
                  gates), or None when there is none or it is unclear
    input_axis    axis of `shape` that indexes input channels (an embedding: its columns), or None
    uses          the nodes that read it, heaviest kind first
    groups        Conv groups (1 elsewhere)
    folds_norm    a batch norm behind it can go into its weight (`model.folding`), channel by channel of the output axis
    locked        why the layer cannot be compressed (one clause), or "" when it can
    title         the name to show: `name`, or one made from the node that uses it when the exporter made `name` up
    """

    name: str
    kind: Kind
    shape: tuple[int, ...]
    dtype: str
    nbytes: int
    output_axis: int | None
    input_axis: int | None
    uses: tuple[Use, ...] = field(default=(), repr=False)
    groups: int = 1
    folds_norm: bool = False
    locked: str = ""
    title: str = ""

    def __post_init__(self) -> None:
        if not self.title:
            object.__setattr__(self, "title", self.name)

    @property
    def n_weights(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True)
class LeftOut:
    """A stored tensor that is no layer, and why (bias, shape constant, integer table, unused...)."""

    name: str
    nbytes: int
    dtype: str
    reason: str


@dataclass(frozen=True)
class Port:
    """A graph input or output. A dimension is an int, a symbol's name, or None when unknown.

    dtype  numpy's name ("float32"), or ONNX's in lower case where numpy has none ("bfloat16", "string")
    """

    name: str
    dtype: str
    shape: tuple[int | str | None, ...] | None
