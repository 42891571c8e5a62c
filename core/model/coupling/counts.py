"""Numbers of channels that the graph reads (Shape) and does more with than stating the shapes of values.

A cut changes such a number. Where it only says a shape, the rules see to it that the shape follows. Where it is
computed with (a mean divides by it, an attention scales by its root) or given out, the results would change: these
channels stay.
"""

from __future__ import annotations

import onnx_ir as ir

from core.model.coupling.axes import Axis, Factor
from core.model.coupling.flow import Flow
from core.model.coupling.sizes import KEEPS, Entries

_WHY = "the graph computes with the number of these channels"
_STATES = {("Reshape", 1), ("Expand", 1), ("ConstantOfShape", 0), ("Slice", 1), ("Slice", 2), ("Resize", 3)}
"""Inputs that say a shape; the rules tie or pin what the numbers follow."""
_PICKS = {("Gather", 0), ("Slice", 0)}
_CARRIES = {*((op, 0) for op in KEEPS), ("Mul", 0), ("Mul", 1), ("ReduceProd", 0)}


def pin_counts(flow: Flow) -> None:
    """Pin the axes whose sizes flow into more than shapes. `flow` has run."""
    work = [node.outputs[0] for node in flow.model.graph if node.op_type == "Shape" and node.domain in ("", "ai.onnx")]
    seen = set(work)
    while work:
        value = work.pop()
        counted = _tracked(flow.sizes.of(value) or ())
        if not counted:
            continue
        if value.is_graph_output():
            flow.ledger.pin(counted, _WHY)
        for use in value.uses():
            if (use.node.op_type, use.idx) in _STATES and _is_followed(flow, use.node):
                continue
            lost = [factor for factor in counted if factor not in _handed_on(flow, use.node, use.idx, counted)]
            flow.ledger.pin(tuple(lost), _WHY)
            work.extend(result for result in use.node.outputs if result not in seen)
            seen.update(use.node.outputs)


def _handed_on(flow: Flow, node: ir.Node, index: int, counted: Axis) -> Axis:
    """What of these factors the node's result still follows, or leaves out because nobody asks for it."""
    place = (node.op_type, index)
    if not _is_followed(flow, node) or not (place in _PICKS or place in _CARRIES or node.op_type == "Concat"):
        return ()
    entries = flow.sizes.of(node.outputs[0])
    return () if entries is None else counted if place in _PICKS else _tracked(entries)


def _is_followed(flow: Flow, node: ir.Node) -> bool:
    return node.graph is flow.model.graph and node.domain in ("", "ai.onnx") and node not in flow.given_up


def _tracked(entries: Entries) -> Axis:
    """The factors with atoms that numbers follow."""
    found: dict[Factor, None] = {}
    for entry in entries:
        found.update(dict.fromkeys(factor for factor in entry.axis or () if factor.atoms is not None))
    return tuple(found)
