"""Where a model's numbers break: the first value that is NaN or infinite, in the order in which nodes compute."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from core.analysis.exposing import Exposed, inner_values
from core.analysis.runtime import Feed
from core.errors import Cancelled, FeatherweightError
from core.progress import SILENT, Reporter

if TYPE_CHECKING:
    from core.model.model import Model

Array = np.ndarray[Any, np.dtype[Any]]

_AT_ONCE = 64
"""Values that are looked at in one run, so that a large model's activations are never all in memory."""


@dataclass(frozen=True)
class Broken:
    """The first value that is not finite.

    layer     name of the layer whose node gives it, or "" when that node has no weight
    node      the node's name, or the value's where it has none
    operator  "Gemm"
    what      "NaN", "infinity"
    """

    layer: str
    node: str
    operator: str
    what: str

    @property
    def text(self) -> str:
        """For a person: "layer 'fc1' (Gemm) is the first that gives NaN"."""
        place = f"layer {self.layer!r}" if self.layer else f"node {self.node!r}"
        return f"{place} ({self.operator}) is the first that gives {self.what}"


def first_broken(model: Model, feed: Feed, reporter: Reporter = SILENT, *, threads: int | None = None) -> Broken | None:
    """The first value of one run that is not finite; None when all are, or where the graph cannot be taken apart.

    Values in branches that do not run, and in loops, are not seen. Raises Cancelled.
    """
    import onnx_ir as ir

    graph = model.graph()
    keys = [key for key, inner in inner_values(graph).items() if not inner.around and _is_float(inner.value)]
    layers = {use.node: layer.name for layer in model.layers for use in layer.uses}
    for start in range(0, len(keys), _AT_ONCE):
        reporter.report(start / len(keys), "looking for the first value that is not finite")
        part = dict.fromkeys(keys[start : start + _AT_ONCE], int(ir.DataType.FLOAT))
        fresh = model.graph()
        try:
            with Exposed(fresh, part, where=model.name, threads=threads, optimize=False) as exposed:
                values = exposed.run(feed)
        except Cancelled:
            raise
        except FeatherweightError:
            return None
        nodes = {key: inner.value.producer() for key, inner in inner_values(fresh).items()}
        for key, value in values.items():
            if value.dtype.kind == "f" and not np.isfinite(value).all():
                return _broken(key, nodes.get(key), layers, value)
    return None


def _is_float(value: Any) -> bool:
    import onnx_ir as ir

    return value.dtype in (None, ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.DOUBLE)


def _broken(key: str, node: Any, layers: dict[str, str], value: Array) -> Broken:
    from core.model.graph import node_key

    what = "NaN" if np.isnan(value).any() else "infinity"
    name = node_key(node) if node is not None else key
    return Broken(layers.get(name, ""), name, node.op_type if node is not None else "?", what)
