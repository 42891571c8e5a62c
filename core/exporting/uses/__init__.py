"""Encodings that are more than a rebuilt weight: the nodes that use the layer are rewritten. One file each, found here.

A module of this folder has
REWRITES  {encoding class: rewrite(stored, encoding, emitter, to_ir, names) -> bool}; False (and nothing changed) when
          one of the uses is no case for it: the weight is then rebuilt in place, as by any encoding
EXTRA     {encoding class: extra_bytes(stored, encoding, opset) -> int}, optional: what the rewritten uses take in the
          file beyond (or, negative, short of) what `Encoding.emit` writes
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import onnx_ir as ir

from core.encoding import Encoding
from core.encoding.emitter import EmittedNode, EmittedTensor, GraphEmitter
from core.model.graph import Stored

ToIr = Callable[[list[EmittedTensor], list[EmittedNode], Stored], tuple[dict[str, ir.Value], list[ir.Node]]]
Rewrite = Callable[[Stored, Any, GraphEmitter, ToIr, Iterator[str]], bool]
Extra = Callable[[Stored, Any, int], int]


@cache
def _tables() -> tuple[dict[type, Rewrite], dict[type, Extra]]:
    rewrites: dict[type, Rewrite] = {}
    extra: dict[type, Extra] = {}
    for info in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{info.name}")
        rewrites.update(module.REWRITES)
        extra.update(getattr(module, "EXTRA", {}))
    return rewrites, extra


def rewrite_uses(
    stored: Stored, encoding: Encoding, emitter: GraphEmitter, to_ir: ToIr, names: Iterator[str]
) -> bool:
    """Rewrite all uses of a stored tensor as its encoding wants; False when it is to be rebuilt in place."""
    rewrite = _tables()[0].get(type(encoding))
    return rewrite is not None and rewrite(stored, encoding, emitter, to_ir, names)


def extra_bytes(stored: Stored, encoding: Encoding, opset: int) -> int:
    """Bytes that rewritten uses take beyond what the encoding itself emits; 0 when it is rebuilt in place."""
    extra = _tables()[1].get(type(encoding))
    return 0 if extra is None else extra(stored, encoding, opset)
