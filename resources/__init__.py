"""Files that ship with the program: theme, icons, fonts, the sample model. Found wherever the package is installed."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path


def path(name: str) -> Path:
    """Where a file or folder of this package is, e.g. path("sample/model.onnx"). It need not exist."""
    return Path(str(files(__name__))) / name


def text(name: str) -> str:
    """The contents of a text file of this package."""
    return path(name).read_text(encoding="utf-8")


def data(name: str) -> bytes:
    """The contents of a file of this package."""
    return path(name).read_bytes()
