"""Files by the names that people know them by: models are often all called model.onnx, so the folder is named too."""

from __future__ import annotations

from pathlib import Path

_LONGEST = 28


def folder_name(path: Path) -> str:
    """The name of a file's folder, shortened in the middle; "" at the root."""
    name = path.absolute().parent.name
    half = _LONGEST // 2
    return name if len(name) <= _LONGEST else f"{name[:half]}\N{HORIZONTAL ELLIPSIS}{name[-half:]}"


def short_path(path: Path) -> str:
    """Folder and name: "lenet5/model.onnx"."""
    folder = folder_name(path)
    return f"{folder}/{path.name}" if folder else path.name
