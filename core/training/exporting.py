"""Writing what was trained: the same exporter and the same gate as for every compressed model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from core.data.samples import Samples
from core.exporting.report import ExportReport
from core.progress import SILENT, Reporter
from core.training.student import Trained

if TYPE_CHECKING:
    from core.model.model import Model
    from core.pipeline import Compression


def trained_model(model: Model, trained: Trained, *, decoded: bool = False) -> Model:
    """The model with the trained float tensors in their places, for everything that works on models.

    model    whose graph was trained: `compression.rewriting.model` where channels were cut, else the model as opened
    decoded  with the encodings' decoded weights as well: the whole trained network in floats

    It reads from `model`'s files what was not trained.
    """
    raise NotImplementedError


def trained_compression(model: Model, compression: Compression, trained: Trained) -> Compression:
    """The compression with the trained encodings in its layers, its rewriting's model the trained one: predicted sizes
    and `export` follow from it."""
    raise NotImplementedError


def export_trained(
    model: Model,
    compression: Compression,
    trained: Trained,
    target: Path,
    samples: Samples | None = None,
    reporter: Reporter = SILENT,
) -> ExportReport:
    """Write the trained model to `target`, whole or not at all, through the gate of `exporting.export`.

    model        as opened
    compression  what the student was made with
    samples      for the parity check, between the file and the trained weights in floats

    Raises TargetError, GateError, Cancelled.
    """
    raise NotImplementedError
