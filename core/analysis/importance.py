"""How much the outputs depend on each weight: squared gradients of the outputs, measured on samples without labels.

Removing a weight w changes an output by about w times its derivative g. The mean of (w g)^2 over samples, w^2 times the
Fisher information's diagonal, is a criterion for pruning (Theis et al., "Faster gaze prediction with dense networks and
Fisher pruning", 2018; Molchanov et al., "Importance estimation for neural network pruning", 2019). There g is the
derivative of a loss. Here it is that of a random projection of the outputs, so that no labels are needed: for a probe
p = sum_k n_k o_k with independent standard normal n, E[(dp/dw)^2] = sum_k (do_k/dw)^2 (Hutchinson, "A stochastic
estimator of the trace of the influence matrix for Laplacian smoothing splines", 1990).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from core.data.samples import Samples
from core.errors import DataError, FeatherweightError
from core.model.model import Model
from core.progress import SILENT, Reporter

if TYPE_CHECKING:
    import torch

Array = np.ndarray[Any, np.dtype[Any]]


class _Squares:
    """Sums up the squares of a parameter's gradients as they come, so that no gradient outlives its own layer."""

    def __init__(self, parameter: torch.nn.Parameter) -> None:
        import torch

        self.total = torch.zeros(parameter.shape)
        self.count = 0  # gradients that were numbers
        self.seen = 0
        parameter.register_post_accumulate_grad_hook(self._add)

    def _add(self, parameter: torch.Tensor) -> None:
        import torch

        gradient, parameter.grad = parameter.grad, None
        if gradient is None:
            return
        self.seen += 1
        if bool(torch.isfinite(gradient).all()):
            self.total.addcmul_(gradient, gradient)
            self.count += 1


def gradient_squares(
    model: Model,
    samples: Samples,
    names: Sequence[str],
    *,
    limit: int = 32,
    seed: int = 0,
    reporter: Reporter = SILENT,
) -> dict[str, Array]:
    """Mean over samples of (d probe / d weight)^2 for each layer, float32 of the layer's shape.

    names   layers that are stored as floats (not locked)
    limit   at most so many samples, drawn with `seed`; one is run at a time

    The probe is the sum of all float outputs, each divided by its root mean square on that sample and multiplied with
    standard normal numbers, new for every sample, from `seed`: w^2 times the result estimates the squared change of
    the outputs, relative to their size and summed over their elements, when w is set to zero.

    A layer whose gradient never comes (a branch that no sample runs) is left out of the result; of a sample whose
    gradient is not a number in some layer, that layer does not count it.

    Memory: twice the weights and what one sample's run needs. Cancelled between samples. Raises FeatherweightError
    naming the operators that torch does not run, when a layer is locked, and when no layer gets a gradient; DataError
    when there are no samples.
    """
    import torch

    from core.interpreter.module import TorchGraph

    _check(model, samples, names)
    reporter.report(0.0, "preparing gradients")
    try:
        graph = TorchGraph(model.graph(), names)
    except FeatherweightError as error:
        raise type(error)(error.what, where=error.where or model.name, do=error.do) from error
    squares = {name: _Squares(parameter) for name, parameter in graph.weights.items()}
    picked = samples.subset(limit, seed)
    generator = torch.Generator().manual_seed(seed)
    for index, feed in enumerate(picked.feeds()):
        reporter.report(index / picked.n, f"gradients, sample {index + 1} of {picked.n}")
        probe = _probe(graph(_tensors(feed)), generator)
        if probe is not None:
            probe.backward()
    found = {name: (sums.total / sums.count).numpy() for name, sums in squares.items() if sums.count}
    if not found:
        broken = any(sums.seen for sums in squares.values())
        raise FeatherweightError(
            "the gradients are not numbers" if broken else "no gradient of the outputs reaches these layers",
            where=model.name,
            do="check the weights for NaN" if broken else "choose a method that needs no gradients",
        )
    reporter.report(1.0)
    return found


def _check(model: Model, samples: Samples, names: Sequence[str]) -> None:
    if not samples.n:
        raise DataError("there are no samples", where=samples.source, do="load data with at least one sample")
    for name in names:
        layer = model.layer(name)
        if layer.locked:
            raise FeatherweightError(f"it has no gradient: {layer.locked}", where=layer.title)


def _tensors(feed: Mapping[str, Array]) -> dict[str, torch.Tensor]:
    from core.interpreter.tensors import from_array

    return {name: from_array(array) for name, array in feed.items()}


def _probe(outputs: Mapping[str, torch.Tensor], generator: torch.Generator) -> torch.Tensor | None:
    """The number whose gradient is taken; None when no float output depends on a weight."""
    import torch

    parts = []
    for output in outputs.values():
        if not output.is_floating_point() or not output.numel():
            continue
        numbers = torch.randn(output.shape, generator=generator)  # drawn always, so that outputs do not shift others'
        size = output.detach().float().square().mean().sqrt()
        if output.requires_grad and size != 0:  # NaN goes on, to be told as such
            parts.append((output.float() * numbers).sum() / size)
    return torch.stack(parts).sum() if parts else None
