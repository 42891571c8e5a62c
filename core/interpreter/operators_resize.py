"""Resize and GridSample: sampling between the elements of a tensor."""

from __future__ import annotations

import math

import torch
from torch.nn import functional

from core.interpreter.attributes import Attributes, Inputs, Operator, given, optional, unsupported
from core.interpreter.operators_shapes import sizes


def _resize(attributes: Attributes, inputs: Inputs) -> torch.Tensor:
    """Axis by axis, as all modes are separable: each place is a weighted sum of its neighbours along the axis."""
    x = given(inputs, 0)
    if attributes.integer("antialias", 0):
        raise unsupported("Resize with antialiasing")
    for axis, scale, size in _targets(attributes, inputs, x):
        if size != x.shape[axis] or scale != 1:
            x = _resize_axis(attributes, x, axis, scale, size)
    return x


def _targets(attributes: Attributes, inputs: Inputs, x: torch.Tensor) -> list[tuple[int, float, int]]:
    """Axis, scale and new size of each axis that is resized."""
    axes = attributes.integers("axes") or tuple(range(x.dim()))
    scales, wanted = optional(inputs, 1 if attributes.opset < 11 else 2), optional(inputs, 3)
    if wanted is None or not wanted.numel():
        factors = [] if scales is None else [float(value) for value in scales.reshape(-1).tolist()]
        return [(a % x.dim(), f, math.floor(x.shape[a] * f)) for a, f in zip(axes, factors, strict=True)]
    targets, policy = sizes(wanted), attributes.text("keep_aspect_ratio_policy", "stretch")
    factors = [target / x.shape[axis] for axis, target in zip(axes, targets, strict=True)]
    if policy != "stretch":
        factor = min(factors) if policy == "not_larger" else max(factors)
        return [(a % x.dim(), factor, math.floor(factor * x.shape[a] + 0.5)) for a in axes]
    return [(a % x.dim(), f, t) for a, f, t in zip(axes, factors, targets, strict=True)]


def _resize_axis(attributes: Attributes, x: torch.Tensor, axis: int, scale: float, size: int) -> torch.Tensor:
    before, mode = x.shape[axis], attributes.text("mode", "nearest")
    place = _source(attributes, before, scale, size)
    if mode == "nearest":
        nearest = _nearest(place, attributes.text("nearest_mode", "round_prefer_floor"))
        return x.index_select(axis, nearest.long().clamp(0, before - 1))
    floor = torch.floor(place)
    rest = (place - floor).to(x.dtype)
    if mode == "linear":
        taps = {0: 1 - rest, 1: rest}
    elif mode == "cubic":
        taps = _cubic(rest, attributes.number("cubic_coeff_a", -0.75))
    else:
        raise unsupported(f"Resize in mode {mode!r}")
    if attributes.integer("exclude_outside", 0):
        inside = {k: w * ((floor + k >= 0) & (floor + k < before)) for k, w in taps.items()}
        total = torch.stack(list(inside.values())).sum(0)
        taps = {k: w / total for k, w in inside.items()}
    wide = [-1 if i == axis else 1 for i in range(x.dim())]
    parts = [
        x.index_select(axis, (floor + k).long().clamp(0, before - 1)) * weight.reshape(wide)
        for k, weight in taps.items()
    ]
    return torch.stack(parts).sum(0) if len(parts) > 2 else parts[0] + parts[1]


def _source(attributes: Attributes, before: int, scale: float, size: int) -> torch.Tensor:
    """Where each new place lies on the old axis, float64."""
    mode = attributes.text("coordinate_transformation_mode", "half_pixel")
    x = torch.arange(size, dtype=torch.float64)
    if attributes.opset < 11 or mode == "asymmetric":
        return x / scale
    if mode == "align_corners":  # by the new whole size, as ONNX Runtime does
        return x * (before - 1) / (size - 1) if size > 1 else torch.zeros_like(x)
    if mode == "half_pixel" or (mode == "pytorch_half_pixel" and size > 1):
        return (x + 0.5) / scale - 0.5
    if mode == "pytorch_half_pixel":
        return torch.zeros_like(x)
    if mode == "half_pixel_symmetric":
        adjustment = size / (scale * before)
        return before / 2 * (1 - adjustment) + (x + 0.5) / scale - 0.5
    raise unsupported(f"Resize with coordinates {mode!r}")


def _nearest(place: torch.Tensor, mode: str) -> torch.Tensor:
    if mode == "floor":
        return torch.floor(place)
    if mode == "ceil":
        return torch.ceil(place)
    if mode == "round_prefer_ceil":
        return torch.floor(place + 0.5)
    return torch.ceil(place - 0.5)


def _cubic(rest: torch.Tensor, a: float) -> dict[int, torch.Tensor]:
    """Weights of the four neighbours (Keys, "Cubic convolution interpolation for digital image processing", 1981)."""

    def near(d: torch.Tensor) -> torch.Tensor:
        return ((a + 2) * d - (a + 3)) * d * d + 1

    def far(d: torch.Tensor) -> torch.Tensor:
        return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a

    return {-1: far(rest + 1), 0: near(rest), 1: near(1 - rest), 2: far(2 - rest)}


def _grid_sample(attributes: Attributes, inputs: Inputs) -> torch.Tensor:
    mode = attributes.text("mode", "linear")
    known = {"linear": "bilinear", "cubic": "bicubic"}.get(mode, mode)
    padding, corners = attributes.text("padding_mode", "zeros"), bool(attributes.integer("align_corners", 0))
    return functional.grid_sample(given(inputs, 0), given(inputs, 1), known, padding, corners)


OPERATORS: dict[str, Operator] = {"Resize": _resize, "GridSample": _grid_sample}
