"""What a layer's steps would do to it, fast enough to follow a slider: the code of the real thing, for one layer."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from core.analysis.histogram import Histogram, histogram
from core.analysis.metrics import SqnrSum
from core.analysis.statistics import Statistics, statistics
from core.encoding.base import Array, Encoding
from core.methods.base import Context, Memo, Stage
from core.methods.registry import by_key
from core.model.layer import Layer
from core.progress import SILENT, Reporter

if TYPE_CHECKING:
    from core.data.layer_inputs import LayerInputs
    from core.recipe import Step  # noqa: TID251  a type only; see `preview`

BINS = 129
"""Bins of the lens' histogram: about a bin for every four pixels."""


@dataclass(frozen=True, eq=False)
class LayerPreview:
    """One layer before and after its steps. Without steps, or when it was skipped, nothing changes and `after` is None.

    label            the steps in words ("prune 60 % · int4"), "" without steps
    skipped          why the steps cannot be applied (one clause), or ""
    before, after    histograms with the same edges, which hold all of the original but its outliers
    levels           distinct values afterwards when they are few and shared by the whole layer, else None
    zeros            share of the weights that are exactly zero, before and after
    ranges           (minimum, maximum), before and after; NaN when no weight is finite
    bytes_before, bytes_after   of tensor data, exact, as in `pipeline.LayerResult`
    file_before, file_after     with names and nodes: what the layer adds to the file (predicted)
    file_cut         as `file_before`, of the layer as channel cuts leave it: what the steps of its weight start from
    weight_sqnr_db   inf when unchanged; weights of channels that are cut count as zero
    seconds          what this preview took
    note             what channel cuts did to the layer, or why its own cut cannot be done, in words, or ""
    rank             that a low rank step kept, or None
    rank_by          what that rank was weighted by ("inputs", as in encoding.low_rank), or ""
    """

    name: str
    label: str
    skipped: str
    before: Histogram
    after: Histogram | None
    levels: Array | None
    zeros_before: float
    zeros_after: float
    range_before: tuple[float, float]
    range_after: tuple[float, float]
    bytes_before: int
    bytes_after: int
    file_before: int
    file_after: int
    file_cut: int
    weight_sqnr_db: float
    seconds: float
    note: str = ""
    rank: int | None = None
    rank_by: str = ""

    @property
    def n_levels(self) -> int | None:
        return None if self.levels is None else int(self.levels.size)


@dataclass(frozen=True, eq=False)
class _Changed:
    """What the preview needs to know of the decoded weight."""

    picture: Histogram
    minimum: float
    maximum: float
    zeros: int
    sqnr_db: float


@dataclass(frozen=True, eq=False)
class Start:
    """What the steps of a weight start from, where channels were cut or samples were measured.

    layer, weight, encoding  of the rewritten model
    inputs, why_no_inputs    as in `methods.base.Context`
    note                     as in LayerPreview
    """

    layer: Layer
    weight: Array
    encoding: Encoding
    inputs: LayerInputs | None = None
    why_no_inputs: str = ""
    note: str = ""


def preview(
    layer: Layer,
    original: Array,
    encoding: Encoding,
    steps: Sequence[Step],
    memo: Memo,
    opset: int,
    *,
    reporter: Reporter = SILENT,
    start: Start | None = None,
) -> LayerPreview:
    """What `steps` make of one layer.

    original   the weight, float32, of the layer's shape
    encoding   the layer as stored (Model.encoding)
    memo       kept by the caller while the layer is shown, so that a moved slider repeats only what it changes
    opset      of the model; an encoding that needs a higher one is counted at that
    start      what the steps start from, when that is not the layer as it is and without samples

    Not to be called in the kernels' thread pool. Raises Cancelled; a step that cannot be applied is told in `skipped`.
    """
    # A preview is one layer's share of the pipeline, measured; the pipeline itself never looks at previews.
    from core.pipeline import apply_steps, bytes_in_file, too_large  # noqa: TID251

    started = time.perf_counter()
    before: Statistics = memo.of("preview:statistics", original, lambda: statistics(original, BINS))
    given = start or Start(layer, original, encoding)
    is_cut = given.layer.shape != layer.shape
    found, skipped = None, ""
    if any(by_key(step.method).stage is Stage.WEIGHTS for step in steps):
        context = Context(given.layer, memo, 0, reporter, given.inputs, given.why_no_inputs, opset)
        found, skipped = apply_steps(given.layer, given.encoding, steps, context)
        if found is not None:
            skipped = too_large(found, given.layer, opset)
            found = None if skipped else found
    if found is None and is_cut:
        found = given.encoding
    reporter.check()
    changed = None if found is None else _measure(original, given.weight, found, before)
    file_before, file_cut = (bytes_in_file(*pair, opset) for pair in ((encoding, layer), (given.encoding, given.layer)))
    span = (before.minimum, before.maximum)
    rank, rank_by = _rank(found)
    return LayerPreview(
        name=layer.name,
        label=" · ".join(by_key(step.method).label(step.params) for step in steps),
        skipped=skipped,
        before=before.histogram,
        after=changed.picture if changed else None,
        levels=found.levels() if found else None,
        zeros_before=before.zeros / max(before.n, 1),
        zeros_after=(changed.zeros if changed else before.zeros) / max(before.n, 1),
        range_before=span,
        range_after=(changed.minimum, changed.maximum) if changed else span,
        bytes_before=layer.nbytes,
        bytes_after=found.nbytes if found else given.layer.nbytes,
        file_before=file_before,
        file_after=bytes_in_file(found, given.layer, opset) if found else file_cut,
        file_cut=file_cut,
        weight_sqnr_db=changed.sqnr_db if changed else float("inf"),
        seconds=time.perf_counter() - started,
        note=given.note,
        rank=rank,
        rank_by=rank_by,
    )


def _rank(found: Encoding | None) -> tuple[int | None, str]:
    """The rank of the outermost two-factor product in an encoding, and what it was weighted by."""
    from core.encoding.low_rank import LowRank

    if found is None:
        return None, ""
    if isinstance(found, LowRank):
        return found.rank, found.by
    ranks = (_rank(child) for child in found.children)
    return next((pair for pair in ranks if pair[0] is not None), (None, ""))


def _measure(original: Array, start: Array, found: Encoding, before: Statistics) -> _Changed:
    """original: the whole weight; start: what channel cuts left of it."""
    from core.kernels import flat_float32
    from core.kernels.compare import squares
    from core.kernels.moments import moments

    decoded = np.asarray(found.decode(), dtype=np.float32)
    m = moments(flat_float32(decoded))
    shared = before.histogram
    picture = histogram(decoded, shared.low, shared.high, shared.bins)
    signal, error = squares(start, decoded)
    removed = 0.0
    if start.shape != original.shape:
        removed = max(0.0, squares(original, original)[0] - signal)
    sqnr_db = SqnrSum(signal + removed, error + removed).db
    return _Changed(picture, m.minimum, m.maximum, m.zeros, sqnr_db)
