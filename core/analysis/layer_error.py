"""The error at each layer's output: of one layer alone (isolated), and of all changes before it (accumulated).

Isolated: the original runs once on a few samples, and every layer's inputs and output are kept. A changed weight then
needs only its own node to be run, in a one-node session that takes the weight as an input, so nothing is rebuilt.
Accumulated: both models run side by side, and values of the same name are compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from core.analysis.exposing import Exposed, inner_values
from core.analysis.metrics import SqnrSum
from core.analysis.one_node import NOT_RUN, WEIGHT, Given, OneNode, build, cut_out, seen_by
from core.analysis.runtime import run, session, spare_threads
from core.data.samples import Samples
from core.errors import InternalError
from core.progress import SILENT, Reporter

if TYPE_CHECKING:
    import onnx_ir as ir
    from onnxruntime import InferenceSession

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
        self._cuts, self._reasons = cut_out(self._graph, model.layers)
        self._sessions: dict[tuple[str, int], InferenceSession] = {}
        self._records: list[dict[str, Array]] = []
        self._record(samples, max(1, min(limit, samples.n)), max_bytes, reporter)

    @property
    def n(self) -> int:
        return len(self._records)

    def why_not(self, name: str) -> str:
        """Why the layer's error cannot be measured (one clause), or ""."""
        return self._reasons.get(name, "")

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of the layer's weight in the original."""
        return self._model.layer(name).shape

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
            if all(record[cut.output.key].size == 0 for record in self._records):
                continue
            sess = self._session(name, position, cut)
            for record in self._records:
                reporter.check()
                if record[cut.output.key].size:  # else its branch does not run on this sample
                    feed = {given.name: record[given.key] for given in cut.feeds} | {WEIGHT: weight}
                    total.add(record[cut.output.key], run(sess, feed, where=f"layer {name!r}")[0])
        return total.db

    def _session(self, name: str, position: int, cut: OneNode) -> InferenceSession:
        found = self._sessions.get((name, position))
        if found is None:
            ran = next(record for record in self._records if record[cut.output.key].size)
            content = build(cut, self._graph, ran)
            found = self._sessions.setdefault(
                (name, position), session(content, threads=self._threads, keep_memory=False)
            )
        return found

    def _record(self, samples: Samples, limit: int, max_bytes: int, reporter: Reporter) -> None:
        if not self._cuts:
            return
        reporter.report(0.0, "recording activations")
        seen = seen_by(self._cuts.values())
        inner = {key: dtype for key, dtype in seen.items() if key not in samples.input_names}
        with Exposed(self._model.graph(), inner, where=self._model.name, threads=self._threads) as exposed:
            feed = samples.feed(0)
            first = exposed.run(feed) | feed
            kept = self._keep(first, max_bytes)
            size = sum(first[key].nbytes for key in kept)
            count = max(1, min(limit, max_bytes // max(size, 1)))
            self._records.append({key: first.pop(key) for key in kept})
            del first
            for done, index in enumerate(samples.spread(count)[1:], start=1):
                reporter.report(done / count, f"recording activations, sample {done + 1} of {count}")
                feed = samples.feed(index)
                got = exposed.run(feed, [key for key in kept if key in inner]) | feed
                self._records.append({key: got[key] for key in kept})
        for name, found in list(self._cuts.items()):
            if not any(record[cut.output.key].size for cut in found for record in self._records):
                self._give_up(name, NOT_RUN)

    def _keep(self, first: Mapping[str, Array], max_bytes: int) -> list[str]:
        """Keys to keep; layers are given up, largest first, when one sample alone takes more than `max_bytes`."""
        kept: dict[str, None] = {}
        total = 0
        costs = {name: sum(first[key].nbytes for key in seen_by([cuts])) for name, cuts in self._cuts.items()}
        for name in sorted(costs, key=lambda name: costs[name]):
            if any(first[cut.output.key].dtype.kind != "f" for cut in self._cuts[name]):
                self._give_up(name, "its output is no float tensor")
                continue
            new = [key for key in seen_by([self._cuts[name]]) if key not in kept]
            extra = sum(first[key].nbytes for key in new)
            if total + extra > max_bytes:
                self._give_up(name, f"its inputs and output take {costs[name] / 1e6:,.0f} MB a sample")
                continue
            kept.update(dict.fromkeys(new))
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
    one gives the value under the old name. A convolution whose batch norm is folded on export is compared behind the
    norm. Raises as LayerProbe does.
    """
    graph = original.graph()
    cuts, reasons = cut_out(graph, original.layers)
    cuts = _behind_norms(graph, cuts)
    there = inner_values(compressed.graph())
    for name in [name for name, found in cuts.items() if any(cut.output.key not in there for cut in found)]:
        reasons[name] = "its node was merged with another on export"
        del cuts[name]
    values = {cut.output.key: cut.output.dtype for found in cuts.values() for cut in found}
    sums = {key: SqnrSum() for key in values}
    ran: set[str] = set()
    differ: set[str] = set()
    count = max(1, min(limit, samples.n))
    with (
        Exposed(original.graph(), values, where=original.name, threads=threads) as before,
        Exposed(compressed.graph(), values, where=compressed.name, threads=threads) as after,
    ):
        for done, index in enumerate(samples.spread(count)):
            reporter.report(done / count, f"error of layers, sample {done + 1} of {count}")
            feed = samples.feed(index)
            first, second = before.run(feed), after.run(feed)
            ran.update(key for key in sums if first[key].size)
            for key, total in sums.items():
                if first[key].shape == second[key].shape and first[key].dtype.kind == "f":
                    total.add(first[key], second[key])
                else:
                    differ.add(key)
    for name, found in cuts.items():
        keys = {cut.output.key for cut in found}
        if keys & differ:
            reasons[name] = "its output has another shape or type in the compressed model"
        elif not keys & ran:
            reasons[name] = NOT_RUN
    return tuple(_layer_error(layer.name, cuts.get(layer.name, ()), sums, reasons) for layer in original.layers)


def _layer_error(
    name: str, cuts: Sequence[OneNode], sums: Mapping[str, SqnrSum], reasons: Mapping[str, str]
) -> LayerError:
    if name in reasons:
        return LayerError(name, None, reasons[name])
    total = SqnrSum()
    for cut in cuts:
        total.merge(sums[cut.output.key])
    return LayerError(name, total.db)


def _behind_norms(graph: ir.Model, cuts: Mapping[str, tuple[OneNode, ...]]) -> dict[str, tuple[OneNode, ...]]:
    """The same cuts; those of convolutions that take a batch norm in give the norm's output."""
    from core.model.folding import find_folds

    keys = {inner.value: key for key, inner in inner_values(graph).items()}
    norms = {fold.conv: fold.norm.outputs[0] for fold in find_folds(graph)}

    def moved(cut: OneNode) -> OneNode:
        value = norms.get(cut.node)
        if value is None or value not in keys:
            return cut
        return replace(cut, output=Given(value.name or "", keys[value], cut.output.dtype))

    return {name: tuple(map(moved, found)) for name, found in cuts.items()}
