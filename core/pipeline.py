"""From a model and a recipe to the encodings of all layers: in parallel, cancellable, one layer's trouble its own."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from core.encoding.base import Encoding
from core.errors import Cancelled, FeatherweightError, LayerSkipped
from core.methods import registry
from core.methods.base import Context, Memo, Method, Stage
from core.model.layer import Kind, Layer
from core.model.model import Model
from core.preparing import Prepared, prepare, works_from_samples
from core.progress import SILENT, Progress, Reporter
from core.recipe import Recipe, Step
from core.rewriting.rewrite import Rewriting

if TYPE_CHECKING:
    from core.data.layer_inputs import LayerInputs
    from core.data.samples import Samples

_POLL = 0.05  # seconds between two looks at the cancel flag while layers are being worked on
_WORKERS = 2  # more mostly wait for memory, and each holds a layer's temporaries


@dataclass(frozen=True)
class LayerResult:
    """What became of one layer.

    steps           labels of its steps, in order; () when the recipe leaves it alone
    skipped         why it stays as it was although it has steps (one clause), or ""
    encoding        how it is stored now, or None when it stays as it was
    bytes_before    of tensor data in the file
    bytes_after     of tensor data, then; what names and nodes take is in the file's size alone
    weight_sqnr_db  10 log10(sum of squares of the weights / of their changes); inf when unchanged. Weights of channels
                    that were cut count as zero
    seconds         time it took
    note            what channel cuts and graph steps did to it, in words, or ""
    """

    name: str
    kind: Kind
    steps: tuple[str, ...]
    skipped: str
    encoding: Encoding | None = field(repr=False)
    bytes_before: int
    bytes_after: int
    weight_sqnr_db: float
    seconds: float
    note: str = ""


@dataclass(frozen=True)
class Compression:
    """What became of a model.

    layers     in the model's order
    seconds    the time that all took
    rewriting  what graph and channel steps did; the encodings belong to its model
    """

    layers: tuple[LayerResult, ...]
    seconds: float
    rewriting: Rewriting


def apply_steps(
    layer: Layer, encoding: Encoding, steps: Iterable[Step], context: Context
) -> tuple[Encoding | None, str]:
    """The encoding after all steps, or None and the reason why the layer is skipped (one clause). Raises Cancelled."""
    try:
        for step in steps:
            context.reporter.check()
            method = registry.by_key(step.method)
            if not isinstance(method, Method):
                continue  # channels are cut before (`rewriting`)
            reason = method.why_not(layer, step.params)
            if reason:
                return None, reason
            encoding = method.apply(encoding, step.params, context)
    except LayerSkipped as error:
        return None, f"{error.what}; {error.do}" if error.do else error.what
    except MemoryError:
        return None, f"there is not enough memory for its {layer.n_weights:,} weights"
    return encoding, ""


@dataclass(frozen=True)
class _Job:
    """One layer's work.

    layer          as channel cuts leave it
    steps          of all stages
    original       the layer as opened
    note           what cuts did to it, and why its own channel step could not be done
    """

    layer: Layer
    steps: tuple[Step, ...]
    original: Layer
    note: str = ""
    inputs: LayerInputs | None = None
    why_no_inputs: str = ""

    @property
    def is_cut(self) -> bool:
        return self.layer.shape != self.original.shape

    @property
    def has_weight_steps(self) -> bool:
        return any(registry.by_key(step.method).stage is Stage.WEIGHTS for step in self.steps)


def _compress_layer(rewriting: Rewriting, job: _Job, reporter: Reporter, seed: int) -> LayerResult:
    """One layer's share of `compress`. Raises Cancelled, and nothing else that is about the layer."""
    start = time.perf_counter()
    layer, model = job.layer, rewriting.model
    labels = tuple(step.label() for step in job.steps)

    def result(skipped: str, new: Encoding | None = None, sqnr: float = np.inf) -> LayerResult:
        after = layer.nbytes if new is None else new.nbytes
        seconds = time.perf_counter() - start
        before = job.original.nbytes
        note = job.note if job.note != skipped else ""
        return LayerResult(layer.name, layer.kind, labels, skipped, new, before, after, sqnr, seconds, note)

    def unchanged(reason: str) -> LayerResult:
        """Left as it was, or as the cuts of channels left it."""
        if not job.is_cut:
            return result(reason or (job.note if not job.has_weight_steps else ""))
        return result(reason, sqnr=_removed_sqnr_db(rewriting, layer.name))

    try:
        if not job.has_weight_steps or layer.locked:
            return unchanged(layer.locked if job.steps else "")
        context = Context(layer, Memo(), seed, reporter, job.inputs, job.why_no_inputs, model.opset)
        original = model.encoding(layer.name)
        encoding, reason = apply_steps(layer, original, job.steps, context)
        if encoding is None:
            return unchanged(reason)
        reason = too_large(encoding, layer, model.opset)
        if reason:
            return unchanged(reason)
        sqnr = _sqnr_db(original, encoding, _removed_energy(rewriting, job), reporter)
        if not sqnr > -np.inf:  # infinite scales of weights near the end of float32's range, for example
            return unchanged("its compressed weights would not be finite")
        return result("", encoding, sqnr)
    except Cancelled:
        raise
    except FeatherweightError as error:  # the weight cannot be read, for example: the other layers go on
        return result(str(error).removesuffix("."))
    except MemoryError:
        return result(f"there is not enough memory for its {layer.n_weights:,} weights")


def compress(
    model: Model,
    recipe: Recipe,
    reporter: Reporter = SILENT,
    on_layer: Callable[[LayerResult], None] | None = None,
    *,
    workers: int | None = None,
    seed: int = 0,
    samples: Samples | None = None,
) -> Compression:
    """Apply a recipe to a model: graph steps, channel steps, then every layer's weights.

    reporter   progress by bytes; cancelling takes effect within 0.2 s. Raises Cancelled
    on_layer   called with each result as it is there, in any order
    workers    threads; the results do not depend on it
    samples    for steps that work from what reaches the layers; without them such steps leave their layers as they were

    `reporter` and `on_layer` are called from the calling thread only. A singular value decomposition cannot be
    interrupted: after a cancel its thread ends by itself, unseen.
    """
    start = time.perf_counter()
    split = 0.4 if samples is not None and works_from_samples(model, recipe) else 0.05
    prepared = prepare(model, recipe, samples, reporter.part(0.0, split), seed=seed)
    rewriting = prepared.rewriting
    jobs = _jobs(prepared, recipe)
    if workers is None:
        workers = min(_WORKERS, os.cpu_count() or 1)
    results = _Run(rewriting, reporter.part(split, 1.0), on_layer, seed).all(jobs, workers)
    known = {result.name: result for result in results}
    layers = tuple(known.get(layer.name) or _gone(layer, recipe) for layer in model.layers)
    return Compression(layers, time.perf_counter() - start, rewriting)


def _jobs(prepared: Prepared, recipe: Recipe) -> list[_Job]:
    rewriting, jobs = prepared.rewriting, []
    for layer in rewriting.model.layers:
        original = rewriting.original_layers.get(layer.name)
        if original is None:
            continue  # a tensor that a graph step made
        steps = recipe.steps_for(layer.name)
        inputs, why_not = prepared.inputs(layer.name, steps)
        words = rewriting.words(layer.name)
        jobs.append(_Job(layer, steps, original, words, inputs, why_not))
    return jobs


def _gone(layer: Layer, recipe: Recipe) -> LayerResult:
    """A layer that the rewritten model no longer has."""
    labels = tuple(step.label() for step in recipe.steps_for(layer.name))
    note = "removed: nothing uses it any more"
    return LayerResult(layer.name, layer.kind, labels, "", None, layer.nbytes, 0, np.inf, 0.0, note)


class _Run:
    """Layers at work in threads; their progress and results come to the calling thread through a queue."""

    def __init__(
        self, rewriting: Rewriting, reporter: Reporter, on_layer: Callable[[LayerResult], None] | None, seed: int
    ) -> None:
        self.rewriting, self.reporter, self.on_layer, self.seed = rewriting, reporter, on_layer, seed
        self.stop = threading.Event()
        self.messages: queue.SimpleQueue[tuple[int, float | LayerResult | BaseException]] = queue.SimpleQueue()

    def all(self, jobs: list[_Job], workers: int) -> list[LayerResult]:
        """Results in the order of the jobs."""
        weights = np.array([max(job.layer.nbytes, 1) if job.has_weight_steps else 1 for job in jobs], np.float64)
        # Large layers first, so that no thread is left with a long one at the end.
        order = sorted(range(len(jobs)), key=lambda index: -weights[index])
        pool = ThreadPoolExecutor(max_workers=max(1, workers), thread_name_prefix="compress")
        try:
            for index in order:
                pool.submit(self._work, index, jobs[index])
            return self._collect(jobs, weights)
        finally:
            self.stop.set()  # no effect when all is done
            pool.shutdown(wait=False, cancel_futures=True)

    def _work(self, index: int, job: _Job) -> None:
        def tell(progress: Progress) -> None:
            self.messages.put((index, progress.done))

        try:
            reporter = Reporter(tell, self.stop)
            self.messages.put((index, _compress_layer(self.rewriting, job, reporter, self.seed)))
        except BaseException as error:  # noqa: BLE001  raised again in the calling thread
            self.messages.put((index, error))

    def _collect(self, jobs: list[_Job], weights: np.ndarray) -> list[LayerResult]:
        results: dict[int, LayerResult] = {}
        done = np.zeros(len(jobs))
        while len(results) < len(jobs):
            self.reporter.check()
            try:
                index, message = self.messages.get(timeout=_POLL)
            except queue.Empty:
                continue
            if isinstance(message, BaseException):
                raise message
            if isinstance(message, LayerResult):
                results[index] = message
                done[index] = 1.0
            else:
                done[index] = message
            self.reporter.report(float(done @ weights / weights.sum()), f"Compressing {jobs[index].layer.name}")
            if isinstance(message, LayerResult) and self.on_layer is not None:
                self.on_layer(message)
        return [results[index] for index in range(len(jobs))]


def too_large(encoding: Encoding, layer: Layer, opset: int) -> str:
    """Why a layer is better left as it was (one clause): its encoding, nodes included, takes as many bytes; or ""."""
    in_file = bytes_in_file(encoding, layer, opset)
    return f"would take {_size(in_file)} instead of {_size(layer.nbytes)}" if in_file >= layer.nbytes else ""


def bytes_in_file(encoding: Encoding, layer: Layer, opset: int) -> int:
    """Bytes of tensors and nodes, at the opset that the encoding needs at least."""
    from core.encoding.counting import emitted_size

    size = emitted_size(encoding, max(opset, encoding.min_opset), value_name_length=len(layer.name.encode()))
    return size.total


def _sqnr_db(original: Encoding, encoding: Encoding, removed: float, reporter: Reporter) -> float:
    """SQNR of the weights; `removed` is the sum of squares of those that channel cuts took."""
    from core.analysis.metrics import SqnrSum
    from core.kernels.compare import squares

    reporter.check()
    changed = encoding.decode()
    reporter.check()
    signal, error = squares(original.decode(), changed)
    return SqnrSum(signal + removed, error + removed).db


def _energy(model: Model, name: str) -> float:
    flat = np.ascontiguousarray(model.weight(name)).reshape(-1)
    return float(np.einsum("i,i->", flat, flat, dtype=np.float64))


def _removed_energy(rewriting: Rewriting, job: _Job) -> float:
    """Sum of squares of the weights that cuts took from a layer."""
    if not job.is_cut:
        return 0.0
    return max(0.0, _energy(rewriting.original, job.layer.name) - _energy(rewriting.model, job.layer.name))


def _removed_sqnr_db(rewriting: Rewriting, name: str) -> float:
    """SQNR of a layer that was cut and is otherwise as it was."""
    from core.analysis.metrics import SqnrSum

    before = _energy(rewriting.original, name)
    return SqnrSum(before, max(0.0, before - _energy(rewriting.model, name))).db


def _size(nbytes: int) -> str:
    """Bytes for people; exact where two small numbers are compared."""
    return f"{nbytes:,} B"
