"""Where in the graph each layer's inputs and outputs are seen."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from core.analysis.channel_outputs import ChannelOutput, channel_output
from core.analysis.exposing import inner_values
from core.analysis.input_rows import Reading, reading
from core.analysis.one_node import OneNode, cut_out
from core.model.layer import Layer
from core.model.matrix import has_rows

if TYPE_CHECKING:
    from core.model.model import Model


@dataclass(frozen=True)
class LayerValues:
    """The values of one layer, by key of `exposing.inner_values` (or name of a model input).

    readings         how the input vectors of each node that uses the weight are read
    why_no_readings  why there are none, or ""
    input_key, output_key  of the first node that uses the weight, behind a batch norm that an export folds into it; ""
                     where its input is a constant
    channels         where its output channels are seen, None where it has none
    """

    readings: tuple[Reading, ...] = ()
    why_no_readings: str = ""
    input_key: str = ""
    output_key: str = ""
    channels: ChannelOutput | None = None


@dataclass(frozen=True)
class Values:
    """All that can be recorded of a model.

    layers   by name
    reasons  why nothing of a layer can be recorded, by name
    types    ONNX element type of each key
    """

    layers: dict[str, LayerValues] = field(repr=False)
    reasons: dict[str, str] = field(repr=False)
    types: dict[str, int] = field(repr=False)


def find_values(model: Model) -> Values:
    """Look at a fresh graph of the model; reads no weights but those of batch norms."""
    import onnx_ir as ir

    from core.model.activations import behind
    from core.model.folding import find_folds

    graph = model.graph()
    cuts, reasons = cut_out(graph, model.layers)
    values = inner_values(graph)
    types = {key: int(inner.value.dtype or ir.DataType.FLOAT) for key, inner in values.items()}
    keys = {inner.value: key for key, inner in values.items()}
    results = behind(graph)
    layers = {
        name: replace(_of_layer(layer, found), channels=channel_output(layer, found[0], keys, results))
        for name, found in cuts.items()
        for layer in (model.layer(name),)
    }
    for fold in find_folds(graph):  # an export folds these norms, so the layer then gives what they give
        normed = keys.get(fold.norm.outputs[0])
        if normed is not None and fold.weight in layers:
            layers[fold.weight] = replace(layers[fold.weight], output_key=normed)
    return Values(layers, reasons, types)


def _of_layer(layer: Layer, cuts: tuple[OneNode, ...]) -> LayerValues:
    places = {use.node: use.input for use in reversed(layer.uses)}
    found = [reading(layer, cut, place) for cut, place in zip(cuts, _in_order(layer, places), strict=True)]
    why = next((reason for reason in found if isinstance(reason, str) and reason), "")
    readings = tuple(dict.fromkeys(one for one in found if not isinstance(one, str)))
    if not has_rows(layer):
        why, readings = f"a layer of kind {layer.kind} stored as it is multiplies no plain input vectors", ()
    return LayerValues(
        readings if not why else (),
        why,
        next((given.key for given in cuts[0].feeds), ""),
        cuts[0].output.key,
    )


def _in_order(layer: Layer, places: dict[str, int]) -> list[int]:
    """The weight's place in each node that uses it, in the order of the cuts."""
    return [places[node] for node in dict.fromkeys(use.node for use in layer.uses)]
