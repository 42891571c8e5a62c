"""Opening a model file. A format is one file in this folder with `SUFFIXES` and `read`; nothing else names it."""

from __future__ import annotations

import importlib
import os
import pkgutil
from functools import cache
from pathlib import Path
from types import ModuleType

from core.model.model import Model
from core.progress import SILENT, Reporter


def open_model(path: str | os.PathLike[str], reporter: Reporter = SILENT) -> Model:
    """Open a model file; its weights stay on disk. Nothing that the file brings is executed.

    Raises ModelFileError, in one sentence, for a file that is no model, is damaged or cannot be used; Cancelled.
    """
    path = Path(path)
    return _reader(path).read(path, reporter)


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
