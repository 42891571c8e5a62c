"""Cutting units out of a graph, and the masked original that a cut must equal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx_ir as ir

from core.model.coupling.groups import Coupling, Group, Plan
from core.model.coupling.inference import inferred_types
from core.model.coupling.sites import Kept, SumSite
from core.model.coupling.sizes import Rewriter, fresh_name
from core.model.graph import Stored, remove_unused, stored_tensors

Array = np.ndarray[Any, np.dtype[Any]]

_EAGER = 1 << 16
"""Tensors of up to as many bytes are cut at once, larger ones when they are read."""


def cut(coupling: Coupling, kept: Mapping[Group, Array]) -> None:
    """Take units out of the graph that `coupling` was found in, which is stale afterwards.

    kept  for each group to cut, (units,) bool: which stay; at least one must

    Every member is cut, large ones lazily (no data is read here); sizes that the graph states follow; types of inner
    values that changed are taken off, so that they are inferred anew.
    """
    plan = coupling.plan
    state = _state(coupling, kept)
    changed = [(value, axes) for value, axes in plan.axes.items()
               if axes is not None and any(state.changed(axis) for axis in axes)]  # fmt: skip
    for site in plan.sites:
        if state.changed(site.axis):
            site.follow(state)
    rewriter = Rewriter(_all_stored(plan), plan.sizes)
    for (node, index), changes in state.numbers.items():
        value = node.inputs[index]
        if value is not None:
            node.replace_input_with(index, rewriter.value(value, changes))
    for value, axes in changed:
        stored = plan.tensors.get(value)
        if stored is not None:
            _cut_tensor(stored, _selection(stored, axes, state))
        elif not value.is_graph_output():
            value.shape = value.type = None
    remove_unused(plan.graph)


def mask(coupling: Coupling, kept: Mapping[Group, Array]) -> None:
    """Let the units that would go count for nothing, with no tensor smaller.

    Wherever places are summed over, theirs are multiplied by zero first.
    """
    plan = coupling.plan
    state = _state(coupling, kept)
    found = [(site, marks) for site in plan.sites
             if isinstance(site, SumSite) and (marks := site.mask(state)) is not None]  # fmt: skip
    types = [_type_at(site.node, plan) for site, _ in found]
    guessed = inferred_types(plan.graph) if None in types else {}  # of the graph as it is, before anything is put in
    for (site, marks), known in zip(found, types, strict=True):
        value = site.node.inputs[site.input]
        name = value.name if value is not None else None
        _put_mask(site, marks, known or guessed.get(name or "", ir.DataType.FLOAT))


def _state(coupling: Coupling, kept: Mapping[Group, Array]) -> Kept:
    plan = coupling.plan
    keep = np.ones(plan.classes.label.size, bool)
    for group, stays in kept.items():
        if not stays.any():
            raise ValueError("a cut must leave at least one unit of each group")
        keep[_labels(plan, group)[~np.asarray(stays, bool)]] = False
    keep = keep[plan.classes.label]
    return Kept(keep, store)


def _all_stored(plan: Plan) -> dict[ir.Value, Stored]:
    """Also the small whole numbers that no axis was asked of."""
    return {stored.value: stored for stored in stored_tensors(plan.graph).values()}


def _labels(plan: Plan, group: Group) -> Array:
    """(units,) the class of each unit."""
    labels = np.empty(group.units, np.int64)
    by_name = {stored.name: value for value, stored in plan.tensors.items()}
    for member in group.members:
        axes = plan.axes[by_name[member.tensor]]
        atoms = axes[member.axis][0].atoms if axes is not None else None
        if atoms is not None:
            mine = member.unit_of >= 0
            labels[member.unit_of[mine]] = plan.classes.label[atoms[mine]]
    return labels


def _selection(stored: Stored, axes: Any, state: Kept) -> list[tuple[int, Array]]:
    """(axis, places that stay) for each axis of a stored tensor that gets shorter."""
    found = []
    for place, axis in enumerate(axes):
        if axis and axis[0].atoms is not None:
            stays = state.keep[axis[0].atoms]
            if not stays.all():
                found.append((place, np.flatnonzero(stays)))
    return found


def _cut_tensor(stored: Stored, selection: list[tuple[int, Array]]) -> None:
    old = stored.tensor
    if old is None or not selection:
        return
    shape = list(stored.shape)
    for axis, places in selection:
        shape[axis] = int(places.size)

    def make() -> ir.Tensor:
        values = old.numpy()
        for axis, places in selection:
            values = np.take(values, places, axis)
        return ir.Tensor(values, dtype=old.dtype, name=old.name)

    size = ir.Shape(shape)
    lazy = old.nbytes > _EAGER
    new = ir.LazyTensor(make, dtype=old.dtype, shape=size, name=old.name or "") if lazy else make()
    value = stored.value
    if stored.node is None:
        value.const_value = new
    else:
        stored.node.attributes.clear()
        stored.node.attributes["value"] = ir.AttrTensor("value", new)
    value.shape = ir.Shape(shape)
    value.type = ir.TensorType(old.dtype)


def _type_at(node: ir.Node, plan: Plan) -> ir.DataType | None:
    """The type of what a node multiplies, which is one for its first three inputs; None when none of them says it."""
    for value in node.inputs[:3]:
        stored = plan.tensors.get(value) if value is not None else None
        tensor = stored.tensor if stored is not None else None
        found = tensor.dtype if tensor is not None else value.dtype if value is not None else None
        if found is not None:
            return found
    return None


def _put_mask(site: SumSite, marks: Array, dtype: ir.DataType) -> None:
    value, graph = site.node.inputs[site.input], site.node.graph
    if value is None or not isinstance(graph, ir.Graph):
        return
    constant = store(site.node, marks.astype(dtype.numpy()))
    product = ir.Node("", "Mul", [value, constant], num_outputs=1)
    graph.insert_before(site.node, product)
    site.node.replace_input_with(site.input, product.outputs[0])


def store(node: ir.Node, array: Array) -> ir.Value:
    """A new stored tensor for a node to read."""
    graph = node.graph
    if not isinstance(graph, ir.Graph):
        raise TypeError("the node is not in a graph")
    name = fresh_name(graph, "cut")
    tensor = ir.Tensor(array, name=name)
    value = ir.Value(name=name, const_value=tensor, shape=ir.Shape(array.shape), type=ir.TensorType(tensor.dtype))
    graph.register_initializer(value)
    return value
