"""The layers of a loaded graph and their weights, whether the graph comes from a file or was rewritten."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from core.errors import FeatherweightError, ModelFileError
from core.model.layer import Layer

if TYPE_CHECKING:
    import onnx_ir as ir

    from core.model.finder import Found
    from core.model.folding import Fold


def find_layers(graph: ir.Model) -> Found:
    """The layers, with what folding batch norms on export means for them. Reads no weights."""
    from core.model.finder import find
    from core.model.folding import find_folds

    found = find(graph)
    return replace(found, layers=_with_folds(found.layers, find_folds(graph)))


def _with_folds(layers: tuple[Layer, ...], folds: tuple[Fold, ...]) -> tuple[Layer, ...]:
    """Case 1  a convolution's weight: it takes a norm's factor in
    Case 2  a tensor that only folded norms read: the export does not hold it, so there is nothing to compress
    """
    into = {fold.weight for fold in folds}
    gone = Counter(name for fold in folds for name in fold.norms)
    target = {name: fold.weight for fold in folds for name in fold.norms}

    def known(layer: Layer) -> Layer:
        if layer.name in into:
            return replace(layer, folds_norm=True)
        if layer.name in gone and gone[layer.name] == len(layer.uses):
            return replace(layer, locked=f"it goes into the convolution {target[layer.name]!r} on export")
        return layer

    return tuple(known(layer) for layer in layers)


def read_weight(found: Found, name: str, where: str) -> np.ndarray[Any, np.dtype[Any]]:
    """One layer's weight as float32; `where` names the model in errors. Raises FeatherweightError kinds."""
    from core.model.evaluate import evaluate
    from core.model.graph import Stored

    source = found.weights[name]
    try:
        if not isinstance(source, Stored):
            return evaluate(found.origins, source)
        if source.tensor is None:
            raise ModelFileError(f"{name!r} is no plain tensor", do="export the model again")
        values = source.tensor.numpy()
        return values if values.dtype == np.float32 else values.astype(np.float32)
    except FeatherweightError as error:
        error.where = error.where or where
        raise
