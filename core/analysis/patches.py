"""Patches of a convolution's input: what lies under its kernel at each output position (im2col).

Chellapilla, Puri and Simard, "High Performance Convolutional Neural Networks for Document Processing", 2006; padding
and dilation as ONNX defines them for Conv.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import onnx_ir as ir

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Window:
    """The geometry of a convolution over k spatial axes.

    kernel, strides, dilations  (k,) each
    pads      (2 k,) at the beginnings, then at the ends; used when `auto_pad` is NOTSET
    auto_pad  NOTSET, VALID, SAME_UPPER or SAME_LOWER
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: tuple[int, ...]
    auto_pad: str = "NOTSET"

    def __str__(self) -> str:
        parts = (self.kernel, self.strides, self.dilations, self.pads)
        return " ".join("x".join(map(str, part)) for part in parts) + f" {self.auto_pad}"

    def padding(self, space: tuple[int, ...]) -> list[tuple[int, int]]:
        """(before, after) for each spatial axis of an input of size `space`."""
        if self.auto_pad == "VALID":
            return [(0, 0)] * len(space)
        if not self.auto_pad.startswith("SAME"):
            return list(zip(self.pads[: len(space)], self.pads[len(space) :], strict=True))
        found = []
        for size, kernel, stride, dilation in zip(space, self.kernel, self.strides, self.dilations, strict=True):
            total = max((math.ceil(size / stride) - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
            small, large = total // 2, total - total // 2
            found.append((small, large) if self.auto_pad == "SAME_UPPER" else (large, small))
        return found

    def patches(self, value: Array, most: int, random: np.random.Generator) -> Array:
        """(positions, channels, *kernel): at most `most` patches of a value (batch, channels, *space).

        Where there are more positions, one is drawn from each of `most` equal stretches of them.
        """
        value = np.pad(value, [(0, 0), (0, 0), *self.padding(value.shape[2:])])
        batch, channels, *space = value.shape
        steps = zip(space, self.kernel, self.strides, self.dilations, strict=True)
        out = [max((size - (kernel - 1) * dilation - 1) // stride + 1, 0) for size, kernel, stride, dilation in steps]
        bytes_ = value.strides[2:]
        view = np.lib.stride_tricks.as_strided(
            value,
            (batch, *out, channels, *self.kernel),
            (
                value.strides[0],
                *(step * stride for step, stride in zip(bytes_, self.strides, strict=True)),
                value.strides[1],
                *(step * dilation for step, dilation in zip(bytes_, self.dilations, strict=True)),
            ),
            writeable=False,
        )
        total = batch * math.prod(out)
        positions = np.arange(total) if total <= most else picked(total, most, random)
        return view[np.unravel_index(positions, (batch, *out))]


def picked(total: int, count: int, random: np.random.Generator) -> Array:
    """`count` of `total` places, (count,) int64 in order: one drawn from each of `count` equal stretches."""
    edges = np.arange(count) + random.random(count)
    return np.minimum((edges * (total / count)).astype(np.int64), total - 1)


def window_of(node: ir.Node, kernel: tuple[int, ...]) -> Window:
    """The geometry of a Conv node with a kernel of that size."""
    from core.model.graph import numbers

    found = node.attributes.get("auto_pad")
    auto_pad = found.as_string() if found is not None and not found.is_ref() else "NOTSET"
    ones = (1,) * len(kernel)
    return Window(
        kernel,
        numbers(node, "strides") or ones,
        numbers(node, "dilations") or ones,
        numbers(node, "pads") or (0, 0) * len(kernel),
        auto_pad,
    )
