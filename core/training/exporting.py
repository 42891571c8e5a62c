"""Writing what was trained: the same exporter and the same gate as for every compressed model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from core.analysis.metrics import SqnrSum
from core.data.samples import Samples
from core.encoding.base import Encoding
from core.exporting.export import export
from core.exporting.report import ExportReport
from core.model.change import Change
from core.model.graph import stored_tensors
from core.model.rewritten import rewritten_model
from core.progress import SILENT, Reporter
from core.training.student import Trained

if TYPE_CHECKING:
    from core.model.model import Model
    from core.pipeline import Compression, LayerResult

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, eq=False)
class TrainedValues(Change):
    """Stored float tensors with other values.

    tensors  {stored tensor: float32, of its shape}; written in the type that the graph has
    """

    tensors: Mapping[str, Array] = field(repr=False)

    def apply(self, graph: ir.Model) -> None:
        stored = stored_tensors(graph)
        for name, values in self.tensors.items():
            entry = stored[name]
            if entry.tensor is None:
                continue
            dtype = entry.tensor.dtype
            array = np.ascontiguousarray(values.astype(dtype.numpy())).reshape(entry.shape)
            tensor = ir.Tensor(array, dtype=dtype, name=entry.tensor.name)
            if entry.node is None:
                entry.value.const_value = tensor
            else:
                for attribute in list(entry.node.attributes):
                    del entry.node.attributes[attribute]
                entry.node.attributes["value"] = ir.AttrTensor("value", tensor)

    @property
    def exact(self) -> bool:
        return False

    def lines(self) -> tuple[str, ...]:
        count = len(self.tensors)
        return (f"trained: {count:,} float tensor{'' if count == 1 else 's'}",)


def trained_model(model: Model, trained: Trained, *, decoded: bool = False) -> Model:
    """The model with the trained float tensors in their places, for everything that works on models.

    model    whose graph was trained: `compression.rewriting.model` where channels were cut, else the model as opened
    decoded  with the encodings' decoded weights as well: the whole trained network in floats

    It reads from `model`'s files what was not trained. Path and bytes are those of `model`.
    """
    tensors = dict(trained.tensors)
    if decoded:
        tensors.update((name, encoding.decode()) for name, encoding in trained.encodings.items())
    return rewritten_model(model, [TrainedValues(tensors)]) if tensors else model


def trained_compression(model: Model, compression: Compression | None, trained: Trained) -> Compression:
    """The compression with the trained encodings in its layers, its rewriting's model the trained one: predicted sizes
    and `export` follow from it.

    compression  None: the recipe was empty
    """
    from core.pipeline import compress
    from core.recipe import Recipe

    compression = compress(model, Recipe()) if compression is None else compression
    rewriting = compression.rewriting
    now = trained_model(rewriting.model, trained)
    layers = tuple(_trained_layer(result, rewriting.model, trained) for result in compression.layers)
    changes = rewriting.changes
    if trained.tensors:
        changes = (*changes, TrainedValues(trained.tensors))
    return replace(compression, layers=layers, rewriting=replace(rewriting, model=now, changes=changes))


def _trained_layer(result: LayerResult, before: Model, trained: Trained) -> LayerResult:
    """The layer's result with what is stored now: SQNR is against the weights before training (after cuts)."""
    encoding = trained.encodings.get(result.name)
    if encoding is not None:
        sqnr = _sqnr_db(before, result.name, encoding)
        return replace(result, encoding=encoding, bytes_after=encoding.nbytes, weight_sqnr_db=sqnr, skipped="")
    values = trained.tensors.get(result.name)
    return result if values is None else replace(result, weight_sqnr_db=_sqnr_db(before, result.name, values))


def _sqnr_db(before: Model, name: str, now: Encoding | Array) -> float:
    original = np.asarray(before.weight(name), np.float64)
    difference = original - (now.decode() if isinstance(now, Encoding) else now)
    return SqnrSum(float(np.square(original).sum()), float(np.square(difference).sum())).db


def export_trained(
    model: Model,
    compression: Compression | None,
    trained: Trained,
    target: Path,
    samples: Samples | None = None,
    reporter: Reporter = SILENT,
) -> ExportReport:
    """Write the trained model to `target`, whole or not at all, through the gate of `exporting.export`.

    model        as opened
    compression  what the student was made with; None: no recipe
    samples      for the parity check, between the file and the trained weights in floats

    Cuts and graph steps are checked with the weights that they were made with.

    Raises TargetError, GateError, Cancelled.
    """
    done = trained_compression(model, compression, trained)
    untrained = None if compression is None else compression.rewriting
    return export(model, done, target, samples, reporter, untrained=untrained)
