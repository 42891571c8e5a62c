"""From a model and a recipe to the encodings of all layers: in parallel, cancellable, one layer's trouble its own."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from core.encoding.base import Encoding
from core.errors import Cancelled, FeatherweightError, LayerSkipped
from core.methods import registry
from core.methods.base import Context, Memo, Method
from core.model.layer import Kind, Layer
from core.model.model import Model
from core.progress import SILENT, Progress, Reporter
from core.recipe import Recipe, Step

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
    weight_sqnr_db  10 log10(sum of squares of the weights / of their changes); inf when unchanged
    seconds         time it took
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


@dataclass(frozen=True)
class Compression:
    """What became of a model: its layers in the model's order, and the time that all took."""

    layers: tuple[LayerResult, ...]
    seconds: float


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


def compress_layer(model: Model, layer: Layer, steps: tuple[Step, ...], reporter: Reporter, seed: int) -> LayerResult:
    """One layer's share of `compress`. Raises Cancelled, and nothing else that is about the layer."""
    start = time.perf_counter()
    labels = tuple(step.label() for step in steps)

    def result(
        skipped: str, new: Encoding | None = None, after: int = layer.nbytes, sqnr: float = np.inf
    ) -> LayerResult:
        seconds = time.perf_counter() - start
        return LayerResult(layer.name, layer.kind, labels, skipped, new, layer.nbytes, after, sqnr, seconds)

    if not steps or layer.locked:
        return result(layer.locked if steps else "")
    try:
        original = model.encoding(layer.name)
        encoding, reason = apply_steps(layer, original, steps, Context(layer, Memo(), seed, reporter))
        if encoding is None:
            return result(reason)
        reason = too_large(encoding, layer, model.opset)
        if reason:
            return result(reason)
        sqnr = _sqnr_db(original, encoding, reporter)
        if not sqnr > -np.inf:  # infinite scales of weights near the end of float32's range, for example
            return result("its compressed weights would not be finite")
        return result("", encoding, encoding.nbytes, sqnr)
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
) -> Compression:
    """Apply a recipe to every layer of a model.

    reporter   progress by bytes; cancelling takes effect within 0.2 s. Raises Cancelled
    on_layer   called with each result as it is there, in any order
    workers    threads; the results do not depend on it

    `reporter` and `on_layer` are called from the calling thread only. A singular value decomposition cannot be
    interrupted: after a cancel its thread ends by itself, unseen.
    """
    start = time.perf_counter()
    jobs = [(layer, recipe.steps_for(layer.name)) for layer in model.layers]
    if workers is None:
        workers = min(_WORKERS, os.cpu_count() or 1)
    run = _Run(model, reporter, on_layer, seed)
    results = run.all(jobs, workers)
    return Compression(tuple(results), time.perf_counter() - start)


class _Run:
    """Layers at work in threads; their progress and results come to the calling thread through a queue."""

    def __init__(
        self, model: Model, reporter: Reporter, on_layer: Callable[[LayerResult], None] | None, seed: int
    ) -> None:
        self.model, self.reporter, self.on_layer, self.seed = model, reporter, on_layer, seed
        self.stop = threading.Event()
        self.messages: queue.SimpleQueue[tuple[int, float | LayerResult | BaseException]] = queue.SimpleQueue()

    def all(self, jobs: list[tuple[Layer, tuple[Step, ...]]], workers: int) -> list[LayerResult]:
        """Results in the order of the jobs."""
        weights = np.array([max(layer.nbytes, 1) if steps else 1 for layer, steps in jobs], np.float64)
        # Large layers first, so that no thread is left with a long one at the end.
        order = sorted(range(len(jobs)), key=lambda index: -weights[index])
        pool = ThreadPoolExecutor(max_workers=max(1, workers), thread_name_prefix="compress")
        try:
            for index in order:
                pool.submit(self._work, index, *jobs[index])
            return self._collect(jobs, weights)
        finally:
            self.stop.set()  # no effect when all is done
            pool.shutdown(wait=False, cancel_futures=True)

    def _work(self, index: int, layer: Layer, steps: tuple[Step, ...]) -> None:
        def tell(progress: Progress) -> None:
            self.messages.put((index, progress.done))

        try:
            reporter = Reporter(tell, self.stop)
            self.messages.put((index, compress_layer(self.model, layer, steps, reporter, self.seed)))
        except BaseException as error:  # noqa: BLE001  raised again in the calling thread
            self.messages.put((index, error))

    def _collect(self, jobs: list[tuple[Layer, tuple[Step, ...]]], weights: np.ndarray) -> list[LayerResult]:
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
            self.reporter.report(float(done @ weights / weights.sum()), f"Compressing {jobs[index][0].name}")
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


def _sqnr_db(original: Encoding, encoding: Encoding, reporter: Reporter) -> float:
    from core.analysis.metrics import SqnrSum
    from core.kernels.compare import squares

    reporter.check()
    changed = encoding.decode()
    reporter.check()
    return SqnrSum(*squares(original.decode(), changed)).db


def _size(nbytes: int) -> str:
    """Bytes for people; exact where two small numbers are compared."""
    return f"{nbytes:,} B"
