"""Convolutions and pools: operators that slide a window over the axes behind batch and channel."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch.nn import functional

from core.interpreter.attributes import Attributes, Inputs, Operator, given, optional, unsupported

_CONV = {1: torch.conv1d, 2: torch.conv2d, 3: torch.conv3d}
_CONV_TRANSPOSE = {1: torch.conv_transpose1d, 2: torch.conv_transpose2d, 3: torch.conv_transpose3d}
_MAX_POOL = {1: functional.max_pool1d, 2: functional.max_pool2d, 3: functional.max_pool3d}


@dataclass(frozen=True)
class Window:
    """A sliding window, one number an axis.

    begin, end  padding on both sides
    beyond      further places after `end`, so that the last window of ceil_mode is whole
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    begin: tuple[int, ...]
    end: tuple[int, ...]
    beyond: tuple[int, ...]

    def pads(self, *, beyond: bool = False) -> list[int]:
        """The padding as torch wants it: last axis first."""
        rows = list(zip(self.begin, self.end, self.beyond, strict=True))
        return [size for begin, end, more in reversed(rows) for size in (begin, end + more * beyond)]


def _window(attributes: Attributes, shape: tuple[int, ...], kernel: tuple[int, ...]) -> Window:
    """The window over an input of spatial `shape`, with its padding worked out."""
    ones = (1,) * len(shape)
    strides, dilations = attributes.integers("strides") or ones, attributes.integers("dilations") or ones
    auto, pads = attributes.text("auto_pad", "NOTSET"), attributes.integers("pads") or (0,) * (2 * len(shape))
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        needed = [max(0, (-(-n // s) - 1) * s + r - n) for n, s, r in zip(shape, strides, reach, strict=True)]
        less, more = tuple(n // 2 for n in needed), tuple(n - n // 2 for n in needed)
        begin, end = (less, more) if auto == "SAME_UPPER" else (more, less)
    else:
        begin, end = pads[: len(shape)], pads[len(shape) :]
    beyond = [0] * len(shape)
    if attributes.integer("ceil_mode", 0):
        for i, size in enumerate(shape):
            padded = size + begin[i] + end[i]
            count = -(-(padded - reach[i]) // strides[i]) + 1
            count -= (count - 1) * strides[i] >= size + begin[i]  # a window must not start in the padding
            beyond[i] = max(0, (count - 1) * strides[i] + reach[i] - padded)
    return Window(kernel, strides, dilations, begin, end, tuple(beyond))


def convolve(attributes: Attributes, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """Conv of x (n, channels, ...) with weight (out, channels / group, ...)."""
    rank = x.dim() - 2
    if rank not in _CONV:
        raise unsupported(f"Conv over {rank} axes")
    window = _window(attributes, tuple(x.shape[2:]), tuple(weight.shape[2:]))
    groups = attributes.integer("group", 1)
    if window.begin == window.end:
        return _CONV[rank](x, weight, bias, window.strides, window.begin, window.dilations, groups)
    padded = functional.pad(x, window.pads())
    return _CONV[rank](padded, weight, bias, window.strides, 0, window.dilations, groups)


def _conv(attributes: Attributes, inputs: Inputs) -> torch.Tensor:
    return convolve(attributes, given(inputs, 0), given(inputs, 1), optional(inputs, 2))


def _conv_transpose(attributes: Attributes, inputs: Inputs) -> torch.Tensor:
    """The whole result without padding first, then cut or lengthened: torch knows one padding for both sides only."""
    x, weight, bias = given(inputs, 0), given(inputs, 1), optional(inputs, 2)
    rank = x.dim() - 2
    if rank not in _CONV_TRANSPOSE:
        raise unsupported(f"ConvTranspose over {rank} axes")
    ones, zeros = (1,) * rank, (0,) * rank
    strides, dilations = attributes.integers("strides") or ones, attributes.integers("dilations") or ones
    whole = _CONV_TRANSPOSE[rank](x, weight, None, strides, 0, 0, attributes.integer("group", 1), dilations)
    more = attributes.integers("output_padding") or zeros
    begin, end = _transposed_pads(attributes, tuple(x.shape[2:]), tuple(whole.shape[2:]), more)
    both = [size for i in reversed(range(rank)) for size in (-begin[i], more[i] - end[i])]
    result = functional.pad(whole, both) if any(both) else whole
    return result if bias is None else result + bias.reshape(-1, *ones)


def _transposed_pads(
    attributes: Attributes, shape: tuple[int, ...], whole: tuple[int, ...], more: tuple[int, ...]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """What is cut from both sides of an unpadded transposed convolution."""
    rank, auto = len(shape), attributes.text("auto_pad", "NOTSET")
    wanted = attributes.integers("output_shape")
    strides = attributes.integers("strides") or (1,) * rank
    if wanted is None and auto in ("SAME_UPPER", "SAME_LOWER"):
        wanted = tuple(n * s for n, s in zip(shape, strides, strict=True))
    if wanted is None:
        pads = attributes.integers("pads") or (0,) * (2 * rank)
        return pads[:rank], pads[rank:]
    cut = [size + extra - target for size, extra, target in zip(whole, more, wanted[-rank:], strict=True)]
    less, rest = tuple(n // 2 for n in cut), tuple(n - n // 2 for n in cut)
    return (less, rest) if auto == "SAME_UPPER" else (rest, less)


def _max_pool(attributes: Attributes, inputs: Inputs) -> torch.Tensor | tuple[torch.Tensor, ...]:
    x = given(inputs, 0)
    rank, kernel = x.dim() - 2, attributes.integers("kernel_shape") or ()
    if rank not in _MAX_POOL or attributes.wants(1):
        raise unsupported("MaxPool with indices" if attributes.wants(1) else f"MaxPool over {rank} axes")
    window = _window(attributes, tuple(x.shape[2:]), kernel)
    values = x if x.is_floating_point() else x.float()
    padded = functional.pad(values, window.pads(beyond=True), value=-math.inf)
    return _MAX_POOL[rank](padded, kernel, window.strides, 0, window.dilations).to(x.dtype)


def _window_sums(x: torch.Tensor, window: Window) -> torch.Tensor:
    """Sum of each window of a padded tensor (n, channels, ...)."""
    n, channels = x.shape[:2]
    ones = torch.ones((1, 1, *window.kernel), dtype=x.dtype)
    flat = x.reshape(n * channels, 1, *x.shape[2:])
    sums = _CONV[len(window.kernel)](flat, ones, None, window.strides, 0, window.dilations)
    return sums.reshape(n, channels, *sums.shape[2:])


def _average_pool(attributes: Attributes, inputs: Inputs) -> torch.Tensor:
    """Each window's sum over its count; what lies beyond the padding is never counted."""
    x = given(inputs, 0)
    if x.dim() - 2 not in _CONV:
        raise unsupported(f"AveragePool over {x.dim() - 2} axes")
    window = _window(attributes, tuple(x.shape[2:]), attributes.integers("kernel_shape") or ())
    counted = torch.ones((1, 1, *x.shape[2:]), dtype=x.dtype)
    beyond = [size for more in reversed(window.beyond) for size in (0, more)]
    value = 1.0 if attributes.integer("count_include_pad", 0) else 0.0
    counted = functional.pad(functional.pad(counted, window.pads(), value=value), beyond)
    return _window_sums(functional.pad(x, window.pads(beyond=True)), window) / _window_sums(counted, window)


def _lp_pool(attributes: Attributes, inputs: Inputs) -> torch.Tensor:
    x, p = given(inputs, 0), attributes.integer("p", 2)
    window = _window(attributes, tuple(x.shape[2:]), attributes.integers("kernel_shape") or ())
    padded = functional.pad(x.abs() ** p, window.pads(beyond=True))
    return _window_sums(padded, window) ** (1 / p)


def _global_average_pool(attributes: Attributes, inputs: Inputs) -> torch.Tensor:
    x = given(inputs, 0)
    return x.mean(tuple(range(2, x.dim())), keepdim=True)


def _global_max_pool(attributes: Attributes, inputs: Inputs) -> torch.Tensor:
    x = given(inputs, 0)
    return x.amax(tuple(range(2, x.dim())), keepdim=True)


def _conv_integer(attributes: Attributes, inputs: Inputs) -> torch.Tensor:
    """In float64, which is exact for sums of 8-bit products."""
    x, weight, x_zero, weight_zero = given(inputs, 0), given(inputs, 1), optional(inputs, 2), optional(inputs, 3)
    rest = (1,) * (weight.dim() - 1)
    wide = x.double() - (0 if x_zero is None else x_zero.double())
    kernel = weight.double() - (0 if weight_zero is None else weight_zero.double().reshape(-1, *rest))
    return convolve(attributes, wide, kernel, None).to(torch.int32)


OPERATORS: dict[str, Operator] = {
    "Conv": _conv, "ConvTranspose": _conv_transpose, "ConvInteger": _conv_integer, "MaxPool": _max_pool,
    "AveragePool": _average_pool, "LpPool": _lp_pool, "GlobalAveragePool": _global_average_pool,
    "GlobalMaxPool": _global_max_pool,
}  # fmt: skip
