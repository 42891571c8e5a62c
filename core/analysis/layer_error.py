"""The error at each layer's output: of one layer alone (isolated), and of all changes before it (accumulated).

Isolated: the original runs once on a few samples, and every layer's inputs and output are kept. A changed weight then
needs only its own node to be run, in a one-node session that takes the weight as an input, so nothing is rebuilt.
Accumulated: both models run side by side, and values of the same name are compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from core.analysis.exposing import Exposed, main_values
from core.analysis.metrics import SqnrSum
from core.analysis.one_node import WEIGHT, OneNode, build, isolate
from core.analysis.runtime import run, session, spare_threads
from core.data.samples import Samples
from core.errors import InternalError
from core.progress import SILENT, Reporter

if TYPE_CHECKING:
    import onnx_ir as ir
    from onnxruntime import InferenceSession

    from core.model.layer import Layer
    from core.model.model import Model

Array = np.ndarray[Any, np.dtype[Any]]

LARGEST_BYTES = 512 * 2**20
"""What a probe may keep of inputs and outputs of layers."""
FEW = 8


@dataclass(frozen=True)
class LayerError:
    """The accumulated error at a layer's output in dB, or None and the reason why it cannot be measured."""

    name: str
    accumulated_sqnr_db: float | None
    reason: str = ""


class LayerProbe:
    """The isolated error of any layer for any new weight.

    n  samples that the errors are measured on

    Making one runs the original on up to `limit` samples, spread evenly; fewer when their activations would take more
    than `max_bytes`. Raises ModelFileError or DataError when the model does not run on the samples.
    """

    def __init__(
        self,
        model: Model,
        samples: Samples,
        *,
        limit: int = FEW,
        max_bytes: int = LARGEST_BYTES,
        threads: int | None = None,
        reporter: Reporter = SILENT,
    ) -> None:
        self._model, self._threads = model, threads or spare_threads()
        self._graph = model.graph()
        self._cuts, self._reasons = _cuts(self._graph, model.layers)
        self._sessions: dict[tuple[str, int], InferenceSession] = {}
        self._records: list[dict[str, Array]] = []
        self._record(samples, max(1, min(limit, samples.n)), max_bytes, reporter)

    @property
    def n(self) -> int:
        return len(self._records)

    def why_not(self, name: str) -> str:
        """Why the layer's error cannot be measured (one clause), or ""."""
        return self._reasons.get(name, "")

    def error(self, name: str, decoded: Array, reporter: Reporter = SILENT) -> float | None:
        """SQNR in dB at the layer's output when its weight is `decoded` and all before it is as it was.

        decoded  float32, of the layer's shape

        Over all nodes that use the weight and all samples of the probe; None when `why_not` has a reason. May be called
        from several threads.
        """
        if self.why_not(name):
            return None
        layer = self._model.layer(name)
        if tuple(decoded.shape) != layer.shape:
            raise InternalError(f"layer {name!r} is probed with shape {decoded.shape} instead of {layer.shape}")
        weight = np.ascontiguousarray(decoded, np.float32)
        if np.array_equal(weight, self._model.weight(name)):
            return float("inf")  # the one-node session may round otherwise than the whole model
        total = SqnrSum()
        for position, cut in enumerate(self._cuts[name]):
            sess = self._session(name, position, cut)
            for record in self._records:
                reporter.check()
                feed = {feed_name: record[feed_name] for feed_name in cut.feeds} | {WEIGHT: weight}
                total.add(record[cut.output], run(sess, feed, where=f"layer {name!r}")[0])
        return total.db

    def _session(self, name: str, position: int, cut: OneNode) -> InferenceSession:
        found = self._sessions.get((name, position))
        if found is None:
            content = build(cut, self._graph, self._records[0])
            found = self._sessions.setdefault(
                (name, position), session(content, threads=self._threads, keep_memory=False)
            )
        return found

    def _record(self, samples: Samples, limit: int, max_bytes: int, reporter: Reporter) -> None:
        if not self._cuts:
            return
        reporter.report(0.0, "recording activations")
        made = main_values(self._graph)
        wanted = [name for name in _values(self._cuts.values()) if name in made]
        with Exposed(self._model.graph(), wanted, where=self._model.name, threads=self._threads) as exposed:
            first = exposed.run(samples.feed(0)) | samples.feed(0)
            kept = self._keep(first, max_bytes)
            size = sum(first[name].nbytes for name in kept)
            count = max(1, min(limit, max_bytes // max(size, 1)))
            self._records.append({name: first.pop(name) for name in kept})
            del first
            for done, index in enumerate(np.linspace(0, samples.n - 1, count).round().astype(int)[1:], start=1):
                reporter.report(done / count, f"recording activations, sample {done + 1} of {count}")
                feed = samples.feed(int(index))
                got = exposed.run(feed, [name for name in kept if name in made]) | feed
                self._records.append({name: got[name] for name in kept})

    def _keep(self, first: Mapping[str, Array], max_bytes: int) -> list[str]:
        """Names to keep; layers are given up, largest first, when one sample alone takes more than `max_bytes`."""
        kept: dict[str, None] = {}
        total = 0
        costs = {name: sum(first[value].nbytes for value in _values([cuts])) for name, cuts in self._cuts.items()}
        for name in sorted(costs, key=lambda name: costs[name]):
            values = _values([self._cuts[name]])
            if any(first[value].dtype.kind != "f" for cut in self._cuts[name] for value in (cut.output,)):
                self._give_up(name, "its output is no float tensor")
                continue
            extra = sum(first[value].nbytes for value in values if value not in kept)
            if total + extra > max_bytes:
                self._give_up(name, f"its inputs and output take {costs[name] / 1e6:,.0f} MB a sample")
                continue
            kept.update(dict.fromkeys(values))
            total += extra
        return list(kept)

    def _give_up(self, name: str, reason: str) -> None:
        del self._cuts[name]
        self._reasons[name] = reason


def accumulated_errors(
    original: Model,
    compressed: Model,
    samples: Samples,
    *,
    limit: int = FEW,
    threads: int | None = None,
    reporter: Reporter = SILENT,
) -> tuple[LayerError, ...]:
    """The error at every layer's output when the whole model is compressed, in the original's order of layers.

    Values are matched by name: a compressed file keeps the names, and where a node was replaced by several, the last
    one gives the value under the old name. Raises as LayerProbe does.
    """
    cuts, reasons = _cuts(original.graph(), original.layers)
    there = main_values(compressed.graph())
    for name in [name for name, found in cuts.items() if any(cut.output not in there for cut in found)]:
        reasons[name] = "the compressed model has no value of its output's name"
        del cuts[name]
    values = list(dict.fromkeys(cut.output for found in cuts.values() for cut in found))
    sums = {value: SqnrSum() for value in values}
    count = max(1, min(limit, samples.n))
    with (
        Exposed(original.graph(), values, where=original.name, threads=threads) as before,
        Exposed(compressed.graph(), values, where=compressed.name, threads=threads) as after,
    ):
        for done, index in enumerate(np.linspace(0, samples.n - 1, count).round().astype(int)):
            reporter.report(done / count, f"error of layers, sample {done + 1} of {count}")
            feed = samples.feed(int(index))
            first, second = before.run(feed), after.run(feed)
            for value, total in sums.items():
                if first[value].shape == second[value].shape and first[value].dtype.kind == "f":
                    total.add(first[value], second[value])
                else:
                    reasons.update(
                        (name, "its output has another shape or type")
                        for name, found in cuts.items()
                        if any(cut.output == value for cut in found)
                    )
    return tuple(_layer_error(layer.name, cuts.get(layer.name, ()), sums, reasons) for layer in original.layers)


def _layer_error(
    name: str, cuts: Sequence[OneNode], sums: Mapping[str, SqnrSum], reasons: Mapping[str, str]
) -> LayerError:
    if name in reasons:
        return LayerError(name, None, reasons[name])
    total = SqnrSum()
    for cut in cuts:
        total.merge(sums[cut.output])
    return LayerError(name, total.db)


def _cuts(graph: ir.Model, layers: Sequence[Layer]) -> tuple[dict[str, tuple[OneNode, ...]], dict[str, str]]:
    """For each layer the nodes that use it, cut out; or the reason why its output cannot be seen."""
    from core.model.graph import node_key, places
    from core.model.origins import Origins

    origins = Origins(graph, [place for place in places(graph) if not place.function])
    by_name = {stored.name: stored for stored in origins.stored.values()}
    nodes = {node_key(node): node for node in graph.graph}
    cuts: dict[str, tuple[OneNode, ...]] = {}
    reasons: dict[str, str] = {}
    for layer in layers:
        stored = by_name.get(layer.name)
        inside = [use for use in layer.uses if use.scope]
        if stored is None or layer.locked:
            reasons[layer.name] = layer.locked or "it is stored in an encoding"
        elif inside:
            reasons[layer.name] = "it is used inside a branch or loop, whose values cannot be recorded"
        else:
            found = [
                isolate(nodes[key], stored.value, origins.stored, lambda value: origins.of(value) is not None)
                for key in dict.fromkeys(use.node for use in layer.uses)
            ]
            if not found or any(cut is None for cut in found):
                reasons[layer.name] = "no node with an output uses it"
            else:
                cuts[layer.name] = tuple(cut for cut in found if cut is not None)
    return cuts, reasons


def _values(cuts: Iterable[Sequence[OneNode]]) -> list[str]:
    """Names of all inputs and outputs of the cuts, each once."""
    names = (name for found in cuts for cut in found for name in (*cut.feeds, cut.output))
    return list(dict.fromkeys(names))
