"""The original's outputs on the samples that a sensitivity is measured on, checked before anything is compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from core.analysis.runtime import Feed, run
from core.analysis.sensitivity.divergence import Divergence, Reference
from core.analysis.sensitivity.padding import cut_batches, masked_lengths
from core.analysis.sensitivity.suffixes import Suffixes
from core.data.samples import Samples
from core.errors import DataError, ModelFileError
from core.progress import Reporter

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

    from core.model.model import Model

Array = np.ndarray[Any, np.dtype[Any]]

BATCH = 8
"""Samples in one run at most: more gain nothing on a processor."""
BATCH_BYTES = 2**20
"""Of the largest value in a run with several samples: larger ones leave the caches, and a run gets slower."""


@dataclass(frozen=True, eq=False)
class Batch:
    """One run of the original: `count` samples, their inputs, and what came out."""

    count: int
    feed: Feed
    outputs: Mapping[str, Array]
    reference: Reference


@dataclass(frozen=True, eq=False)
class Originals:
    """All runs of the original.

    batches  together `samples` samples
    scale    (outputs,) what added sums are divided by (`divergence.error_of`)
    notes    sentences a person should know
    """

    divergence: Divergence
    batches: tuple[Batch, ...]
    samples: int
    scale: Array
    notes: tuple[str, ...]


def run_originals(
    model: Model, suffixes: Suffixes, samples: Samples, reporter: Reporter, *, largest: int = 0
) -> Originals:
    """Run the original on all samples.

    largest  bytes of the largest value of one sample, which decides how many samples a run takes

    Raises DataError when the outputs are not finite (naming the layer where that begins), zero on all samples, or no
    floats; ModelFileError or DataError when the model does not run on the samples.
    """
    sess = suffixes.whole()
    names = suffixes.outputs
    first = dict(zip(names, run(sess, samples.feed(0), where=model.name), strict=True))
    divergence = Divergence.choose(first, samples.labels, model.name)
    size = _batch_size(sess, samples, first, max(largest, 1))
    batches = []
    for rows, feed in _feeds(model, sess, samples, size):
        reporter.check()
        count = len(rows)
        outputs = dict(zip(names, run(sess, feed, where=model.name), strict=True))
        for name in divergence.outputs:
            if not np.isfinite(outputs[name]).all():
                raise _not_finite(model, suffixes, feed, name, samples.name(int(rows[0])) if count == 1 else "")
        batches.append(Batch(count, feed, outputs, divergence.against(outputs, count)))
    scale = np.sum([batch.reference.scale for batch in batches], axis=0)
    if not scale.any():
        raise DataError(
            "the outputs are zero on all samples, so no error can be measured against them", where=model.name,
            do="check the model and the samples",
        )  # fmt: skip
    return Originals(divergence, tuple(batches), samples.n, scale, _notes(divergence, batches, samples.n))


def _feeds(model: Model, sess: InferenceSession, samples: Samples, size: int) -> Iterator[tuple[Array, Feed]]:
    """(indices of the samples, feed) of every run."""
    lengths = masked_lengths(model.inputs, samples) if size > 1 else None
    if lengths is not None and _padding_is_idle(sess, samples, lengths, size):
        yield from cut_batches(samples, lengths, size)
        return
    feeds = samples.batches(size) if size > 1 else samples.feeds()
    for number, feed in enumerate(feeds):
        yield np.arange(number * size, min((number + 1) * size, samples.n)), feed


def _padding_is_idle(sess: InferenceSession, samples: Samples, lengths: Array, size: int) -> bool:
    """Whether batches without padding give what the same samples give alone with theirs, tried on some of each."""
    for rows, feed in cut_batches(samples, lengths, size):
        try:
            cut = sess.run(None, dict(feed))
            alone = sess.run(None, samples.feed(int(rows[0])))
        except Exception:  # noqa: BLE001  onnxruntime's exceptions have no base; such a model gets its padding
            return False
        if not all(_begins(got, one) for got, one in zip(cut, alone, strict=True)):
            return False
    return True


def _notes(divergence: Divergence, batches: Sequence[Batch], count: int) -> tuple[str, ...]:
    if count == 1:
        return ("Only one sample: the errors may be very different on others.",)
    notes = []
    for name in divergence.outputs:
        first = batches[0].outputs[name]
        alike = first[:1] if batches[0].count > 1 else first
        if all(batch.outputs[name].shape[1:] == first.shape[1:] and np.all(batch.outputs[name] == alike)
               for batch in batches):  # fmt: skip
            notes.append(
                f"Output {name!r} is the same for all {count:,} samples; errors tell little. Check the model and the "
                "samples."
            )
    return tuple(notes)


def _batch_size(sess: InferenceSession, samples: Samples, first: Mapping[str, Array], largest: int) -> int:
    """How many samples a run takes: 1 unless two together give what each gives alone."""
    size = min(BATCH, samples.n, max(1, BATCH_BYTES // largest))
    if size < 2 or not samples.batchable:
        return 1
    try:
        both = sess.run(None, dict(next(samples.batches(2))))
    except Exception:  # noqa: BLE001  onnxruntime's exceptions have no base; such a model takes one sample a run
        return 1
    alike = all(_begins_with(got, alone) for got, alone in zip(both, first.values(), strict=True))
    return size if alike else 1


def _begins_with(both: Array, alone: Array) -> bool:
    """Whether an output of two samples is twice as long as that of the first, and begins with it."""
    return both.ndim > 0 and both.shape == (2 * alone.shape[0], *alone.shape[1:]) and _begins(both, alone)


def _begins(several: Array, first: Array) -> bool:
    """Whether an output of several samples begins with that of the first alone."""
    scale = float(np.abs(first).max(initial=0.0))
    if several.ndim == 0 or several.shape[1:] != first.shape[1:] or not np.isfinite(scale):
        return False
    return np.allclose(several[: len(first)], first, rtol=1e-3, atol=1e-4 * scale)


def _not_finite(model: Model, suffixes: Suffixes, feed: Feed, output: str, sample: str) -> DataError:
    """The error that names the first layer behind which a value is not finite."""
    on = f" on {sample}" if sample else " on some samples"
    behind = suffixes.behind_layers()
    sess = suffixes.whole(value for _, value in behind)
    try:
        values = run(sess, feed, [value for _, value in behind], where=model.name)
    except ModelFileError:
        values = []
    for (layer, _), value in zip(behind, values, strict=False):
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            where = f" first behind layer {model.layer(layer).title}"
            return DataError(
                f"output {output!r} is NaN or infinite{on};{where}", where=model.name,
                do="check that layer's weights, or leave out these samples",
            )  # fmt: skip
    what = f"output {output!r} is NaN or infinite{on}"
    return DataError(what, where=model.name, do="check the model and the samples")
