"""A convolution as several small ones, one after the other, so that multiply-adds are saved.

Along each axis of the kernel, padding, stride and dilation go to the one factor with several taps there, or to the
first: a factor with one tap passes zeros on as zeros, because only the last has a bias. auto_pad depends on one axis at
a time as well. Any other use than a plain Conv leaves the layer to be rebuilt by ConvTranspose of the factors, which
the runtime folds.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import onnx_ir as ir

from core.encoding import ConvChain
from core.encoding.emitter import GraphEmitter
from core.exporting.building import Builder, insert_before, node_bytes
from core.exporting.uses import ToIr
from core.exporting.uses._factors import (
    NAME,
    emitted_bytes,
    field_bytes,
    no_longer_an_input,
    plain_uses,
    write_factor,
)  # fmt: skip
from core.model.graph import Stored, attribute, numbers

Attributes = dict[str, Any]


def split_convs(stored: Stored, encoding: ConvChain, emitter: GraphEmitter, to_ir: ToIr, names: Iterator[str]) -> bool:
    """Rewrite all uses as convolutions in a row; False (and nothing changed) when one of them is no plain Conv."""
    nodes = _convs(stored)
    if nodes is None or not isinstance(stored.place.graph, ir.Graph):
        return False
    weights = [write_factor(part, stored, emitter, to_ir, names) for part in encoding.factors]
    build = Builder(names)
    for node in nodes:
        value, before = node.inputs[0], []
        shares = _shares(node, encoding)
        for weight, share in zip(weights[:-1], shares[:-1], strict=True):
            before.append(build.node("Conv", [value, weight], **share))
            value = before[-1].outputs[0]
        insert_before(node, before)
        node.replace_input_with(0, value)
        node.replace_input_with(1, weights[-1])
        for name in ("auto_pad", "pads", "strides", "dilations", "kernel_shape"):
            node.attributes.pop(name, None)
        node.attributes.update(
            {name: ir.convenience.convert_attribute(name, value) for name, value in shares[-1].items()}
        )
    no_longer_an_input(stored)
    return True


def _convs(stored: Stored) -> list[ir.Node] | None:
    uses = plain_uses(stored)
    if uses is None or any(i != 1 or n.op_type != "Conv" or attribute(n, "group", 1) != 1 for n, i in uses):
        return None
    return [node for node, _ in uses]


def _shares(node: ir.Node, encoding: ConvChain) -> list[Attributes]:
    """The attributes of each convolution in the row; what would be the default is left out."""
    taps = [factor.shape[2:] for factor in encoding.factors]
    axes = range(len(taps[0]))
    owner = [next((i for i, kernel in enumerate(taps) if kernel[axis] > 1), 0) for axis in axes]
    pads = numbers(node, "pads") or (0,) * (2 * len(axes))
    made = []
    for index, kernel in enumerate(taps):
        mine = [axis for axis in axes if owner[axis] == index]
        share: Attributes = {"kernel_shape": list(kernel)}
        for name in ("strides", "dilations"):
            given = numbers(node, name) or (1,) * len(axes)
            values = [given[axis] if axis in mine else 1 for axis in axes]
            if any(value != 1 for value in values):
                share[name] = values
        own_pads = [pad if i % len(axes) in mine else 0 for i, pad in enumerate(pads)]
        if any(own_pads):
            share["pads"] = own_pads
        if _auto_pad(node) and mine:
            share["auto_pad"] = _auto_pad(node)
            share.pop("pads", None)
        made.append(share)
    return made


def _auto_pad(node: ir.Node) -> str:
    """SAME_UPPER or SAME_LOWER, or "" (VALID is no padding)."""
    given = node.attributes.get("auto_pad")
    text = given.as_string() if given is not None and not given.is_ref() else ""
    return text if text.startswith("SAME") else ""


def extra_bytes(stored: Stored, encoding: ConvChain, opset: int) -> int:
    """What the convolutions in a row take beyond one whose weight is rebuilt in place."""
    nodes = _convs(stored)
    if nodes is None:
        return 0
    old = len((stored.value.name or "").encode())
    extra = emitted_bytes(encoding.factors, opset) - emitted_bytes([encoding], opset, old)
    for node in nodes:
        *first, last = _shares(node, encoding)
        extra += field_bytes(NAME) - field_bytes(old)
        extra += sum(node_bytes("Conv", 2, **share) for share in first)
        extra += node_bytes("Conv", 2, **last) - node_bytes("Conv", 2, **_given(node))
    return extra


def _given(node: ir.Node) -> Attributes:
    """The attributes of a Conv that are taken off it."""
    found: Attributes = {
        name: values for name in ("kernel_shape", "pads", "strides", "dilations") if (values := numbers(node, name))
    }
    given = node.attributes.get("auto_pad")
    return found if given is None or given.is_ref() else {**found, "auto_pad": given.as_string()}


REWRITES = {ConvChain: split_convs}
EXTRA = {ConvChain: extra_bytes}
