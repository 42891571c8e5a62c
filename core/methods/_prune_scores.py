"""How much a weight matters: the criteria of pruning, as numbers that compare like magnitudes."""

from __future__ import annotations

from typing import Any
from zlib import crc32

import numpy as np

from core.data.layer_inputs import Need
from core.encoding.base import Array
from core.errors import LayerSkipped
from core.methods._structure import CHUNK
from core.methods.base import Context, Memo, require_inputs
from core.model.layer import Kind, Layer
from core.model.matrix import as_rows, from_rows, has_rows

MAGNITUDE, L2, ACTIVATION, TAYLOR, RANDOM = "magnitude", "l2", "activation", "taylor", "random"
CRITERIA = (MAGNITUDE, L2, ACTIVATION, TAYLOR, RANDOM)
NEEDS: dict[str, Need] = {ACTIVATION: Need.MEANS, TAYLOR: Need.GRADIENTS}
"""Which statistics a criterion is computed from; the others need none."""


def importance(values: Array, criterion: str, context: Context) -> Array:
    """How much each weight matters: float32 of the weight's shape; larger magnitudes stay longer, signs mean nothing.

    Case 1  magnitude, l2: the weight itself (they differ in how a block's weights add up, see `block_scores`)
    Case 2  activation: |w| times the root mean square of its input (Wanda: Sun et al., ICLR 2024)
    Case 3  taylor: |w| times the root mean square of its gradient, what removing it does to the model's outputs to
            first order (Molchanov et al., CVPR 2019)
    Case 4  random: uniform numbers of the context's seed and the layer's name, to compare the others with

    Raises LayerSkipped: no samples, statistics that are not finite or belong to no weight.
    """
    if criterion in (MAGNITUDE, L2):
        return values
    if criterion == RANDOM:
        return _remembered(values, values, criterion, context, lambda: _random(values, context))
    inputs = require_inputs(context, NEEDS[criterion])
    square = inputs.square if criterion == ACTIVATION else inputs.gradient_square
    root = _root(square, criterion)
    if criterion == TAYLOR:
        if root.shape != values.shape:
            raise LayerSkipped(f"its gradients are of shape {root.shape}, the weight is {values.shape}")
        return _remembered(values, square, criterion, context, lambda: np.abs(values) * root)
    return _remembered(values, square, criterion, context, lambda: _times_input(values, root, context.layer))


def why_no_criterion(criterion: str, layer: Layer) -> str:
    """Why a criterion means nothing for a layer (one clause), or ""."""
    if criterion == ACTIVATION and not has_rows(layer):
        return f"no input belongs to each of its weights: {why_no_rows(layer)}"
    return ""


def why_no_rows(layer: Layer) -> str:
    """Why a layer's weights are no rows that are multiplied with inputs (one clause), or ""."""
    if has_rows(layer):
        return ""
    if layer.kind is Kind.LINEAR:
        axes = len(layer.shape)
        return f"its weight has {axes} {'axis' if axes == 1 else 'axes'}, and only weights of two are handled"
    return f"{layer.kind} layers sum over no inputs"


def block_scores(blocks: Array, criterion: str, context: Context) -> Array:
    """The importance of blocks (n, block_size) of weights' importance: (n,) float64.

    magnitude and random: the sum (L1 norm); the others: the root of the sum of squares, since squares are what the
    errors of single weights add up as.
    """
    n, size = blocks.shape
    scores = np.empty(n)
    step = max(1, CHUNK // max(1, size))
    for start in range(0, n, step):
        context.reporter.report(start / n)
        part = blocks[start : start + step]
        if criterion in (MAGNITUDE, RANDOM):
            scores[start : start + step] = np.abs(part).sum(axis=1, dtype=np.float64)
        else:
            scores[start : start + step] = np.sqrt(np.square(part, dtype=np.float64).sum(axis=1))
    return scores


def _remembered(values: Array, source: Array | None, criterion: str, context: Context, make: Any) -> Array:
    """What `make` gives for a weight and the statistics `source`, computed once for both."""
    if source is None:  # `require_inputs` has answered
        raise LayerSkipped("its statistics were not measured")
    inner: Memo = context.memo.of(f"importance {criterion}", source, Memo)
    found: Array = inner.of("importance", values, make)
    return found


def _root(square: Array | None, criterion: str) -> Array:
    if square is None or not np.isfinite(square).all() or (square < 0).any():
        what = "its inputs" if criterion == ACTIVATION else "its gradients"
        raise LayerSkipped(f"{what} on the samples are not finite", do="look for NaN and huge values in the samples")
    root: Array = np.sqrt(square, dtype=np.float32)
    return root


def _times_input(values: Array, root: Array, layer: Layer) -> Array:
    rows = as_rows(values, layer)
    if root.shape != (rows.shape[0], rows.shape[2]):
        raise LayerSkipped(f"its inputs are of shape {root.shape}, the weight's rows are {rows.shape}")
    return from_rows(np.abs(rows) * root[:, np.newaxis, :], layer)


def _random(values: Array, context: Context) -> Array:
    rng = np.random.default_rng((context.seed, crc32(context.layer.name.encode())))
    return np.asarray(rng.random(values.shape, np.float32))
