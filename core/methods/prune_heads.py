"""Cutting attention heads: their query, key, value and output slices go."""

from __future__ import annotations

from dataclasses import dataclass

from core.data.layer_inputs import Need
from core.errors import LayerSkipped
from core.methods import _channels
from core.methods._channels import Array, ChannelChooser, Channels
from core.methods.base import Context
from core.methods.params import param
from core.model.layer import Kind


@dataclass(frozen=True)
class PruneHeadsParams:
    ratio: float = param(
        0.25, "Removed", "Share of the heads that go, the least important first.",
        minimum=0.01, maximum=0.95, percent=True, unit="%", grid=(0.1, 0.25, 0.5),
    )
    criterion: str = param(
        "norm", "By", "How the importance of a head is judged. Norm: of its query, key, value and output weights. "
        "Output: its size on samples times the weights it meets. Taylor: expected change of the model's output.",
        choices=("norm", "activation", "taylor"), choice_titles=("Norm", "Output on samples", "Taylor"),
    )


class PruneHeads(ChannelChooser):
    word = "prune_heads"
    title = "Cut attention heads"
    family = "Structured cuts"
    summary = (
        "Removes whole heads of an attention layer: a step on its query, key or value weight cuts all of them and the "
        "output weight alike."
    )
    saves = ("file", "memory", "time", "multiply-adds")
    costs = "Some heads can go at little cost, others at a great one; measure before cutting many."
    choose_when = "The model is a transformer and speed counts: many heads can go without being missed."
    avoid_when = "There are few heads a layer (four or less): each is a large part of it."
    data = "unlabelled samples to choose by their Output or Taylor"
    source = (
        "Michel et al., \"Are Sixteen Heads Really Better than One?\", NeurIPS 2019; groups after Fang et al., "
        "\"DepGraph\", CVPR 2023"
    )
    kinds = frozenset({Kind.LINEAR})
    Params = PruneHeadsParams

    def needs(self, params: PruneHeadsParams) -> frozenset[Need]:
        return frozenset({"activation": {Need.OUTPUTS}, "taylor": {Need.GRADIENTS}}.get(params.criterion, set()))

    def choose(self, channels: Channels, params: PruneHeadsParams, context: Context) -> Array:
        context.reporter.check()
        if not channels.heads:
            raise LayerSkipped("it is no query, key or value weight of an attention layer", do="use Cut channels")
        count = _channels.kept_count(channels.units, channels.width, params.ratio, 1)
        if params.criterion == "norm":
            return _channels.keep_best(_channels.power(channels, 2, context), count, channels.slices)
        rule = _channels.response if params.criterion == "activation" else _channels.taylor
        return _channels.keep_best(rule(channels, context), count, channels.slices)

    def label(self, params: PruneHeadsParams) -> str:
        return f"heads −{100 * params.ratio:.3g} %"
