"""What each layer takes of a run with each setting: its own small graph, exported as it would be in the file, timed in
turns with the original on values that the model really computes."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.analysis.exposing import Exposed
from core.analysis.one_node import OneNode, cut_out, seen_by
from core.analysis.runtime import Feed, run, session
from core.analysis.timing import Clock, Pace, take_turns
from core.errors import Cancelled, FeatherweightError
from core.kernels import user_cache
from core.progress import SILENT, Reporter
from core.scratch import scratch_folder

if TYPE_CHECKING:
    from core.encoding import Encoding
    from core.model.layer import Layer
    from core.model.model import Model

Array = np.ndarray[Any, np.dtype[Any]]

PACE = Pace(0.04, block=0.001)
"""Of one layer with one setting; longer times are seen exactly enough, shorter ones do not matter."""
SHARE_PACE = Pace(1.5, block=0.0005)
EMPTY_RUN = "featherweight.empty"
VERSION = 2
MOST_KEPT = 20_000
STEADY = 2.0


@dataclass(frozen=True)
class LayerTime:
    """One layer's own graph, one run.

    median_ms, low_ms, high_ms  what a run takes beyond an empty run; a tenth of the blocks lie below and above
    original_ms                 low value of the layer as it is, timed in turns with this
    multiply_adds               of one run; None when they cannot be counted
    """

    median_ms: float
    low_ms: float
    high_ms: float
    original_ms: float
    multiply_adds: int | None

    @property
    def ratio(self) -> float:
        """Of the original's time: below 1 is faster. From low values: what interrupts a run only ever adds to it."""
        return self.low_ms / self.original_ms if self.original_ms > 0.0 else 1.0


class LayerTimes:
    """Times layers of one model. A context manager: small graphs lie in a temporary folder.

    model   after graph and channel steps
    feed    one real sample; layers see the values that the model computes on it
    timed   False: only multiply-adds are counted
    cache   folder to keep times in; None: the person's own
    clock   seconds, for tests

    Equal layers (same operator, attributes, shapes and form) are timed once, and what was timed on this machine with
    this runtime is kept: no time depends on the values of weights.
    """

    def __init__(
        self, model: Model, feed: Feed, *, timed: bool = True, cache: Path | None = None,
        clock: Clock = time.perf_counter,
    ) -> None:  # fmt: skip
        self.model, self._feed, self._timed, self._clock = model, feed, timed, clock
        self._graph = model.graph()
        self._cuts, self._why_not = cut_out(self._graph, model.layers)
        self._seen = seen_by(self._cuts.values())
        self._kept = _Kept(cache, timed)
        self._empty: float | None = None

    def __enter__(self) -> LayerTimes:
        self._folder = scratch_folder()
        self._path = Path(self._folder.name)
        inner = {key: dtype for key, dtype in self._seen.items() if key not in self._feed}
        try:
            self._exposed = Exposed(self.model.graph(), inner, where=self.model.name).__enter__()
        except BaseException:
            self._folder.cleanup()
            raise
        return self

    def __exit__(self, *what: Any) -> None:
        self._kept.store()
        self._exposed.__exit__(*what)
        self._folder.cleanup()

    def why_not(self, layer: str) -> str:
        """Why a layer cannot be run by itself (one clause), or ""."""
        return self._why_not.get(layer, "")

    def of(self, layer: str, encodings: Sequence[Encoding], reporter: Reporter = SILENT) -> list[LayerTime | None]:
        """The layer as it is, then stored like each of `encodings`; None where its graph cannot be built or run.

        All are timed in turns. Raises Cancelled.
        """
        forms: list[Encoding | None] = [None, *encodings]
        if layer not in self._cuts:
            return [None] * len(forms)
        sums: list[LayerTime | None] = [LayerTime(0.0, 0.0, 0.0, 0.0, 0)] * len(forms)
        for cut in self._cuts[layer]:  # a weight that several nodes use runs once in each
            feeds = self._feeds(cut)
            if any(array.size == 0 for array in feeds.values()):
                continue  # its branch of the model does not run
            found = self._of_node(self.model.layer(layer), cut, feeds, forms, reporter)
            sums = [_added(total, one) for total, one in zip(sums, found, strict=True)]
        return sums

    def share(self, whole: Path, reporter: Reporter = SILENT) -> float:
        """What all layers as they are take of a run of the whole file, 0 to 1: they and the file are timed in turns.

        Layers that cannot be run by themselves count as nothing.
        """
        runs: list[Callable[[int], object]] = []
        for number, (name, cuts) in enumerate(self._cuts.items()):
            reporter.report(number / len(self._cuts), "Timing the layers beside the whole")
            for place, cut in enumerate(cuts):
                alone = self._alone(name, cut, self._path / f"own{number}.{place}.onnx")
                runs += [alone] if alone is not None else []
        sess = session(whole)
        runs.append(lambda _: run(sess, self._feed, where=self.model.name))
        turns = take_turns(runs, SHARE_PACE, reporter=reporter.part(1.0, 1.0), clock=self._clock)
        empty = self._empty_run()
        blocks = np.maximum(turns.blocks - empty, 1e-6)
        return float(min(1.0, np.median(blocks[:-1].sum(axis=0) / blocks[-1])))

    def _alone(self, name: str, cut: OneNode, path: Path) -> Callable[[int], object] | None:
        """A run of one layer's own graph; None where it cannot be run."""
        feeds = self._feeds(cut)
        if any(array.size == 0 for array in feeds.values()):
            return None
        feed = {given.name: feeds[given.key] for given in cut.feeds}
        try:
            small = _small_model(self.model.layer(name), cut, self._graph, feeds, path)
            if small is None:
                return None
            sess = session(path)
            run(sess, feed)
        except Cancelled:
            raise
        except FeatherweightError:
            return None
        return lambda _: run(sess, feed)

    def _feeds(self, cut: OneNode) -> dict[str, Array]:
        keys = [given.key for given in cut.feeds]
        recorded = self._exposed.run(self._feed, [key for key in keys if key not in self._feed])
        return {key: self._feed[key] if key in self._feed else recorded[key] for key in keys}

    def _of_node(
        self, layer: Layer, cut: OneNode, feeds: Mapping[str, Array], forms: Sequence[Encoding | None],
        reporter: Reporter,
    ) -> list[LayerTime | None]:  # fmt: skip
        keys = [_signature(layer, cut, feeds, form) for form in forms]
        known = [self._kept.get(key) for key in keys]
        missing = [index for index, value in enumerate(known) if value is None]
        if not missing:
            return known
        feed = {given.name: feeds[given.key] for given in cut.feeds}
        try:
            small = _small_model(layer, cut, self._graph, feeds, self._path / "layer.onnx")
            if small is None:
                return known
            paths = {0: small.path} | {i: self._built(small, layer.name, forms[i], i) for i in missing if i}
            able = {index: path for index, path in paths.items() if path is not None}
            counts = {index: _count(path, feed) for index, path in able.items()}
            times = self._timed_paths(list(able.values()), feed, reporter)
        except Cancelled:
            raise
        except FeatherweightError:  # a node that does not run by itself: the layer's time is not known
            return known
        for index, spread in zip(able, times, strict=True):
            found = LayerTime(*spread, times[0][1], counts[index])
            known[index] = found
            self._kept.put(keys[index], found)
        return known

    def _built(self, small: Model, layer: str, encoding: Encoding | None, number: int) -> Path | None:
        """The layer's graph with its weight stored in another way, as a file; None when it cannot be."""
        import onnx_ir as ir

        from core.exporting.writer import assemble

        if encoding is None:
            return small.path
        try:
            assembly = assemble(small, {layer: encoding})
        except Cancelled:
            raise
        except FeatherweightError:
            return None
        if layer in assembly.left:
            return None
        path = self._path / f"changed{number}.onnx"
        ir.save(assembly.graph, path)
        return path

    def _timed_paths(self, paths: Sequence[Path], feed: Feed, reporter: Reporter) -> list[tuple[float, float, float]]:
        """Median, low and high of each graph in turn, an empty run taken off."""
        if not self._timed:
            return [(0.0, 0.0, 0.0)] * len(paths)
        sessions = [session(path) for path in paths]
        runs: list[Callable[[int], object]] = [lambda _, s=s: run(s, feed, where=self.model.name) for s in sessions]  # type: ignore[misc]
        turns = take_turns(runs, Pace(PACE.seconds * len(runs), block=PACE.block), reporter=reporter.part(0.0, 0.0),
                           clock=self._clock)  # fmt: skip
        empty = self._empty_run()
        return [
            tuple(max(value - empty, 1e-6) for value in turns.spread(which)) for which in range(len(runs))  # type: ignore[misc]
        ]

    def _empty_run(self) -> float:
        """Milliseconds that calling a session takes by itself, measured once."""
        if self._empty is None:
            from onnx import TensorProto, helper, save

            value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
            out = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
            graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], EMPTY_RUN, [value], [out])
            path = self._path / "empty.onnx"
            save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
            sess, feed = session(path), {"x": np.zeros(1, np.float32)}
            self._empty = take_turns([lambda _: run(sess, feed)], PACE, clock=self._clock).spread(0)[0]
        return self._empty


def _added(total: LayerTime | None, one: LayerTime | None) -> LayerTime | None:
    if total is None or one is None:
        return None
    counts = None if None in (total.multiply_adds, one.multiply_adds) else total.multiply_adds + one.multiply_adds  # type: ignore[operator]
    return LayerTime(
        total.median_ms + one.median_ms, total.low_ms + one.low_ms, total.high_ms + one.high_ms,
        total.original_ms + one.original_ms, counts,
    )  # fmt: skip


def _small_model(layer: Layer, cut: OneNode, graph: Any, feeds: Mapping[str, Array], path: Path) -> Model | None:
    """The node with its weight as a model file of its own; None when the weight is no layer of it."""
    import onnx
    from onnx import helper, numpy_helper

    from core.analysis import one_node
    from core.model.readers import open_model

    made = onnx.ModelProto.FromString(one_node.build(cut, graph, feeds))
    del made.graph.node[0], made.graph.input[0]  # the weight is stored here, not fed
    tensor = cut.weight.const_value
    if tensor is None and cut.weight.producer() is not None:
        found = cut.weight.producer().attributes.get("value")  # type: ignore[union-attr]
        tensor = None if found is None else found.as_tensor()
    if tensor is None:
        return None
    made.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(tensor.numpy()), cut.weight.name))
    made.graph.output[0].CopyFrom(helper.make_tensor_value_info(cut.output.name, onnx.TensorProto.FLOAT, None))
    path.write_bytes(made.SerializeToString())
    try:
        small = open_model(path)
    except FeatherweightError:
        return None
    return small if any(one.name == layer.name and not one.locked for one in small.layers) else None


def _count(path: Path, feed: Feed) -> int | None:
    """Multiply-adds of a small graph, counted; None when it does not run or has parts that cannot be counted."""
    from core.analysis.operations import multiply_adds
    from core.model.readers import open_model

    try:
        found = multiply_adds(open_model(path), feed, threads=1)
    except Cancelled:
        raise
    except FeatherweightError:
        return None
    return None if found.uncounted else found.total


def _signature(layer: Layer, cut: OneNode, feeds: Mapping[str, Array], encoding: Encoding | None) -> str:
    """All that a time depends on, besides the machine."""
    attributes = sorted((name, str(value.value)) for name, value in cut.node.attributes.items())
    shapes = [(array.dtype.str, array.shape) for array in (feeds[given.key] for given in cut.feeds)]
    inner = [node.op_type for node in cut.inner]
    told = [cut.node.domain, cut.node.op_type, attributes, shapes, inner, layer.shape, layer.dtype, layer.folds_norm,
            [] if encoding is None else [type(encoding).__name__, encoding.describe(), encoding.nbytes]]  # fmt: skip
    return hashlib.sha256(json.dumps(told, default=str).encode()).hexdigest()[:32]


def machine() -> str:
    """What times belong to: processor, its count, and the runtime's version."""
    import onnxruntime

    return f"{platform.machine()} {platform.processor()} x{os.cpu_count()}, onnxruntime {onnxruntime.__version__}"


class _Kept:
    """Times of this machine, in one file of the person's cache; a damaged file is as good as none.

    timed  False: counts are kept for this run alone
    """

    def __init__(self, folder: Path | None, timed: bool) -> None:
        self._path = None
        self._times: dict[str, LayerTime] = {}
        self._new = False
        if not timed:
            return
        name = hashlib.sha256(f"{VERSION} {machine()}".encode()).hexdigest()[:16]
        self._path = (folder or user_cache() / "featherweight" / "latency") / f"{name}.json"
        try:
            data = json.loads(self._path.read_text(encoding="utf-8"))
            self._times = {str(key): _read(value) for key, value in data.items()}
        except (OSError, ValueError, TypeError, IndexError, AttributeError):
            self._times = {}

    def get(self, key: str) -> LayerTime | None:
        return self._times.get(key)

    def put(self, key: str, found: LayerTime) -> None:
        self._times[key], self._new = found, True

    def store(self) -> None:
        """Write the file if anything is new; a disk that is full costs nothing but the time to measure again."""
        from core.exporting.staging import write_atomic

        if self._path is None or not self._new:
            return
        values = {
            key: [t.median_ms, t.low_ms, t.high_ms, t.original_ms, t.multiply_adds]
            for key, t in list(self._times.items())[-MOST_KEPT:]
            if t.high_ms <= STEADY * t.low_ms  # what was timed on a busy machine is timed again the next time
        }
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(self._path, json.dumps(values).encode())
        except (OSError, FeatherweightError):
            return


def _read(value: Any) -> LayerTime:
    median, low, high, original = map(float, value[:4])
    return LayerTime(median, low, high, original, None if value[4] is None else int(value[4]))
