"""Tier 2: how far the outputs move when one layer alone is compressed, for real.

The original runs once; for each layer only the nodes that depend on its weight are run again, for every setting with
another weight as an input (`suffixes`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from core.analysis.runtime import run
from core.analysis.sensitivity.cells import LayerCells, Skip, Tier
from core.analysis.sensitivity.divergence import error_of
from core.analysis.sensitivity.originals import Batch, Originals
from core.analysis.sensitivity.suffixes import WEIGHT, Suffixes
from core.analysis.sensitivity.trials import LayerTrials
from core.analysis.sensitivity.working import as_done, in_background, processors
from core.errors import InternalError
from core.progress import Reporter

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

    from core.model.layer import Layer
    from core.model.model import Model

Array = np.ndarray[Any, np.dtype[Any]]

MAX_BYTES = 512 * 2**20
"""What is kept of recorded values at a time."""
NOT_REACHED = "nothing of it reaches the outputs on these samples (a branch that does not run, for example)"


@dataclass(eq=False)
class _Work:
    """One layer at work: its trials, and the sums of each over the batches so far.

    changed  whether any trial has other weights than the original
    """

    layer: Layer
    trials: LayerTrials | None = None
    sums: list[Array] = field(default_factory=list)
    session: InferenceSession | None = None
    changed: bool = False


class Measuring:
    """Measures layers of a model against its `originals`.

    suffixes   entered
    trials_of  carries the settings out on a layer
    """

    def __init__(
        self,
        model: Model,
        suffixes: Suffixes,
        originals: Originals,
        trials_of: Callable[[Layer, Reporter], LayerTrials],
        *,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._model, self._suffixes, self._originals = model, suffixes, originals
        self._trials_of, self._max_bytes = trials_of, max_bytes

    def layers(self, layers: Sequence[Layer], sizes: Mapping[str, int], reporter: Reporter) -> Iterator[LayerCells]:
        """Each layer's cells as they are there; layers that cannot be measured keep their cells of tier 0.

        sizes  bytes of each frontier value, of one sample
        """
        able = [layer for layer in layers if not self._suffixes.why_not(layer.name)]
        for layer in layers:
            if layer not in able:
                yield self._unmeasured(layer, reporter)
        done = 0
        for group in self._groups(able, sizes):
            for found in self._group(group, sizes, reporter):
                done += 1
                reporter.report(done / len(able), f"measured {self._model.layer(found.layer).title}")
                yield found

    def _unmeasured(self, layer: Layer, reporter: Reporter) -> LayerCells:
        trials = self._trials_of(layer, reporter)
        reason = f"not measured: {self._suffixes.why_not(layer.name)}"
        skip = () if layer.locked else (Skip(layer.name, (), reason),)
        return LayerCells(layer.name, trials.cells, (*trials.skipped, *skip))

    def _groups(self, layers: Sequence[Layer], sizes: Mapping[str, int]) -> Iterator[list[Layer]]:
        """Layers, in order, whose frontiers fit into memory together."""
        group: list[Layer] = []
        values: set[str] = set()
        for layer in layers:
            new = values | set(self._suffixes.frontier(layer.name))
            if group and sum(sizes[value] for value in new) * self._originals.samples > self._max_bytes:
                yield group
                group, new = [], set(self._suffixes.frontier(layer.name))
            group.append(layer)
            values = new
        if group:
            yield group

    def _group(self, layers: Sequence[Layer], sizes: Mapping[str, int], reporter: Reporter) -> Iterator[LayerCells]:
        """Record the group's frontiers, some batches at a time, and measure its layers on them."""
        values = sorted({value for layer in layers for value in self._suffixes.frontier(layer.name)})
        kept = [value for value in values if value not in self._originals.batches[0].feed]
        each = sum(sizes[value] for value in kept) * self._originals.batches[0].count
        step = max(1, self._max_bytes // max(each, 1))
        batches = self._originals.batches
        works = [_Work(layer) for layer in layers]
        sess = in_background(lambda _: self._suffixes.whole(kept), reporter) if kept else None
        for start in range(0, len(batches), step):
            chunk = batches[start : start + step]
            records = [record for _, record in sorted(as_done(_recording(sess, kept, self._model), chunk, reporter))]

            def measure(
                work: _Work, inner: Reporter, chunk: Sequence[Batch] = chunk, records: list[dict[str, Array]] = records
            ) -> None:
                self._measure(work, chunk, records, inner)

            last = start + step >= len(batches)
            for position, _ in as_done(measure, works, reporter, workers=processors()):
                if last:
                    yield self._cells(works[position])
                    works[position].session = works[position].trials = None

    def _measure(
        self, work: _Work, batches: Sequence[Batch], records: Sequence[Mapping[str, Array]], reporter: Reporter
    ) -> None:
        """Add what each setting of a layer does on some batches to its sums."""
        name = work.layer.name
        if work.trials is None:
            work.trials = self._trials_of(work.layer, reporter)
            work.sums = [np.zeros_like(self._originals.scale) for _ in work.trials.trials]
        frontier = self._suffixes.frontier(name)
        wanted = self._originals.divergence.outputs
        if work.session is None:
            work.session = self._suffixes.part(name, {value: records[0][value] for value in frontier}, wanted)
        outputs = [output.name for output in work.session.get_outputs()]
        if not outputs:
            return
        original = self._model.weight(name)
        for trial, sums in zip(work.trials.trials, work.sums, strict=True):
            weight = np.ascontiguousarray(trial.encoding.decode(), np.float32)
            if np.array_equal(weight, original):
                continue
            work.changed = True
            for batch, record in zip(batches, records, strict=True):
                reporter.check()
                feed = {value: record[value] for value in frontier} | {WEIGHT: weight}
                got = run(work.session, feed, where=f"layer {name!r}")
                sums += batch.reference.sums({**batch.outputs, **dict(zip(outputs, got, strict=True))})

    def _cells(self, work: _Work) -> LayerCells:
        trials = work.trials
        if trials is None:
            raise InternalError(f"layer {work.layer.name!r} was never measured")
        if work.changed and not any(sums.any() for sums in work.sums):  # no sign that the layer may be compressed
            skip = Skip(work.layer.name, (), f"not measured: {NOT_REACHED}")
            return LayerCells(work.layer.name, trials.cells, (*trials.skipped, skip))
        scale = self._originals.scale
        cells = tuple(
            replace(trial.cell, error=error_of(sums, scale), tier=int(Tier.MEASURED))
            for trial, sums in zip(trials.trials, work.sums, strict=True)
        )
        return LayerCells(work.layer.name, cells, trials.skipped)


def _recording(
    sess: InferenceSession | None, values: Sequence[str], model: Model
) -> Callable[[Batch, Reporter], dict[str, Array]]:
    def record(batch: Batch, reporter: Reporter) -> dict[str, Array]:
        got = [] if sess is None else run(sess, batch.feed, values, where=model.name)
        return {**batch.feed, **dict(zip(values, got, strict=True))}

    return record


def frontier_sizes(model: Model, suffixes: Suffixes, feed: Mapping[str, Array]) -> dict[str, int]:
    """Bytes of every value that some layer's frontier has, on one sample."""
    free = [layer.name for layer in model.layers if not suffixes.why_not(layer.name)]
    values = {value for name in free for value in suffixes.frontier(name)}
    inner = sorted(values - set(feed))
    got = run(suffixes.whole(inner), feed, inner, where=model.name) if inner else []
    return {value: array.nbytes for value, array in (*feed.items(), *zip(inner, got, strict=True))}
