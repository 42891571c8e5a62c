"""Uniform quantization in training: weights behind codes, and scales that are trained with them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import Parameter

from core.encoding import Affine, Encoding
from core.encoding.base import Shape
from core.training.learned.base import Grid, to_numpy
from core.training.learned.floats import rounded

_LEAST = 0.01
"""A scale does not become smaller than this share of what it was."""


class AffineGrid(Grid):
    """(code - zero point) * scale, codes those nearest to (wanted / scale) + zero point.

    Scales are trained with the step size's gradient: Esser et al., Learned step size quantization, ICLR 2020. What is
    trained is a factor of each scale, from 1: so one learning rate suits scales of any size. Zero points stay.
    Weights beyond the last level have a gradient as well, so that they can come back: without it few-bit grids lose
    all weights at their ends.
    """

    def __init__(self, encoding: Affine, child: Grid) -> None:
        super().__init__()
        self.start, self.child, self.follows, self.reason = encoding, child, child.follows, child.reason
        scale = torch.from_numpy(np.array(encoding.stored_scale.decode()))
        self.gain = Parameter(torch.ones_like(scale))
        self.register_buffer("scale", scale, persistent=False)
        zero = encoding.stored_zero_point
        self.register_buffer("zero", None if zero is None else torch.from_numpy(zero.decode().copy()), persistent=False)
        groups = max(1, scale.numel())
        top = max(1.0, float(np.abs(encoding.child.decode()).max(initial=1.0)))
        self._slope = 1.0 / np.sqrt(max(1, encoding.n_weights) / groups * top)
        self.scale: Tensor
        self.zero: Tensor | None

    def scales(self) -> Tensor:
        """As they are stored, of the encoding's shape of them."""
        return rounded(self.scale * self.gain.clamp_min(_LEAST), self.start.scale_dtype)

    @property
    def kept(self) -> Tensor | None:
        return self.child.kept

    def forward(self, wanted: Tensor) -> Tensor:
        scale = self._spread(self.scales(), wanted.shape)
        result: Tensor = _Affine.apply(wanted, scale, self._zero(wanted.shape), self.child, self._slope)
        return result

    def encoding(self, wanted: Tensor) -> Encoding:
        with torch.no_grad():
            scales = self.scales()
            places = _places(wanted, self._spread(scales, wanted.shape), self._zero(wanted.shape))
            return replace(self.start, child=self.child.encoding(places), scale=to_numpy(scales))

    def _zero(self, shape: Shape) -> Tensor | None:
        return None if self.zero is None else self._spread(self.zero, shape)

    def _spread(self, part: Tensor, shape: Shape) -> Tensor:
        """Scales or zero points in a shape that broadcasts with the weight."""
        axis, block = self.start.axis, self.start.block
        if axis is None or not block or part.dim() == 0 or part.shape[axis] == 1:
            return part
        return part.repeat_interleave(block, axis).narrow(axis, 0, shape[axis])


class _Affine(torch.autograd.Function):
    """The value of the nearest codes in one operation: five elementwise ones and their temporaries less."""

    @staticmethod
    def forward(
        ctx: Any, wanted: Tensor, scale: Tensor, zero: Tensor | None, child: Grid, slope: float
    ) -> Tensor:
        places = _places(wanted, scale, zero)
        codes = child.nearest(places)
        steps = codes if zero is None else codes - zero
        ctx.slope, ctx.follows, ctx.kept, ctx.scale_shape = slope, child.follows, child.kept, scale.shape
        if ctx.needs_input_grad[1]:
            ctx.save_for_backward(_step_gradient(codes, places, steps, child.follows))
        return steps * scale

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        gradient = gradients[0]
        if ctx.kept is not None:
            gradient = torch.where(ctx.kept, gradient, 0.0)
        by_scale = None
        if ctx.needs_input_grad[1]:
            by_scale = (gradient * ctx.saved_tensors[0]).sum_to_size(ctx.scale_shape) * ctx.slope
        return gradient if ctx.follows else None, by_scale, None, None, None


def _step_gradient(codes: Tensor, places: Tensor, steps: Tensor, follows: bool) -> Tensor:
    """How the value changes with the scale while the code stays: rounding error inside the range, the end beyond."""
    if not follows:
        return steps
    error = codes - places
    return torch.where(error.abs() <= 0.5, error, steps)


def _places(wanted: Tensor, scale: Tensor, zero: Tensor | None) -> Tensor:
    """Where the wanted values lie between codes."""
    places = wanted / torch.where(scale == 0, 1.0, scale)
    return places if zero is None else places + zero
