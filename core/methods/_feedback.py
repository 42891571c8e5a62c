"""Error feedback: what rounding a weight (or removing it) does to the output is made up for by the weights behind it.

Inputs are taken one after the other, in the Hessian's order. What the errors of the weights before the k-th of a row do
to the output is made up for, as far as it can, before it is rounded itself:
    target_k = w_k + sum_{j < k} e_j U_jk,    e_j = w_j - rounded_j
which is the rounding of least sum_k D_k (e U)_k^2 when each weight is decided in turn (`_hessian`).
Source: Frantar et al., "GPTQ", ICLR 2023, and "SparseGPT", ICML 2023 (removing); in the form of Chee et al., "QuIP",
NeurIPS 2023, which gives the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from core.encoding.base import Array
from core.errors import LayerSkipped
from core.methods._hessian import Hessian, hessian_of
from core.methods.base import Context
from core.model.matrix import as_rows, from_rows, has_rows
from core.progress import Reporter

BLOCK = 128
"""Inputs whose targets are updated at once by a matrix product."""
_PIECE = 1 << 29  # multiplications between two looks at the cancel flag

Quantize = Callable[[Array, int], Array]
"""quantize(column, place) -> what the column decodes to when it is rounded.

column  (groups, outputs) float32: the targets of the weights of one input; not to be changed
place   which input it is: its place along the last axis of `as_rows`, 0 .. d - 1
Returns float32 of the same shape. It is called once for each input, in the Hessian's order.
"""

StartBlock = Callable[[Array, Array], None]
"""start_block(values, places): called before a block's columns, with its weights as the errors of earlier blocks left
them, (groups, outputs, c) float32, and their places (c,): where scales or masks are to follow the updated weights."""


def with_feedback(
    values: Array,
    context: Context,
    quantize: Quantize,
    start_block: StartBlock | None = None,
    *,
    ordered: bool = True,
) -> Array:
    """The values to round instead of a layer's weights: fresh, of the layer's shape, float32.

    Rounding them by the same rule as `quantize` (same scales, same table) gives exactly the weights that it returned.
    Raises LayerSkipped when there are no input statistics, or the layer sums over no inputs; Cancelled.
    """
    layer = context.layer
    if not has_rows(layer):
        raise LayerSkipped(f"errors are made up for where a layer sums over inputs, which this {layer.kind} does not")
    hessian = hessian_of(context, ordered=ordered)
    return from_rows(feedback(as_rows(values, layer), hessian, quantize, start_block, context.reporter), layer)


def feedback(
    rows: Array,
    hessian: Hessian,
    quantize: Quantize,
    start_block: StartBlock | None,
    reporter: Reporter,
) -> Array:
    """Targets (see the file's head) of a weight given as rows (groups, outputs, d) float32; a view of the same shape.

    reporter  progress; Cancelled is raised within 0.2 s
    """
    groups, outputs, d = rows.shape
    targets = np.empty((groups, d, outputs), np.float32)  # inputs first, so that a column lies together
    errors = np.empty((groups, d, outputs), np.float32)  # in the Hessian's order
    for start in range(0, d, BLOCK):
        reporter.report((start / d) ** 2)
        places = hessian.order[start : start + BLOCK]
        stop = start + places.size
        weights = np.ascontiguousarray(rows[:, :, places].swapaxes(1, 2))
        moved = weights + _carried(errors[:, :start], hessian.upper[:, :start, start:stop], reporter)
        if start_block is not None:
            start_block(moved.swapaxes(1, 2), places)
        within = np.ascontiguousarray(hessian.upper[:, start:stop, start:stop].swapaxes(1, 2))
        for i, place in enumerate(places):
            target = moved[:, i]
            if i:
                target += np.matmul(within[:, i : i + 1, :i], errors[:, start : start + i])[:, 0]
            reporter.check()
            np.subtract(weights[:, i], quantize(target, int(place)), out=errors[:, start + i])
            targets[:, place] = target
    return targets.swapaxes(1, 2)


def _carried(errors: Array, upper: Array, reporter: Reporter) -> Array:
    """What errors (groups, n, outputs) add to the c inputs of upper (groups, n, c): (groups, c, outputs)."""
    groups, n, outputs = errors.shape
    c = upper.shape[2]
    carried = np.empty((groups, c, outputs), np.float32)
    step = max(1, _PIECE // max(1, groups * n * c))
    for start in range(0, outputs, step):
        reporter.check()
        cut = (..., slice(start, start + step))
        np.matmul(upper.swapaxes(1, 2), errors[cut], out=carried[cut])
    return carried
