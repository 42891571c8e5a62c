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
from core.methods.base import Context, Memo
from core.methods.registry import by_key
from core.model.layer import Layer
from core.progress import SILENT, Reporter

if TYPE_CHECKING:
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
    weight_sqnr_db   inf when unchanged
    seconds          what this preview took
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
    weight_sqnr_db: float
    seconds: float

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


def preview(
    layer: Layer,
    original: Array,
    encoding: Encoding,
    steps: Sequence[Step],
    memo: Memo,
    opset: int,
    *,
    reporter: Reporter = SILENT,
) -> LayerPreview:
    """What `steps` make of one layer.

    original   the weight, float32, of the layer's shape
    encoding   the layer as stored (Model.encoding)
    memo       kept by the caller while the layer is shown, so that a moved slider repeats only what it changes
    opset      of the model; an encoding that needs a higher one is counted at that

    Not to be called in the kernels' thread pool. Raises Cancelled; a step that cannot be applied is told in `skipped`.
    """
    # A preview is one layer's share of the pipeline, measured; the pipeline itself never looks at previews.
    from core.pipeline import apply_steps, bytes_in_file, too_large  # noqa: TID251

    started = time.perf_counter()
    before: Statistics = memo.of("preview:statistics", original, lambda: statistics(original, BINS))
    found, skipped = None, ""
    if steps:
        found, skipped = apply_steps(layer, encoding, steps, Context(layer, memo, reporter=reporter))
    if found is not None:
        skipped = too_large(found, layer, opset)
        found = None if skipped else found
    reporter.check()
    changed = None if found is None else _measure(original, found, before)
    file_before = bytes_in_file(encoding, layer, opset)
    span = (before.minimum, before.maximum)
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
        bytes_after=found.nbytes if found else layer.nbytes,
        file_before=file_before,
        file_after=bytes_in_file(found, layer, opset) if found else file_before,
        weight_sqnr_db=changed.sqnr_db if changed else float("inf"),
        seconds=time.perf_counter() - started,
    )


def _measure(original: Array, found: Encoding, before: Statistics) -> _Changed:
    from core.kernels import flat_float32
    from core.kernels.compare import squares
    from core.kernels.moments import moments

    decoded = np.asarray(found.decode(), dtype=np.float32)
    m = moments(flat_float32(decoded))
    shared = before.histogram
    picture = histogram(decoded, shared.low, shared.high, shared.bins)
    sqnr_db = SqnrSum(*squares(original, decoded)).db
    return _Changed(picture, m.minimum, m.maximum, m.zeros, sqnr_db)
