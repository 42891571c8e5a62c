"""Pruning: weights that matter least become zero and are no longer stored."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from core.data.layer_inputs import Need
from core.encoding import Blocks, Float, Kept, Sparse, Tiling
from core.encoding.base import Array, Encoding
from core.encoding.positions import gather
from core.errors import LayerSkipped
from core.methods._prune_masks import (
    BLOCKS,
    COLUMNS,
    ROWS,
    lowest_removed,
    magnitude_mask,
    neighbours_mask,
    output_mask,
    tiling_of,
)
from core.methods._prune_repair import keep_means, refit
from core.methods._prune_scores import (
    CRITERIA,
    MAGNITUDE,
    NEEDS,
    block_scores,
    importance,
    why_no_criterion,
    why_no_rows,
)
from core.methods._structure import leaf_values, refuse_low_rank, refuse_quantized
from core.methods.base import REBUILT, Context, Method, Role
from core.methods.params import param
from core.model.layer import Layer
from core.model.matrix import has_rows

_UNSTRUCTURED = "unstructured"
_NEIGHBOURS = ("2:4", "4:8", "1:2", "1:4")
_TILES = (BLOCKS, ROWS, COLUMNS)
_NONE, _MEAN, _UPDATE = "none", "mean", "update"
_REPAIR_NEEDS = {_NONE: frozenset[Need](), _MEAN: frozenset({Need.MEANS}), _UPDATE: frozenset({Need.MOMENTS})}

_SHORT = {"activation": " inputs", "taylor": " taylor", "random": " random"}


@dataclass(frozen=True)
class PruneParams:
    ratio: float = param(
        0.8, "Removed", "Share of the layer's weights that become zero, the least important first. A few per cent save "
        "nothing: the places of the kept weights are stored too.",
        minimum=0.0, maximum=1.0, percent=True, unit="%", when={"pattern": [_UNSTRUCTURED, *_TILES]},
        grid=(0.5, 0.6, 0.7, 0.8, 0.9, 0.95),
    )
    criterion: str = param(
        MAGNITUDE, "By", "How the importance of a weight is judged. Magnitude: small weights go first (of blocks, rows "
        "and columns: those of small L1 norm). Weight times input: the magnitude times that of the weight's input, the "
        "best where samples are loaded. First-order Taylor: magnitude times the gradient of the model's outputs. "
        "Random: to compare.",
        choices=CRITERIA,
        choice_titles=("Magnitude (L1 norm)", "L2 norm", "Weight times input", "First-order Taylor", "Random"),
    )
    pattern: str = param(
        _UNSTRUCTURED, "Pattern", "Anywhere in the layer, or n of every m neighbours along the input axis are kept "
        "(some accelerators run 2:4 faster; a CPU does not), or whole blocks, rows (outputs) or columns (inputs) go: "
        "their places take hardly any bytes, but the error is larger.",
        choices=(_UNSTRUCTURED, *_NEIGHBOURS, *_TILES),
        choice_titles=("Unstructured", "2 of 4", "4 of 8", "1 of 2", "1 of 4", "Blocks", "Rows", "Columns"),
    )
    block: str = param(
        "4x1", "Block", "Outputs by inputs that go together.",
        choices=("1x4", "4x1", "1x8", "8x1", "4x4", "8x8", "16x16"), when={"pattern": [BLOCKS]},
    )
    scope: str = param(
        "layer", "Share of", "The whole layer: some outputs lose more than others. Each output: all lose the same "
        "share, which suits the importance Weight times input.",
        choices=("layer", "output"), choice_titles=("Whole layer", "Each output"), when={"pattern": [_UNSTRUCTURED]},
    )
    compensate: str = param(
        _NONE, "Kept weights", "What the kept weights do for the removed ones, worked out from samples. Keep the "
        "means: each output keeps its mean (a bias correction that needs no bias). Least output error: all are "
        "refitted for the least error of the layer's output, which helps most.",
        choices=(_NONE, _MEAN, _UPDATE), choice_titles=("Stay as they are", "Keep the means", "Least output error"),
        when={"pattern": [_UNSTRUCTURED, *_NEIGHBOURS, BLOCKS, COLUMNS]},
    )


class Prune(Method):
    word = "prune"
    role = Role.PRUNE
    title = "Prune"
    family = "Pruning"
    summary = (
        "Removes single weights, blocks, rows or columns and stores only the others and their places. The more are "
        "removed, the more it pays; follow it with quantize to shrink what is kept."
    )
    saves = ("file",)
    costs = f"{REBUILT} When much is removed, adjust the kept weights to samples, or fine-tune."
    choose_when = "The weights will be quantized or fine-tuned afterwards, or more than two thirds can go."
    avoid_when = "Speed is the aim: cut channels instead."
    data = "unlabelled samples to choose by Weight times input or First-order Taylor, and to adjust the kept weights"
    source = (
        "Han et al., \"Learning both Weights and Connections for Efficient Neural Networks\", NeurIPS 2015; n:m after "
        "Mishra et al., \"Accelerating Sparse Deep Neural Networks\", 2021; activation: Sun et al., \"Wanda\", ICLR "
        "2024; taylor: Molchanov et al., CVPR 2019; update: Frantar and Alistarh, \"SparseGPT\", ICML 2023"
    )
    Params = PruneParams

    def needs(self, params: PruneParams) -> frozenset[Need]:
        found = {NEEDS[params.criterion]} if params.criterion in NEEDS else set()
        return frozenset(found | _REPAIR_NEEDS[_repair(params)])

    def why_not(self, layer: Layer, params: PruneParams) -> str:
        reason = super().why_not(layer, params) or why_no_criterion(params.criterion, layer)
        if not reason and _repair(params) != _NONE and not has_rows(layer):
            reason = f"kept weights cannot make up for removed ones: {why_no_rows(layer)}"
        if reason:
            return reason
        if params.pattern in _TILES:
            tiling = tiling_of(params.pattern, params.block, layer)
            return tiling if isinstance(tiling, str) else ""
        if params.pattern in _NEIGHBOURS:
            return _why_not_neighbours(layer, params)
        if params.scope == "output" and not (has_rows(layer) or len(layer.shape) == 2):
            return f"a {layer.kind} weight of {len(layer.shape)} axes has no rows, one for each output"
        return ""

    def apply(self, encoding: Encoding, params: PruneParams, context: Context) -> Encoding:
        refuse_quantized(encoding, "put prune before quantize")
        refuse_low_rank(encoding, "use one of the two")
        leaf = encoding.values if isinstance(encoding, Kept) else encoding
        if not isinstance(leaf, Float):
            raise LayerSkipped(f"the weight is stored as {encoding.describe()}, which prune does not handle")
        whole = Float(encoding.decode()) if isinstance(encoding, Kept) else leaf
        values = leaf_values(whole, context)
        # The shares of the progress are rough: what comes from samples takes most of the time.
        choosing = _within(context, 0.0, 0.5 if _repair(params) != _NONE else 1.0)
        tiling = _tiling(params, context.layer)
        mask = _mask(values, tiling, params, choosing)
        if isinstance(encoding, Kept):
            mask &= encoding.mask()
        if _repair(params) != _NONE:
            repair = keep_means if params.compensate == _MEAN else refit
            values = repair(values, mask, _within(context, 0.5, 1.0))
        context.reporter.check()
        return _store(values, mask, leaf, tiling)

    def label(self, params: PruneParams) -> str:
        if params.pattern in _NEIGHBOURS:
            return f"prune {params.pattern}"
        share = f"{100 * params.ratio:.4g} %"
        if params.pattern == BLOCKS:
            return f"{share} {params.block} blocks"
        if params.pattern in _TILES:
            return f"{share} {params.pattern}"
        return f"prune {share}{_SHORT.get(params.criterion, '')}"


def _repair(params: PruneParams) -> str:
    """How the kept weights make up for the removed ones; a row that goes leaves none that could."""
    return _NONE if params.pattern == ROWS else params.compensate


def _within(context: Context, start: float, end: float) -> Context:
    """The same context, with the progress of a part of the work."""
    return replace(context, reporter=context.reporter.part(start, end))


def _why_not_neighbours(layer: Layer, params: PruneParams) -> str:
    _, m = _neighbours(params)
    if layer.input_axis is None:
        return f"{params.pattern} goes along an input axis, which a {layer.kind} weight has not"
    size = layer.shape[layer.input_axis]
    return f"{params.pattern} needs input channels in multiples of {m}, here are {size}" if size % m else ""


def _neighbours(params: PruneParams) -> tuple[int, int]:
    n, m = params.pattern.split(":")
    return int(n), int(m)


def _tiling(params: PruneParams, layer: Layer) -> Tiling | None:
    """The blocks that go together; None for single weights. Raises LayerSkipped when they do not fit the layer."""
    if params.pattern not in _TILES:
        return None
    tiling = tiling_of(params.pattern, params.block, layer)
    if isinstance(tiling, str):
        raise LayerSkipped(tiling)
    return tiling


def _mask(values: Array, tiling: Tiling | None, params: PruneParams, context: Context) -> Array:
    """Bool, of the weight's shape: what stays."""
    scores = importance(values, params.criterion, context)
    context.reporter.check()
    if tiling is not None:
        kept = lowest_removed(block_scores(tiling.split(scores), params.criterion, context), params.ratio)
        spread = np.broadcast_to(kept[:, np.newaxis], (tiling.blocks, tiling.block_size))
        return tiling.join(spread, values.shape)
    if params.pattern in _NEIGHBOURS:
        return neighbours_mask(scores, *_neighbours(params), context)
    if params.scope == "output":
        return output_mask(scores, params.ratio, context)
    return magnitude_mask(scores, params.ratio, context)


def _store(values: Array, mask: Array, leaf: Float, tiling: Tiling | None) -> Encoding:
    """The kept weights in the type of `leaf`: as blocks where all of a block's weights stay or go, else one by one."""
    if tiling is not None:
        blocks = tiling.split(mask)
        kept = blocks[:, 0]
        if (blocks == kept[:, np.newaxis]).all():
            chosen = np.ascontiguousarray(tiling.split(values)[kept])
            return Blocks.encode(Float(chosen, leaf.dtype), kept, tiling, values.shape)
    return Sparse.encode(Float(gather(values, mask), leaf.dtype), mask)
