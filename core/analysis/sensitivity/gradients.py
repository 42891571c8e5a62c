"""Tier 1: the output divergence predicted from gradients, for all settings of all layers at once.

Near the original the KL divergence of class scores p is 1/2 d'Fd, with d the change of the weights and F the Fisher
information, the sum of p_c g_c g_c' over the classes c, g_c = grad log p_c (Amari, "Natural gradient works efficiently
in learning", 1998). The KL's own gradient is zero there. So g is the gradient of the sum of +-sqrt(p_c) log p_c with
random signs and sqrt(p_c) held: g g' has the mean F (Hutchinson, "A stochastic estimator of the trace", 1989), and with
much less spread than drawing a class where the model is nearly certain. For squared errors g is the gradient of the
outputs times random signs: (g.d)^2 has the mean |J d|^2, J the outputs' Jacobian.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from core.analysis.metrics import SMALLEST
from core.analysis.runtime import run
from core.analysis.sensitivity.cells import Cell, LayerCells, Measure, Skip, Tier
from core.analysis.sensitivity.cutting import Differentiable, differentiable
from core.analysis.sensitivity.originals import Originals
from core.analysis.sensitivity.suffixes import Suffixes
from core.analysis.sensitivity.trials import LayerTrials
from core.analysis.sensitivity.working import as_done, in_background, processors
from core.data.samples import Samples
from core.progress import Reporter

if TYPE_CHECKING:
    import torch

    from core.interpreter.module import TorchGraph
    from core.model.layer import Layer
    from core.model.model import Model

Array = np.ndarray[Any, np.dtype[Any]]

MAX_BYTES = 2**30
"""What the changes of the weights may take at a time; a model that needs more is passed through several times."""
SEED_STEP = 1_000_003
"""Between the seeds of two samples' probes: which thread takes a sample changes nothing."""


@dataclass(eq=False)
class _Changes:
    """A layer's settings as changes of its weight.

    rows  (settings, weights) float32
    found (samples, settings) float64, (g.d)^2 of each
    seen  (samples,) whether a sample gave the layer a gradient
    """

    layer: Layer
    cells: tuple[Cell, ...]
    skipped: tuple[Skip, ...]
    rows: Array
    found: Array
    seen: Array

    def put(self, sample: int, gradient: Array) -> None:
        """What one sample's gradient says, (weights,) float32. Threads may put different samples at the same time."""
        self.seen[sample] = True
        with np.errstate(over="ignore", invalid="ignore"):  # `prediction` tells of NaN and infinity
            self.found[sample] = np.square(self.rows @ gradient, dtype=np.float64)

    def prediction(self, factor: float) -> LayerCells:
        """The cells, with errors of `factor` times the sums."""
        reason = ""
        sums = self.found.sum(axis=0)
        if self.cells and not self.seen.any():
            reason = "no gradient of the outputs reaches it"
        elif not np.isfinite(sums).all():
            reason = "its gradients are not finite"
        if reason:
            skip = Skip(self.layer.name, (), f"not predicted: {reason}")
            return LayerCells(self.layer.name, self.cells, (*self.skipped, skip))
        cells = (
            replace(cell, error=float(total), tier=int(Tier.FAST))
            for cell, total in zip(self.cells, factor * sums, strict=True)
        )
        return LayerCells(self.layer.name, tuple(cells), self.skipped)


class Predicting:
    """Predicts how far the outputs of a model's `originals` move.

    samples    those of the originals
    suffixes   of the model, entered: records what torch cannot compute
    trials_of  carries the settings out on a layer
    settings   how many a layer has at most
    """

    def __init__(
        self,
        model: Model,
        samples: Samples,
        originals: Originals,
        suffixes: Suffixes,
        trials_of: Callable[[Layer, Reporter], LayerTrials],
        settings: int,
        *,
        seed: int = 0,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._model, self._samples, self._originals, self._suffixes = model, samples, originals, suffixes
        self._trials_of, self._settings, self._seed, self._max_bytes = trials_of, settings, seed, max_bytes
        self._cut: Differentiable
        self.note = ""

    def layers(self, layers: Sequence[Layer], reporter: Reporter) -> Iterator[LayerCells]:
        """Each layer's cells, one group of layers after the other; layers without gradients keep tier 0 and say why.

        Layers in front of operators that torch does not run do not come at all; `note` tells of them.

        Raises FeatherweightError, ModelFileError when a node does not run.
        """
        self._cut = in_background(lambda _: differentiable(self._model), reporter)
        self.note = self._cut.note(len(layers))
        able = [layer for layer in layers if layer.name not in self._cut.before]
        groups = list(self._groups(able))
        for number, group in enumerate(groups):
            yield from self._group(group, reporter.part(number / len(groups), (number + 1) / len(groups)))

    def _groups(self, layers: Sequence[Layer]) -> Iterator[list[Layer]]:
        group: list[Layer] = []
        for layer in layers:
            if group and sum(4 * self._settings * other.n_weights for other in (*group, layer)) > self._max_bytes:
                yield group
                group = []
            group.append(layer)
        if group:
            yield group

    def _group(self, group: Sequence[Layer], reporter: Reporter) -> Iterator[LayerCells]:
        changes: dict[str, _Changes] = {}
        for _, found in as_done(self._changes, group, reporter, workers=processors()):
            changes[found.layer.name] = found
            reporter.report(0.3 * len(changes) / len(group), f"weights of {found.layer.title}")
        named = [name for name, found in changes.items() if found.cells]
        if named:
            graph = in_background(lambda _: self._graph(named), reporter)
            self._passes(graph, changes, reporter.part(0.3, 1.0))
        for layer in group:
            yield changes[layer.name].prediction(self._factor)

    def _graph(self, named: Sequence[str]) -> TorchGraph:
        from core.interpreter.module import TorchGraph

        return TorchGraph(self._cut.graph, named)

    def _changes(self, layer: Layer, reporter: Reporter) -> _Changes:
        found = self._trials_of(layer, reporter)
        original = self._model.weight(layer.name).reshape(-1) if found.trials else np.empty(0, np.float32)
        rows = np.empty((len(found.trials), original.size), np.float32)
        for row, trial in zip(rows, found.trials, strict=True):
            np.subtract(trial.encoding.decode().reshape(-1), original, out=row)
        n = self._samples.n
        return _Changes(layer, found.cells, found.skipped, rows, np.zeros((n, len(rows))), np.zeros(n, bool))

    @property
    def _factor(self) -> float:
        """What turns the sums of (g.d)^2 into errors."""
        if self._originals.divergence.measure is Measure.KL:
            return 0.5 / self._originals.samples
        return 1.0 / int(np.count_nonzero(self._originals.scale))

    def _passes(self, graph: TorchGraph, changes: Mapping[str, _Changes], reporter: Reporter) -> None:
        """One forward and backward pass for each sample, as many at once as there are processors."""
        import torch

        from core.interpreter.tensors import from_array

        recorded = self._cut.recorded
        sess = in_background(lambda _: self._suffixes.whole(recorded), reporter) if recorded else None

        def one(index: int, _: Reporter) -> None:
            feed = self._samples.feed(index)
            if sess is not None:
                feed |= zip(recorded, run(sess, feed, recorded, where=self._model.name), strict=True)
            generator = torch.Generator().manual_seed(self._seed + index * SEED_STEP)
            probe = self._probe(graph({name: from_array(array) for name, array in feed.items()}), generator)
            if probe is None:
                return
            gradients = torch.autograd.grad(probe, list(graph.weights.values()), allow_unused=True)
            for name, gradient in zip(graph.weights, gradients, strict=True):
                if gradient is not None:
                    changes[name].put(index, gradient.numpy().reshape(-1))

        with _one_torch_thread():
            for done, _ in enumerate(as_done(one, range(self._samples.n), reporter, workers=processors()), start=1):
                reporter.report(done / self._samples.n, f"gradients, sample {done} of {self._samples.n}")

    def _probe(self, outputs: Mapping[str, torch.Tensor], generator: torch.Generator) -> torch.Tensor | None:
        """The number whose gradient is taken; None when no output that counts depends on a weight."""
        import torch

        divergence = self._originals.divergence
        parts = []
        for name, scale in zip(divergence.outputs, self._originals.scale, strict=True):
            output = outputs[name].float()
            if divergence.measure is Measure.KL:
                parts.append(_scores_probe(output, divergence.distributions, generator))
            elif scale > 0:
                parts.append((output * _signs(output, generator)).sum() / float(scale) ** 0.5)
        found = [part for part in parts if part.requires_grad]
        return torch.stack(found).sum() if found else None


@contextmanager
def _one_torch_thread() -> Iterator[None]:
    """Within the block a new thread computes alone: the passes side by side gain more than threads within each, which
    wait for each other by spinning."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _scores_probe(scores: torch.Tensor, distributions: bool, generator: torch.Generator) -> torch.Tensor:
    """Sum of +-sqrt(p) log p over all classes and rows, over the square root of the number of rows."""
    import torch

    rows = scores.reshape(-1, scores.shape[-1])
    logs = rows.clamp_min(SMALLEST).log() if distributions else torch.log_softmax(rows, -1)
    weights = (0.5 * logs.detach()).exp() * _signs(logs, generator)
    return (weights * logs).sum() / len(rows) ** 0.5


def _signs(like: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Random +-1, float32, of a tensor's shape."""
    import torch

    return torch.randint(0, 2, like.shape, generator=generator).mul_(2).sub_(1).float()
