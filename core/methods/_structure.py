"""What methods share: taking an encoding apart, and the sentences for stacks of steps that make no sense."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from core.encoding import Affine, Codebook, Codes, Factored, Float, Kept, Transformed
from core.encoding.base import Array, Encoding
from core.errors import LayerSkipped
from core.methods.base import Context, Memo, require_finite
from core.model.layer import Kind

CHUNK = 1 << 20
"""Weights that are worked on between two looks at the cancel flag; bounds the temporaries to some megabytes."""


def is_quantized(encoding: Encoding) -> bool:
    """Whether any part of the tree holds codes instead of floats."""
    return isinstance(encoding, (Affine, Codebook, Codes)) or any(is_quantized(child) for child in encoding.children)


def refuse_quantized(encoding: Encoding, advice: str) -> None:
    """Raise LayerSkipped when the weight is already quantized; `advice` is what to do instead."""
    if is_quantized(encoding):
        raise LayerSkipped(f"the weight is already quantized ({encoding.describe()})", do=advice)


def refuse_low_rank(encoding: Encoding, advice: str) -> None:
    """Raise LayerSkipped when the weight is already factors, or coefficients."""
    if isinstance(encoding, Transformed):
        raise LayerSkipped(f"the weight is already stored as coefficients ({encoding.describe()})", do=advice)
    if isinstance(encoding, Factored):
        raise LayerSkipped(f"the weight is already factorised ({encoding.describe()})", do=advice)


def leaf_values(leaf: Float, context: Context) -> Array:
    """Float32 weights of a leaf, C-contiguous; LayerSkipped when they are not finite or there are none."""
    values = np.ascontiguousarray(leaf.decode())
    if values.size == 0:
        raise LayerSkipped("the layer has no weights", where=context.layer.name)
    require_finite(values, context.layer)
    return values


def factor_values(factor: Encoding, context: Context) -> Array:
    """Float32 weights of a factor; LayerSkipped when it is stored as anything but floats, or not finite."""
    if isinstance(factor, Float):
        return leaf_values(factor, context)
    raise LayerSkipped(f"a factor is stored as {factor.describe()}, which this method does not handle")


def change_floats(encoding: Encoding, change: Callable[[Float], Encoding]) -> Encoding:
    """The same tree with every Float leaf changed. Raises LayerSkipped for a tree that holds anything else."""
    if isinstance(encoding, Float):
        return change(encoding)
    if isinstance(encoding, Kept):
        return encoding if encoding.kept == 0 else encoding.with_values(change_floats(encoding.values, change))
    if isinstance(encoding, Factored):
        return encoding.with_children([change_floats(child, change) for child in encoding.children])
    if isinstance(encoding, Transformed):
        return encoding.with_coefficients(change_floats(encoding.child, change))
    raise LayerSkipped(f"the weight is stored as {encoding.describe()}, which this method does not handle")


def coefficient_context(encoding: Transformed, context: Context) -> Context:
    """The context in which the coefficients of a filtered weight are a layer of their own, to be quantized.

    Basis functions stand in for output channels: coefficients of one function are alike, those of two are not. What
    was measured of the weight's inputs says nothing of coefficients.
    """
    shape, functions = encoding.child.shape, encoding.function_axis
    others = [axis for axis in range(len(shape)) if axis != functions]
    inner = max(others, key=lambda axis: shape[axis], default=None)
    layer = replace(
        context.layer, kind=Kind.OTHER, shape=shape, output_axis=functions, input_axis=inner, groups=1, folds_norm=False
    )
    return replace(
        context, layer=layer, memo=Memo(), inputs=None, why_no_inputs="the weight is stored as coefficients"
    )


def chunks(size: int, context: Context) -> Iterator[slice]:
    """Slices that cover `size` elements; reports progress and looks at the cancel flag at each."""
    for start in range(0, size, CHUNK):
        context.reporter.report(start / size)
        yield slice(start, min(start + CHUNK, size))
