"""What methods share: taking an encoding apart, and the sentences for stacks of steps that make no sense."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from core.encoding import Affine, Codebook, Codes, Float, LowRank, Sparse
from core.encoding.base import Array, Encoding
from core.errors import LayerSkipped
from core.methods.base import Context, require_finite

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
    """Raise LayerSkipped when the weight is already two factors."""
    if isinstance(encoding, LowRank):
        raise LayerSkipped(f"the weight is already factorised ({encoding.describe()})", do=advice)


def leaf_values(leaf: Float, context: Context) -> Array:
    """Float32 weights of a leaf, C-contiguous; LayerSkipped when they are not finite or there are none."""
    values = np.ascontiguousarray(leaf.decode())
    if values.size == 0:
        raise LayerSkipped("the layer has no weights", where=context.layer.name)
    require_finite(values, context.layer)
    return values


def change_floats(encoding: Encoding, change: Callable[[Float], Encoding]) -> Encoding:
    """The same tree with every Float leaf changed. Raises LayerSkipped for a tree that holds anything else."""
    if isinstance(encoding, Float):
        return change(encoding)
    if isinstance(encoding, Sparse):
        return encoding if encoding.kept == 0 else encoding.with_values(change_floats(encoding.values, change))
    if isinstance(encoding, LowRank):
        return replace(
            encoding, left=change_floats(encoding.left, change), right=change_floats(encoding.right, change)
        )
    raise LayerSkipped(f"the weight is stored as {encoding.describe()}, which this method does not handle")


def chunks(size: int, context: Context) -> Iterator[slice]:
    """Slices that cover `size` elements; reports progress and looks at the cancel flag at each."""
    for start in range(0, size, CHUNK):
        context.reporter.report(start / size)
        yield slice(start, min(start + CHUNK, size))
