"""Conversions that are kept in the person's cache folder: opening the same file again runs nothing and takes no time.

Each is a folder named by what it was made from. Below a file's own name, so that the same content at two places is two
conversions, each of which knows the person's file.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from core.kernels import user_cache

if TYPE_CHECKING:
    from core.torch_files.origin import Origin
    from core.torch_files.source import TorchSource

VERSION = 2
"""To be raised when the same file would be converted otherwise."""
GRAPH = "model.onnx"
MOST, YOUNG = 24, 2 * 24 * 3600
"""Conversions that are kept, and seconds for which none is removed: a window may have it open."""


def kept_folder() -> Path:
    """Where conversions are kept; XDG_CACHE_HOME moves it on Linux."""
    return user_cache() / "featherweight" / "torch"


def is_kept(graph: Path) -> bool:
    """Whether a file is the graph of a conversion."""
    try:
        return graph.name == GRAPH and graph.absolute().parent.parent == kept_folder().absolute()
    except (OSError, RuntimeError):  # RuntimeError: no home folder
        return False


def file_sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def entry(path: Path, sha256: str, source: TorchSource, fed: str) -> Path:
    """The folder of a conversion, whether it is there or not.

    fed  digest of the samples that it is converted with; "" without
    """
    torch_and_converter = _versions()
    told = json.dumps([VERSION, torch_and_converter, str(path.absolute()), sha256, asdict(source), fed], sort_keys=True)
    return kept_folder() / f"{_of_path(path)}-{hashlib.sha256(told.encode()).hexdigest()[:24]}"


def newest(path: Path, sha256: str) -> Path | None:
    """The graph of the newest conversion of this content at this place whose definition is as it was, or None."""
    from core.torch_files.origin import origin_of

    for folder in sorted(kept_folder().glob(f"{_of_path(path)}-*"), key=_used, reverse=True):
        origin = origin_of(folder / GRAPH)
        if origin is not None and (folder / GRAPH).is_file() and origin.sha256 == sha256 and _same_definition(origin):
            return folder / GRAPH
    return None


def _same_definition(origin: Origin) -> bool:
    if origin.definition_file is None:
        return True
    try:
        return file_sha256(origin.definition_file) == origin.source.allowed
    except OSError:
        return False


def touch(folder: Path) -> None:
    """Note that a conversion was used."""
    with contextlib.suppress(OSError):
        os.utime(folder)


def remove_old() -> None:
    """Remove the conversions that were used longest ago, and what a killed conversion left behind."""
    folders = sorted((f for f in kept_folder().glob("*") if f.is_dir()), key=_used, reverse=True)
    now = time.time()
    for folder in folders[MOST:]:
        if now - _used(folder) > YOUNG:
            shutil.rmtree(folder, ignore_errors=True)


def _used(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except OSError:
        return 0.0


def _of_path(path: Path) -> str:
    return hashlib.sha256(str(path.absolute()).encode(errors="surrogateescape")).hexdigest()[:16]


def _versions() -> list[str]:
    from importlib.metadata import version

    return [version("torch"), version("onnxscript")]
