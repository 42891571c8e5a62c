"""A model as changes leave it: like one that was opened, before anything is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from core.model.change import Change
from core.model.layers import find_layers, read_weight
from core.model.model import Model

if TYPE_CHECKING:
    import onnx_ir as ir


def rewritten_model(model: Model, changes: Sequence[Change]) -> Model:
    """The model with the changes applied: its layers, weights and graph; path and bytes are those of the file.

    Weights that no change touches stay views of the file.
    """
    if not changes:
        return model

    def make() -> ir.Model:
        graph = model.graph()
        for change in changes:
            change.apply(graph)
        return graph

    graph = make()
    found = find_layers(graph)
    return replace(
        model, layers=found.layers, left_out=found.left_out, opset=graph.opset_imports.get("", model.opset),
        _read_weight=lambda name: read_weight(found, name, model.name), _make_graph=make)


def reference_graph(model: Model, changes: Sequence[Change]) -> ir.Model:
    """The original graph, masked: what the rewritten model must give (`Change.reference`)."""
    graph = model.graph()
    for change in changes:
        change.reference(graph)
    return graph
