"""Cutting channels: whole filters go, with everything that belongs to them in other layers."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

from core.data.layer_inputs import Need
from core.errors import LayerSkipped
from core.methods import _channels
from core.methods._channels import Array, ChannelChooser, Channels
from core.methods.base import Context, require_inputs
from core.methods.params import param
from core.model.layer import Kind

_ACTIVITY = "activity"
_BY_SHARE = ("l2", "l1", "bn_scale", "activation", "taylor", "random")


@dataclass(frozen=True)
class PruneChannelsParams:
    ratio: float = param(
        0.25, "Removed", "Share of the channels that go, the least important first.",
        minimum=0.01, maximum=0.95, percent=True, unit="%", when={"criterion": list(_BY_SHARE)},
        grid=(0.1, 0.25, 0.5, 0.75),
    )
    criterion: str = param(
        "l2", "By", "How the importance of a channel is judged, over all layers that are cut with it. L2, L1: norm of "
        "its weights. Batch norm scale: how much the norm behind it lets through. Output: its size on samples times "
        "the weights it meets. Taylor: expected change of the model's output. Activity: channels that hardly fire go. "
        "Random: to compare with.",
        choices=("l2", "l1", "bn_scale", "activation", "taylor", _ACTIVITY, "random"),
        choice_titles=("L2 norm", "L1 norm", "Batch norm scale", "Output on samples", "Taylor", "Activity", "Random"),
    )
    threshold: float = param(
        0.0, "Fires at most", "Channels whose output is above zero at no more than this share of all positions go.",
        minimum=0.0, maximum=0.5, percent=True, unit="%", when={"criterion": [_ACTIVITY]}, grid=(0.0, 0.01, 0.05),
    )
    round_to: int = param(
        8, "Multiple of", "The number of channels that stay is rounded up to a multiple of this, as runtimes compute "
        "several channels at once; not where that would undo the cut.",
        choices=(1, 4, 8, 16), choice_titles=("1", "4", "8", "16"),
    )
    compensate: str = param(
        "none", "Compensate", "What the removed channels add on average, measured on samples, goes into the bias of "
        "the layers behind them. Channels that always give the same are carried forward without samples too.",
        choices=("none", "mean"), choice_titles=("No", "Mean into bias"),
    )


class PruneChannels(ChannelChooser):
    word = "prune_channels"
    title = "Cut channels"
    family = "Structured cuts"
    summary = (
        "Removes whole channels from a layer and from every layer that is coupled with it (residual sums, norms, "
        "depthwise convolutions, what reads them): the tensors are really smaller and there is less to compute."
    )
    saves = ("file", "memory", "time", "multiply-adds")
    costs = "Accuracy falls quickly without fine-tuning; layers that are coupled are cut alike."
    choose_when = "Speed and memory count, and the model can be fine-tuned afterwards or has channels to spare."
    avoid_when = "Only the file's size counts: quantizing costs far less accuracy for the same size."
    data = "unlabelled samples to choose by their Output, Taylor or Activity, and for Mean into bias"
    source = (
        "Fang et al., \"DepGraph: Towards Any Structural Pruning\", CVPR 2023; Li et al., \"Pruning Filters for "
        "Efficient ConvNets\", ICLR 2017; Liu et al., \"Network Slimming\", ICCV 2017; Molchanov et al., \"Importance "
        "Estimation for Neural Network Pruning\", CVPR 2019"
    )
    kinds = frozenset({Kind.CONV, Kind.DEPTHWISE, Kind.CONV_TRANSPOSE, Kind.LINEAR, Kind.RECURRENT, Kind.EMBEDDING})
    Params = PruneChannelsParams

    def needs(self, params: PruneChannelsParams) -> frozenset[Need]:
        found = {"activation": {Need.OUTPUTS}, _ACTIVITY: {Need.OUTPUTS}, "taylor": {Need.GRADIENTS}}
        means = {Need.MEANS} if params.compensate == "mean" else set()
        return frozenset(found.get(params.criterion, set()) | means)

    def choose(self, channels: Channels, params: PruneChannelsParams, context: Context) -> Array:
        context.reporter.check()
        if params.compensate == "mean":
            require_inputs(context, Need.MEANS)
        if channels.heads:
            raise LayerSkipped("its channels can only go as whole attention heads", do="use Cut attention heads")
        if params.criterion == _ACTIVITY:
            return _active(channels, params.threshold, context)
        count = _channels.kept_count(channels.units, channels.width, params.ratio, params.round_to)
        return _channels.keep_best(_scores(channels, params.criterion, context), count, channels.slices)

    def label(self, params: PruneChannelsParams) -> str:
        if params.criterion == _ACTIVITY:
            return f"idle <= {100 * params.threshold:.3g} %"
        return f"channels −{100 * params.ratio:.3g} %"


def _scores(channels: Channels, criterion: str, context: Context) -> Array:
    """(units,) importance."""
    if criterion in ("l1", "l2"):
        return _channels.power(channels, int(criterion[1]), context)
    if criterion == "random":
        _channels.power(channels, 1, context)  # weights that are NaN are refused here as well
        seed = (context.seed, zlib.crc32(channels.parts[0].layer.name.encode()))
        return np.random.default_rng(seed).random(channels.units)
    rules = {"bn_scale": _channels.scale_size, "activation": _channels.response, "taylor": _channels.taylor}
    return rules[criterion](channels, context)


def _active(channels: Channels, threshold: float, context: Context) -> Array:
    """(units,) bool: which fire more often than the threshold; the most active one stays, and that of each slice."""
    share = _channels.activity(channels, context)
    kept = (share > threshold) | _channels.best_of_each(share, (np.arange(share.size), *channels.slices))
    if kept.all():
        raise LayerSkipped(f"each of its {channels.units:,} channels fires at more than {100 * threshold:.3g} % of the "
                           "positions")
    return kept
