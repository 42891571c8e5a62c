"""What new data does not use of a model: channels that hardly change on it, layers whose weights would hardly move.

Channels. A channel that gives the same on all samples tells nothing about them; what it gives can go into the biases
behind it. Its use is the deviation of its output, as the layers behind see it, times the norm of the weights that read
it, over the mean of its group: 1 is an average channel, 0 one that can go without any loss.

Layers. The norm of the loss's gradient over the norm of the weights says how much a layer wants to change for the new
data (Lee et al., "Surgical Fine-Tuning Improves Adaptation to Distribution Shifts", ICLR 2023, "Auto-RGN").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.data.layer_inputs import Need
from core.data.samples import Samples
from core.errors import Cancelled, FeatherweightError
from core.model.coupling import Coupling, Group, Role
from core.model.layer import Kind, Layer
from core.progress import SILENT, Reporter
from core.transfer.cuts import plain_title

if TYPE_CHECKING:
    from core.analysis.calibration import Calibration
    from core.model.model import Model

Array = np.ndarray[Any, np.dtype[Any]]

MOST_SAMPLES = 256
"""Samples on which channels are watched."""
GRADIENT_SAMPLES = 512
UNUSED = 0.05
"""A channel of less than this share of its group's average use is proposed to be cut."""
SETTLED = 0.25
"""Layers from the first on whose relative gradient is below this share of the largest are proposed to be kept."""
_GRADIENT_BATCH = 32
SILENT_BELOW = 1e-4
"""Use below which a channel is said to give the same on all samples."""


@dataclass(frozen=True, eq=False)
class ChannelUse:
    """How much new data uses the channels of one group of coupled layers.

    tensor, axis  the group's key (`model.coupling.Group.key`)
    layers        names of the layers whose output channels these are; title is of the first
    use           (units,) float32, 1 is the group's average
    active        (units,) float32, share of positions at which the channel is above zero
    """

    tensor: str
    axis: int
    layers: tuple[str, ...]
    title: str
    use: Array = field(repr=False)
    active: Array = field(repr=False)

    @property
    def units(self) -> int:
        return int(self.use.size)

    @property
    def silent(self) -> int:
        """Channels that give the same on all samples."""
        return int((self.use < SILENT_BELOW).sum())

    def below(self, threshold: float) -> int:
        return int((self.use < threshold).sum())


@dataclass(frozen=True)
class LayerPull:
    """How much a layer wants to change: the norm of the loss's gradient over the norm of its weights."""

    layer: str
    title: str
    pull: float


@dataclass(frozen=True)
class Usage:
    """What was measured on the new data.

    samples   on how many, in words
    channels  of every group whose channels can be cut, in the order of the graph
    pulls     of every layer of the trunk, in the order of the graph; () without class labels or gradients
    left_out  (layer, reason) whose channels could not be looked at
    """

    samples: str
    channels: tuple[ChannelUse, ...]
    pulls: tuple[LayerPull, ...]
    left_out: tuple[tuple[str, str], ...] = ()

    def threshold_for(self, share: float) -> float:
        """The use below which this share of all channels lies."""
        if not self.channels or share <= 0:
            return 0.0
        everything = np.sort(np.concatenate([one.use for one in self.channels]))
        count = round(share * everything.size)
        return float(np.nextafter(everything[count - 1], np.inf, dtype=np.float32)) if count else 0.0

    def settled(self, share: float = SETTLED) -> tuple[str, ...]:
        """Names of the first layers whose pull is below a share of the largest: their features fit as they are."""
        most = max((one.pull for one in self.pulls), default=0.0)
        names = []
        for one in self.pulls:
            if one.pull >= share * most:
                break
            names.append(one.layer)
        return tuple(names)


def measure_usage(
    model: Model, samples: Samples, head: Sequence[str], reporter: Reporter = SILENT, *, channels: bool = True,
    pulls: bool = True,
) -> Usage:  # fmt: skip
    """What the samples use of a model with a new head that was trained on them.

    head             names of the head's layers, which are not looked at
    channels, pulls  whether they are measured: in a large model both take a while

    Raises DataError or ModelFileError when the model does not run on the samples, and Cancelled.
    """
    picked = samples.subset(MOST_SAMPLES)
    used, left_out = _channels(model, picked, set(head), reporter.part(0.0, 0.6)) if channels else ((), ())
    pulled = _pulls(model, samples.subset(GRADIENT_SAMPLES), set(head), reporter.part(0.6, 1.0)) if pulls else ()
    return Usage(f"{picked.n:,} of {samples.n:,} training samples", used, pulled, left_out)


def cut_unused(model: Model, samples: Samples, usage: Usage, threshold: float, target: Path,
               reporter: Reporter = SILENT) -> tuple[Model, tuple[str, ...]]:  # fmt: skip
    """Cut every channel whose use is below the threshold, write the model and open it; with a line for each cut.

    The best channel of a group always stays. What cut channels give on average goes into the biases behind them.
    Nothing to cut: the model itself. Raises TargetError when the disk is full, Cancelled.
    """
    import onnx_ir as ir

    from core.analysis.calibration import Calibration
    from core.model.readers import open_model
    from core.model.rewritten import rewritten_model
    from core.rewriting.cuts import ChannelCut, GroupCut
    from core.rewriting.cuts_bias import carried_forward
    from core.scratch import full_disk_told

    coupling = model.coupling
    kept = _kept(coupling, usage, threshold)
    if not kept:
        return model, ()
    readers = {m.tensor for group in kept for m in group.members
               if m.role is Role.CONSUMER and m.tensor in coupling.layers}  # fmt: skip
    calibration = Calibration(model, samples.subset(MOST_SAMPLES), limit=MOST_SAMPLES)
    calibration.collect({name: frozenset({Need.MEANS}) for name in readers}, reporter)
    shifts = carried_forward(model, coupling, kept, calibration.layer, set(kept), reporter)
    titles = {(one.tensor, one.axis): one.title for one in usage.channels}
    cuts = tuple(
        GroupCut(*group.key, group.units, tuple(np.flatnonzero(stays).tolist()),
                 f"{titles[group.key]}: {int(stays.sum())} of {group.units} channels stay.")
        for group, stays in kept.items()
    )  # fmt: skip
    change = ChannelCut(cuts, shifts)
    with full_disk_told():
        ir.save(rewritten_model(model, (change,)).graph(), target)
    return open_model(target), tuple(one.line for one in cuts)


def _kept(coupling: Coupling, usage: Usage, threshold: float) -> dict[Group, Array]:
    """(units,) bool for every group that loses some: the best one stays, also of each part that is read by itself."""
    from core.methods._channels import best_of_each

    found = {}
    for one in usage.channels:
        group = coupling.by_key(one.tensor, one.axis)
        if group is None or not one.below(threshold):
            continue
        stays = (one.use >= threshold) | best_of_each(one.use, (np.arange(one.units), *group.slices))
        if not stays.all():
            found[group] = stays
    return found


def _channels(
    model: Model, samples: Samples, head: set[str], reporter: Reporter
) -> tuple[tuple[ChannelUse, ...], tuple[tuple[str, str], ...]]:
    from core.analysis.calibration import Calibration

    coupling = model.coupling
    calibration = Calibration(model, samples, limit=MOST_SAMPLES)
    names = {m.tensor for group in coupling.groups for m in group.members if m.tensor in coupling.layers}
    layers = {name for name in names - head if coupling.layers[name].kind is not Kind.NORM}
    calibration.collect({name: frozenset({Need.OUTPUTS}) for name in layers}, reporter)
    found, left_out = [], []
    for group in coupling.groups:
        reporter.check()
        producers = [coupling.layers[m.tensor] for m in group.members if m.role is Role.PRODUCER]
        first = producers[0]
        if first.name in head:
            continue
        if group.heads:
            left_out.append((first.name, "its channels go only as whole attention heads"))
            continue
        measured = _group_use(model, coupling, group, calibration)
        if measured is None:
            left_out.append((first.name, calibration.why_not(first.name) or "its outputs were not measured"))
            continue
        titles = [plain_title(layer) for layer in producers]
        title = titles[0] + (f" and {len(titles) - 1} with it" if len(titles) > 1 else "")
        found.append(ChannelUse(*group.key, tuple(layer.name for layer in producers), title, *measured))
    return tuple(found), tuple(left_out)


def _group_use(
    model: Model, coupling: Coupling, group: Group, calibration: Calibration
) -> tuple[Array, Array] | None:
    """(units,) use and share of positions above zero; None when no output of the group was measured."""
    variance, active = np.zeros(group.units), np.zeros(group.units)
    seen = False
    reading = np.zeros(group.units)
    for member in group.members:
        layer = coupling.layers.get(member.tensor)
        if layer is None or layer.kind is Kind.NORM:
            continue
        mine = member.unit_of >= 0
        if member.role is Role.CONSUMER:
            squares = _squares(model.weight(layer.name), member.axis)
            reading += np.bincount(member.unit_of[mine], squares[mine], minlength=group.units)
            continue
        inputs = calibration.layer(layer.name)
        if inputs is None or inputs.output_square is None or inputs.output_mean is None or inputs.active is None:
            continue
        if inputs.output_square.size != member.unit_of.size:
            continue
        seen = True
        spread = np.maximum(inputs.output_square.astype(np.float64) - inputs.output_mean.astype(np.float64) ** 2, 0.0)
        spread[spread < 1e-7 * inputs.output_square] = 0.0  # what rounding leaves of a constant
        variance += np.bincount(member.unit_of[mine], spread[mine], minlength=group.units)
        np.maximum.at(active, member.unit_of[mine], inputs.active[mine])
    if not seen:
        return None
    use = np.sqrt(variance * reading) if reading.any() else np.sqrt(variance)
    return (use / max(use.mean(), 1e-30)).astype(np.float32), active.astype(np.float32)


def _squares(weight: Array, axis: int) -> Array:
    """Sums of squares along one axis, float64."""
    axes = list(range(weight.ndim))
    return np.einsum(weight, axes, weight, axes, [axis], dtype=np.float64)


def _pulls(model: Model, samples: Samples, head: set[str], reporter: Reporter) -> tuple[LayerPull, ...]:
    """The layers' relative gradients; () without class labels or where torch lacks an operator."""
    labels = samples.class_labels
    layers = [layer for layer in model.layers if layer.name not in head and not layer.locked and _has_pull(layer)]
    if labels is None or not layers:
        return ()
    try:
        norms = _gradient_norms(model, samples, [layer.name for layer in layers], reporter)
    except Cancelled:
        raise
    except FeatherweightError:  # an operator without gradients: nothing is known, and nothing proposed
        return ()
    return tuple(LayerPull(layer.name, plain_title(layer), norms[layer.name]) for layer in layers)


def _has_pull(layer: Layer) -> bool:
    return layer.kind is not Kind.NORM and layer.dtype.startswith(("float", "bfloat"))


def _gradient_norms(
    model: Model, samples: Samples, names: Sequence[str], reporter: Reporter
) -> Mapping[str, float]:
    """The norm of the mean gradient of the cross-entropy over the norm of the weights, for each layer."""
    import torch

    from core.interpreter.module import TorchGraph
    from core.interpreter.tensors import from_array

    graph = TorchGraph(model.graph(), names)
    labels = torch.from_numpy(np.asarray(samples.class_labels, np.int64))
    size = _GRADIENT_BATCH if samples.batchable else 1
    feeds = samples.batches(size) if samples.batchable else samples.feeds()
    for number, feed in enumerate(feeds):
        start = number * size
        reporter.report(start / samples.n, "Measuring which layers fit the new data")
        (scores,) = graph({name: from_array(array) for name, array in feed.items()}).values()
        loss = torch.nn.functional.cross_entropy(scores, labels[start : start + size], reduction="sum")
        (loss / samples.n).backward()
    found = {}
    for name, parameter in graph.weights.items():
        moved = 0.0 if parameter.grad is None else float(parameter.grad.norm())
        found[name] = moved / max(float(parameter.detach().norm()), 1e-30) if np.isfinite(moved) else 0.0
    return found
