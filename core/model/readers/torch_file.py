"""Reading PyTorch files: they are converted to an ONNX graph, once, and opened as that."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from core.progress import Reporter

if TYPE_CHECKING:
    from core.model.model import Model
    from core.torch_files.source import TorchSource

SUFFIXES = (".pt2", ".pt", ".pth", ".safetensors")


def read(path: Path, reporter: Reporter, source: TorchSource | None = None) -> Model:
    """Open a PyTorch file; see `open_model`."""
    from core.model.readers import onnx_file
    from core.torch_files.converting import graph_of

    graph = graph_of(path, source, reporter.part(0.0, 0.8))
    return onnx_file.read(graph, reporter.part(0.8, 1.0))
