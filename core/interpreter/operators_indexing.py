"""Operators that pick, place, sort and count elements."""

from __future__ import annotations

import math

import torch

from core.interpreter.attributes import Attributes, Inputs, Operator, given, unsupported

_REDUCE = {"add": "sum", "mul": "prod", "min": "amin", "max": "amax"}
"""Reductions of the scatter operators, in torch's words."""


def _positive(index: torch.Tensor, size: int) -> torch.Tensor:
    """Indices as int64, those counted from the end made positive."""
    index = index.long()
    return torch.where(index < 0, index + size, index)


def _gather(attributes: Attributes, inputs: Inputs) -> torch.Tensor:
    x, index = given(inputs, 0), given(inputs, 1)
    axis = attributes.integer("axis", 0) % x.dim()
    flat = _positive(index, x.shape[axis]).reshape(-1)
    return x.index_select(axis, flat).reshape((*x.shape[:axis], *index.shape, *x.shape[axis + 1 :]))


def _gather_elements(attributes: Attributes, inputs: Inputs) -> torch.Tensor:
    x, axis = given(inputs, 0), attributes.integer("axis", 0)
    return torch.gather(x, axis, _positive(given(inputs, 1), x.shape[axis]))


def _gather_nd(attributes: Attributes, inputs: Inputs) -> torch.Tensor:
    x, index, batch = given(inputs, 0), given(inputs, 1), attributes.integer("batch_dims", 0)
    depth, outer = index.shape[-1], math.prod(x.shape[:batch])
    flat = index.reshape(outer, -1, depth)
    inner = _linear(flat, x.shape[batch : batch + depth])
    rest = x.shape[batch + depth :]
    rows = x.reshape(outer, math.prod(x.shape[batch : batch + depth]), *rest)
    picked = rows[torch.arange(outer).reshape(-1, 1), inner]
    return picked.reshape((*index.shape[:-1], *rest))


def _linear(index: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    """Tuples of indices (last axis) as places in the flattened shape."""
    place = torch.zeros(index.shape[:-1], dtype=torch.int64)
    for axis, size in enumerate(shape):
        place = place * size + _positive(index[..., axis], size)
    return place


def _scatter_elements(attributes: Attributes, inputs: Inputs) -> torch.Tensor:
    x, index, updates = given(inputs, 0), given(inputs, 1), given(inputs, 2)
    axis, reduction = attributes.integer("axis", 0), attributes.text("reduction", "none")
    places = _positive(index, x.shape[axis])
    if reduction == "none":
        return x.scatter(axis, places, updates)
    return x.scatter_reduce(axis, places, updates, _REDUCE[reduction], include_self=True)


def _scatter_nd(attributes: Attributes, inputs: Inputs) -> torch.Tensor:
    x, index, updates = given(inputs, 0), given(inputs, 1), given(inputs, 2)
    depth, reduction = index.shape[-1], attributes.text("reduction", "none")
    places = _linear(index, x.shape[:depth]).reshape(-1)
    rows = x.reshape(math.prod(x.shape[:depth]), math.prod(x.shape[depth:]))
    values = updates.reshape(places.numel(), rows.shape[1])
    if reduction == "none":
        rows = rows.index_copy(0, places, values)
    elif reduction == "add":
        rows = rows.index_add(0, places, values)
    else:
        spread = places.reshape(-1, 1).expand(values.shape)
        rows = rows.scatter_reduce(0, spread, values, _REDUCE[reduction], include_self=True)
    return rows.reshape(x.shape)


def _top_k(attributes: Attributes, inputs: Inputs) -> tuple[torch.Tensor, ...]:
    """Of equal values the one with the smaller index comes first, which torch.topk does not promise."""
    x, k, axis = given(inputs, 0), int(given(inputs, 1)), attributes.integer("axis", -1)
    values, index = torch.sort(x, stable=True, dim=axis, descending=bool(attributes.integer("largest", 1)))
    return values.narrow(axis, 0, k), index.narrow(axis, 0, k)


def _argument(attributes: Attributes, inputs: Inputs, *, largest: bool) -> torch.Tensor:
    x, axis = given(inputs, 0), attributes.integer("axis", 0)
    keep, last = bool(attributes.integer("keepdims", 1)), bool(attributes.integer("select_last_index", 0))
    seen = x.flip(axis) if last else x
    index = (torch.argmax if largest else torch.argmin)(seen, axis, keepdim=keep)
    return x.shape[axis] - 1 - index if last else index


def _argmax(attributes: Attributes, inputs: Inputs) -> torch.Tensor:
    return _argument(attributes, inputs, largest=True)


def _argmin(attributes: Attributes, inputs: Inputs) -> torch.Tensor:
    return _argument(attributes, inputs, largest=False)


def _cumsum(attributes: Attributes, inputs: Inputs) -> torch.Tensor:
    x, axis = given(inputs, 0), int(given(inputs, 1))
    backwards = bool(attributes.integer("reverse", 0))
    seen = x.flip(axis) if backwards else x
    total = torch.cumsum(seen, axis).to(x.dtype)
    if attributes.integer("exclusive", 0):
        total = total - seen
    return total.flip(axis) if backwards else total


def _one_hot(attributes: Attributes, inputs: Inputs) -> torch.Tensor:
    index, depth, values = given(inputs, 0), int(given(inputs, 1)), given(inputs, 2)
    axis = attributes.integer("axis", -1) % (index.dim() + 1)
    wanted = torch.where(index < 0, index + depth, index).long().unsqueeze(axis)
    classes = torch.arange(depth).reshape([-1 if i == axis else 1 for i in range(index.dim() + 1)])
    return torch.where(wanted == classes, values[1], values[0])


def _non_zero(attributes: Attributes, inputs: Inputs) -> torch.Tensor:
    return torch.nonzero(given(inputs, 0)).T


def _compress(attributes: Attributes, inputs: Inputs) -> torch.Tensor:
    x, condition = given(inputs, 0), given(inputs, 1)
    axis = attributes.integer("axis", 0)
    if "axis" not in attributes:
        x = x.reshape(-1)
    return x.index_select(axis, torch.nonzero(condition).reshape(-1))


def _reverse_sequence(attributes: Attributes, inputs: Inputs) -> torch.Tensor:
    x, lengths = given(inputs, 0), given(inputs, 1)
    time, batch = attributes.integer("time_axis", 0), attributes.integer("batch_axis", 1)
    if {time, batch} != {0, 1}:
        raise unsupported("ReverseSequence over other axes than the first two")
    place = torch.arange(x.shape[time]).unsqueeze(batch)
    ends = lengths.long().unsqueeze(time)
    index = torch.where(place < ends, ends - 1 - place, place)
    return torch.gather(x, time, index.reshape(*index.shape, *[1] * (x.dim() - 2)).expand(x.shape))


OPERATORS: dict[str, Operator] = {
    "Gather": _gather, "GatherElements": _gather_elements, "GatherND": _gather_nd,
    "ScatterElements": _scatter_elements, "Scatter": _scatter_elements, "ScatterND": _scatter_nd, "TopK": _top_k,
    "ArgMax": _argmax, "ArgMin": _argmin, "CumSum": _cumsum, "OneHot": _one_hot, "NonZero": _non_zero,
    "Compress": _compress, "ReverseSequence": _reverse_sequence,
}  # fmt: skip
