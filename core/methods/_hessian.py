"""What a change of a layer's weights costs at its output, from the products of its inputs, in a form to compute with.

The squared error of an output is e H e^T for a row of weight errors e, where H = mean of x x^T over the samples' inputs
x. Written as H = U D U^T (U upper triangular with ones on its diagonal), it is a sum of squares, one for each input:
sum_k D_k (e U)_k^2. Error feedback and compensated pruning follow from that sum directly (`_feedback`), with neither an
inverse of H nor a factor of the inverse.
Source: Frantar et al., "GPTQ", ICLR 2023 (damping, order, blocks); Chee et al., "QuIP", NeurIPS 2023 (U D U^T gives the
same result as the factor of the inverse).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from core.data.layer_inputs import Need
from core.encoding.base import Array
from core.errors import LayerSkipped
from core.methods.base import Context, require_inputs
from core.progress import Reporter

DAMPING = 0.01
"""Share of an input's mean square that is added to each input's: what the samples hardly show is trusted less."""
_MORE = 10.0
_MOST = 1.0
_BLOCK = 128
_PIECE = 1 << 27  # multiplications between two looks at the cancel flag


@dataclass(frozen=True, eq=False)
class Hessian:
    """H = U D U^T for each group of a layer, with its inputs in `order`.

    order     (d,) int64: the inputs' places in a row, in the order in which they are rounded
    upper     (groups, d, d) float32: U, ones on the diagonal, zeros below; rows and columns in `order`
    diagonal  (groups, d) float32: D, all positive; D_k is what an error of 1 in the k-th weight costs when those behind
              it make up for it as well as they can
    damping   share of the mean diagonal that was added
    """

    order: Array = field(repr=False)
    upper: Array = field(repr=False)
    diagonal: Array = field(repr=False)
    damping: float


def hessian_of(context: Context, *, ordered: bool = True, damping: float = DAMPING) -> Hessian:
    """The layer's Hessian, from `context.inputs.moments`; remembered in the memo.

    ordered  inputs of large squares come first (GPTQ's act-order), while all others can still make up for their errors;
             else they come as they lie

    Raises LayerSkipped: no samples, no moments (with the reason), moments that are not finite, or no factor at any
    damping. Raises Cancelled within 0.2 s.
    """
    moments = require_inputs(context, Need.MOMENTS).moments
    if moments is None:  # `require_inputs` has answered
        raise LayerSkipped("the products of its inputs were not measured")
    name = f"hessian {ordered} {damping}"
    found: Hessian = context.memo.of(name, moments, lambda: _damped(moments, ordered, damping, context.reporter))
    return found


def diagonal_of(moments: Array) -> tuple[Array, Array]:
    """The mean squares of the inputs, (groups, d) float64, and their mean over a group, (groups, 1), above zero.

    Raises LayerSkipped when the moments, (groups, d, d), are not finite.
    """
    if not (np.isfinite(moments.min(initial=0)) and np.isfinite(moments.max(initial=0))):  # both carry NaN on
        raise LayerSkipped("its inputs on the samples are not finite", do="look for NaN and huge values in the samples")
    diagonal = np.diagonal(moments, axis1=1, axis2=2).astype(np.float64)
    mean = diagonal.mean(axis=1, keepdims=True)
    mean[mean <= 0] = 1.0  # a group that saw nothing but zeros
    return diagonal, mean


def _damped(moments: Array, ordered: bool, damping: float, reporter: Reporter) -> Hessian:
    diagonal, mean = diagonal_of(moments)
    order = np.arange(diagonal.shape[1])
    if ordered:
        order = np.argsort(-(diagonal / mean).sum(axis=0), kind="stable")
    while damping <= _MOST:
        try:
            upper, pivots = _factorise(moments, order, damping * mean, mean, reporter)
        except np.linalg.LinAlgError:
            damping *= _MORE
            continue
        return Hessian(order, upper, pivots, damping)
    raise LayerSkipped("the products of its inputs make no matrix that can be factorised")


def _factorise(moments: Array, order: Array, damp: Array, dead: Array, reporter: Reporter) -> tuple[Array, Array]:
    """U and D of the damped moments in `order`; LinAlgError when they are not positive definite.

    damp, dead  (groups, 1): added to the diagonal; what stands there instead for inputs that are always zero

    A Cholesky factor in blocks of inputs, from the last to the first, as each sees only those behind it; in float64,
    since inputs that are nearly copies of each other are common.
    """
    groups, d, _ = moments.shape
    work = np.empty((groups, d, d))
    for start in range(0, d, _BLOCK):
        reporter.check()
        work[:, start : start + _BLOCK] = moments[:, order[start : start + _BLOCK]][:, :, order]
    places = np.arange(d)
    squares = work[:, places, places]
    work[:, places, places] = np.where(squares > 0, squares, dead) + damp
    for stop in range(d, 0, -_BLOCK):
        start = max(0, stop - _BLOCK)
        reporter.report(1 - (stop / d) ** 2)
        panel = work[:, :stop, start:stop]
        step = max(1, _PIECE // max(1, groups * (d - stop) * _BLOCK))
        for row in range(0, stop if stop < d else 0, step):
            reporter.check()
            part = slice(row, min(row + step, stop))
            panel[:, part] -= work[:, part, stop:] @ work[:, start:stop, stop:].swapaxes(1, 2)
        corner = np.linalg.cholesky(panel[:, start:][:, ::-1, ::-1])[:, ::-1, ::-1]
        panel[:, start:] = corner
        if start:
            panel[:, :start] = np.linalg.solve(corner, panel[:, :start].swapaxes(1, 2)).swapaxes(1, 2)
    return _unit_columns(work, reporter)


def _unit_columns(factor: Array, reporter: Reporter) -> tuple[Array, Array]:
    """The upper triangle of `factor` with columns divided by the diagonal, and the diagonal squared; both float32."""
    groups, d, _ = factor.shape
    roots = np.diagonal(factor, axis1=1, axis2=2)
    upper = np.zeros((groups, d, d), np.float32)
    for start in range(0, d, _BLOCK):
        reporter.check()
        stop = min(start + _BLOCK, d)
        upper[:, :stop, start:stop] = factor[:, :stop, start:stop] / roots[:, np.newaxis, start:stop]
        upper[:, start:stop, start:stop] = np.triu(upper[:, start:stop, start:stop])
    return upper, np.square(roots).astype(np.float32)
