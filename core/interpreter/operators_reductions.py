"""Reductions over axes."""

from __future__ import annotations

from collections.abc import Callable

import torch

from core.interpreter.attributes import Attributes, Inputs, Operator, given, listed

Reduction = Callable[[torch.Tensor, tuple[int, ...], bool], torch.Tensor]


def _reduce(function: Reduction) -> Operator:
    """The operator of a reduction; its axes are an attribute in older opsets and an input in newer ones."""

    def run(attributes: Attributes, inputs: Inputs) -> torch.Tensor:
        x, axes = given(inputs, 0), listed(attributes, inputs, "axes", 1)
        if not axes:
            if attributes.integer("noop_with_empty_axes", 0):
                return x
            axes = tuple(range(x.dim()))
        if not axes:  # a scalar has no axis to reduce, but squares and logarithms still apply
            return function(x.reshape(1), (0,), False)
        return function(x, axes, bool(attributes.integer("keepdims", 1)))

    return run


def _product(x: torch.Tensor, axes: tuple[int, ...], keep: bool) -> torch.Tensor:
    for axis in sorted((axis % x.dim() for axis in axes), reverse=True):
        x = torch.prod(x, axis, keepdim=keep, dtype=x.dtype)
    return x


def _mean(x: torch.Tensor, axes: tuple[int, ...], keep: bool) -> torch.Tensor:
    return x.mean(axes, keep) if x.is_floating_point() else x.double().mean(axes, keep).to(x.dtype)


def _sum(x: torch.Tensor, axes: tuple[int, ...], keep: bool) -> torch.Tensor:
    return x.sum(axes, keep, dtype=x.dtype)


def _euclidean(x: torch.Tensor, axes: tuple[int, ...], keep: bool) -> torch.Tensor:
    return torch.linalg.vector_norm(x, 2, axes, keep)  # its derivative at 0 is 0


OPERATORS: dict[str, Operator] = {
    "ReduceSum": _reduce(_sum),
    "ReduceMean": _reduce(_mean),
    "ReduceMax": _reduce(torch.amax),
    "ReduceMin": _reduce(torch.amin),
    "ReduceProd": _reduce(_product),
    "ReduceL1": _reduce(lambda x, axes, keep: _sum(x.abs(), axes, keep)),
    "ReduceL2": _reduce(_euclidean),
    "ReduceSumSquare": _reduce(lambda x, axes, keep: _sum(x.square(), axes, keep)),
    "ReduceLogSum": _reduce(lambda x, axes, keep: torch.log(x.sum(axes, keep))),
    "ReduceLogSumExp": _reduce(lambda x, axes, keep: torch.logsumexp(x, axes, keep)),
}
