"""Which weights share a scale: the whole layer, each channel, or blocks along the input axis."""

from __future__ import annotations

from dataclasses import dataclass
from math import log, prod
from typing import Any, Protocol

from core.encoding.base import Shape
from core.methods._rounding import output_axes
from core.methods.params import param
from core.model.layer import Layer

AUTO_BLOCK = 96  # weights: a float16 scale then takes a sixth of a bit a weight


@dataclass(frozen=True)
class Layout:
    """Which weights share a scale: those with the same place on `axes`, in blocks of `block` along `axis`."""

    axes: tuple[int, ...] = ()
    axis: int | None = None
    block: int = 0


class Sharing(Protocol):
    """What a person chose: any parameter object with `granularity` and `block`."""

    @property
    def granularity(self) -> str: ...

    @property
    def block(self) -> int: ...


def granularity_param(default: str = "auto") -> Any:
    """The parameter `granularity`, the same for all methods with scales."""
    return param(
        default, "One scale for", "The finer, the smaller the error; a scale takes 2 or 4 bytes. Automatic: about 96 "
        "weights where a channel has at least 192, else a channel.",
        choices=("auto", "tensor", "channel", "block"),
        choice_titles=("Automatic", "Whole layer", "Each channel", "Blocks of weights"),
    )


def block_param() -> Any:
    """The parameter `block`."""
    return param(
        32, "Block size", "Weights that share a scale, counted along the input axis.",
        minimum=8, maximum=256, unit="weights", when={"granularity": ["block"]}, grid=(128, 64, 32),
    )


def where(sharing: Sharing) -> str:
    """The words of a label: " per channel", " block 64", or "" when it is automatic."""
    words = {"auto": "", "tensor": " per tensor", "channel": " per channel", "block": f" block {sharing.block}"}
    return words[sharing.granularity]


def plain_layout(sharing: Sharing, axes: tuple[int, ...], inner: int) -> Layout:
    """The layout of a matrix that is not the layer's own weight (a factor, coefficients): scales along `axes`."""
    if sharing.granularity == "tensor":
        return Layout()
    return Layout(axes, inner, sharing.block) if sharing.granularity == "block" else Layout(axes)


def layout_of(sharing: Sharing, layer: Layer, shape: Shape) -> Layout:
    """Which weights of a layer share a scale.

    Case 1  one axis, or one scale wanted: the whole weight
    Case 2  channels: the output axis, or the rows of an embedding; directions too where recurrent weights have them
    Case 3  blocks along the input axis; where a channel's input has several places (kernels), fewer channels make a
            block, so that it holds about as many weights, and their number divides the axis
    Case 4  automatic: case 3 with blocks of about AUTO_BLOCK weights, or case 2
    """
    if sharing.granularity == "tensor" or len(shape) < 2:
        return Layout()
    axes = output_axes(layer, shape)
    if sharing.granularity == "channel":
        return Layout(axes)
    inner = layer.input_axis
    if inner is None or inner in axes:
        free = [axis for axis in range(len(shape)) if axis not in axes]
        inner = max(free, key=lambda axis: shape[axis], default=None)
    if inner is None:
        return Layout(axes)
    others = prod(size for axis, size in enumerate(shape) if axis not in (*axes, inner))
    if sharing.granularity == "auto":
        return _automatic(layer, shape, axes, inner, others)
    if others == 1:
        return Layout(axes, inner, sharing.block)
    most = max(1, sharing.block // others)
    return Layout(axes, inner, max(size for size in range(1, most + 1) if shape[inner] % size == 0))


def _automatic(layer: Layer, shape: Shape, axes: tuple[int, ...], inner: int, others: int) -> Layout:
    """Blocks of about AUTO_BLOCK weights that divide the channel, where it has at least two; else the channel.

    Where a batch norm will be folded in, one float32 scale a channel takes its factor for nothing.
    """
    size = shape[inner]
    if size * others < 2 * AUTO_BLOCK or layer.folds_norm:
        return Layout(axes)
    near = (0.75 * AUTO_BLOCK, 2.5 * AUTO_BLOCK)
    even = [n for n in range(1, size) if size % n == 0 and near[0] <= n * others <= near[1]]
    if even:
        return Layout(axes, inner, min(even, key=lambda n: abs(log(n * others / AUTO_BLOCK))))
    length = max(1, AUTO_BLOCK // others)
    return Layout(axes, inner, length) if length < size else Layout(axes)
