"""Cheaper activations: a graph step that puts simpler functions where smooth ones are."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from core.data.layer_inputs import Need, ValueRange
from core.errors import LayerSkipped
from core.methods._replacement import Replacement, Swap
from core.methods.base import GraphContext, GraphMethod
from core.methods.params import param
from core.patterns import PREFIX, why_not_safe

if TYPE_CHECKING:
    import onnx_ir as ir

    from core.model.activations import Activation

_FORMS = {"Gelu": frozenset({"Gelu", "TanhGelu", "QuickGelu"})}
"""Several functions that people call by one name."""
_RISING = frozenset({"Relu", "Relu6", "ClippedRelu", "Gelu", "TanhGelu", "QuickGelu", "SiLU", "Mish", "HardSwish",
                     "Softplus", "Elu", "LeakyRelu"})
"""About zero on the left, rising on the right."""
_SIGMOID = frozenset({"Sigmoid", "HardSigmoid"})
_TANH = frozenset({"Tanh", "HardTanh", "Softsign"})
_CHEAP = frozenset({"Relu", "Relu6", "ClippedRelu", "HardTanh", "LeakyRelu"})
_BOTH_SIDES = _TANH | {"Elu", "LeakyRelu"}
"""A clip of these has a lower bound from the data; that of the others is zero."""
_ALWAYS = frozenset({"Relu", "Relu6", "Clip", "Identity"})
_LIKE = {"HardSwish": _RISING, "HardSigmoid": _SIGMOID, "HardTanh": _TANH}
"""What a hard form may stand for."""
_SHAPE = {"HardSwish": "rises without bound", "HardSigmoid": "lies between 0 and 1",
          "HardTanh": "lies between -1 and 1"}
_NO_NUMBERS = "no sample gives it finite numbers"
FROM = ("any", "Gelu", "SiLU", "HardSwish", "Mish", "Softplus", "Elu", "LeakyRelu", "Tanh", "Softsign", "Sigmoid",
        "HardSigmoid", "Relu", "Relu6")
TO = ("Relu", "Relu6", "HardSwish", "HardSigmoid", "HardTanh", "Clip", "Identity")


@dataclass(frozen=True)
class ReplaceActivationParams:
    from_: str = param(
        "any", "Replace", "Which activations; also those that are spelled out in several nodes. All smooth ones leaves "
        "gates (results that are multiplied with another value), answers of the model and what is cheap already.",
        choices=FROM, choice_titles=("All smooth ones", *FROM[1:]),
    )
    to: str = param(
        "Relu", "By", "The cheaper function. Clipped is the line cut off where the data says; None takes the "
        "activation out.",
        choices=TO, choice_titles=(*TO[:-2], "Clipped", "None"),
    )
    percentile: float = param(
        99.9, "Percentile", "Share of the activation's results on the samples that the clip leaves as they are.",
        minimum=50, maximum=100, unit="%", when={"to": ["Clip"]}, grid=(99.99, 99.9, 99.0),
    )
    keep_mean: bool = param(
        False, "Keep the mean", "Adds one number behind each new activation, so that its mean on the samples stays "
        "that of the old one. This often takes much of the damage away and costs one addition.",
    )
    nodes: str = param(
        "", "Nodes", "Empty for all; else the name of one activation's last node, or re: and a pattern of such names.",
        pattern=True,
    )


class ReplaceActivation(GraphMethod):
    word = "replace_activation"
    title = "Replace activations"
    family = "Activations"
    summary = "Puts a cheaper function, such as ReLU, where the network uses a smooth one, such as GELU or SiLU."
    saves = ("time",)
    costs = (
        "The network was trained with the old function, so answers change, often by much: look at the accuracy, and "
        "train on afterwards. The file hardly changes."
    )
    choose_when = "Activations take a good part of the time, and the model can be fine-tuned or bears the change."
    avoid_when = (
        "The model cannot be trained on and its answers must stay; HardSwish, HardSigmoid and HardTanh stay nearest to "
        "the functions that they are named after."
    )
    data = "unlabelled samples for Clipped and for Keep the mean"
    source = (
        "Howard et al., \"Searching for MobileNetV3\", ICCV 2019 (hard forms); Mirzadeh et al., \"ReLU Strikes Back\", "
        "ICLR 2024"
    )
    Params = ReplaceActivationParams

    def needs(self, params: ReplaceActivationParams) -> frozenset[Need]:
        return frozenset({Need.RANGES}) if _from_data(params) else frozenset()

    def label(self, params: ReplaceActivationParams) -> str:
        name = "smooth" if params.from_ == "any" else params.from_
        text = f"{name} to {params.to}"
        return text if len(text) <= 20 else f"{params.to} instead"

    def plan(self, graph: ir.Model, params: ReplaceActivationParams, context: GraphContext) -> Replacement | None:
        from core.model.activations import find_activations

        context.reporter.check()
        there = find_activations(graph)
        if not there:
            return None
        chosen = _chosen(there, params)
        ranges = _ranges(chosen, params, context)
        swaps, left = [], []
        for activation in chosen:
            before, after = ranges.get(activation.input), ranges.get(activation.output)
            why = why_not(activation.op, params.to)
            if not why and _from_data(params) and (before is None or after is None):
                why = _NO_NUMBERS
            swap = _swap(activation, before, after, params)
            if not why and not swap.low < swap.high:
                why = "the samples do not show where to clip it"
            if why:
                left.append(f"{activation.title}: {why}")
            else:
                swaps.append(swap)
        if not swaps:
            other = "load other samples" if left[0].endswith(_NO_NUMBERS) else "choose another function to put there"
            raise LayerSkipped(left[0], do=other)
        return Replacement(tuple(swaps), tuple(left))


def why_not(old: str, new: str) -> str:
    """Why replacing makes no sense (one clause), or ""."""
    if old == new:
        return f"it is {new} already"
    if (old, new) == ("ClippedRelu", "Relu6"):
        return "it is a clipped ReLU already"
    if new == "Clip" and old in _SIGMOID:
        return f"a clip is no form of {old}, whose results lie between 0 and 1; HardSigmoid is"
    if new in _ALWAYS or old in _LIKE.get(new, frozenset()):
        return ""
    return f"{new} {_SHAPE[new]}, which {old} does not; they cannot stand for each other"


def _chosen(there: Sequence[Activation], params: ReplaceActivationParams) -> list[Activation]:
    """The activations that the parameters mean. LayerSkipped, with what there is, when there are none."""
    named = _FORMS.get(params.from_, frozenset({params.from_}))
    if params.from_ == "any":
        found = [a for a in there if a.op not in _CHEAP and (a.inner or params.nodes) and not why_not(a.op, params.to)]
        found = found if params.to not in _ALWAYS or params.nodes else [a for a in found if a.op in _RISING]
    else:
        found = [a for a in there if a.op in named]
    if params.nodes:
        found = [a for a in found if _fits(params.nodes, a.key)]
    if found:
        return found
    counts: dict[str, int] = {}
    for activation in there:
        counts[_described(activation)] = counts.get(_described(activation), 0) + 1
    has = ", ".join(f"{count} {name}" for name, count in counts.items())
    what = "activation that this could replace" if params.from_ == "any" else params.from_
    where = f" at {params.nodes}" if params.nodes else ""
    raise LayerSkipped(f"the model has no {what}{where}; it has {has}")


def _described(activation: Activation) -> str:
    return f"{activation.op}{' (gate)' if activation.gate else ' (answer)' if activation.answers else ''}"


def _fits(nodes: str, key: str) -> bool:
    if not nodes.startswith(PREFIX):
        return nodes == key
    pattern = nodes.removeprefix(PREFIX)
    why = why_not_safe(pattern)
    if why:
        raise LayerSkipped(f"the pattern {pattern!r} {why}")
    return re.match(pattern, key) is not None


def _ranges(
    chosen: Sequence[Activation], params: ReplaceActivationParams, context: GraphContext
) -> dict[str, ValueRange]:
    if not _from_data(params):
        return {}
    if context.ranges is None:
        what = "where to clip is" if params.to == "Clip" else "the mean to keep is"
        raise LayerSkipped(f"{what} read from samples, and none are loaded",
                           do="load samples, or choose Relu6 and leave Keep the mean off")
    wanted = [name for activation in chosen for name in (activation.input, activation.output)]
    return dict(context.ranges(wanted, context.reporter))


def _from_data(params: ReplaceActivationParams) -> bool:
    return params.to == "Clip" or params.keep_mean


def _swap(
    activation: Activation, before: ValueRange | None, after: ValueRange | None, params: ReplaceActivationParams
) -> Swap:
    """The replacement with its numbers; low >= high when the samples do not show where to clip."""
    low, high = bounds(activation, after, params)
    shift = 0.0
    swap = Swap(activation.key, activation.op, params.to, low, high)
    if params.keep_mean and before is not None and after is not None and low < high:
        # np.float32: the graph adds the number in the type of the values
        shift = float(np.float32(after.mean_of(np.positive) - before.mean_of(swap.function)))
    return replace(swap, shift=shift)


def bounds(
    activation: Activation, found: ValueRange | None, params: ReplaceActivationParams
) -> tuple[float, float]:
    """(low, high) of a clip, low >= high when the samples do not show any; without bounds for all else.

    found  the distribution of the old activation's result
    """
    if params.to != "Clip":
        return -math.inf, math.inf
    if found is None:
        return 0.0, 0.0
    share = params.percentile / 100
    return found.quantile(1 - share) if activation.op in _BOTH_SIDES else 0.0, found.quantile(share)
