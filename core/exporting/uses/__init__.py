"""Encodings that are more than a rebuilt weight: the nodes that use the layer are rewritten. One file each, found here.

A module of this folder has
REWRITES  {encoding class: rewrite(stored, encoding, emitter, to_ir, names) -> bool}; False (and nothing changed) when
          one of the uses is no case for it: the weight is then rebuilt in place, as by any encoding
EXTRA     {encoding class: extra_bytes(stored, encoding, opset) -> int}, optional: what the rewritten uses take in the
          file beyond (or, negative, short of) what `Encoding.emit` writes
OWN       {encoding class: own_bytes(stored, encoding, opset) -> int | None}, optional, instead of EXTRA: all that the
          layer takes in the file when its uses are rewritten; None when one of them is no case
JOINT     {encoding class: joint_bytes([(stored, encoding), ...]) -> int}, optional: what the uses of all layers stored
          like this take together beyond that
SIMULATES {encoding class: simulate(stored, encoding, names)}, for encodings with `rounds_inputs`: how a float graph,
          whose weights are already the decoded ones, is made to round what the rewritten uses round
PLACE     place(graph, names), optional: called once when all layers are written or simulated, for what their uses share
Modules whose name starts with _ are helpers.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import onnx_ir as ir

from core.encoding import Encoding
from core.encoding.emitter import EmittedNode, EmittedTensor, GraphEmitter
from core.model.graph import Stored

ToIr = Callable[[list[EmittedTensor], list[EmittedNode], Stored], tuple[dict[str, ir.Value], list[ir.Node]]]
Rewrite = Callable[[Stored, Any, GraphEmitter, ToIr, Iterator[str]], bool]
Extra = Callable[[Stored, Any, int], int]
Own = Callable[[Stored, Any, int], int | None]
Joint = Callable[[Sequence[tuple[Stored, Any]]], int]
Simulate = Callable[[Stored, Any, Iterator[str]], None]
PlaceShared = Callable[[ir.Model, Iterator[str]], None]


@dataclass
class _Tables:
    rewrites: dict[type, Rewrite] = field(default_factory=dict)
    extra: dict[type, Extra] = field(default_factory=dict)
    own: dict[type, Own] = field(default_factory=dict)
    joint: dict[type, Joint] = field(default_factory=dict)
    simulates: dict[type, Simulate] = field(default_factory=dict)
    places: list[PlaceShared] = field(default_factory=list)


@cache
def _tables() -> _Tables:
    tables = _Tables()
    for info in pkgutil.iter_modules(__path__):
        if info.name.startswith("_"):
            continue
        module = importlib.import_module(f"{__name__}.{info.name}")
        tables.rewrites.update(module.REWRITES)
        tables.extra.update(getattr(module, "EXTRA", {}))
        tables.own.update(getattr(module, "OWN", {}))
        tables.joint.update(getattr(module, "JOINT", {}))
        tables.simulates.update(getattr(module, "SIMULATES", {}))
        if hasattr(module, "PLACE"):
            tables.places.append(module.PLACE)
    return tables


def rewrite_uses(
    stored: Stored, encoding: Encoding, emitter: GraphEmitter, to_ir: ToIr, names: Iterator[str]
) -> bool:
    """Rewrite all uses of a stored tensor as its encoding wants; False when it is to be rebuilt in place."""
    rewrite = _tables().rewrites.get(type(encoding))
    return rewrite is not None and rewrite(stored, encoding, emitter, to_ir, names)


def extra_bytes(stored: Stored, encoding: Encoding, opset: int) -> int:
    """Bytes that rewritten uses take beyond what the encoding itself emits; 0 when it is rebuilt in place."""
    extra = _tables().extra.get(type(encoding))
    return 0 if extra is None else extra(stored, encoding, opset)


def own_bytes(stored: Stored, encoding: Encoding, opset: int) -> int | None:
    """All bytes of a layer whose uses are rewritten, without constants that layers share; None when they are not, or
    when `extra_bytes` knows."""
    own = _tables().own.get(type(encoding))
    return None if own is None else own(stored, encoding, opset)


def has_joint_bytes(encoding: Encoding) -> bool:
    """Whether what a layer takes depends on which other layers are stored in the same way."""
    return type(encoding) in _tables().joint


def joint_bytes(layers: Sequence[tuple[Stored, Encoding]]) -> int:
    """Bytes that the uses of layers with `has_joint_bytes` take together, beyond those of each."""
    return sum(
        joint([layer for layer in layers if type(layer[1]) is kind]) for kind, joint in _tables().joint.items()
    )


def place_shared(graph: ir.Model, names: Iterator[str]) -> None:
    """Write what the rewritten (or simulated) uses of several layers share; call it once, behind the last layer."""
    for place in _tables().places:
        place(graph, names)


def simulate_uses(stored: Stored, encoding: Encoding, names: Iterator[str]) -> None:
    """Make a float graph round what the rewritten uses of the layer round; nothing for layers that round nothing."""
    simulate = _tables().simulates.get(type(encoding))
    if simulate is not None:
        simulate(stored, encoding, names)
