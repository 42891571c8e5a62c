"""Opening a model file. A format is one file in this folder with `SUFFIXES` and `read`; nothing else names it."""

from __future__ import annotations

import importlib
import os
import pkgutil
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from core.model.model import Model
from core.progress import SILENT, Reporter

if TYPE_CHECKING:
    from core.torch_files.source import TorchSource


def open_model(
    path: str | os.PathLike[str], reporter: Reporter = SILENT, *, torch_source: TorchSource | None = None
) -> Model:
    """Open a model file; its weights stay on disk. Nothing that the file brings is executed.

    torch_source  what a PyTorch file does not say itself; the code of its definition runs when it was allowed. None:
                  as the file was opened last, else what the file says alone. Other formats need none and ignore it

    Raises ModelFileError, in one sentence, for a file that is no model, is damaged or cannot be used; ParameterError
    and DataError for a source that cannot be used; Cancelled.
    """
    path = Path(path)
    reader = _reader(path)
    if torch_source is None:
        return reader.read(path, reporter)
    from core.model.readers import torch_file

    return torch_file.read(path, reporter, torch_source) if reader is torch_file else reader.read(path, reporter)


def suffixes() -> tuple[str, ...]:
    """The file name endings that can be opened, for file dialogs and drag and drop."""
    return tuple(_readers())


def _reader(path: Path) -> ModuleType:
    """The reader of a file's ending; files with other endings are tried as ONNX, which names what they are instead."""
    readers = _readers()
    return readers.get(path.suffix.lower(), readers[".onnx"])


@cache
def _readers() -> dict[str, ModuleType]:
    found: dict[str, ModuleType] = {}
    for info in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{info.name}")
        for suffix in module.SUFFIXES:
            if suffix in found:
                raise RuntimeError(f"{suffix} is registered by {found[suffix].__name__} and {module.__name__}")
            found[suffix] = module
    return found
