"""Many samples through a graph at once, or one after another where it takes one at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from torch import Tensor

from core.errors import DataError, FeatherweightError
from core.interpreter.module import TorchGraph
from core.interpreter.tensors import from_array
from core.model.graph import attribute, stored_tensors
from core.model.layer import Port

Run = Callable[[Mapping[str, Tensor]], dict[str, Tensor]]

ONE_BY_ONE = "The graph takes one sample at a time: a batch runs sample by sample, which takes longer."

_EQUAL = 1e-3
"""Largest difference between samples together and alone, relative to the output's range."""
_EQUAL_ROUNDED = 0.1
"""The same where layers round what enters them by the range that it has in each run."""


class Batcher:
    """Runs samples as the graph takes them, which is found out on the first two.

    ports   the graph's inputs
    rounds  whether layers round what enters them, so that a sample's result depends a little on the others'
    """

    def __init__(self, graph: ir.Model, module: TorchGraph, ports: tuple[Port, ...], *, rounds: bool) -> None:
        self._graph, self._module = graph, module
        self._ranks = {port.name: None if port.shape is None else len(port.shape) for port in ports}
        self._limit = _EQUAL_ROUNDED if rounds else _EQUAL
        self._together: bool | None = None

    @property
    def note(self) -> str:
        """What a person should know, or ""."""
        return ONE_BY_ONE if self._together is False else ""

    def __call__(self, run: Run, feeds: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Outputs with samples along the first axis. Raises DataError for outputs of several shapes."""
        sizes = {len(feed) for feed in feeds.values()}
        if len(sizes) != 1 or 0 in sizes:
            raise DataError(f"the inputs hold {sorted(sizes)} samples", do="give every input as many")
        count = sizes.pop()
        if any(self._is_whole(name, feed) for name, feed in feeds.items()):
            self._together = False
        if count == 1 and self._together is not False:
            return run(feeds)
        if self._together is None:
            self._together = self._takes_several(run, feeds)
        return run(feeds) if self._together else _joined([run(self._alone(feeds, place)) for place in range(count)])

    def _is_whole(self, name: str, feed: Tensor) -> bool:
        """Whether the input is cut along no axis of its own, so that its samples have one axis more."""
        rank = self._ranks.get(name)
        return rank is not None and feed.dim() == rank + 1

    def _alone(self, feeds: Mapping[str, Tensor], place: int) -> dict[str, Tensor]:
        return {
            name: feed[place] if self._is_whole(name, feed) else feed[place : place + 1]
            for name, feed in feeds.items()
        }

    def _takes_several(self, run: Run, feeds: Mapping[str, Tensor]) -> bool:
        """Whether two samples together give what they give alone; if not, whether they do with other reshapes."""
        pair = {name: feed[:2] for name, feed in feeds.items()}
        training = self._module.training
        self._module.eval()
        try:
            with torch.no_grad():
                alone = _joined([run(self._alone(pair, place)) for place in range(2)])
                return self._same(run, pair, alone) or self._same_reshaped(run, pair, alone)
        finally:
            self._module.train(training)

    def _same(self, run: Run, pair: Mapping[str, Tensor], alone: Mapping[str, Tensor]) -> bool:
        try:
            together = run(pair)
        except FeatherweightError:
            return False  # a shape that holds for one sample alone
        return together.keys() == alone.keys() and all(
            _near(together[name], alone[name], self._limit) for name in alone
        )

    def _same_reshaped(self, run: Run, pair: Mapping[str, Tensor], alone: Mapping[str, Tensor]) -> bool:
        shapes = _one_sample_shapes(self._graph)
        for value, (_, several) in shapes.items():
            self._module.put(value, several)
        if shapes and self._same(run, pair, alone):
            return True
        for value, (one, _) in shapes.items():
            self._module.put(value, one)
        return False


def _one_sample_shapes(graph: ir.Model) -> dict[ir.Value, tuple[Tensor, Tensor]]:
    """Constants of Reshape nodes that state one sample: as they are, and for any number of samples."""
    found = {}
    for stored in stored_tensors(graph).values():
        uses = list(stored.value.uses())
        reshapes = uses and all(use.node.op_type == "Reshape" and use.idx == 1 for use in uses)
        if not reshapes or stored.tensor is None or any(attribute(use.node, "allowzero", 0) for use in uses):
            continue
        one: np.ndarray[Any, Any] = np.asarray(stored.tensor.numpy())
        if one.ndim == 1 and one.size > 1 and one[0] == 1:
            several = one.copy()
            several[0] = 0 if (one == -1).any() else -1
            found[stored.value] = from_array(one), from_array(several)
    return found


def _near(together: Tensor, alone: Tensor, limit: float) -> bool:
    if together.shape != alone.shape or together.dtype != alone.dtype:
        return False
    if not together.is_floating_point():
        return True  # what follows from floats may flip at a tie
    return float((together - alone).abs().max()) <= limit * max(float(alone.abs().max()), 1e-12)


def _joined(runs: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Outputs of single samples along a first axis: that of the samples where it has size 1, else a new one."""
    found = {}
    for name, first in runs[0].items():
        parts = [run[name] for run in runs]
        if any(part.shape != first.shape for part in parts):
            raise DataError(
                f"the output {name!r} has another shape for another sample", do="use samples of one size"
            )
        found[name] = torch.cat(parts) if first.dim() and first.shape[0] == 1 else torch.stack(parts)
    return found
