"""What removed channels gave, carried into the biases of the layers behind them.

Case 1  a channel that gives the same whatever comes in (its weights are zero, or its norm's scale): the constant, known
        without samples, through activations and norms (`cuts_constants`)
Case 2  where the step asks for it: the mean of what reaches the next layer, measured on samples (bias correction,
        Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", ICCV 2019, section 4.2)
Either is exact but for a convolution's padded border, where fewer of a channel's positions count.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from core.data.layer_inputs import LayerInputs
from core.model.coupling import Coupling, Group, Member, Role
from core.model.coupling.cutting import store
from core.model.graph import Stored, node_key, stored_tensors
from core.model.layer import Kind, Layer
from core.model.matrix import as_rows, has_rows
from core.progress import Reporter
from core.rewriting.cuts_constants import Constants

if TYPE_CHECKING:
    from core.model.model import Model

Array = np.ndarray[Any, np.dtype[Any]]

_WITH_BIAS = ("Conv", "FusedConv", "Gemm", "FusedGemm")
_PLAIN = ("MatMul", "FusedMatMul")


@dataclass(frozen=True, eq=False)
class BiasShift:
    """Adds a constant to each output channel of the nodes that multiply by a layer's weight.

    layer  the layer's name
    nodes  keys of the nodes
    delta  (output channels,) float32
    """

    layer: str
    nodes: tuple[str, ...]
    delta: Array = field(repr=False)

    def apply(self, graph: ir.Model) -> None:
        """Change the biases in an uncut graph; a bias that others read as well stays theirs."""
        stored = {one.value: one for one in stored_tensors(graph).values()}
        for node in list(graph.graph):
            if node_key(node) in self.nodes:
                _add(node, self.delta, stored)


def carried_forward(
    model: Model,
    coupling: Coupling,
    kept: Mapping[Group, Array],
    inputs: Callable[[str], LayerInputs | None],
    measured: Set[Group],
    reporter: Reporter,
) -> tuple[BiasShift, ...]:
    """The shifts that make up for what goes. `measured`: groups whose step asks for means measured on samples."""
    gone: dict[str, list[tuple[Group, Member, Array]]] = {}
    for group, stays in kept.items():
        for member in group.members:
            layer = coupling.layers.get(member.tensor)
            if layer is not None and member.role is Role.CONSUMER and _can_shift(layer):
                places = (member.unit_of >= 0) & ~stays[member.unit_of]
                gone.setdefault(member.tensor, []).append((group, member, places))
    shifts = []
    constants = Constants(coupling)
    for name, parts in gone.items():
        reporter.check()
        layer = coupling.layers[name]
        means = np.zeros(layer.shape[parts[0][1].axis])
        constant = constants.at(layer)
        seen = _measured(inputs(name), layer) if any(group in measured for group, *_ in parts) else None
        kernel = int(np.prod(layer.shape[2:])) if layer.kind is not Kind.LINEAR else 1
        patch = np.zeros((max(layer.groups, 1), means.size * kernel))
        for group, _, places in parts:
            known = constant if constant is not None else np.full(means.size, np.nan)
            columns = np.repeat(places, kernel)
            values = np.tile(np.repeat(known, kernel), (patch.shape[0], 1))
            if seen is not None and group in measured:
                values = np.where(np.isfinite(values), values, seen)
            patch[:, columns] = np.where(np.isfinite(values), values, 0.0)[:, columns]
        if patch.any():
            delta = np.einsum("god,gd->go", as_rows(model.weight(name), layer).astype(np.float64), patch).reshape(-1)
            if np.isfinite(delta).all() and delta.any():
                shifts.append(BiasShift(name, tuple(use.node for use in layer.uses), delta.astype(np.float32)))
    return tuple(shifts)


def _can_shift(layer: Layer) -> bool:
    """Whether every node that uses the layer gives its outputs' axis last or takes a bias."""
    known = all(use.op in (*_WITH_BIAS, *_PLAIN) and use.input == 1 and not use.scope for use in layer.uses)
    return known and layer.kind in (Kind.CONV, Kind.LINEAR) and has_rows(layer)


def _measured(found: LayerInputs | None, layer: Layer) -> Array | None:
    """(groups, d) mean inputs of the layer, or None."""
    return None if found is None or found.mean is None else found.mean.astype(np.float64)


def _add(node: ir.Node, delta: Array, stored: Mapping[ir.Value, Stored]) -> None:
    weight = stored.get(node.inputs[1]) if node.inputs[1] is not None else None
    kind = weight.tensor.dtype if weight is not None and weight.tensor is not None else ir.DataType.FLOAT
    if node.op_type in _PLAIN:
        _behind(node, _scaled(node, delta, "alpha", 1).astype(kind.numpy()), stored)
        return
    if node.op_type in ("Gemm", "FusedGemm"):
        delta = _scaled(node, delta, "alpha", 1)
        beta = node.attributes.get_float("beta", 1.0)
        if beta == 0:
            node.resize_inputs(2)
            node.attributes["beta"] = ir.AttrFloat32("beta", 1.0)
        else:
            delta = delta / beta
    old = node.inputs[2] if len(node.inputs) > 2 else None
    if old is None:
        node.resize_inputs(3)
    node.replace_input_with(2, _sum(node, old, delta.astype(kind.numpy()), stored))


def _scaled(node: ir.Node, delta: Array, name: str, exponent: int) -> Array:
    return delta * node.attributes.get_float(name, 1.0) ** exponent


def _sum(node: ir.Node, old: ir.Value | None, delta: Array, stored: Mapping[ir.Value, Stored]) -> ir.Value:
    """A value that is the old one plus the shift: a new tensor where the old one is stored."""
    if old is None:
        return store(node, delta)
    known = stored.get(old)
    if known is not None and known.tensor is not None:
        return store(node, known.tensor.numpy() + delta)
    addition = ir.Node("", "Add", [old, store(node, delta)], num_outputs=1)
    if isinstance(node.graph, ir.Graph):
        node.graph.insert_before(node, addition)
    return addition.outputs[0]


def _behind(node: ir.Node, delta: Array, stored: Mapping[ir.Value, Stored]) -> None:
    """Add the shift behind a MatMul: in the Add that follows it, if that adds a stored tensor, else in a new one."""
    value = node.outputs[0]
    uses = list(value.uses())
    if len(uses) == 1 and uses[0].node.op_type == "Add" and not value.is_graph_output():
        following, other = uses[0].node, 1 - uses[0].idx
        addend = following.inputs[other]
        known = stored.get(addend) if addend is not None else None
        if known is not None and known.tensor is not None and known.shape[-1:] == delta.shape:
            following.replace_input_with(other, store(following, known.tensor.numpy() + delta))
            return
    addition = ir.Node("", "Add", [value, store(node, delta)], num_outputs=1)
    if isinstance(node.graph, ir.Graph):
        node.graph.insert_after(node, addition)
        ir.convenience.replace_all_uses_with(value, addition.outputs[0], replace_graph_outputs=True)
        addition.replace_input_with(0, value)
